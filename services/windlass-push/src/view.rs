//! What the push service sees of tasks.

use std::sync::Arc;

use windlass_task::feed::{Feed, Follow};
use windlass_task::operation::{self, Operation, load_owned};
use windlass_task::store::Records;
use windlass_task::{Catalogue, Entry, Owner, Record, TaskKey, TaskStore, TaskUpdate, UnixMillis};

use crate::session::{Failure, TaskValue};

/// The store of tasks, the list of them, and the bus of their latest values: those of the upload service in the same
/// process, or the ones in Redis that all processes share. A push service apart from both has none of it.
#[derive(Clone)]
pub struct View {
    /// The store.
    pub store: Arc<dyn TaskStore>,
    /// The list.
    pub catalogue: Arc<dyn Catalogue>,
    /// The bus.
    pub feed: Feed,
    /// Who sees that the bus tells of tasks that other processes write.
    pub follow: Arc<dyn Follow>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("View")
    }
}

impl View {
    /// The view of a back end.
    #[must_use]
    pub fn of(records: &Records) -> Self {
        Self {
            store: Arc::clone(&records.store),
            catalogue: Arc::clone(&records.catalogue),
            feed: records.feed.clone(),
            follow: Arc::clone(&records.follow),
        }
    }

    /// A task's present value, if `owner` may see it.
    ///
    /// # Errors
    /// Why it cannot be seen.
    pub async fn value(&self, key: &TaskKey, owner: &Owner) -> Result<TaskValue, Failure> {
        let entry = self
            .store
            .load(key)
            .await
            .map_err(unavailable)?
            .ok_or(Failure::UnknownTask)?;
        if entry.owner() != owner {
            return Err(Failure::ForeignTask);
        }
        let Entry::Live(record) = &entry else {
            return Err(Failure::TaskGone);
        };
        Ok(TaskValue {
            update: TaskUpdate::of(&entry, UnixMillis::now()),
            epoch: record.stream_epoch,
        })
    }

    /// A task's record, if `owner` may see it.
    ///
    /// # Errors
    /// Why it cannot be seen.
    pub async fn record(&self, key: &TaskKey, owner: &Owner) -> Result<Record, Failure> {
        load_owned(&*self.store, key, owner).await.map_err(failure)
    }

    /// Pauses or resumes a task for its owner.
    ///
    /// # Errors
    /// Why it did not happen.
    pub async fn operate(&self, key: &TaskKey, owner: &Owner, operation: Operation) -> Result<Record, Failure> {
        operation::perform(&*self.store, key, owner, operation)
            .await
            .map_err(failure)
    }
}

fn failure(error: operation::Error) -> Failure {
    match error {
        operation::Error::FindTask => Failure::UnknownTask,
        operation::Error::ReachTask => Failure::TaskGone,
        operation::Error::Transition(_) => Failure::IllegalTransition,
        operation::Error::ConfirmCommit => Failure::Unavailable,
        operation::Error::UseStore(error) => unavailable(error),
    }
}

/// The store's error is told to the log; the client learns that trying again may help.
pub(crate) fn unavailable(error: windlass_task::store::Error) -> Failure {
    let error: &dyn std::error::Error = &error;
    tracing::warn!(error, "task store failed");
    Failure::Unavailable
}
