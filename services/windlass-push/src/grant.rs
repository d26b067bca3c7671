//! What a token or the backend says of a connection and of its subscriptions, beside who it is.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use windlass_serve::auth::Claims;
use windlass_task::UnixMillis;

use crate::payload::Payload;

/// Something in it has not the shape that it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a claim has not the shape that it must have")]
pub struct Malformed;

/// What a subscription is given beyond, or against, its channel's options.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grant {
    /// What others see of the user in this channel.
    pub info: Payload,
    /// What the application is told.
    pub data: Payload,
    /// How long it is good for; `None` for as long as the connection.
    pub expires_in: Option<Duration>,
    /// Options that are other than the channel's.
    pub overrides: Overrides,
}

/// Options that are other than the channel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// Whether it shows in the channel's presence.
    pub presence: Option<Flag>,
    /// Whether others are told that it comes and goes.
    pub join_leave: Option<Flag>,
    /// Whether it is told who comes and goes.
    pub force_push_join_leave: Option<Flag>,
    /// Whether it recovers.
    pub force_recovery: Option<Flag>,
    /// Whether it is watched for gaps.
    pub force_positioning: Option<Flag>,
}

/// An option that is said to be on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// Which of the two.
    pub value: bool,
}

/// A subscription that the server makes for a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSubscription {
    /// To what.
    pub channel: String,
    /// As what.
    pub grant: Grant,
}

/// What a connection is given beside who it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Welcome {
    /// What others see of the user.
    pub info: Payload,
    /// What the application is told.
    pub data: Payload,
    /// What the backend wants to be told again when it is asked something; clients never see it.
    pub meta: Payload,
    /// The subscriptions that it has from the beginning.
    pub subscriptions: Vec<ServerSubscription>,
}

/// A subscription token: a grant, and for whom.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionToken {
    /// The user; empty for one that is not known.
    pub user: String,
    /// The channel.
    pub channel: String,
    /// The connection, when it is for one only.
    pub client: String,
    /// What it gives.
    pub grant: Grant,
}

/// How a grant is written, in tokens and by backends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WrittenGrant {
    /// Seconds since 1970; 0 says that it does not expire.
    pub(crate) expire_at: Option<i64>,
    pub(crate) info: Option<Value>,
    pub(crate) b64info: String,
    pub(crate) data: Option<Value>,
    pub(crate) b64data: String,
    pub(crate) r#override: Option<Overrides>,
}

#[derive(Deserialize)]
struct WrittenSubscriptionToken {
    #[serde(default)]
    sub: String,
    channel: String,
    #[serde(default)]
    client: String,
    exp: Option<f64>,
    #[serde(flatten)]
    grant: WrittenGrant,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenWelcome {
    expire_at: Option<i64>,
    info: Option<Value>,
    b64info: String,
    meta: Option<Value>,
    channels: Vec<String>,
    subs: BTreeMap<String, WrittenGrant>,
}

impl WrittenGrant {
    pub(crate) fn read(self, exp: Option<UnixMillis>, now: UnixMillis) -> Result<Grant, Malformed> {
        Ok(Grant {
            info: payload(self.info, &self.b64info)?,
            data: payload(self.data, &self.b64data)?,
            expires_in: expiry(self.expire_at, exp).map(|expires| expires.since(now)),
            overrides: self.r#override.unwrap_or_default(),
        })
    }
}

/// Reads a subscription token's claims.
///
/// # Errors
/// [`Malformed`].
pub fn read_subscription_token(claims: Claims, now: UnixMillis) -> Result<SubscriptionToken, Malformed> {
    let written: WrittenSubscriptionToken = serde_json::from_value(claims.into()).map_err(|_| Malformed)?;
    // It was checked to be no less than the present; a float beyond the integer's range becomes its end.
    let exp = written.exp.map(|seconds| UnixMillis((seconds * 1_000.0) as u64));
    Ok(SubscriptionToken {
        user: written.sub,
        channel: written.channel,
        client: written.client,
        grant: written.grant.read(exp, now)?,
    })
}

/// Reads what a connection token says beside who its bearer is, and until when it is good: `exp` unless it says another
/// time for the connection.
///
/// # Errors
/// [`Malformed`].
pub fn read_connection_token(
    claims: Claims,
    exp: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<(Welcome, Option<UnixMillis>), Malformed> {
    let written: WrittenWelcome = serde_json::from_value(claims.into()).map_err(|_| Malformed)?;
    let mut subscriptions = Vec::new();
    for channel in written.channels {
        let grant = Grant::default();
        subscriptions.push(ServerSubscription { channel, grant });
    }
    for (channel, grant) in written.subs {
        let grant = grant.read(None, now)?;
        subscriptions.push(ServerSubscription { channel, grant });
    }
    let welcome = Welcome {
        info: payload(written.info, &written.b64info)?,
        data: Payload::default(),
        meta: payload(written.meta, "")?,
        subscriptions,
    };
    Ok((welcome, expiry(written.expire_at, exp)))
}

/// When it ends: by `expire_at` (seconds, 0 for never) if it is there, otherwise with the token.
fn expiry(expire_at: Option<i64>, exp: Option<UnixMillis>) -> Option<UnixMillis> {
    match expire_at {
        Some(0) => None,
        Some(seconds) => {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            Some(UnixMillis(seconds.saturating_mul(1_000)))
        }
        None => exp,
    }
}

/// Data that is given as JSON, or as the base64 of something that must be JSON too: every client can take it then.
pub(crate) fn payload(value: Option<Value>, base64: &str) -> Result<Payload, Malformed> {
    match value {
        Some(value) => Payload::of(&value).map_err(|_| Malformed),
        None if base64.is_empty() => Ok(Payload::default()),
        None => {
            let bytes = STANDARD.decode(base64).map_err(|_| Malformed)?;
            let value: &RawValue = serde_json::from_slice(&bytes).map_err(|_| Malformed)?;
            Ok(Payload::from_json(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(claims) => claims,
            other => panic!("{other} are no claims"),
        }
    }

    fn text(payload: &Payload) -> &str {
        std::str::from_utf8(payload.bytes()).expect("JSON is UTF-8")
    }

    #[test]
    fn a_subscription_token_says_for_whom_it_is_and_what_it_gives() {
        let read = |value| read_subscription_token(claims(value), NOW);
        let token = read(json!({
            "sub": "ann", "channel": "chat", "client": "c", "exp": 1_060, "info": {"name": "Ann"},
            "override": {"presence": {"value": false}}, "iat": 5,
        }))
        .expect("it is well formed");
        assert_eq!(
            (token.user.as_str(), token.channel.as_str(), token.client.as_str()),
            ("ann", "chat", "c")
        );
        assert_eq!(token.grant.expires_in, Some(Duration::from_secs(60)));
        assert_eq!(text(&token.grant.info), r#"{"name":"Ann"}"#);
        assert_eq!(token.grant.overrides.presence, Some(Flag { value: false }));

        let forever = read(json!({"channel": "chat", "exp": 1_060, "expire_at": 0})).expect("it is well formed");
        assert_eq!((forever.user.as_str(), forever.grant.expires_in), ("", None));
        let other = read(json!({"channel": "chat", "expire_at": 1_010, "b64info": "WzFd"})).expect("well formed");
        assert_eq!(other.grant.expires_in, Some(Duration::from_secs(10)));
        assert_eq!(text(&other.grant.info), "[1]");

        for bad in [
            json!({"sub": "ann"}),
            json!({"channel": 7}),
            json!({"channel": "chat", "b64info": "!"}),
            json!({"channel": "chat", "b64info": "AAA="}),
            json!({"channel": "chat", "override": {"presence": true}}),
        ] {
            assert_eq!(read(bad.clone()), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn a_connection_token_may_bring_subscriptions() {
        let read = |value| read_connection_token(claims(value), Some(UnixMillis(1_060_000)), NOW);
        let (welcome, expires) = read(json!({
            "sub": "ann", "info": {"a": 1}, "channels": ["news"], "subs": {"chat": {"info": [1], "data": {"x": 1}}},
        }))
        .expect("it is well formed");
        let named: Vec<_> = welcome.subscriptions.iter().map(|sub| sub.channel.as_str()).collect();
        assert_eq!((named, expires), (vec!["news", "chat"], Some(UnixMillis(1_060_000))));
        assert_eq!(text(&welcome.subscriptions[1].grant.data), r#"{"x":1}"#);
        assert_eq!(read(json!({"expire_at": 0})).map(|(_, expires)| expires), Ok(None));
        assert_eq!(read(json!({"subs": ["chat"]})).map(|_| ()), Err(Malformed));
    }
}
