//! What clients of the Centrifuge protocol ask, typed. The names are those of the protocol's schema.
//!
//! Fields that this server has no use for are not read: the protocol grows, and a client of tomorrow must be
//! understood as far as it asks for what exists today.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::codec::Malformed;
use crate::object;
use crate::payload::Payload;

/// One command: its id, to which the reply refers, and what is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The client's number for it; 0 only for what gets no reply.
    pub id: u32,
    /// What is asked.
    pub method: Method,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// The answer to a ping of ours: an empty command.
    Pong,
    /// The first command of every connection.
    Connect(ConnectRequest),
    /// Receive a channel.
    Subscribe(SubscribeRequest),
    /// Receive a channel no more.
    Unsubscribe(ChannelRequest),
    /// Send to a channel.
    Publish(PublishRequest),
    /// Who is in a channel.
    Presence(ChannelRequest),
    /// How many are in a channel.
    PresenceStats(ChannelRequest),
    /// What a channel carried.
    History(HistoryRequest),
    /// A ping of the client's.
    Ping,
    /// A message without a reply.
    Send(DataRequest),
    /// A call to the application.
    Rpc(RpcRequest),
    /// A new connection token.
    Refresh(RefreshRequest),
    /// A new subscription token.
    SubRefresh(SubRefreshRequest),
}

/// A command of these methods: exactly one, or none for a pong; only that and `send` go without an id.
///
/// # Errors
/// [`Malformed`] for any other combination.
pub(super) fn command(id: u32, methods: Vec<Method>) -> Result<Command, Malformed> {
    let mut methods = methods.into_iter();
    match (methods.next(), methods.next(), id) {
        (None, _, 0) => Ok(Command {
            id,
            method: Method::Pong,
        }),
        (Some(method @ Method::Send(_)), None, 0) | (Some(method), None, 1..) => Ok(Command { id, method }),
        // No method that we know, two of them, or one that needs an id.
        (None | Some(_), _, _) => Err(Malformed),
    }
}

/// `connect`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct ConnectRequest {
    /// The connection token; empty when there is none.
    pub token: String,
    /// What the application wants the backend to know.
    pub data: Payload,
    /// Where the client is in its server-side subscriptions, by channel.
    #[serde(deserialize_with = "object::map")]
    pub subs: BTreeMap<String, SubscribeRequest>,
    /// What the client calls itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What a browser would have sent as headers of the handshake if it could.
    pub headers: BTreeMap<String, String>,
}

/// `subscribe`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct SubscribeRequest {
    /// The channel.
    pub channel: String,
    /// The subscription token; empty when there is none.
    pub token: String,
    /// What the application wants the backend to know.
    pub data: Payload,
    /// Whether the client was subscribed before and wants what it missed.
    pub recover: bool,
    /// The epoch that it knows; empty when it knows none.
    pub epoch: String,
    /// The offset that it has seen.
    pub offset: u64,
    /// Whether it asks for a positioned subscription.
    pub positioned: bool,
    /// Whether it asks for a recoverable subscription.
    pub recoverable: bool,
    /// Whether it asks to be told who comes and goes.
    pub join_leave: bool,
    /// The kind of delta that it can take; empty for none.
    pub delta: String,
    /// Bits: see [`SubscribeRequest::REJECT_UNRECOVERED`].
    pub flag: u64,
    /// Which kind of subscription; 0 is a stream, the others (maps, shared polls) are not offered.
    pub r#type: i32,
    /// A filter by tags, which is not offered.
    pub tf: Option<serde::de::IgnoredAny>,
}

impl SubscribeRequest {
    /// The bit of `flag` by which a client wants an error instead of `recovered: false`.
    pub const REJECT_UNRECOVERED: u64 = 2;
}

/// A command that names nothing but a channel.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct ChannelRequest {
    /// The channel.
    pub channel: String,
}

/// `publish`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct PublishRequest {
    /// The channel.
    pub channel: String,
    /// The data.
    pub data: Payload,
    /// Which kind of publication; only 0, to a stream, is offered.
    pub r#type: i32,
}

/// `history`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct HistoryRequest {
    /// The channel.
    pub channel: String,
    /// How many publications at most: 0 for the position only, negative for as many as allowed.
    pub limit: i32,
    /// Only what follows this position; with `reverse`, only what precedes it.
    #[serde(deserialize_with = "object::optional")]
    pub since: Option<Since>,
    /// Newest first.
    pub reverse: bool,
}

/// A position as a client names it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Since {
    /// The offset.
    pub offset: u64,
    /// The epoch; empty when it knows none.
    pub epoch: String,
}

/// `refresh`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct RefreshRequest {
    /// The new token.
    pub token: String,
}

/// `sub_refresh`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct SubRefreshRequest {
    /// The channel.
    pub channel: String,
    /// The new token.
    pub token: String,
    /// What is refreshed; only 0, the subscription itself, is offered.
    pub r#type: i32,
}

/// `rpc`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct RpcRequest {
    /// The procedure.
    pub method: String,
    /// What it is given.
    pub data: Payload,
}

/// `send`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct DataRequest {
    /// What is sent.
    pub data: Payload,
}
