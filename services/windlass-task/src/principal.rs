//! Who a request comes from, as far as it has been verified.

use serde::{Deserialize, Serialize};

use crate::id::{Owner, Tenant};

/// The verified caller of a request; every request has one before a handler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The tenant whose records the caller may find at all.
    pub tenant: Tenant,
    /// The owner that its tasks carry.
    pub owner: Owner,
    /// What it may do.
    pub rights: Rights,
}

impl Principal {
    /// The caller on a loopback listener without login: everything, as one owner of the default tenant.
    #[must_use]
    pub fn local() -> Self {
        Self {
            tenant: Tenant::default_tenant(),
            owner: Owner::local(),
            rights: Rights::ALL,
        }
    }

    /// Whether the caller has this right.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(right)
    }
}

/// One thing that a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Create uploads, append to its own, end them.
    Upload = 1,
    /// See its own tasks and their channels.
    Watch = 2,
    /// Publish to channels.
    Publish = 4,
    /// Read its tenant's uploads that are in quarantine, release them or end them: a scanner's right.
    Release = 8,
}

/// A set of [`Right`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// Every right there is.
    pub const ALL: Self = Self(Right::Upload as u8 | Right::Watch as u8 | Right::Publish as u8 | Right::Release as u8);
    /// What a token gives that lists no rights: upload and watch.
    pub const DEFAULT: Self = Self(Right::Upload as u8 | Right::Watch as u8);

    /// Whether `right` is in the set.
    #[must_use]
    pub fn contains(self, right: Right) -> bool {
        self.0 & right as u8 != 0
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | right as u8))
    }
}
