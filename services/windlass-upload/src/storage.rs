//! Where bytes are kept, behind one trait: a local disk here, object stores later.
//!
//! What the trait owes to both: a writer takes bytes as they come and may keep them back until a checkpoint; a
//! checkpoint makes them durable and says which immutable segments hold the upload from its start; a writer epoch
//! never overwrites what another epoch wrote, so a writer that wakes late can do no harm. An object store's writer
//! gets its part numbers reserved by a commit of its own before it sends them.

#[cfg(test)]
mod contract;
mod disk;
mod document;
mod found;

use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use windlass_task::{Record, Segment, TaskKey, WriterEpoch};

pub use disk::{Disk, Durability};
pub use document::{Completion, Manifest};
pub use found::{Cursor, Damage, Found, Page, Stored, Stray};

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
    /// is among them, for it was durable before. The answer is strongly consistent with every write that was answered.
    ///
    /// # Errors
    /// [`Error`]; [`Error::ReadDocument`] for a document that is there and makes no sense.
    async fn find(&self, key: &TaskKey) -> Result<Option<Found>, Error>;

    /// Makes what was found something that no writer of an earlier generation can change, and that a new epoch can go on
    /// behind; before a new record lists it. A local disk has nothing to do: each epoch has a file of its own. Doing it
    /// twice is doing it once.
    ///
    /// # Errors
    /// [`Error`]; it must be tried again.
    async fn secure(&self, _: &TaskKey, found: Found) -> Result<Found, Error> {
        Ok(found)
    }

    /// Everything that is stored, at most `limit` uploads and strays a page, in an order that stays; `after` is where
    /// the last page ended. Told from listings alone: no document is read and, where a listing says enough, nothing is
    /// looked at one by one. What comes or goes meanwhile may be in it or not. Changes nothing.
    ///
    /// # Errors
    /// [`Error`].
    async fn list(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, Error>;

    /// The file that holds a segment, for programs on this machine; none where it is no file.
    fn path_of(&self, segment: &Segment) -> Option<PathBuf>;

    /// Takes in the first `size` bytes of a file on this machine as a task's first, immutable segment, and leaves the
    /// file as it is. Doing it twice is doing it once.
    ///
    /// # Errors
    /// [`Error`]; what was not taken in whole is not there.
    async fn take_in(&self, key: &TaskKey, file: &Path, size: u64, how: Transfer) -> Result<Vec<Segment>, Error>;

    /// A writer that goes on at `record.received`, under the epoch of `record.token`.
    ///
    /// # Errors
    /// [`Error`].
    async fn open(&self, record: &Record) -> Result<Box<dyn Writer>, Error>;

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
}

/// What a checkpoint has made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The contiguous durable bytes from the upload's start.
    pub received: u64,
    /// Where they are, in order.
    pub segments: Vec<Segment>,
}
