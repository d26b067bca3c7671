//! The catalogue: a sorted set an owner, fed by the outbox.

use std::sync::Arc;

use async_trait::async_trait;
use windlass_redis::{Call, cmd};

use super::{RedisStore, failed, keys, read, scripts};
use crate::catalogue::{Catalogue, Listed};
use crate::event::{Event, EventType};
use crate::id::{Owner, TaskId, Tenant};
use crate::store::Error;

#[async_trait]
impl Catalogue for RedisStore {
    async fn apply(&self, events: &[Arc<Event>]) -> Result<(), Error> {
        let calls: Vec<Call> = events.iter().flat_map(|event| calls_of(event)).collect();
        if calls.is_empty() {
            return Ok(());
        }
        let answers = self.inner.client.run_all(&calls).await;
        for answer in answers.map_err(failed("list a task"))? {
            answer.map_err(failed("list a task"))?;
        }
        Ok(())
    }

    async fn list(
        &self,
        tenant: &Tenant,
        owner: &Owner,
        before: Option<&TaskId>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let names = [keys::catalogue(tenant, owner), keys::names(tenant, owner)];
        let call = scripts::LIST
            .call(&names.each_ref().map(String::as_str))
            .arg(before.map_or_else(String::new, TaskId::to_string))
            .arg(limit.min(LIMIT_MAX));
        let (ids, names): (Vec<String>, Vec<Option<String>>) = read(self.run("list tasks", call).await?)?;
        let listed = ids.into_iter().zip(names);
        Ok(listed
            .filter_map(|(id, name)| {
                Some(Listed {
                    id: id.parse().ok()?,
                    name,
                })
            })
            .collect())
    }
}

/// The longest page: a Lua call takes some thousand arguments.
const LIMIT_MAX: usize = 1_000;

/// A repetition changes nothing, and since events come in order, what is gone in the end is gone from the list.
fn calls_of(event: &Event) -> Vec<Call> {
    let (tenant, owner, id) = (&event.tenant, &event.data.owner, event.subject.to_string());
    let (catalogue, names) = (keys::catalogue(tenant, owner), keys::names(tenant, owner));
    match event.kind {
        EventType::Created => {
            let list = cmd("ZADD").arg(catalogue).arg("NX").arg(event.time.0).arg(&id).take();
            let name = event.data.name.as_ref();
            let name = name.map(|name| cmd("HSET").arg(names).arg(&id).arg(name).take());
            std::iter::once(list).chain(name).map(Call::from).collect()
        }
        EventType::Terminated | EventType::Expired => vec![
            cmd("ZREM").arg(catalogue).arg(&id).take().into(),
            cmd("HDEL").arg(names).arg(&id).take().into(),
        ],
        EventType::Completed | EventType::Released | EventType::Failed | EventType::Progress => Vec::new(),
    }
}
