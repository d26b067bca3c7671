//! What the push service sees of tasks.

use std::sync::Arc;

use windlass_task::feed::Feed;
use windlass_task::operation::{self, Operation, load_owned};
use windlass_task::{Catalogue, EmbeddedStore, Entry, Owner, Record, TaskKey, TaskStore, TaskUpdate, UnixMillis};

use crate::session::{Failure, TaskValue};

/// The store of tasks, the list of them, and the bus of their latest values. A push service that runs apart from
/// the upload service on embedded state has none of it.
#[derive(Clone)]
pub struct View {
    /// The store.
    pub store: Arc<dyn TaskStore>,
    /// The list.
    pub catalogue: Arc<dyn Catalogue>,
    /// The bus.
    pub feed: Feed,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("View")
    }
}

impl View {
    /// The view of an embedded store.
    #[must_use]
    pub fn embedded(store: &EmbeddedStore) -> Self {
        let shared = Arc::new(store.clone());
        Self {
            store: shared.clone(),
            catalogue: shared,
            feed: store.feed().clone(),
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
