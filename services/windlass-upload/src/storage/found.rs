//! What a storage can say of an upload by itself, when the store of records has forgotten it or is being checked.

use std::fmt;

use windlass_task::{Segment, TaskKey, UnixMillis, WriterEpoch};

use super::{Completion, Manifest};

/// One upload as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its manifest. Without one nobody can tell whose it is: it was never announced, or its removal has begun.
    pub manifest: Option<Manifest>,
    /// How it ended, if it did.
    pub completion: Option<Completion>,
    /// Its length as far as a document says so, for one that was deferred when it was created.
    pub length: Option<u64>,
    /// Where its bytes are, whole from the first one on.
    pub segments: Vec<Segment>,
    /// The greatest writer epoch that may have left anything, 0 when none has: whoever goes on takes a greater one.
    pub epoch: WriterEpoch,
    /// What shows that bytes are gone which were durable once.
    pub damage: Option<Damage>,
}

impl Found {
    /// The contiguous durable bytes from the upload's start.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.end)
    }
}

/// What shows that bytes are gone which were durable once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// A later epoch went on behind bytes that are not there, or the completion counts them.
    Missing {
        /// The first byte that is not there.
        from: u64,
        /// The position after the last one.
        to: u64,
    },
    /// Nothing says where in the upload these bytes belong.
    Unplaced {
        /// Their key.
        key: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { from, to } => write!(f, "bytes {from}..{to} are not there"),
            Self::Unplaced { key } => write!(f, "nothing says where {key} belongs"),
        }
    }
}

/// Where a page of a listing ended; only the storage that made it can read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub(super) String);

/// A page of all that is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The uploads of which anything is stored, each once.
    pub uploads: Vec<Stored>,
    /// What is there and belongs to no upload by its name.
    pub strays: Vec<Stray>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// An upload in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What finds it.
    pub key: TaskKey,
    /// How many bytes of room everything of it takes, documents and leftovers too.
    pub bytes: u64,
    /// When anything of it was last written, by the storage's clock.
    pub newest: UnixMillis,
    /// Whether any of its documents is there.
    pub documented: bool,
}

/// Something in a listing that is no upload's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Its key, or the name of a directory.
    pub key: String,
    /// Its size in bytes; 0 for a directory.
    pub bytes: u64,
    /// When it was last written, by the storage's clock.
    pub newest: UnixMillis,
}
