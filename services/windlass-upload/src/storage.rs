//! Where bytes are kept, behind one trait: a local disk, or an object store.
//!
//! What the trait owes to both: a writer takes bytes as they come and may keep them back until a checkpoint; a
//! checkpoint makes them durable and says which immutable segments hold the upload from its start; a writer epoch
//! never overwrites what another epoch wrote, so a writer that wakes late can do no harm. An object store's writer
//! gets its part numbers reserved by a commit before it sends them ([`Writer::reservation`]), sends parts while more bytes
//! come ([`Writer::settled`]), and what it stored becomes one object once no byte is missing ([`Storage::seal`]).

#[cfg(test)]
mod contract;
mod disk;
mod document;
mod found;
pub mod object;
mod piece;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use windlass_task::{Generation, Multipart, Record, Segment, TaskKey, WriterEpoch};

pub use disk::{Disk, Durability};
pub use document::{Completion, Manifest};
pub use found::{Cursor, Damage, Found, Page, Run, Runs, Stored, line_up};
pub use object::{Budget, ObjectStorage};
pub use piece::{Piece, Unfinished, UnfinishedPage};

/// A storage that cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no room left.
    #[error("the storage is full")]
    FindRoom {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be used.
    #[error("cannot {operation} {}", path.display())]
    UseFile {
        /// What was being done.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A document beside the data is there already and says something else.
    #[error("{} exists and differs", path.display())]
    CreateDocument {
        /// Which.
        path: PathBuf,
    },
    /// A document cannot be written as JSON.
    #[error("cannot encode a document")]
    EncodeDocument {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A document beside the data cannot be read.
    #[error("{} cannot be read", path.display())]
    ReadDocument {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An object store does not do what it is asked.
    #[error("cannot use {key} in the object store")]
    UseObject {
        /// Which object, or what the keys of several begin with.
        key: String,
        /// Why.
        #[source]
        source: object::RequestError,
    },
    /// A record names a segment that this storage cannot have.
    #[error("segment {key} is not of this storage")]
    FindSegment {
        /// Its key.
        key: String,
    },
    /// The process is out of threads or stopping.
    #[error("the storage's thread ended")]
    RunThread,
}

impl Error {
    /// Whether waiting may cure it.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::CreateDocument { .. } => false,
            Self::UseObject { source, .. } => source.is_temporary(),
            Self::FindRoom { .. }
            | Self::UseFile { .. }
            | Self::EncodeDocument { .. }
            | Self::ReadDocument { .. }
            | Self::FindSegment { .. }
            | Self::RunThread => true,
        }
    }
}

/// How often the bytes of a body are made durable while more come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest time between two checkpoints, unless the configuration says otherwise.
    pub interval: Duration,
    /// Whether there is one after each part's size too. Otherwise the writer says when parts are durable
    /// ([`Writer::settled`]).
    pub by_part: bool,
}

/// How a file is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transfer {
    /// Under a second name of the same file: at once and without room, on the same file system only.
    #[default]
    Link,
    /// As a copy.
    Copy,
}

/// Bytes on their way out.
pub type Bytestream = BoxStream<'static, Result<Bytes, Error>>;

/// A place for bytes.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Makes the manifest durable beside the data, before the upload's URL leaves. Never rewritten.
    ///
    /// # Errors
    /// [`Error`]; nothing may be acknowledged then.
    async fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error>;

    /// Makes the finish verdict durable beside the data, create-only: the same verdict twice is one.
    ///
    /// # Errors
    /// [`Error::CreateDocument`] when another verdict is there.
    async fn write_completion(&self, key: &TaskKey, completion: &Completion) -> Result<(), Error>;

    /// Makes a length that was deferred durable beside the data, before it is committed: who has declared it does not
    /// declare it again. Of several, which no commit has confirmed, the last one counts.
    ///
    /// # Errors
    /// [`Error`]; it may not be committed then.
    async fn write_length(&self, key: &TaskKey, length: u64) -> Result<(), Error>;

    /// The finish verdict beside the data, if it was written.
    ///
    /// # Errors
    /// [`Error`].
    async fn read_completion(&self, key: &TaskKey) -> Result<Option<Completion>, Error>;

    /// What is stored of an upload by the storage's own account, without its record: what a store that forgot it is told.
    /// `None` when nothing of it is there. Changes nothing.
    ///
    /// Bytes count as far as they are durable without a gap, also those that no commit knows of: whatever was acknowledged
    /// is among them, for it was durable before. The answer is strongly consistent with every write that was answered. How
    /// the epochs' bytes follow one another is [`line_up`]'s to say.
    ///
    /// # Errors
    /// [`Error`]; [`Error::ReadDocument`] for a document that is there and makes no sense.
    async fn find(&self, key: &TaskKey) -> Result<Option<Found>, Error>;

    /// Makes what was found the ground on which `epoch` goes on, before a record lists it: nothing that arrives later from an
    /// earlier generation changes what [`Storage::find`] answers of it, and no writer of one can change the bytes. Of several
    /// grounds of a generation, for several may reconcile at once and only one is recorded, the longest one counts, and what
    /// any epoch of that generation wrote stays. Doing it twice is doing it once.
    ///
    /// # Errors
    /// [`Error`]; it must be tried again, and nothing of what was found may be shown.
    async fn secure(
        &self,
        key: &TaskKey,
        found: Found,
        generation: Generation,
        epoch: WriterEpoch,
    ) -> Result<Found, Error>;

    /// Everything that is stored, at most `limit` uploads and strays a page, in an order that stays; `after` is where
    /// the last page ended. Told from listings alone: no document is read and, where a listing says enough, nothing is
    /// looked at one by one. What comes or goes meanwhile may be in it or not. Changes nothing.
    ///
    /// # Errors
    /// [`Error`].
    async fn list(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, Error>;

    /// How many bytes of each segment are there from its beginning on; what is whole has its whole size. Changes nothing.
    ///
    /// # Errors
    /// [`Error`].
    async fn measure(&self, segments: &[Segment]) -> Result<Vec<u64>, Error>;

    /// Everything that is stored of an upload, in the order in which it may be removed: while there is anything, what tells
    /// whose it is is there. Changes nothing.
    ///
    /// # Errors
    /// [`Error`].
    async fn pieces(&self, key: &TaskKey) -> Result<Vec<Piece>, Error>;

    /// Removes a piece of an upload if it is still as it was seen; answers whether it did. The caller knows that nobody
    /// needs it.
    ///
    /// # Errors
    /// [`Error`]; [`Error::FindSegment`] for what is no piece of this upload.
    async fn discard(&self, key: &TaskKey, piece: &Piece) -> Result<bool, Error>;

    /// A page of the parts that have become no object; none where there is no such thing. Changes nothing.
    ///
    /// # Errors
    /// [`Error`].
    async fn unfinished(&self, _after: Option<&Cursor>, _limit: usize) -> Result<UnfinishedPage, Error> {
        Ok(UnfinishedPage::default())
    }

    /// Removes such parts; answers whether there were any. The caller knows that nobody needs them.
    ///
    /// # Errors
    /// [`Error`]; [`Error::FindSegment`] for what is no upload's.
    async fn abandon(&self, unfinished: &Unfinished) -> Result<bool, Error> {
        Err(Error::FindSegment {
            key: unfinished.key.clone(),
        })
    }

    /// The file that holds a segment, for programs on this machine; none where it is no file.
    fn path_of(&self, segment: &Segment) -> Option<PathBuf>;

    /// Takes in the first `size` bytes of a file on this machine as a task's first, immutable segment, and leaves the
    /// file as it is. Doing it twice is doing it once.
    ///
    /// # Errors
    /// [`Error`]; what was not taken in whole is not there.
    async fn take_in(&self, key: &TaskKey, file: &Path, size: u64, how: Transfer) -> Result<Vec<Segment>, Error>;

    /// How often a body's bytes are made durable.
    fn pace(&self) -> Pace;

    /// What bounds the bytes that writers hold in memory; none where each holds little.
    fn budget(&self) -> Option<&Budget> {
        None
    }

    /// A writer that goes on at `record.received`, under the epoch of `record.token`.
    ///
    /// # Errors
    /// [`Error`].
    async fn open(&self, record: &Record) -> Result<Box<dyn Writer>, Error>;

    /// Whether segments can be read, and are as few as they will be.
    fn is_sealed(&self, _segments: &[Segment]) -> bool {
        true
    }

    /// Makes readable objects of an upload's segments, whose bytes are all recorded; answers where they are then. Doing it
    /// twice, or by two at once, is doing it once.
    ///
    /// # Errors
    /// [`Error`]; [`Error::FindSegment`] when what the segments name is not there.
    async fn seal(&self, _key: &TaskKey, segments: &[Segment]) -> Result<Vec<Segment>, Error> {
        Ok(segments.to_vec())
    }

    /// Removes what is stored of a finished upload besides its documents and these segments.
    ///
    /// # Errors
    /// [`Error`]; what stays does no harm.
    async fn tidy(&self, _key: &TaskKey, _segments: &[Segment]) -> Result<(), Error> {
        Ok(())
    }

    /// The bytes `range` of an upload whose bytes are `segments`.
    ///
    /// # Errors
    /// [`Error`], at once or in the stream.
    async fn read(&self, segments: &[Segment], range: Range<u64>) -> Result<Bytestream, Error>;

    /// Removes all bytes and documents of a task, also what writers up to `epoch` wrote and never committed. What is
    /// not there is removed already.
    ///
    /// # Errors
    /// [`Error`]; it must be tried again.
    async fn remove(&self, key: &TaskKey, segments: &[Segment], epoch: WriterEpoch) -> Result<(), Error>;
}

/// Writes one run of an upload's bytes.
#[async_trait]
pub trait Writer: Send {
    /// What is written until the next checkpoint counts only together: without that checkpoint, [`Storage::find`] must not
    /// find any of it. Said before anything is written.
    fn counts_as_a_whole(&mut self) {}

    /// Takes the bytes that follow. They are safe only after the next checkpoint.
    ///
    /// # Errors
    /// [`Error`]; nothing since the last checkpoint may be acknowledged then, and the writer must be dropped.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Makes all that was taken durable, and says how many bytes the upload has and where. When it then has as many as
    /// `whole` says, that is made durable as by [`Storage::write_completion`], after the bytes.
    ///
    /// # Errors
    /// As [`Writer::write`], and as [`Storage::write_completion`].
    async fn checkpoint(&mut self, whole: Option<&Completion>) -> Result<Checkpoint, Error>;

    /// What is durable by now, without doing anything for it.
    fn durable(&self) -> Checkpoint;

    /// Waits until more has become durable by itself; for ever where nothing does. May be given up while it waits.
    ///
    /// # Errors
    /// As [`Writer::write`].
    async fn settled(&mut self) -> Result<(), Error> {
        std::future::pending().await
    }

    /// Lets go of memory: what is held is made durable some other way.
    ///
    /// # Errors
    /// As [`Writer::write`].
    async fn relieve(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// The part numbers without which the writer cannot go on; a commit must reserve them.
    ///
    /// # Errors
    /// As [`Writer::write`].
    async fn reservation(&mut self) -> Result<Option<Multipart>, Error> {
        Ok(None)
    }

    /// The part numbers that the writer will need soon, for the next commit.
    fn renewal(&mut self) -> Option<Multipart> {
        None
    }

    /// Tells of a commit: what it reserved may be used, and what it names no more may go.
    fn recorded(&mut self, _record: &Record) {}
}

/// What a checkpoint has made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The contiguous durable bytes from the upload's start.
    pub received: u64,
    /// Where they are, in order.
    pub segments: Vec<Segment>,
}
