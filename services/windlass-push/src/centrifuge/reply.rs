//! What this server answers and pushes in the Centrifuge protocol, typed. Zero values are left out on the wire.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::client::ClientInfo;
use crate::codes::{Disconnect, Refusal, UnsubscribeCode};
use crate::payload::Payload;

/// One message to a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Asks for a pong: an empty reply.
    Ping,
    /// The command with this id succeeded.
    Done(u32, Outcome),
    /// The command with this id was refused.
    Refused(u32, Refusal),
    /// Something happened on a channel.
    Push(Push),
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Of `connect`.
    Connect(ConnectResult),
    /// Of `subscribe`.
    Subscribe(SubscribeResult),
    /// Of `unsubscribe`.
    Unsubscribe,
    /// Of `publish`.
    Publish,
    /// Of `presence`.
    Presence(PresenceResult),
    /// Of `presence_stats`.
    PresenceStats(PresenceStatsResult),
    /// Of `history`.
    History(HistoryResult),
    /// Of `rpc`.
    Rpc(RpcResult),
    /// Of `refresh`.
    Refresh(RefreshResult),
    /// Of `sub_refresh`.
    SubRefresh(SubRefreshResult),
}

/// What happened on a channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Push {
    /// Something was published.
    Publication {
        /// Where.
        channel: String,
        /// What.
        publication: Publication,
    },
    /// The server ended the subscription.
    Unsubscribe {
        /// To what.
        channel: String,
        /// Why.
        code: UnsubscribeCode,
    },
    /// Somebody subscribed.
    Join {
        /// To what.
        channel: String,
        /// Who.
        info: ClientInfo,
    },
    /// Somebody is subscribed no more.
    Leave {
        /// To what.
        channel: String,
        /// Who.
        info: ClientInfo,
    },
    /// The server subscribed the connection.
    Subscribe {
        /// To what.
        channel: String,
        /// With what it begins.
        subscribed: ServerSubscription,
    },
    /// The server closes the connection: what a close frame says where there are frames.
    Disconnect(Disconnect),
    /// The server moved the end of the connection.
    Refresh {
        /// Whether it ends at all.
        expires: bool,
        /// In how many seconds.
        ttl: u32,
    },
}

/// What a client is told of a subscription that the server made while it was connected.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ServerSubscription {
    /// Whether the client may recover after an interruption.
    #[serde(skip_serializing_if = "is_zero")]
    pub recoverable: bool,
    /// The stream's epoch.
    #[serde(skip_serializing_if = "is_zero")]
    pub epoch: String,
    /// The stream's top.
    #[serde(skip_serializing_if = "is_zero")]
    pub offset: u64,
    /// Whether the server watches that the client misses nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub positioned: bool,
    /// What the application says of it.
    #[serde(skip_serializing_if = "Payload::is_empty")]
    pub data: Payload,
}

impl From<SubscribeResult> for ServerSubscription {
    fn from(result: SubscribeResult) -> Self {
        Self {
            recoverable: result.recoverable,
            epoch: result.epoch,
            offset: result.offset,
            positioned: result.positioned,
            data: result.data,
        }
    }
}

/// The result of `connect`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ConnectResult {
    /// The connection's id.
    pub client: String,
    /// The server's version.
    #[serde(skip_serializing_if = "is_zero")]
    pub version: String,
    /// Whether the connection expires unless it is refreshed.
    #[serde(skip_serializing_if = "is_zero")]
    pub expires: bool,
    /// In how many seconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub ttl: u32,
    /// What the backend wants the application to know.
    #[serde(skip_serializing_if = "Payload::is_empty")]
    pub data: Payload,
    /// The subscriptions that the server made for the connection, by channel.
    #[serde(skip_serializing_if = "is_zero")]
    pub subs: BTreeMap<String, SubscribeResult>,
    /// The longest time between two pings, seconds: the client gives the server up 10 s after it.
    #[serde(skip_serializing_if = "is_zero")]
    pub ping: u32,
    /// Whether the client must answer pings.
    #[serde(skip_serializing_if = "is_zero")]
    pub pong: bool,
    /// With `node`, where the client sends its commands when the connection carries only what comes to it.
    #[serde(skip_serializing_if = "is_zero")]
    pub session: String,
    /// The node that has the connection.
    #[serde(skip_serializing_if = "is_zero")]
    pub node: String,
}

/// The result of `subscribe`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SubscribeResult {
    /// Whether the subscription expires unless it is refreshed.
    #[serde(skip_serializing_if = "is_zero")]
    pub expires: bool,
    /// In how many seconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub ttl: u32,
    /// Whether the client may recover after an interruption.
    #[serde(skip_serializing_if = "is_zero")]
    pub recoverable: bool,
    /// The stream's epoch.
    #[serde(skip_serializing_if = "is_zero")]
    pub epoch: String,
    /// The position from which `publications` go on, or the stream's top when there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub offset: u64,
    /// What was missed.
    #[serde(skip_serializing_if = "is_zero")]
    pub publications: Vec<Publication>,
    /// Whether nothing is missing any more.
    #[serde(skip_serializing_if = "is_zero")]
    pub recovered: bool,
    /// Whether it was tried to recover.
    #[serde(skip_serializing_if = "is_zero")]
    pub was_recovering: bool,
    /// Whether the server watches that the client misses nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub positioned: bool,
    /// What the application says of the subscription.
    #[serde(skip_serializing_if = "Payload::is_empty")]
    pub data: Payload,
    /// Whether publications may come as deltas; then each `data` is a text in JSON.
    #[serde(skip_serializing_if = "is_zero")]
    pub delta: bool,
}

/// One publication.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Publication {
    /// The data.
    pub data: Payload,
    /// Who published, when a client did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<ClientInfo>,
    /// Its offset in the stream.
    #[serde(skip_serializing_if = "is_zero")]
    pub offset: u64,
    /// Facts about it beside the data.
    #[serde(skip_serializing_if = "is_zero")]
    pub tags: BTreeMap<String, String>,
    /// Whether `data` is the difference from the publication before.
    #[serde(skip_serializing_if = "is_zero")]
    pub delta: bool,
}

/// The result of `presence`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PresenceResult {
    /// Who is there, by connection id.
    pub presence: BTreeMap<String, ClientInfo>,
}

/// The result of `presence_stats`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct PresenceStatsResult {
    /// How many connections.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_clients: u32,
    /// How many users.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_users: u32,
}

/// The result of `history`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct HistoryResult {
    /// What was asked for.
    #[serde(skip_serializing_if = "is_zero")]
    pub publications: Vec<Publication>,
    /// The stream's epoch.
    #[serde(skip_serializing_if = "is_zero")]
    pub epoch: String,
    /// The stream's top.
    #[serde(skip_serializing_if = "is_zero")]
    pub offset: u64,
}

/// The result of `refresh`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RefreshResult {
    /// The connection's id.
    pub client: String,
    /// The server's version.
    #[serde(skip_serializing_if = "is_zero")]
    pub version: String,
    /// Whether the connection expires unless it is refreshed again.
    #[serde(skip_serializing_if = "is_zero")]
    pub expires: bool,
    /// In how many seconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub ttl: u32,
}

/// The result of `sub_refresh`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SubRefreshResult {
    /// Whether the subscription expires unless it is refreshed again.
    #[serde(skip_serializing_if = "is_zero")]
    pub expires: bool,
    /// In how many seconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub ttl: u32,
}

/// The result of `rpc`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RpcResult {
    /// What the procedure gave back.
    #[serde(skip_serializing_if = "Payload::is_empty")]
    pub data: Payload,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
