//! The other processes that may write to a task, and how one of them asks another to let go.
//!
//! The fence is the record's token: whatever a process does that was not asked, or did not hear, no commit of it counts
//! once the token is another's. Asking first is what keeps the bytes that the holder has not committed yet.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::epoch::HolderId;
use crate::id::TaskKey;
use crate::store::Error;

/// What came of asking a holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nobody was writing there.
    Idle,
    /// Its writer has let go, and what it had is committed.
    Released {
        /// How long ago the upload was taken over before, as far as it matters who fights for it.
        takeovers: Vec<Duration>,
    },
    /// Its writer keeps the upload: too many fight for it.
    Kept {
        /// How long whoever asked must stay away.
        retry_after: Duration,
    },
    /// The process is no more, or has lost its lease and acknowledges nothing.
    Gone,
    /// The process is there and does not answer in time.
    Silent,
}

/// The holders of this process, as others ask for them.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Another process asks for a task.
    async fn release(&self, key: &TaskKey) -> Answer;

    /// The owner paused the task or ended it, by the record's revision.
    fn withdraw(&self, key: &TaskKey, revision: u64);
}

/// The other processes.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Answers for this process's holders from now on, and keeps its lease. Called once.
    fn serve(&self, process: HolderId, host: Arc<dyn Host>);

    /// Asks the process of `holder` to let a task go.
    ///
    /// # Errors
    /// [`Error`] when nobody can be asked.
    async fn ask(&self, holder: HolderId, key: &TaskKey) -> Result<Answer, Error>;

    /// Whether this process has its lease. One that has not acknowledges nothing: another may have taken its tasks.
    fn may_write(&self) -> bool;

    /// Gives the lease back: nobody writes here any more, and who asks for a task need not wait.
    async fn close(&self) {}
}

/// No others: the records are this process's alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

#[async_trait]
impl Peers for Alone {
    fn serve(&self, _: HolderId, _: Arc<dyn Host>) {}

    async fn ask(&self, _: HolderId, _: &TaskKey) -> Result<Answer, Error> {
        Ok(Answer::Idle)
    }

    fn may_write(&self) -> bool {
        true
    }
}
