//! The configuration of the push service: as it is written, and as it is used after validation.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use windlass_serve::auth::Secret;
use windlass_serve::config::Time;
use windlass_task::Tenant;

use crate::broker::{memory, redis};
use crate::heartbeat::{Profile, Rhythm};
use crate::intake;
use crate::limits::Limits;
use crate::proxy::Proxies;
use crate::proxy::config::{ChannelSection, ClientSection, NamedProxy, RpcSection};

pub mod channels;

pub use channels::{ChannelOptions, Channels, Namespace};

/// The `push` section of a configuration file. Times are texts such as `500ms`, `15s`, `5m`, `24h`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// How connections are kept alive.
    pub heartbeat: HeartbeatConfig,
    /// The bounds of one connection.
    pub connection: ConnectionConfig,
    /// What clients may do with channels, by the names that Centrifugo gives its options. Absent: everything on a
    /// loopback listener, nothing elsewhere.
    pub channels: Option<ChannelOptions>,
    /// How long the position of an unused channel is known; a day when absent.
    pub history_meta_ttl: Option<Time>,
    /// The options of channels whose names begin with a namespace and a colon.
    pub namespaces: Vec<Namespace>,
    /// The API for backends. Absent: everything on a loopback listener, off elsewhere.
    pub api: Option<ApiConfig>,
    /// The API's key as a text, which another program's configuration has; `api` is absent then.
    #[serde(skip)]
    pub api_key: Option<Secret>,
    /// Calls of the API, and uploads' events, that come by a stream; none when absent.
    pub events: Option<intake::Settings>,
    /// Backends that are asked about connections.
    pub client: ClientSection,
    /// Backends that are asked about channels.
    pub channel: ChannelSection,
    /// Backends that clients call.
    pub rpc: RpcSection,
    /// Backends that options refer to by name.
    pub proxies: Vec<NamedProxy>,
    /// Whether clients of the Centrifuge protocol may connect without a token; they are known to nobody then.
    pub anonymous: bool,
    /// Whether clients of the plain protocol may send each other messages.
    pub messages: bool,
    /// Bounds on how many and how fast.
    pub limits: Limits,
    /// How the service is left.
    pub drain: DrainConfig,
}

/// The API for backends.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiConfig {
    /// The file that holds the key, at least 16 bytes; a line feed at its end does not count.
    pub key_file: PathBuf,
    /// The tenant that the key acts for; `default` when absent.
    pub tenant: Option<String>,
}

/// How connections are kept alive.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HeartbeatConfig {
    /// How often a connection is pinged.
    pub profile: Pinged,
    /// Instead of the profile's time.
    pub interval: Option<Time>,
    /// After this long without a sign of life a connection is closed; 60 s when absent.
    pub read_deadline: Option<Time>,
}

/// How often a connection is pinged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pinged {
    /// As its link is, where the client need not be told (`/ws`, `/events`); others every 15 s.
    #[default]
    Adaptive,
    /// Every 5 s: a broken link is noticed soon.
    Fast,
    /// Every 15 s.
    Normal,
    /// Every 30 s: for batteries and metered links.
    Slow,
}

/// The bounds of one connection.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConnectionConfig {
    /// The largest message of a client, bytes; 64 KiB when absent.
    pub message_bytes: Option<usize>,
    /// What may wait for a client, bytes; 1 MiB when absent.
    pub queue_bytes: Option<usize>,
    /// Whether messages of the Centrifuge protocol over WebSocket may be compressed.
    pub compression: bool,
    /// The most subscriptions at a time; 128 when absent.
    pub channels: Option<usize>,
    /// How long a client may be connected without saying who it is; 10 s when absent.
    pub stale_after: Option<Time>,
    /// After at most this long a client is asked to connect anew; never when absent.
    pub max_age: Option<Time>,
    /// How long others are not told that a client left a channel whose connection was lost, and not at all when it is back
    /// by then; 5 s when absent.
    pub leave_grace: Option<Time>,
}

/// How the service is left.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DrainConfig {
    /// Over how long connections are closed when there are many; 15 s when absent.
    pub window: Option<Time>,
    /// How long a client that was asked to move may keep its old connection; 2 s when absent.
    pub grace: Option<Time>,
}

/// A configuration that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("push.{field}: {reason}")]
pub struct Error {
    field: &'static str,
    reason: &'static str,
}

impl Config {
    /// Whether a backend says who a client is that shows no token.
    pub(crate) fn asks_who_connects(&self) -> bool {
        self.client
            .proxy
            .connect
            .as_ref()
            .is_some_and(|connect| connect.enabled)
    }
}

impl Error {
    pub(crate) fn new(field: &'static str, reason: &'static str) -> Self {
        Self { field, reason }
    }
}

/// The key of the API, and for whom it is.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The key.
    pub(crate) key: String,
    /// The tenant that it acts for.
    pub(crate) tenant: Tenant,
}

impl fmt::Debug for ApiKey {
    /// Nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.tenant)
    }
}

impl ApiKey {
    fn read(config: &ApiConfig) -> Result<Self, Error> {
        let wrong = |field, reason| Error { field, reason };
        let key = std::fs::read_to_string(&config.key_file)
            .map_err(|_| wrong("api.keyFile", "the file cannot be read as a text"))?;
        let tenant = match &config.tenant {
            Some(name) => name.parse().map_err(|_| wrong("api.tenant", "not a tenant's name"))?,
            None => Tenant::default_tenant(),
        };
        Self::new("api.keyFile", key.trim_end_matches(['\r', '\n']), tenant)
    }

    fn new(field: &'static str, key: &str, tenant: Tenant) -> Result<Self, Error> {
        if key.len() < API_KEY_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = "a key has at least 16 visible ASCII characters";
            return Err(Error { field, reason });
        }
        let key = key.to_owned();
        Ok(Self { key, tenant })
    }
}

/// The validated configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The heartbeat.
    pub rhythm: Rhythm,
    /// The largest message of a client, bytes.
    pub message_bytes_max: usize,
    /// What may wait for a client, bytes.
    pub queue_bytes_max: usize,
    /// Whether messages over WebSocket may be compressed.
    pub compression: bool,
    /// The most subscriptions of a connection.
    pub subscriptions_max: usize,
    /// How long a client may be connected without saying who it is.
    pub stale_after: Duration,
    /// After at most how long a client is asked to connect anew.
    pub max_age: Option<Duration>,
    /// How long others are not told that a client left whose connection was lost.
    pub leave_grace: Duration,
    /// How long after its token's end a connection may still come with a new one.
    pub expiry_grace: Duration,
    /// How long a closing handshake may take.
    pub close_deadline: Duration,
    /// What clients may do with channels.
    pub channels: Channels,
    /// The backends that are asked, told and called.
    pub proxies: Proxies,
    /// Whether clients of the Centrifuge protocol may connect without a token.
    pub anonymous: bool,
    /// The API's key; without one it is as open as the listener.
    pub api: Option<ApiKey>,
    /// Whether there are keys that verify tokens; without, a subscription token says nothing.
    pub verifies_tokens: bool,
    /// The most publications that one reply carries.
    pub publications_max: usize,
    /// The most bytes of publications that one reply carries.
    pub reply_bytes_max: usize,
    /// Whether plain clients may send each other messages.
    pub messages: bool,
    /// Over how long connections are closed when there are many.
    pub drain_window: Duration,
    /// How long a client that was asked to move may keep its old connection.
    pub drain_grace: Duration,
    /// Bounds on how many and how fast.
    pub limits: Limits,
    /// The bounds of the broker in memory.
    pub memory: memory::Options,
    /// The times of the broker in Redis.
    pub redis: redis::Options,
}

impl Settings {
    /// Checks a configuration. `open` says that only this machine can reach the server: then channels are open
    /// unless they are configured.
    ///
    /// # Errors
    /// Which field makes no sense, and why.
    pub fn validate(config: &Config, open: bool) -> Result<Self, Error> {
        let channels = Channels::validate(config.channels.as_ref(), &config.namespaces, open)?;
        let proxies = Proxies::validate(&config.client, &config.channel, &config.rpc, &config.proxies, &channels)?;
        let position_ttl = config.history_meta_ttl.map_or(POSITION_TTL, |time| time.0);
        let settings = Self {
            rhythm: rhythm(&config.heartbeat),
            message_bytes_max: config.connection.message_bytes.unwrap_or(MESSAGE_BYTES),
            queue_bytes_max: config.connection.queue_bytes.unwrap_or(QUEUE_BYTES),
            compression: config.connection.compression,
            subscriptions_max: config.connection.channels.unwrap_or(SUBSCRIPTIONS),
            stale_after: config.connection.stale_after.map_or(STALE_AFTER, |time| time.0),
            max_age: config.connection.max_age.map(|time| time.0),
            leave_grace: config.connection.leave_grace.map_or(LEAVE_GRACE, |time| time.0),
            expiry_grace: EXPIRY_GRACE,
            close_deadline: CLOSE_DEADLINE,
            channels,
            proxies,
            anonymous: config.anonymous,
            api: match (&config.api, &config.api_key) {
                (Some(api), _) => Some(ApiKey::read(api)?),
                (None, Some(key)) => Some(ApiKey::new("api (http_api.key)", &key.0, Tenant::default_tenant())?),
                (None, None) => None,
            },
            verifies_tokens: !open,
            publications_max: PUBLICATIONS,
            reply_bytes_max: REPLY_BYTES,
            messages: config.messages,
            drain_window: config.drain.window.map_or(DRAIN_WINDOW, |time| time.0),
            drain_grace: config.drain.grace.map_or(DRAIN_GRACE, |time| time.0),
            limits: config.limits,
            memory: memory::Options {
                position_ttl,
                ..memory::Options::default()
            },
            redis: redis::Options {
                position_ttl,
                ..redis::Options::default()
            },
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |field, reason| Err(Error { field, reason });
        if self.rhythm.interval.is_zero() {
            return wrong("heartbeat.interval", "must not be zero");
        }
        if self.rhythm.read_deadline <= self.rhythm.interval {
            return wrong(
                "heartbeat.readDeadline",
                "must be longer than the interval, or every connection would end",
            );
        }
        if self.message_bytes_max < 1024 {
            return wrong(
                "connection.messageBytes",
                "must be at least 1024: a token alone has some hundred bytes",
            );
        }
        if self.queue_bytes_max < self.message_bytes_max {
            return wrong("connection.queueBytes", "must be at least connection.messageBytes");
        }
        if self.subscriptions_max == 0 {
            return wrong("connection.channels", "must not be zero");
        }
        if self.limits.connections == Some(0) || self.limits.connections_per_user == Some(0) {
            return wrong("limits", "a bound of zero would let nobody in: leave it out for none");
        }
        if self.max_age.is_some_and(|age| age < MAX_AGE_LEAST) {
            return wrong(
                "connection.maxAge",
                "must be at least 1m: each connection costs its server a handshake",
            );
        }
        if self.redis.position_ttl < POSITION_TTL_LEAST {
            return wrong(
                "historyMetaTtl",
                "must be at least 1m: who comes back after that cannot recover",
            );
        }
        if self.leave_grace > LEAVE_GRACE_MOST {
            return wrong(
                "connection.leaveGrace",
                "must be at most 5m: who went is still shown until then",
            );
        }
        if self.stale_after.is_zero() {
            return wrong("connection.staleAfter", "must not be zero");
        }
        Ok(())
    }
}

/// 96 bits, if it was made at random of letters and digits: more than anybody can try.
const API_KEY_BYTES: usize = 16;
/// Centrifugo's default; a JSON command has some hundred bytes, a publication should not have many more.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Centrifugo's default: a burst of some thousand publications, or one second of a fast stream.
const QUEUE_BYTES: usize = 1024 * 1024;
/// Centrifugo's default.
const SUBSCRIPTIONS: usize = 128;
/// Centrifugo's default: who has not authenticated by then holds a socket for nothing.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// Of ten thousand connections, a hundred and sixty a second would come anew.
const MAX_AGE_LEAST: Duration = Duration::from_secs(60);
/// So that a device that was off overnight is told truthfully that it missed something.
const POSITION_TTL: Duration = Duration::from_secs(24 * 3_600);
/// A client library tries for some minutes to be back.
const POSITION_TTL_LEAST: Duration = Duration::from_secs(60);
/// The client libraries are back within one to three seconds of a drain, a page within as long of its being loaded anew; and
/// a list of names that is wrong for some seconds misleads nobody.
const LEAVE_GRACE: Duration = Duration::from_secs(5);
/// A client that is away for longer has gone.
const LEAVE_GRACE_MOST: Duration = Duration::from_secs(300);
/// Centrifugo's default: a client library asks for a new token when the old one ends, and that takes a moment.
const EXPIRY_GRACE: Duration = Duration::from_secs(25);
/// How long a peer is waited for after a close frame: a few round trips of a bad link.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);
/// Centrifugo's `recovery_max_publication_limit` and `history_max_publication_limit`.
const PUBLICATIONS: usize = 300;
/// One reply may not take much more memory than a connection's queue; a client that missed more than this is
/// told that it cannot recover, or pages through the history.
const REPLY_BYTES: usize = 4 * 1024 * 1024;
/// With the grace, within the drain deadline of the accept loop (25 s).
const DRAIN_WINDOW: Duration = Duration::from_secs(15);
/// A browser opens a new WebSocket in a few round trips.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
/// DESIGN section 6.
const READ_DEADLINE: Duration = Duration::from_secs(60);

fn rhythm(config: &HeartbeatConfig) -> Rhythm {
    let profile = match config.profile {
        Pinged::Fast => Profile::Fast,
        Pinged::Adaptive | Pinged::Normal => Profile::Normal,
        Pinged::Slow => Profile::Slow,
    };
    let interval = config.interval.map_or_else(|| profile.interval(), |time| time.0);
    Rhythm {
        interval,
        adapts: config.profile == Pinged::Adaptive && config.interval.is_none(),
        announced: Profile::Slow.interval().max(interval),
        read_deadline: config.read_deadline.map_or(READ_DEADLINE, |time| time.0),
    }
}

#[cfg(test)]
mod tests;
