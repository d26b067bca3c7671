//! All that a store has, for who checks it: no request needs this, so it is no part of [`super::TaskStore`].

use async_trait::async_trait;

use super::{Entry, Error};
use crate::epoch::Generation;
use crate::id::TaskKey;

/// Where a page of keys ended; only the back end that made it can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(pub(super) String);

/// A page of the keys of all tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The tasks, in no order that means anything; one may come twice.
    pub keys: Vec<TaskKey>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Mark>,
}

/// What a store knows of a task at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its entry, if it has one.
    pub entry: Option<Entry>,
    /// The generation of the part of the store that has, or would have, it.
    pub generation: Generation,
}

/// The tasks of a store, as they are read by who changes nothing.
#[async_trait]
pub trait Inventory: Send + Sync + 'static {
    /// About `limit` keys after `after`; a page may be empty and not the last. Every task that is there from the first page
    /// to the last is in one of them, and what comes or goes meanwhile may be.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn keys(&self, after: Option<&Mark>, limit: usize) -> Result<Keys, Error>;

    /// What the store knows of a task.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer, or the entry cannot be read.
    async fn known(&self, key: &TaskKey) -> Result<Known, Error>;
}
