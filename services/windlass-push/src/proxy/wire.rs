//! Questions and answers in Centrifugo's JSON.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use windlass_task::{Principal, Right, UnixMillis};

use super::ask::{Answer, Ask, Edited, Event, Prolonged, Question};
use super::config::{WrittenDisconnect, WrittenError};
use super::{Asker, Failure};
use crate::client::Identity;
use crate::codes::{CustomDisconnect, CustomError, Denial, Disconnect, Refusal};
use crate::grant::{Grant, Malformed, ServerSubscription, Welcome, WrittenGrant, payload};
use crate::object::Object;
use crate::payload::Payload;

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// As it is.
    Json,
    /// As base64, whatever it is.
    Binary,
}

/// A call; what it does not have is left out.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    client: String,
    transport: &'static str,
    protocol: &'static str,
    encoding: Encoding,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Payload>,
    #[serde(skip_serializing_if = "String::is_empty")]
    b64data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A question. `None` when its data cannot be written.
    pub(super) fn of_question(ask: &'a Ask, asker: &Asker<'_>, encoding: Encoding, with_meta: bool) -> Option<Self> {
        let known = Self {
            user: Some(&ask.user),
            meta: Some(&ask.meta).filter(|meta| with_meta && !meta.is_empty()),
            ..Self::new(asker, encoding)
        };
        Some(match &ask.question {
            Question::Connect { name, version, data } => Self {
                name,
                version,
                ..Self::new(asker, encoding).carrying(data)?
            },
            Question::Refresh => known,
            Question::SubRefresh { channel } => Self {
                channel: Some(channel),
                ..known
            },
            Question::Subscribe { channel, data } | Question::Publish { channel, data } => Self {
                channel: Some(channel),
                ..known.carrying(data)?
            },
            Question::Rpc { method, data } => Self {
                method,
                ..known.carrying(data)?
            },
        })
    }

    /// An event.
    pub(super) fn of_event(event: &'a Event, user: &'a str, asker: &Asker<'_>, encoding: Encoding) -> Self {
        let known = Self {
            user: Some(user),
            ..Self::new(asker, encoding)
        };
        match event {
            Event::Disconnect { code, reason } => Self {
                code: Some(*code),
                reason: Some(reason),
                ..known
            },
            Event::Unsubscribe { channel } => Self {
                channel: Some(channel),
                ..known
            },
        }
    }

    fn new(asker: &Asker<'_>, encoding: Encoding) -> Self {
        Self {
            client: asker.client.to_string(),
            transport: asker.transport,
            protocol: asker.protocol,
            encoding,
            user: None,
            channel: None,
            method: "",
            name: "",
            version: "",
            data: None,
            b64data: String::new(),
            meta: None,
            code: None,
            reason: None,
        }
    }

    /// With data, which a client that does not speak JSON may have sent in any form.
    fn carrying(self, data: &Payload) -> Option<Self> {
        if data.is_empty() {
            return Some(self);
        }
        Some(match self.encoding {
            Encoding::Json => Self {
                data: Some(data.as_json()?),
                ..self
            },
            Encoding::Binary => Self {
                b64data: STANDARD.encode(data.bytes()),
                ..self
            },
        })
    }
}

/// One of the three; the worst counts.
#[derive(Debug, Deserialize)]
struct Reply<T> {
    result: Option<Object<T>>,
    error: Option<Object<WrittenError>>,
    disconnect: Option<Object<WrittenDisconnect>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConnectResult {
    user: String,
    expire_at: Option<i64>,
    info: Option<Value>,
    b64info: String,
    data: Option<Box<RawValue>>,
    b64data: String,
    channels: Vec<String>,
    subs: BTreeMap<String, WrittenGrant>,
    meta: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RefreshResult {
    expired: bool,
    expire_at: Option<i64>,
    info: Option<Value>,
    b64info: String,
    meta: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PublishResult {
    data: Option<Box<RawValue>>,
    b64data: String,
    skip_history: bool,
    tags: BTreeMap<String, String>,
    idempotency_key: String,
    delta: bool,
    version: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RpcResult {
    data: Option<Box<RawValue>>,
    b64data: String,
}

/// What an answer to `question` says: yes, no, or nothing that can be understood.
///
/// # Errors
/// [`Failure`] for what is not of the shape.
pub(super) fn read_answer(
    question: &Question,
    text: &[u8],
    now: UnixMillis,
) -> Result<Result<Answer, Denial>, Failure> {
    Ok(match question {
        Question::Connect { .. } => read(text, |result| connect(result, now))?,
        Question::Refresh => read(text, |result| prolong(result, now))?,
        Question::SubRefresh { .. } => read(text, |result| prolong(result, now))?,
        Question::Subscribe { .. } => read(text, |grant: WrittenGrant| {
            Ok(Answer::Subscribe(Box::new(grant.read(None, now)?)))
        })?,
        Question::Publish { .. } => read(text, publish)?,
        Question::Rpc { .. } => read(text, rpc)?,
    })
}

fn read<T: DeserializeOwned>(
    text: &[u8],
    answer: impl FnOnce(T) -> Result<Answer, Malformed>,
) -> Result<Result<Answer, Denial>, Failure> {
    let Object(reply): Object<Reply<T>> = serde_json::from_slice(text).map_err(Failure::Parse)?;
    match reply {
        Reply {
            disconnect: Some(Object(disconnect)),
            ..
        } => Ok(Err(disconnect.denial().ok_or(Failure::Understand)?)),
        Reply {
            error: Some(Object(error)),
            ..
        } => Ok(Err(error.denial().ok_or(Failure::Understand)?)),
        Reply {
            result: Some(Object(result)),
            ..
        } => answer(result).map(Ok).map_err(|_| Failure::Understand),
        // Centrifugo takes this for a yes. What says nothing permits nothing here.
        Reply { .. } => Err(Failure::Understand),
    }
}

impl WrittenError {
    /// `None` without a number: there is none that says so little.
    pub(super) fn denial(self) -> Option<Denial> {
        let Self {
            code,
            message,
            temporary,
        } = self;
        let custom = CustomError {
            code,
            message,
            temporary,
        };
        (code != 0).then(|| Denial::Refused(Refusal::Custom(custom.into())))
    }
}

impl WrittenDisconnect {
    /// `None` for what no close frame can say.
    pub(super) fn denial(self) -> Option<Denial> {
        let custom = CustomDisconnect::new(self.code, self.reason)?;
        Some(Denial::Disconnected(Disconnect::Custom(custom.into())))
    }
}

/// The user is of the default tenant, and may do with channels what their options say.
fn connect(result: ConnectResult, now: UnixMillis) -> Result<Answer, Malformed> {
    let plain = |channel| ServerSubscription {
        channel,
        grant: Grant::default(),
    };
    let mut subscriptions: Vec<_> = result.channels.into_iter().map(plain).collect();
    for (channel, grant) in result.subs {
        let grant = grant.read(None, now)?;
        subscriptions.push(ServerSubscription { channel, grant });
    }
    let welcome = Welcome {
        info: payload(result.info, &result.b64info)?,
        data: verbatim(result.data, &result.b64data)?,
        meta: payload(result.meta, "")?,
        subscriptions,
    };
    let identity = if result.user.is_empty() {
        Identity::anonymous()
    } else {
        let principal = Principal {
            owner: result.user.parse().map_err(|_| Malformed)?,
            rights: [Right::Watch, Right::Publish].into_iter().collect(),
            ..Principal::local()
        };
        Identity::known(principal, None)
    };
    Ok(Answer::Connect(Box::new(Identity {
        expires_in: ends(result.expire_at).map(|ends| ends.since(now)),
        welcome,
        ..identity
    })))
}

fn prolong(result: RefreshResult, now: UnixMillis) -> Result<Answer, Malformed> {
    if result.expired {
        return Ok(Answer::Prolong(Prolonged::Over));
    }
    let present = |payload: Payload| Some(payload).filter(|payload| !payload.is_empty());
    Ok(Answer::Prolong(Prolonged::For {
        time: ends(result.expire_at).map(|ends| ends.since(now)),
        info: present(payload(result.info, &result.b64info)?),
        meta: present(payload(result.meta, "")?),
    }))
}

fn publish(result: PublishResult) -> Result<Answer, Malformed> {
    if result.version != 0 {
        // What it would keep from being published would be published.
        return Err(Malformed);
    }
    let data = verbatim(result.data, &result.b64data)?;
    Ok(Answer::Publish(Box::new(Edited {
        data: Some(data).filter(|data| !data.is_empty()),
        tags: result.tags,
        skip_history: result.skip_history,
        idempotency_key: Some(result.idempotency_key).filter(|key| !key.is_empty()),
        delta: result.delta,
    })))
}

/// Between a client and its backend data may have any form.
fn rpc(result: RpcResult) -> Result<Answer, Malformed> {
    Ok(Answer::Rpc(match result.data {
        Some(data) => Payload::from_json(&data),
        None => Payload::from_bytes(&STANDARD.decode(&result.b64data).map_err(|_| Malformed)?),
    }))
}

/// Data as the backend has written it, digit by digit.
fn verbatim(data: Option<Box<RawValue>>, base64: &str) -> Result<Payload, Malformed> {
    data.map_or_else(|| payload(None, base64), |data| Ok(Payload::from_json(&data)))
}

/// Seconds since 1970; 0 for never, as when it is absent.
fn ends(expire_at: Option<i64>) -> Option<UnixMillis> {
    let seconds = expire_at.filter(|seconds| *seconds != 0)?;
    Some(UnixMillis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000)))
}
