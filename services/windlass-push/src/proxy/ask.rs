//! What a backend is asked on behalf of a connection, and what it can say.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::Identity;
use crate::grant::Grant;
use crate::payload::Payload;
use crate::queue::Slot;

/// The name of the proxy that options mean which name none.
pub const DEFAULT: &str = "default";

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// For whom the answer is.
    pub about: About,
    /// The name of the proxy.
    pub proxy: String,
    /// The user; empty for one that nobody knows.
    pub user: String,
    /// What the backend has attached to the connection, and clients never see.
    pub meta: Payload,
    /// What is asked.
    pub question: Question,
}

/// For whom an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The command that waits for it.
    Command,
    /// The connection, which is at its end.
    Connection,
    /// A subscription, which is at its end.
    Subscription(Slot),
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Who is this?
    Connect {
        /// What the client calls itself.
        name: String,
        /// Its version.
        version: String,
        /// What its application says.
        data: Payload,
    },
    /// May the connection go on?
    Refresh,
    /// May it subscribe?
    Subscribe {
        /// To what.
        channel: String,
        /// What its application says.
        data: Payload,
    },
    /// May the subscription go on?
    SubRefresh {
        /// To what.
        channel: String,
    },
    /// May it publish this?
    Publish {
        /// Where.
        channel: String,
        /// What.
        data: Payload,
    },
    /// A call to the application.
    Rpc {
        /// The procedure.
        method: String,
        /// What it is given.
        data: Payload,
    },
}

/// Something that a backend is told and has no say in.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The connection has ended.
    Disconnect {
        /// The code.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// A subscription has ended.
    Unsubscribe {
        /// To what.
        channel: String,
    },
}

/// Which kind of question or event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`Question::Connect`].
    Connect,
    /// [`Question::Refresh`].
    Refresh,
    /// [`Event::Disconnect`].
    Disconnect,
    /// [`Question::Subscribe`].
    Subscribe,
    /// [`Question::SubRefresh`].
    SubRefresh,
    /// [`Event::Unsubscribe`].
    Unsubscribe,
    /// [`Question::Publish`].
    Publish,
    /// [`Question::Rpc`].
    Rpc,
}

impl Kind {
    /// Its name, for metrics and the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::Disconnect => "disconnect",
            Self::Subscribe => "subscribe",
            Self::SubRefresh => "sub_refresh",
            Self::Unsubscribe => "unsubscribe",
            Self::Publish => "publish",
            Self::Rpc => "rpc",
        }
    }

    /// The section of the configuration that has its proxy, below `push`.
    #[must_use]
    pub fn section(self) -> &'static str {
        match self {
            Self::Connect => "client.proxy.connect",
            Self::Refresh => "client.proxy.refresh",
            Self::Disconnect => "client.proxy.disconnect",
            Self::Subscribe => "channel.proxy.subscribe",
            Self::SubRefresh => "channel.proxy.sub_refresh",
            Self::Unsubscribe => "channel.proxy.unsubscribe",
            Self::Publish => "channel.proxy.publish",
            Self::Rpc => "rpc.proxy",
        }
    }
}

impl Question {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Connect { .. } => Kind::Connect,
            Self::Refresh => Kind::Refresh,
            Self::Subscribe { .. } => Kind::Subscribe,
            Self::SubRefresh { .. } => Kind::SubRefresh,
            Self::Publish { .. } => Kind::Publish,
            Self::Rpc { .. } => Kind::Rpc,
        }
    }
}

impl Event {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Disconnect { .. } => Kind::Disconnect,
            Self::Unsubscribe { .. } => Kind::Unsubscribe,
        }
    }
}

/// What a backend says when it does not say no.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To [`Question::Connect`]: it is this.
    Connect(Box<Identity>),
    /// To [`Question::Refresh`] and [`Question::SubRefresh`].
    Prolong(Prolonged),
    /// To [`Question::Subscribe`]: it may, as this.
    Subscribe(Box<Grant>),
    /// To [`Question::Publish`]: it may, with these changes.
    Publish(Box<Edited>),
    /// To [`Question::Rpc`]: what the procedure gave back.
    Rpc(Payload),
}

/// How something that is at its end goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Prolonged {
    /// It does not.
    Over,
    /// It does.
    For {
        /// How long from now; `None` for ever.
        time: Option<Duration>,
        /// What others see of the user from now on, unless it is as before.
        info: Option<Payload>,
        /// What is attached to the connection from now on, unless it is as before.
        meta: Option<Payload>,
    },
}

/// What a backend changes of a publication.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edited {
    /// This instead of what the client sent.
    pub data: Option<Payload>,
    /// Facts about it.
    pub tags: BTreeMap<String, String>,
    /// It is not remembered.
    pub skip_history: bool,
    /// Who publishes twice under one key publishes once.
    pub idempotency_key: Option<String>,
    /// It may go out as the difference from the one before, also where the channel's options do not say so.
    pub delta: bool,
}
