//! The outbox of all pods as one of them sees it: the events of the partitions that it has leased.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use windlass_redis::{Call, cmd};

use super::delivery::{HeldAt, StreamId};
use super::{RedisStore, failed, keys, read, scripts};
use crate::event::Event;
use crate::id::Partition;
use crate::outbox::{Held, Outbox, Position};
use crate::store::Error;
use crate::time::UnixMillis;

/// How many entries of a stream are read at once.
const PAGE: usize = 256;

/// An entry of a stream: its id, and its fields and values by turns.
type StreamEntry = (String, Vec<String>);

#[async_trait]
impl Outbox for RedisStore {
    async fn join(&self, group: &'static str) -> Result<Position, Error> {
        let delivery = &self.inner.delivery;
        let is_new = !delivery.lock().groups().contains(&group);
        let at = delivery.lock().join(group);
        if !is_new {
            return Ok(at);
        }
        delivery.lead().await.map_err(failed("join the outbox"))?;
        Ok(delivery.lock().join(group))
    }

    async fn leave(&self, group: &'static str) -> Result<(), Error> {
        self.inner.delivery.lock().leave(group);
        let calls: Vec<Call> = keys::partitions()
            .map(|partition| cmd("HDEL").arg(keys::groups(partition)).arg(group).take().into())
            .collect();
        let left = self.inner.client.run_all(&calls).await;
        left.map(drop).map_err(failed("leave the outbox"))
    }

    async fn read(
        &self,
        group: &'static str,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, Arc<Event>)>, Error> {
        let delivery = &self.inner.delivery;
        let look = || {
            let state = delivery.lock();
            if state.has_moved(group) {
                return Err(Error::MoveOutbox);
            }
            Ok(state.after(group, after, limit))
        };
        let known = look()?;
        if !known.is_empty() {
            return Ok(known);
        }
        self.pull().await?;
        look()
    }

    async fn acknowledge(&self, group: &'static str, through: Position) -> Result<(), Error> {
        let delivery = &self.inner.delivery;
        delivery.lock().acknowledge(group, through);
        delivery.settled.notify_one();
        Ok(())
    }

    async fn hold_back(&self, group: &'static str, position: Position) -> Result<(), Error> {
        let delivery = &self.inner.delivery;
        // What is not found is another process's by now.
        let found = delivery.lock().find(position);
        let Some((partition, id, event)) = found else {
            return Ok(());
        };
        let text = serde_json::to_string(&*event).map_err(|source| Error::EncodeEntry { source })?;
        let call = scripts::HOLD
            .call(&[&keys::held(partition)])
            .arg(format!("{group}/{id}"))
            .arg(text);
        let value = self
            .inner
            .client
            .write(call)
            .await
            .map_err(failed("hold an event back"))?;
        let text: String = read(value)?;
        let since = text.split_once(' ').and_then(|(since, _)| since.parse().ok());
        let at = HeldAt {
            partition,
            id,
            since: UnixMillis(since.unwrap_or_default()),
            lost: false,
            event,
        };
        delivery.lock().hold(group, position, at);
        Ok(())
    }

    async fn held(&self, group: &'static str, limit: usize) -> Result<Vec<Held>, Error> {
        Ok(self.inner.delivery.lock().held(group, limit))
    }

    async fn let_go(&self, group: &'static str, position: Position, lost: bool) -> Result<(), Error> {
        let delivery = &self.inner.delivery;
        let Some(at) = delivery.lock().held_at(group, position) else {
            return Ok(());
        };
        let (name, field) = (keys::held(at.partition), format!("{group}/{}", at.id));
        let call: Call = if lost {
            let text = serde_json::to_string(&*at.event).map_err(|source| Error::EncodeEntry { source })?;
            let text = format!("{} 1 {text}", at.since);
            cmd("HSET").arg(name).arg(field).arg(text).take().into()
        } else {
            cmd("HDEL").arg(name).arg(field).take().into()
        };
        let written = self.inner.client.write(call).await;
        written.map_err(failed("let an event go"))?;
        delivery.lock().let_go(group, position, lost);
        Ok(())
    }

    fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.delivery.bell)
    }

    /// What is not given back goes to others when its lease has ended.
    async fn close(&self) {
        self.inner.delivery.close().await;
    }
}

impl RedisStore {
    /// Reads what may be new in the streams of the leased partitions.
    async fn pull(&self) -> Result<(), Error> {
        let delivery = &self.inner.delivery;
        let _pulling = delivery.pulling.lock().await;
        let rung = delivery.lock().take_rung();
        if rung.is_empty() {
            return Ok(());
        }
        let calls: Vec<Call> = rung
            .iter()
            .map(|(partition, cursor)| page(*partition, *cursor))
            .collect();
        let answers = self.inner.client.run_all(&calls).await;
        let answers = answers.inspect_err(|_| {
            let mut state = delivery.lock();
            rung.iter().for_each(|(partition, _)| state.ring(*partition));
        });
        let (mut failure, mut read_any) = (None, false);
        let mut state = delivery.lock();
        for ((partition, _), answer) in rung.into_iter().zip(answers.map_err(failed("read the outbox"))?) {
            // In a cluster some may be away, while the others are read.
            let page = answer.map_err(failed("read the outbox"));
            let entries: Vec<StreamEntry> = match page.and_then(read) {
                Ok(entries) => entries,
                Err(error) => {
                    state.ring(partition);
                    failure = Some(error);
                    continue;
                }
            };
            if entries.len() == PAGE {
                state.ring(partition);
            }
            for (id, fields) in entries {
                let text = fields.get(1).map(String::as_str).unwrap_or_default();
                let event = serde_json::from_str(text).map_err(|source| Error::ReadEvent { source })?;
                let id = id
                    .parse()
                    .map_err(|_| failed("read the outbox")(windlass_redis::Error::Read))?;
                state.append(partition, id, event);
                read_any = true;
            }
        }
        match failure {
            Some(error) if !read_any => Err(error),
            Some(_) | None => Ok(()),
        }
    }
}

fn page(partition: Partition, cursor: StreamId) -> Call {
    let mut command = cmd("XRANGE");
    command.arg(keys::outbox(partition)).arg(format!("({cursor}")).arg("+");
    command.arg("COUNT").arg(PAGE).take().into()
}
