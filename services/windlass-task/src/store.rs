//! The store of tasks: one write, `commit`, atomic with its outbox entries; no generic get or set, no scan.
//!
//! Two back ends share the trait: the embedded one (SQLite, one process a data directory) and Redis. Both store
//! what [`crate::change::decide`] decides, so neither holds a rule of its own. One contract suite runs against both.

#[cfg(test)]
mod contract;
mod embedded;
mod inventory;
mod redis;
mod settings;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use embedded::{Durability, EmbeddedReader, EmbeddedStore, Options};
pub use inventory::{Inventory, Keys, Known, Mark};
pub use redis::RedisStore;
pub use settings::{Records, Settings};
pub use windlass_redis::ConfigureError;

use crate::change::{Change, Refusal};
use crate::epoch::{Generation, Token, WriterEpoch};
use crate::id::{Alias, Owner, TaskId, TaskKey, Tenant};
use crate::record::{Concat, Creation, Record, Segment};
use crate::status::Status;
use crate::time::UnixMillis;
use crate::write_key::WriteKeyHash;

/// How long a tombstone answers 410 before the task is unknown (404): long enough for a client that comes back
/// after the weekend.
pub const TOMBSTONE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What is known of a task that existed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// A task.
    Live(Box<Record>),
    /// What stays of one that was terminated or has expired.
    Gone(Box<Tombstone>),
}

/// What stays of a task that was terminated or has expired: enough to answer 410 and to remove its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The version of its writer, as a record's.
    pub v: u32,
    /// What found the task.
    #[serde(flatten)]
    pub key: TaskKey,
    /// Who had created it.
    pub owner: Owner,
    /// What admitted a writer; only a writer is told that the upload is gone.
    pub write_key: Option<WriteKeyHash>,
    /// Why it is gone.
    pub cause: Cause,
    /// Since when, by the store's clock.
    pub since: UnixMillis,
    /// Whether bytes or documents may still be stored.
    pub stored: bool,
    /// The bytes that may still be stored.
    pub segments: Vec<Segment>,
    /// Final uploads that list these bytes: while there are any, the bytes stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted_by: Vec<TaskId>,
    /// Partial uploads whose segments it listed, to be told that it lists them no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<TaskId>,
    /// The last writer epoch: whatever an epoch up to it has written may still be stored as well.
    pub epoch: WriterEpoch,
    /// The acknowledged offset as it was last shown: its watchers are not shown a smaller one at the end.
    pub offset: u64,
    /// The length as it was last shown.
    pub length: Option<u64>,
    /// The whole percent as it was last shown.
    pub progress: u8,
    /// Other names under which the task was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Goes on from the record's.
    pub revision: u64,
}

/// Why a task is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Its owner ended it.
    Terminated,
    /// It was unfinished for too long.
    Expired,
    /// Bytes of it that had been acknowledged are gone.
    Lost,
}

impl Tombstone {
    pub(crate) fn of(record: &Record, cause: Cause, now: UnixMillis) -> Self {
        let (adopted_by, adopted, segments) = match &record.concat {
            None => (Vec::new(), Vec::new(), record.segments.clone()),
            Some(Concat::Partial { adopted_by }) => (adopted_by.clone(), Vec::new(), record.segments.clone()),
            // The bytes are its parts'.
            Some(Concat::Final { parts, .. }) => (Vec::new(), parts.clone(), Vec::new()),
        };
        Self {
            v: record.v,
            key: record.key.clone(),
            owner: record.owner.clone(),
            write_key: record.write_key.clone(),
            cause,
            since: now,
            stored: true,
            segments,
            adopted_by,
            adopted,
            epoch: record.token.epoch,
            offset: record.offset(),
            length: record.length,
            progress: record.progress(),
            aliases: record.aliases.clone(),
            revision: record.revision,
        }
    }
}

impl Tombstone {
    /// Whether it stays for good: an upload that was taken over is still where it was taken from, and whoever has
    /// forgotten that it is gone would take it over again.
    fn is_kept(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// The bytes of a partial upload that was complete when it ended, for a final upload that lists them.
    #[must_use]
    pub fn lent_to(&self, adopter: &TaskId) -> Option<&[Segment]> {
        // Nothing else than completed is shown as 100.
        let is_lent = self.stored && self.progress == 100 && self.adopted_by.contains(adopter);
        is_lent.then_some(&*self.segments)
    }
}

impl Entry {
    /// What finds it.
    #[must_use]
    pub fn key(&self) -> &TaskKey {
        match self {
            Self::Live(record) => &record.key,
            Self::Gone(tombstone) => &tombstone.key,
        }
    }

    /// Who created the task.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        match self {
            Self::Live(record) => &record.owner,
            Self::Gone(tombstone) => &tombstone.owner,
        }
    }

    /// Other names under which the task is found.
    #[must_use]
    pub fn aliases(&self) -> &[Alias] {
        match self {
            Self::Live(record) => &record.aliases,
            Self::Gone(tombstone) => &tombstone.aliases,
        }
    }

    /// The number of commits that made it what it is.
    #[must_use]
    pub fn revision(&self) -> u64 {
        match self {
            Self::Live(record) => record.revision,
            Self::Gone(tombstone) => tombstone.revision,
        }
    }

    /// When somebody must look after it again: an unfinished upload at its expiry, a tombstone at once while its
    /// bytes are there, later to be forgotten itself; a finished upload never.
    #[must_use]
    pub fn due(&self) -> Option<UnixMillis> {
        match self {
            Self::Live(record) => record.expires,
            Self::Gone(tombstone) if !tombstone.adopted_by.is_empty() => None,
            Self::Gone(tombstone) if tombstone.stored => Some(tombstone.since),
            Self::Gone(tombstone) if tombstone.is_kept() => None,
            Self::Gone(tombstone) => Some(tombstone.since.after(TOMBSTONE_LIFETIME)),
        }
    }

    /// Whether it is a tombstone without bytes whose time has come.
    #[must_use]
    pub fn is_forgettable(&self, now: UnixMillis) -> bool {
        match self {
            Self::Live(_) => false,
            Self::Gone(tombstone) if tombstone.is_kept() => false,
            Self::Gone(tombstone) => !tombstone.stored && now >= tombstone.since.after(TOMBSTONE_LIFETIME),
        }
    }

    pub(crate) fn bump_revision(&mut self) {
        match self {
            Self::Live(record) => record.revision += 1,
            Self::Gone(tombstone) => tombstone.revision += 1,
        }
    }

    /// What a watcher sees of it; a commit that leaves this alone needs no new latest value.
    pub(crate) fn shown(&self) -> Option<(Status, u64, Option<u64>)> {
        match self {
            Self::Live(record) => Some((record.status, record.offset(), record.length)),
            Self::Gone(_) => None,
        }
    }
}

/// What a commit demands of the entry before it changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// There is none.
    Absent,
    /// A writer's demand: this very token, compared whole, and these bytes received.
    Holder {
        /// The writer's token.
        token: Token,
        /// The contiguous durable bytes it knows of.
        received: u64,
    },
    /// Any: the change itself says what it needs. For owners' commands and upkeep, which hold no token.
    Present,
}

/// The only write: changes of one task, made together or not at all.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The task.
    pub key: TaskKey,
    /// What must be so before.
    pub expected: Expected,
    /// What is to happen, in order.
    pub changes: Vec<Change>,
    /// W3C trace context of the request behind it, for its events.
    pub traceparent: Option<String>,
}

impl Commit {
    /// A commit that creates a task.
    #[must_use]
    pub fn create(creation: Creation) -> Self {
        Self {
            key: creation.key.clone(),
            expected: Expected::Absent,
            changes: vec![Change::Create(Box::new(creation))],
            traceparent: None,
        }
    }

    /// A writer's commit.
    #[must_use]
    pub fn held(key: TaskKey, token: Token, received: u64, changes: Vec<Change>) -> Self {
        Self {
            key,
            expected: Expected::Holder { token, received },
            changes,
            traceparent: None,
        }
    }

    /// A commit by somebody who holds no token.
    #[must_use]
    pub fn present(key: TaskKey, changes: Vec<Change>) -> Self {
        Self {
            key,
            expected: Expected::Present,
            changes,
            traceparent: None,
        }
    }
}

/// What came of a commit.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It is made; this is the entry now.
    Committed(Entry),
    /// The entry is not as expected, and stays; this is what it is.
    Conflict(Option<Entry>),
    /// The entry is as expected but does not allow the change, and stays.
    Refused(Refusal, Option<Entry>),
    /// Nobody can say whether it was made: load, compare, and try again if it was not.
    Unknown,
}

/// A store that cannot do its work; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory belongs to another process.
    #[error("data directory {} is in use by another process", path.display())]
    LockDirectory {
        /// The directory.
        path: std::path::PathBuf,
    },
    /// The data directory or its lock cannot be made.
    #[error("cannot open data directory {}", path.display())]
    OpenDirectory {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database does not answer.
    #[error("cannot {operation} the task database")]
    UseDatabase {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// An entry was written by a version that this build does not know, and stays untouched.
    #[error("task {key} has version {v}, which this build does not read")]
    ReadVersion {
        /// The task.
        key: TaskKey,
        /// Its version.
        v: u64,
    },
    /// The tables are of a layout that this build does not know, and stay untouched.
    #[error("the task database has layout {version}, which this build does not read")]
    ReadSchema {
        /// Its layout.
        version: i64,
    },
    /// Redis does not answer, or refuses; nothing was changed.
    #[error("cannot {operation} in redis")]
    UseRedis {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: windlass_redis::Error,
    },
    /// Others commit to the same task faster than it can be read and written.
    #[error("too many commits to one task at once")]
    CommitAmongOthers,
    /// The process has no lease now: another may have taken its tasks.
    #[error("this process has no lease to write")]
    KeepLease,
    /// Partitions of the outbox went to another process, or came from one: what is in hand is read again.
    #[error("the outbox is divided anew")]
    MoveOutbox,
    /// An event in the outbox cannot be read.
    #[error("an event in the outbox cannot be read")]
    ReadEvent {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The transaction that this request shared with others failed; the log says why.
    #[error("cannot commit to the task database")]
    CommitTransaction,
    /// An entry cannot be read.
    #[error("task {key} cannot be read")]
    ReadEntry {
        /// The task.
        key: TaskKey,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Something cannot be written as JSON.
    #[error("cannot encode an entry")]
    EncodeEntry {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The store has been closed.
    #[error("the task store is closed")]
    ReachStore,
}

/// The store of tasks.
#[async_trait]
pub trait TaskStore: Send + Sync + 'static {
    /// The entry of a task, if it was ever there and is not forgotten.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn load(&self, key: &TaskKey) -> Result<Option<Entry>, Error>;

    /// The only write. When it answers [`Outcome::Committed`], the change survives the death of this process, and
    /// its events are in the outbox.
    ///
    /// # Errors
    /// [`Error`] when nothing was written.
    async fn commit(&self, commit: Commit) -> Result<Outcome, Error>;

    /// The task that goes by a foreign name.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn resolve(&self, tenant: &Tenant, alias: &Alias) -> Result<Option<TaskId>, Error>;

    /// Tasks whose [`Entry::due`] time has come by the store's clock, the earliest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn due(&self, limit: usize) -> Result<Vec<TaskKey>, Error>;

    /// Forgets a tombstone without bytes whose time has come; anything else is left alone.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn forget(&self, key: &TaskKey) -> Result<(), Error>;

    /// The present generation of the part of the store that has, or would have, this task: part of its tokens.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn generation(&self, key: &TaskKey) -> Result<Generation, Error>;
}
