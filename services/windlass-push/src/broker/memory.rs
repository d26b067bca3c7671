//! The broker inside one process.
//!
//! A [`Network`] is what Redis is to several processes; each node joins it and has its own [`Memory`]. There is
//! usually one node; tests join several, so that what holds between processes is tried without them.

mod attending;
mod repeats;
mod stream;
mod streams;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use windlass_task::Tenant;

use super::{Attendance, Broker, Error, History, NodeId, Outgoing, PresenceCount, Range, Receiver, Retention};
use crate::channel::ChannelKey;
use crate::client::{ClientId, ClientInfo};
use crate::few;
use crate::payload::Payload;
use crate::position::StreamPosition;
use crate::publication::{Message, Publication};
use attending::Attending;
use repeats::Repeats;
use streams::Streams;

/// Where the time comes from; tests bring their own.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The bounds of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The most channels whose position is known at a time.
    pub streams_max: usize,
    /// The most bytes of publications that are remembered for all channels.
    pub history_bytes_max: usize,
    /// How long an unused channel's position is known.
    pub position_ttl: Duration,
}

impl Default for Options {
    /// 100,000 positions at about 300 bytes each; a quarter of a small pod's memory for histories; a day, so that a
    /// device that was off overnight is told truthfully that it missed something.
    fn default() -> Self {
        Self {
            streams_max: 100_000,
            history_bytes_max: 256 * 1024 * 1024,
            position_ttl: Duration::from_secs(24 * 3_600),
        }
    }
}

/// What the nodes of one process share.
pub struct Network {
    streams: Streams,
    clock: Clock,
    nodes: Mutex<HashMap<NodeId, Arc<dyn Receiver>>>,
    /// Who wants a channel: mostly one node, so a list.
    interest: Mutex<HashMap<ChannelKey, Vec<NodeId>>>,
    attendance: Mutex<HashMap<ChannelKey, Attending>>,
    repeats: Mutex<Repeats>,
}

/// One node of a [`Network`].
pub struct Memory {
    network: Arc<Network>,
    node: NodeId,
}

impl Network {
    /// A network without nodes.
    #[must_use]
    pub fn new(options: Options, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            streams: Streams::new(options),
            clock,
            nodes: Mutex::default(),
            interest: Mutex::default(),
            attendance: Mutex::default(),
            repeats: Mutex::default(),
        })
    }

    /// Adds a node.
    #[must_use]
    pub fn join(self: &Arc<Self>, node: NodeId, receiver: Arc<dyn Receiver>) -> Memory {
        lock(&self.nodes).insert(node, receiver);
        Memory {
            network: Arc::clone(self),
            node,
        }
    }

    fn everybody(&self) -> Vec<Arc<dyn Receiver>> {
        lock(&self.nodes).values().cloned().collect()
    }

    /// The nodes that want `channel`.
    fn receivers(&self, channel: &ChannelKey) -> Vec<Arc<dyn Receiver>> {
        let interested = lock(&self.interest).get(channel).cloned().unwrap_or_default();
        let nodes = lock(&self.nodes);
        interested.iter().filter_map(|node| nodes.get(node).cloned()).collect()
    }

    fn publish(
        &self,
        channel: &ChannelKey,
        outgoing: Outgoing,
        retention: Retention,
        now: Instant,
    ) -> Option<StreamPosition> {
        if retention.is_none() {
            let message = Message {
                data: outgoing.data,
                info: outgoing.info,
                tags: stream::shared(outgoing.tags),
                position: None,
            };
            self.bring(channel, message, None);
            return None;
        }
        // Brought while the stream is held: so publications reach everybody in the order of their offsets.
        self.streams.with(channel, now, |stream| {
            if outgoing.version.as_ref().is_some_and(|version| stream.has_had(version)) {
                return Some(stream.top());
            }
            let before = outgoing.delta.then(|| stream.last(now)).flatten();
            let message = stream.append(outgoing, retention, now);
            let position = message.position;
            self.bring(channel, message, before);
            position
        })
    }

    fn bring(&self, channel: &ChannelKey, message: Message, before: Option<Payload>) {
        self.bring_all(channel, &Publication::Message { message, before });
    }

    fn bring_all(&self, channel: &ChannelKey, publication: &Publication) {
        for receiver in self.receivers(channel) {
            receiver.publication(channel, publication);
        }
    }
}

impl Drop for Memory {
    /// A node that leaves takes its presence and its interest along, as its lease would.
    fn drop(&mut self) {
        lock(&self.network.nodes).remove(&self.node);
        lock(&self.network.interest).retain(|_, nodes| {
            nodes.retain(|node| *node != self.node);
            !nodes.is_empty()
        });
        let mut gone = Vec::new();
        lock(&self.network.attendance).retain(|channel, attending| {
            let left = attending.bury(self.node).into_iter();
            gone.extend(left.map(|info| (channel.clone(), Publication::Left(info))));
            !attending.is_empty()
        });
        for (channel, left) in gone {
            self.network.bring_all(&channel, &left);
        }
    }
}

#[async_trait]
impl Broker for Memory {
    async fn publish(
        &self,
        channel: &ChannelKey,
        mut outgoing: Outgoing,
        retention: Retention,
    ) -> Result<Option<StreamPosition>, Error> {
        let network = &self.network;
        let now = (network.clock)();
        let Some(key) = outgoing.idempotency_key.take() else {
            return Ok(network.publish(channel, outgoing, retention, now));
        };
        // Held meanwhile: two that come at once with one key are one.
        let mut repeats = lock(&network.repeats);
        Ok(repeats.once(channel, key, now, || network.publish(channel, outgoing, retention, now)))
    }

    async fn subscribe(&self, channel: &ChannelKey) -> Result<(), Error> {
        lock(&self.network.interest)
            .entry(channel.clone())
            .and_modify(|nodes| {
                if !nodes.contains(&self.node) {
                    few::push(nodes, self.node);
                }
            })
            .or_insert_with(|| vec![self.node]);
        Ok(())
    }

    async fn unsubscribe(&self, channel: &ChannelKey) -> Result<(), Error> {
        let mut interest = lock(&self.network.interest);
        if let Some(nodes) = interest.get_mut(channel) {
            nodes.retain(|node| *node != self.node);
            if nodes.is_empty() {
                interest.remove(channel);
            }
        }
        Ok(())
    }

    async fn history(&self, channel: &ChannelKey, range: Range) -> Result<History, Error> {
        let now = (self.network.clock)();
        Ok(self
            .network
            .streams
            .with(channel, now, |stream| stream.read(range, now)))
    }

    async fn remove_history(&self, channel: &ChannelKey) -> Result<(), Error> {
        let now = (self.network.clock)();
        self.network.streams.with(channel, now, stream::Stream::remove);
        Ok(())
    }

    async fn enter(&self, channel: &ChannelKey, client: ClientId, attendance: Attendance) -> Result<(), Error> {
        let mut all = lock(&self.network.attendance);
        let joined = all
            .entry(channel.clone())
            .or_default()
            .enter(self.node, client, attendance);
        drop(all);
        if let Some(info) = joined {
            self.network.bring_all(channel, &Publication::Joined(info));
        }
        Ok(())
    }

    async fn lose(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error> {
        if let Some(attending) = lock(&self.network.attendance).get_mut(channel) {
            attending.lose(client);
        }
        Ok(())
    }

    async fn leave(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error> {
        let mut all = lock(&self.network.attendance);
        let Some(attending) = all.get_mut(channel) else {
            return Ok(());
        };
        let left = attending.leave(client);
        if attending.is_empty() {
            all.remove(channel);
        }
        drop(all);
        if let Some(info) = left {
            self.network.bring_all(channel, &Publication::Left(info));
        }
        Ok(())
    }

    async fn add_user(&self, _: &Tenant, _: &str, _: ClientId) -> Result<(), Error> {
        // All nodes are in this process, so asking each costs less than knowing which.
        Ok(())
    }

    async fn remove_user(&self, _: &Tenant, _: &str, _: ClientId) -> Result<(), Error> {
        Ok(())
    }

    async fn presence(&self, channel: &ChannelKey) -> Result<Vec<ClientInfo>, Error> {
        let all = lock(&self.network.attendance);
        Ok(all
            .get(channel)
            .into_iter()
            .flat_map(Attending::present)
            .cloned()
            .collect())
    }

    async fn count_presence(&self, channel: &ChannelKey) -> Result<PresenceCount, Error> {
        let all = lock(&self.network.attendance);
        let present = || all.get(channel).into_iter().flat_map(Attending::present);
        let users: BTreeSet<&str> = present().map(|info| info.user.as_str()).collect();
        Ok(PresenceCount {
            clients: present().count(),
            users: users.len(),
        })
    }

    fn node(&self) -> NodeId {
        self.node
    }

    async fn tell(&self, node: NodeId, message: Bytes) -> Result<(), Error> {
        let receiver = lock(&self.network.nodes).get(&node).cloned();
        receiver.ok_or(Error::UnknownNode)?.control(message);
        Ok(())
    }

    async fn tell_user(&self, _: &Tenant, _: &str, message: Bytes) -> Result<(), Error> {
        for receiver in self.network.everybody() {
            receiver.control(message.clone());
        }
        Ok(())
    }

    async fn survey(&self, question: Bytes) -> Result<Vec<Bytes>, Error> {
        let everybody = self.network.everybody();
        Ok(everybody
            .iter()
            .map(|receiver| receiver.answer(question.clone()))
            .collect())
    }

    async fn maintain(&self) {
        self.network.streams.sweep((self.network.clock)());
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({})", self.node)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (streams, bytes) = self.streams.size();
        write!(f, "Network({streams} streams, {bytes} bytes)")
    }
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
