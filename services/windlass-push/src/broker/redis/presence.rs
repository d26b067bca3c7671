//! Which connections are in which channels, and which are a user's. What this node has said is remembered here too, so that
//! a Redis that forgot it is told again; and in Redis by node, so that another one takes it back when this one dies
//! ([`super::reaper`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::RwLock;
use windlass_redis::{Call, Client, Script, Value, cmd};

use super::nodes::Nodes;
use super::patience::Patience;
use super::streams::{read, unreachable};
use super::{keys, scripts, wire};
use crate::broker::memory::lock;
use crate::broker::{Attendance, Error, NodeId, PresenceCount};
use crate::channel::ChannelKey;
use crate::client::{ClientId, ClientInfo};

/// How many entries are told at once: a pipeline of some 100 KiB.
pub(super) const BATCH: usize = 512;

/// A connection in a channel.
pub(super) type Place = (ChannelKey, ClientId);

/// What this node's connections are in, and a view of everybody's.
#[derive(Debug)]
pub(super) struct Presence {
    client: Client,
    node: NodeId,
    /// As Redis is to have it.
    own: Mutex<HashMap<Place, Own>>,
    /// Whether Redis may not have some of it.
    is_unsettled: AtomicBool,
    /// Shared by single changes; held alone while a batch is told again, so that it does not overtake one of them.
    telling: RwLock<()>,
}

/// How one of this node's connections is in a channel.
#[derive(Debug)]
struct Own {
    /// As whom others know it.
    info: Vec<u8>,
    is_present: bool,
    is_announced: bool,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Here,
    /// Lost, and perhaps soon back.
    Away,
    /// It is to go, and has perhaps not.
    Gone,
}

/// How long something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tries {
    /// Once.
    One,
    /// Until it may have been done: a second time it would do more.
    UntilSent,
    /// Until it is known to be done.
    UntilAnswered,
}

impl Presence {
    pub(super) fn new(client: Client, node: NodeId) -> Self {
        Self {
            client,
            node,
            own: Mutex::default(),
            is_unsettled: AtomicBool::new(false),
            telling: RwLock::default(),
        }
    }

    pub(super) async fn enter(
        &self,
        channel: &ChannelKey,
        client: ClientId,
        attendance: Attendance,
    ) -> Result<(), Error> {
        let mut info = Vec::new();
        wire::write_info(&mut info, &attendance.info);
        let place = (channel.clone(), client);
        let call = about(&scripts::ENTER, self.node, &place, &attendance.info)
            .arg(self.node.to_string())
            .arg(info.as_slice())
            .arg(u8::from(attendance.present))
            .arg(u8::from(attendance.announced));
        let call = telling(call, &self.client, channel, wire::JOINED);
        let own = Own {
            info,
            is_present: attendance.present,
            is_announced: attendance.announced,
            standing: Standing::Here,
        };
        lock(&self.own).insert(place.clone(), own);
        // A user's connection need not wait for a Redis that is away.
        let tries = if channel.user().is_some() {
            Tries::One
        } else {
            Tries::UntilSent
        };
        let shown: Option<Vec<u8>> = read(self.tell(&call, tries).await?)?;
        if let (Some(shown), Some(own)) = (shown, lock(&self.own).get_mut(&place)) {
            own.info = shown;
        }
        Ok(())
    }

    pub(super) async fn lose(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error> {
        let place = (channel.clone(), client);
        let call = {
            let mut all = lock(&self.own);
            let Some(own) = all.get_mut(&place).filter(|own| own.is_announced) else {
                return Ok(());
            };
            let info = wire::info(&own.info).unwrap_or_default();
            if info.user.is_empty() {
                return Ok(());
            }
            own.standing = Standing::Away;
            let (held, away) = (keys::held(channel, self.node), keys::away(channel, &info));
            let call = scripts::LOSE.call(&[&held, &away]);
            call.arg(client.to_string()).arg(field(&place))
        };
        self.tell(&call, Tries::UntilAnswered).await.map(drop)
    }

    pub(super) async fn leave(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error> {
        let place = (channel.clone(), client);
        let call = {
            let mut all = lock(&self.own);
            let Some(own) = all.get_mut(&place) else {
                return Ok(());
            };
            own.standing = Standing::Gone;
            leaving(&self.client, self.node, &place, &own.info)
        };
        self.tell(&call, Tries::UntilAnswered).await?;
        lock(&self.own).remove(&place);
        Ok(())
    }

    /// Says one thing to Redis.
    async fn tell(&self, call: &Call, tries: Tries) -> Result<Value, Error> {
        let mut patience = Patience::new();
        loop {
            let answer = {
                let _shared = self.telling.read().await;
                self.client.run(call).await
            };
            let is_tried_again = match (&answer, tries) {
                (Ok(_), _) | (_, Tries::One) => false,
                (Err(error), Tries::UntilSent) => !error.is_unknown(),
                (Err(_), Tries::UntilAnswered) => true,
            };
            if !is_tried_again || !patience.wait().await {
                return self.settled(answer);
            }
        }
    }

    /// Whether Redis may not have all that this node has said.
    pub(super) fn is_unsettled(&self) -> bool {
        self.is_unsettled.load(Ordering::Acquire)
    }

    /// Tells all of it again: to a Redis that may have forgotten, or not have heard. Of what it did not know, others are told
    /// when `announcing`: they were told the contrary.
    pub(super) async fn tell_again(&self, announcing: bool) -> Result<(), Error> {
        self.is_unsettled.store(false, Ordering::Release);
        let places: Vec<Place> = lock(&self.own).keys().cloned().collect();
        for batch in places.chunks(BATCH) {
            let _alone = self.telling.write().await;
            let mut gone = Vec::new();
            let mut calls = Vec::with_capacity(batch.len());
            for place in batch {
                // As it is by now.
                match lock(&self.own).get(place) {
                    Some(own) if own.standing == Standing::Gone => {
                        calls.push(leaving(&self.client, self.node, place, &own.info));
                        gone.push(place);
                    }
                    Some(own) => calls.push(self.again(place, own, announcing)),
                    None => {}
                }
            }
            for answer in self.settled(self.client.run_all(&calls).await)? {
                self.settled(answer)?;
            }
            for place in gone {
                lock(&self.own).remove(place);
            }
        }
        Ok(())
    }

    fn again(&self, place: &Place, own: &Own, announcing: bool) -> Call {
        let state = match (own.is_announced, own.standing) {
            (true, Standing::Away) => "a",
            (true, Standing::Here | Standing::Gone) => "j",
            (false, _) => "p",
        };
        let info = wire::info(&own.info).unwrap_or_default();
        let call = about(&scripts::ENTER_AGAIN, self.node, place, &info)
            .arg(self.node.to_string())
            .arg(own.info.as_slice())
            .arg(u8::from(own.is_present))
            .arg(state)
            .arg(u8::from(announcing));
        telling(call, &self.client, &place.0, wire::JOINED)
    }

    /// Notes when Redis may not have what it was told.
    fn settled<T>(&self, answer: Result<T, windlass_redis::Error>) -> Result<T, Error> {
        answer.map_err(|error| {
            self.is_unsettled.store(true, Ordering::Release);
            unreachable(&error)
        })
    }

    /// Who is in a channel: only on nodes that live.
    pub(super) async fn list(&self, nodes: &Nodes, channel: &ChannelKey) -> Result<Vec<ClientInfo>, Error> {
        let entries = self.entries(nodes, channel).await?;
        Ok(entries.iter().filter_map(|(_, info)| wire::info(info)).collect())
    }

    pub(super) async fn count(&self, nodes: &Nodes, channel: &ChannelKey) -> Result<PresenceCount, Error> {
        let present = self.list(nodes, channel).await?;
        let users: BTreeSet<&str> = present.iter().map(|info| info.user.as_str()).collect();
        Ok(PresenceCount {
            clients: present.len(),
            users: users.len(),
        })
    }

    /// The living nodes that have a connection in a channel.
    pub(super) async fn nodes(&self, nodes: &Nodes, channel: &ChannelKey) -> Result<BTreeSet<NodeId>, Error> {
        let entries = self.entries(nodes, channel).await?;
        Ok(entries.into_iter().map(|(node, _)| node).collect())
    }

    /// The connections in a channel, by id: the node of each, if it lives, and what others see of it.
    async fn entries(&self, nodes: &Nodes, channel: &ChannelKey) -> Result<Vec<(NodeId, Vec<u8>)>, Error> {
        let mut command = cmd("HGETALL");
        let calls = [command.arg(keys::entries(channel)).take().into(), Nodes::question()];
        let answers = self.client.run_all(&calls).await.map_err(|error| unreachable(&error))?;
        let [entries, living]: [Result<Value, windlass_redis::Error>; 2] =
            answers.try_into().map_err(|_| Error::Unreachable)?;
        let entries: BTreeMap<String, Vec<u8>> = read(entries.map_err(|error| unreachable(&error))?)?;
        let living = nodes.understand(living)?;
        let known = entries.into_values().filter_map(|mut value| {
            let info = value.split_off(value.iter().position(|byte| *byte == b' ')? + 1);
            let node = std::str::from_utf8(&value).ok()?.trim_end().parse().ok()?;
            living.has(node).then_some((node, info))
        });
        Ok(known.collect())
    }
}

/// The call that takes a connection of a node out of a channel, once whoever sends it; `info` is as whom others know it.
pub(super) fn leaving(client: &Client, node: NodeId, place: &Place, info: &[u8]) -> Call {
    let info = wire::info(info).unwrap_or_default();
    telling(about(&scripts::LEAVE, node, place, &info), client, &place.0, wire::LEFT)
}

/// A call about one connection.
fn about(script: &'static Script, node: NodeId, place: &Place, info: &ClientInfo) -> Call {
    let (channel, client) = place;
    let names = [
        keys::entries(channel),
        keys::held(channel, node),
        keys::away(channel, info),
    ];
    let call = script.call(&names.each_ref().map(String::as_str));
    call.arg(client.to_string()).arg(field(place))
}

/// With how others are told.
fn telling(call: Call, client: &Client, channel: &ChannelKey, kind: u8) -> Call {
    let call = call.arg(client.publish_command()).arg(keys::publications(channel));
    call.arg(&[kind][..])
}

/// A connection's field in what its node holds. Neither an id nor a tenant has a space.
fn field((channel, client): &Place) -> String {
    format!("{client} {}", channel.as_str())
}
