//! What connects the processes of one deployment: publications, histories, presence.
//!
//! A broker is one node's view. It gives each publication its position and brings it, in the order of the positions,
//! to every node that is subscribed to its channel, through that node's [`Receiver`]. In one process it is
//! [`memory`]; over [`redis`], publish and history are one script and presence is kept by node lease. Everything that
//! lives longer than a connection is keyed by [`NodeId`], so that a node that died can be told from one that is
//! slow.

pub mod bounded;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod histories;
pub mod memory;
pub mod redis;
mod sight;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use windlass_task::Tenant;

use crate::channel::ChannelKey;
use crate::client::{ClientId, ClientInfo};
use crate::payload::Payload;
use crate::position::StreamPosition;
use crate::publication::{Message, Publication};

pub use sight::Sight;

/// One process of the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(ClientId);

impl NodeId {
    /// A fresh id; a process that starts again is another node.
    #[must_use]
    pub fn random() -> Self {
        Self(ClientId::random())
    }
}

impl FromStr for NodeId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A broker that cannot do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not answer; trying again may help.
    #[error("reach the broker")]
    Unreachable,
    /// There is no such node, or no longer.
    #[error("find the node")]
    UnknownNode,
}

/// How much of a channel is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many publications at most; none when 0: then the channel has no positions either.
    pub size: usize,
    /// For how long.
    pub ttl: Duration,
}

impl Retention {
    /// Nothing is remembered.
    pub const NONE: Self = Self {
        size: 0,
        ttl: Duration::ZERO,
    };

    /// Whether anything is remembered.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.size == 0 || self.ttl.is_zero()
    }
}

/// Something to publish.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outgoing {
    /// The data.
    pub data: Payload,
    /// Who publishes, when a client does.
    pub info: Option<ClientInfo>,
    /// Facts about it beside the data.
    pub tags: BTreeMap<String, String>,
    /// Whether it may go out as the difference from the publication before it. That one is brought along then.
    pub delta: bool,
    /// Which state of something it is: one that is older than, or the same as, what the channel's history has had is not
    /// published. Means nothing where there is no history.
    pub version: Option<Version>,
    /// Who publishes twice under one key to one channel within [`IDEMPOTENCY`] publishes once.
    pub idempotency_key: Option<String>,
}

/// A state's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The number; newer ones are greater.
    pub number: u64,
    /// Where it was counted. In another place it says nothing about those before; when empty, it is the same everywhere.
    pub epoch: String,
}

impl Version {
    /// Whether it is no newer than `last`.
    #[must_use]
    pub fn is_old_to(&self, last: &Self) -> bool {
        (self.epoch.is_empty() || self.epoch == last.epoch) && self.number <= last.number
    }
}

/// How long a key is remembered: a caller that tries again for longer has given up (Centrifugo's time).
pub const IDEMPOTENCY: Duration = Duration::from_secs(5 * 60);

/// How a connection is in a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Attendance {
    /// As whom others see it.
    pub info: ClientInfo,
    /// Whether it is in the channel's presence.
    pub present: bool,
    /// Whether the channel's subscribers are told that it comes and goes.
    pub announced: bool,
}

/// Which part of a history is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Only what follows this offset; in reverse, only what precedes it.
    pub since: Option<u64>,
    /// How many publications at most.
    pub limit: usize,
    /// Newest first.
    pub reverse: bool,
}

/// A part of a channel's history.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The publications, in the order asked for.
    pub publications: Vec<Message>,
    /// The stream's top, read at the same moment.
    pub top: StreamPosition,
}

/// How many are in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PresenceCount {
    /// Connections.
    pub clients: usize,
    /// Users.
    pub users: usize,
}

/// Where a node receives what a broker brings.
pub trait Receiver: Send + Sync + 'static {
    /// A publication on a channel to which the node is subscribed, in the order of the channel. Must not wait.
    fn publication(&self, channel: &ChannelKey, publication: &Publication);

    /// Where the top of a stream is to which the node is subscribed, among its publications: what was published before has
    /// been brought, or is missing. Must not wait.
    fn top(&self, channel: &ChannelKey, top: StreamPosition);

    /// A message from another node, or from this one. Must not wait.
    fn control(&self, message: Bytes);

    /// Another node died, and this one has taken so many of its connections out of where they were. Must not wait.
    fn buried(&self, _node: NodeId, _connections: usize) {}

    /// What this node answers to a question that all nodes are asked. Must not wait.
    fn answer(&self, question: Bytes) -> Bytes;
}

/// One node's way to the channels.
#[async_trait]
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// Publishes; `None` for a channel without history, whose publications have no position. When it answers, the
    /// publication is in the history; of an old version, which is not published, the position of the history's top.
    ///
    /// # Errors
    /// [`Error`]: it is not known whether it was published.
    async fn publish(
        &self,
        channel: &ChannelKey,
        outgoing: Outgoing,
        retention: Retention,
    ) -> Result<Option<StreamPosition>, Error>;

    /// Brings what `channel` carries to this node's receiver: everything that is published after this answers.
    ///
    /// # Errors
    /// [`Error`]: nothing is brought.
    async fn subscribe(&self, channel: &ChannelKey) -> Result<(), Error>;

    /// Brings it no more.
    ///
    /// # Errors
    /// [`Error`]: it may still be brought, which does no harm.
    async fn unsubscribe(&self, channel: &ChannelKey) -> Result<(), Error>;

    /// Reads the history; it makes the stream if there is none, so that its epoch can be told.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read.
    async fn history(&self, channel: &ChannelKey, range: Range) -> Result<History, Error>;

    /// Forgets a channel's publications, but not its position: who comes back is told that it missed something.
    ///
    /// # Errors
    /// [`Error`]: they may still be there.
    async fn remove_history(&self, channel: &ChannelKey) -> Result<(), Error>;

    /// Puts a connection of this node into a channel. Its subscribers are told that somebody joined, unless this is somebody
    /// who was [lost](Broker::lose) there, on any node, and has not left: the same user with the same information. Who is
    /// back goes on as the connection that it was, under that one's id: in the presence, and when it leaves. What
    /// subscribers are told has no position, and is lost when it cannot be brought.
    ///
    /// # Errors
    /// [`Error`]: it may not be seen there, or nobody was told.
    async fn enter(&self, channel: &ChannelKey, client: ClientId, attendance: Attendance) -> Result<(), Error>;

    /// Says that the connection was lost and its client may be back soon. Who is announced stays in the channel until it
    /// [leaves](Broker::leave); for others this changes nothing.
    ///
    /// # Errors
    /// [`Error`]: when it is back, subscribers are told that somebody joined.
    async fn lose(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error>;

    /// Takes it out of the channel. If it was announced and nobody came back in its place, subscribers are told that it left.
    ///
    /// # Errors
    /// [`Error`]: it may still be seen there, until the broker is reached again, or this node's lease has ended.
    async fn leave(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error>;

    /// Says that this node has a connection of a user, so that [`Broker::tell_user`] finds it.
    ///
    /// # Errors
    /// [`Error`]: it may not be found, until the broker is reached again.
    async fn add_user(&self, tenant: &Tenant, user: &str, client: ClientId) -> Result<(), Error>;

    /// Says that it has it no more.
    ///
    /// # Errors
    /// [`Error`]: the node may still be told what is for the user.
    async fn remove_user(&self, tenant: &Tenant, user: &str, client: ClientId) -> Result<(), Error>;

    /// Who is in a channel, on all nodes, by connection id.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read.
    async fn presence(&self, channel: &ChannelKey) -> Result<Vec<ClientInfo>, Error>;

    /// How many are in a channel, on all nodes.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read.
    async fn count_presence(&self, channel: &ChannelKey) -> Result<PresenceCount, Error>;

    /// Which node this is.
    fn node(&self) -> NodeId;

    /// Sends a message to one node's receiver. It may be lost when the node is.
    ///
    /// # Errors
    /// [`Error`] when it was not sent; [`Error::UnknownNode`] when there is nobody to take it.
    async fn tell(&self, node: NodeId, message: Bytes) -> Result<(), Error>;

    /// Sends a message to the receiver of every node that has a connection of this user; others may get it too.
    ///
    /// # Errors
    /// [`Error`]: some of them may not get it.
    async fn tell_user(&self, tenant: &Tenant, user: &str, message: Bytes) -> Result<(), Error>;

    /// Asks every node and gives their answers; a node that does not answer in time gives none.
    ///
    /// # Errors
    /// [`Error`] when nobody could be asked.
    async fn survey(&self, question: Bytes) -> Result<Vec<Bytes>, Error>;

    /// Forgets what is over its time. Called every few seconds while the service runs.
    async fn maintain(&self);
}
