//! The list of an owner's tasks: an index beside the store, fed by events and rebuilt from it, so it lags a little.

use std::sync::Arc;

use async_trait::async_trait;

use crate::event::Event;
use crate::id::{Owner, TaskId, Tenant};
use crate::store::Error;

/// One line of a listing. What changes with every byte is read from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The task.
    pub id: TaskId,
    /// The file's name, if the client gave one.
    pub name: Option<String>,
}

/// The index of tasks by owner.
#[async_trait]
pub trait Catalogue: Send + Sync + 'static {
    /// Takes events in, in order; a repeated one changes nothing.
    ///
    /// # Errors
    /// [`Error`] when none was taken and all must come again.
    async fn apply(&self, events: &[Arc<Event>]) -> Result<(), Error>;

    /// The owner's tasks, newest first, older than `before`, at most `limit`. Eventual: it may lag the store by
    /// the time an event takes.
    ///
    /// # Errors
    /// [`Error`] when the index does not answer.
    async fn list(
        &self,
        tenant: &Tenant,
        owner: &Owner,
        before: Option<&TaskId>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error>;
}
