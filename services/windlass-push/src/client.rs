//! Who is at the other end of a connection.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;
use windlass_task::{Principal, Right};

use crate::grant::Welcome;
use crate::payload::Payload;

/// The id of one connection: random, given by the server, known to other clients of its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Uuid);

impl ClientId {
    /// A fresh id.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system's random source answers once the system has started");
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl FromStr for ClientId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A connection as other clients see it, in presence and as the publisher of a publication.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ClientInfo {
    /// The user.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The connection's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// What the connection's token or the backend says of the user.
    #[serde(skip_serializing_if = "Payload::is_empty")]
    pub conn_info: Payload,
    /// What the subscription's token or the backend says of the user in this channel.
    #[serde(skip_serializing_if = "Payload::is_empty")]
    pub chan_info: Payload,
}

impl ClientInfo {
    /// Whether it is another connection of the same user, of whom others see the same. Of those whom nobody knows, nobody is.
    #[must_use]
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        let is_known = !self.user.is_empty() && self.user == other.user;
        is_known && self.conn_info == other.conn_info && self.chan_info == other.chan_info
    }
}

/// Who a connection has shown itself to be, and until when.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Tenant, owner and rights.
    pub principal: Principal,
    /// Whether nobody knows who it is; then the owner in `principal` stands for all such.
    pub anonymous: bool,
    /// How long from now what it showed is good; `None` for ever.
    pub expires_in: Option<Duration>,
    /// What it is given beside who it is.
    pub welcome: Welcome,
}

impl Identity {
    /// Somebody whom nobody knows: it may do with streams what their options let such do, and sees no tasks.
    #[must_use]
    pub fn anonymous() -> Self {
        let principal = Principal {
            owner: "anonymous".parse().expect("a word is an owner's name"),
            rights: [Right::Watch, Right::Publish].into_iter().collect(),
            ..Principal::local()
        };
        Self {
            anonymous: true,
            ..Self::known(principal, None)
        }
    }

    /// Somebody who is known, for so long, and given nothing else.
    #[must_use]
    pub fn known(principal: Principal, expires_in: Option<Duration>) -> Self {
        Self {
            principal,
            anonymous: false,
            expires_in,
            welcome: Welcome::default(),
        }
    }
}
