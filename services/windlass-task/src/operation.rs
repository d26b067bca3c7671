//! What an owner asks of a task from outside its upload: pause and resume.

use crate::change::{Change, Refusal};
use crate::id::{Owner, TaskKey};
use crate::record::Record;
use crate::status::IllegalTransition;
use crate::store::{self, Commit, Entry, Outcome, TaskStore};

/// Which operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// No more bytes for now.
    Pause,
    /// Go on.
    Resume,
}

/// Why an operation did not happen; the task is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such task of this owner; another owner's looks the same.
    #[error("there is no such task")]
    FindTask,
    /// It was terminated or has expired.
    #[error("the task is gone")]
    ReachTask,
    /// Its state does not allow it.
    #[error(transparent)]
    Transition(#[from] IllegalTransition),
    /// Nobody can say whether it happened; asking again is safe.
    #[error("the outcome is unknown")]
    ConfirmCommit,
    /// The store does not answer.
    #[error("cannot reach the task store")]
    UseStore(#[from] store::Error),
}

/// Loads a task that `owner` may see.
///
/// # Errors
/// [`Error::FindTask`], [`Error::ReachTask`], [`Error::UseStore`].
pub async fn load_owned(store: &dyn TaskStore, key: &TaskKey, owner: &Owner) -> Result<Record, Error> {
    let entry = store.load(key).await?;
    match entry.filter(|entry| entry.owner() == owner) {
        Some(Entry::Live(record)) => Ok(*record),
        Some(Entry::Gone(_)) => Err(Error::ReachTask),
        None => Err(Error::FindTask),
    }
}

/// Performs `operation` for the task's owner and answers the record as it is then. Doing it twice is doing it once.
/// Whoever is writing learns of it by the store's release signal.
///
/// # Errors
/// [`Error`]; the task is as it was, but for [`Error::ConfirmCommit`].
pub async fn perform(
    store: &dyn TaskStore,
    key: &TaskKey,
    owner: &Owner,
    operation: Operation,
) -> Result<Record, Error> {
    load_owned(store, key, owner).await?;
    let change = match operation {
        Operation::Pause => Change::Pause,
        Operation::Resume => Change::Resume,
    };
    match store.commit(Commit::present(key.clone(), vec![change])).await? {
        Outcome::Committed(Entry::Live(record)) => Ok(*record),
        Outcome::Committed(Entry::Gone(_)) | Outcome::Refused(Refusal::Gone, _) => Err(Error::ReachTask),
        Outcome::Refused(Refusal::Transition(illegal), _) => Err(illegal.into()),
        Outcome::Refused(..) | Outcome::Conflict(_) => Err(Error::FindTask),
        Outcome::Unknown => Err(Error::ConfirmCommit),
    }
}
