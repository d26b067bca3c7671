//! The six epochs, six types that are never converted into one another, and the fencing token.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;

macro_rules! epoch {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The epoch that follows this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

epoch!(
    /// Grows when a task's right to write is taken from a holder that has not released it.
    WriterEpoch
);
epoch!(
    /// Names one life of a channel's stream: offsets of two stream epochs cannot be compared.
    StreamEpoch
);
epoch!(
    /// Grows with each Redis primary.
    Term
);
epoch!(
    /// Grows with each leader of the operator.
    LeaderTerm
);
epoch!(
    /// Grows with each region that owns the work of an origin.
    RegionEpoch
);
epoch!(
    /// Grows when the store may have forgotten what it acknowledged: it was lost, after an unplanned promotion or a
    /// crash-start. It is the Unix millisecond in which it began, by the store's clock, so that it grows even when the
    /// store has forgotten which one it had.
    Generation
);

impl Generation {
    /// The generation that begins now.
    #[must_use]
    pub fn beginning(now: UnixMillis) -> Self {
        // 0 is no generation: tokens of the first one are tokens already.
        Self(now.0.max(1))
    }

    /// When it began.
    #[must_use]
    pub fn began(self) -> UnixMillis {
        UnixMillis(self.0)
    }
}

/// A random 128-bit name of one holder of the right to write; no two holders share one. Its first half names the
/// process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HolderId(u128);

impl HolderId {
    /// A fresh name from the system's random source.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::from_bytes(random_bytes()).as_u128())
    }

    /// Another name of the same process, for a holder that takes from one of its own.
    #[must_use]
    pub fn sibling(self) -> Self {
        let own = u128::from(u64::from_ne_bytes(random_bytes()));
        Self(self.0 >> 64 << 64 | own)
    }

    /// The process whose holder it is.
    #[must_use]
    pub const fn process(self) -> ProcessId {
        ProcessId((self.0 >> 64) as u64)
    }

    /// The name with this value, for tests and back ends that read it from their own encoding.
    #[must_use]
    pub const fn from_u128(value: u128) -> Self {
        Self(value)
    }
}

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HolderId({self})")
    }
}

impl Serialize for HolderId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HolderId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// A process that holds tasks, by the first half of its holders' names; another after each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProcessId(u64);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for ProcessId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProcessId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// The fencing token of a task's writer, always compared whole: a writer whose token is not the record's can
/// change nothing, however late it wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    /// The store's generation in which the token was given.
    pub generation: Generation,
    /// The task's writer epoch.
    pub epoch: WriterEpoch,
    /// Who holds it.
    pub holder: HolderId,
}

pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's random source answers once the system has started");
    bytes
}
