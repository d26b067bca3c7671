//! The JSON encoding: documents joined by line feeds, several a frame in both directions.

use serde::{Deserialize, Serialize};

use super::{Error, Malformed};
use crate::centrifuge::command::{
    ChannelRequest, Command, ConnectRequest, DataRequest, HistoryRequest, Method, PublishRequest, RefreshRequest,
    RpcRequest, SubRefreshRequest, SubscribeRequest, command,
};
use crate::centrifuge::reply::{
    ConnectResult, HistoryResult, Outcome, PresenceResult, PresenceStatsResult, Publication, Push, RefreshResult,
    Reply, RpcResult, ServerSubscription, SubRefreshResult, SubscribeResult,
};
use crate::client::ClientInfo;
use crate::object::Object;

/// The command that begins at `at`, and where the one after it begins; `None` at the end.
///
/// # Errors
/// [`Malformed`], also for a whole frame without a command.
pub(super) fn next(frame: &[u8], at: usize) -> Result<Option<(Command, usize)>, Malformed> {
    let mut begin = at;
    while begin < frame.len() {
        let rest = &frame[begin..];
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = rest[..length].trim_ascii();
        begin += length + 1;
        if !line.is_empty() {
            return decode_one(line).map(|command| Some((command, begin)));
        }
    }
    if at == 0 { Err(Malformed) } else { Ok(None) }
}

/// Appends a reply.
///
/// # Errors
/// [`Error`] when data in it is not JSON; the frame is then as it was before.
pub fn encode(reply: &Reply, frame: &mut Vec<u8>) -> Result<(), Error> {
    let before = frame.len();
    if before > 0 {
        frame.push(b'\n');
    }
    serde_json::to_writer(&mut *frame, &document(reply)).map_err(|error| {
        frame.truncate(before);
        Error::from(error)
    })
}

/// A command as it stands on the wire: exactly one of the methods, or none for a pong.
#[derive(Deserialize, Default)]
#[serde(default)]
struct CommandDocument {
    id: u32,
    connect: Option<Object<ConnectRequest>>,
    subscribe: Option<Object<SubscribeRequest>>,
    unsubscribe: Option<Object<ChannelRequest>>,
    publish: Option<Object<PublishRequest>>,
    presence: Option<Object<ChannelRequest>>,
    presence_stats: Option<Object<ChannelRequest>>,
    history: Option<Object<HistoryRequest>>,
    ping: Option<Object<Ignored>>,
    send: Option<Object<DataRequest>>,
    rpc: Option<Object<RpcRequest>>,
    refresh: Option<Object<RefreshRequest>>,
    sub_refresh: Option<Object<SubRefreshRequest>>,
}

/// An object that nobody looks into.
#[derive(Deserialize)]
struct Ignored {}

fn decode_one(line: &[u8]) -> Result<Command, Malformed> {
    let Object(document): Object<CommandDocument> = serde_json::from_slice(line).map_err(|_| Malformed)?;
    let methods = [
        document.connect.map(|Object(request)| Method::Connect(request)),
        document.subscribe.map(|Object(request)| Method::Subscribe(request)),
        document.unsubscribe.map(|Object(request)| Method::Unsubscribe(request)),
        document.publish.map(|Object(request)| Method::Publish(request)),
        document.presence.map(|Object(request)| Method::Presence(request)),
        document
            .presence_stats
            .map(|Object(request)| Method::PresenceStats(request)),
        document.history.map(|Object(request)| Method::History(request)),
        document.ping.map(|_| Method::Ping),
        document.send.map(|Object(request)| Method::Send(request)),
        document.rpc.map(|Object(request)| Method::Rpc(request)),
        document.refresh.map(|Object(request)| Method::Refresh(request)),
        document.sub_refresh.map(|Object(request)| Method::SubRefresh(request)),
    ];
    command(document.id, methods.into_iter().flatten().collect())
}

#[derive(Serialize, Default)]
struct ReplyDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<PushDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<&'a ConnectResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribe: Option<&'a SubscribeResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsubscribe: Option<Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<&'a PresenceResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_stats: Option<&'a PresenceStatsResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a HistoryResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc: Option<&'a RpcResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<&'a RefreshResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_refresh: Option<&'a SubRefreshResult>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    code: u32,
    message: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    temporary: bool,
}

#[derive(Serialize, Default)]
struct PushDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(rename = "pub", skip_serializing_if = "Option::is_none")]
    publication: Option<&'a Publication>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<InfoDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leave: Option<InfoDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsubscribe: Option<UnsubscribeDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribe: Option<&'a ServerSubscription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect: Option<DisconnectDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<RefreshDocument>,
}

#[derive(Serialize)]
struct InfoDocument<'a> {
    info: &'a ClientInfo,
}

#[derive(Serialize)]
struct UnsubscribeDocument {
    code: u32,
    reason: &'static str,
}

#[derive(Serialize)]
struct DisconnectDocument<'a> {
    code: u16,
    reason: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reconnect: bool,
}

#[derive(Serialize)]
struct RefreshDocument {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    expires: bool,
    ttl: u32,
}

fn document(reply: &Reply) -> ReplyDocument<'_> {
    let empty = ReplyDocument::default();
    match reply {
        Reply::Ping => empty,
        Reply::Refused(id, error) => {
            let (code, message, temporary) = error.parts();
            ReplyDocument {
                id: Some(*id),
                error: Some(ErrorDocument {
                    code,
                    message,
                    temporary,
                }),
                ..empty
            }
        }
        Reply::Push(push) => ReplyDocument {
            push: Some(push_document(push)),
            ..empty
        },
        Reply::Done(id, outcome) => {
            let reply = ReplyDocument { id: Some(*id), ..empty };
            match outcome {
                Outcome::Connect(result) => ReplyDocument {
                    connect: Some(result),
                    ..reply
                },
                Outcome::Subscribe(result) => ReplyDocument {
                    subscribe: Some(result),
                    ..reply
                },
                Outcome::Unsubscribe => ReplyDocument {
                    unsubscribe: Some(Empty {}),
                    ..reply
                },
                Outcome::Publish => ReplyDocument {
                    publish: Some(Empty {}),
                    ..reply
                },
                Outcome::Presence(result) => ReplyDocument {
                    presence: Some(result),
                    ..reply
                },
                Outcome::PresenceStats(result) => ReplyDocument {
                    presence_stats: Some(result),
                    ..reply
                },
                Outcome::History(result) => ReplyDocument {
                    history: Some(result),
                    ..reply
                },
                Outcome::Rpc(result) => ReplyDocument {
                    rpc: Some(result),
                    ..reply
                },
                Outcome::Refresh(result) => ReplyDocument {
                    refresh: Some(result),
                    ..reply
                },
                Outcome::SubRefresh(result) => ReplyDocument {
                    sub_refresh: Some(result),
                    ..reply
                },
            }
        }
    }
}

fn push_document(push: &Push) -> PushDocument<'_> {
    let empty = PushDocument::default();
    match push {
        Push::Publication { channel, publication } => PushDocument {
            channel: Some(channel),
            publication: Some(publication),
            ..empty
        },
        Push::Join { channel, info } => PushDocument {
            channel: Some(channel),
            join: Some(InfoDocument { info }),
            ..empty
        },
        Push::Leave { channel, info } => PushDocument {
            channel: Some(channel),
            leave: Some(InfoDocument { info }),
            ..empty
        },
        Push::Unsubscribe { channel, code } => {
            let (code, reason) = code.parts();
            PushDocument {
                channel: Some(channel),
                unsubscribe: Some(UnsubscribeDocument { code, reason }),
                ..empty
            }
        }
        Push::Subscribe { channel, subscribed } => PushDocument {
            channel: Some(channel),
            subscribe: Some(subscribed),
            ..empty
        },
        Push::Disconnect(disconnect) => {
            let (code, reason) = disconnect.parts();
            let reconnect = disconnect.asks_to_reconnect();
            PushDocument {
                disconnect: Some(DisconnectDocument {
                    code,
                    reason,
                    reconnect,
                }),
                ..empty
            }
        }
        Push::Refresh { expires, ttl } => PushDocument {
            refresh: Some(RefreshDocument {
                expires: *expires,
                ttl: *ttl,
            }),
            ..empty
        },
    }
}

#[cfg(test)]
mod tests;
