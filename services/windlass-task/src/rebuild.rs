//! Making records again: once in each generation what is stored is gone through.
//!
//! A store that has begun a generation may have forgotten any task of an earlier one. Each is made again when it is asked
//! for. That is enough for who writes, and too late for who only watches, for what expires, and for a final upload whose
//! parts are ended before anybody asks for it. So one process at a time ([`crate::job`]) walks through the storage. Until the
//! end of that walk the store is not whole: that something is not recorded says nothing then, and no bytes may be removed
//! that somebody may list.

use async_trait::async_trait;

use crate::epoch::Generation;
use crate::id::TaskKey;
use crate::store::Error;

/// A walk through all that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// The generations of the store's parts when it began; for these it counts.
    pub generations: Vec<Generation>,
    /// How far it has come, in the storage's words; `None` at its beginning.
    pub after: Option<String>,
}

impl Walk {
    /// One number for all generations: it changes with each of them, for each only grows.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let sum = |sum: u64, generation: &Generation| sum.saturating_add(generation.0);
        self.generations.iter().fold(0, sum)
    }
}

/// What all processes on a store know of its rebuilding.
#[async_trait]
pub trait Rebuild: Send + Sync + 'static {
    /// Whether a walk has come to its end since the part of the store that has this task, or would have it, began its
    /// generation.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn is_whole(&self, key: &TaskKey) -> Result<bool, Error>;

    /// The walk that has to come to its end, from where it was noted last; `None` when all of the store is whole.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn unfinished(&self) -> Result<Option<Walk>, Error>;

    /// Notes how far the walk has come; whether the generations are still those that it is for.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn note(&self, walk: &Walk) -> Result<bool, Error>;

    /// The walk has come to its end: what is of its generations is whole.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn finish(&self, walk: &Walk) -> Result<(), Error>;
}
