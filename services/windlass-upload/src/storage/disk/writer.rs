//! Writing one epoch's file.

use std::fs::File;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use windlass_task::{Record, Segment, SegmentKind, TaskKey, WriterEpoch};

use super::documents::{EpochStart, Unverified};
use super::{Disk, STORE, create, documents, failed};
use crate::storage::{Checkpoint, Completion, Error, Writer};

/// Bytes are gathered to this much before they are written: small writes cost a system call and a hop to a
/// blocking thread each, larger ones no longer get cheaper and hold memory.
const GATHER_BYTES: usize = 1024 * 1024;
/// While all writers together hold [`GATHERED_BYTES_MAX`], each writes what it has from this much on.
const GATHER_BYTES_CROWDED: usize = 128 * 1024;
/// What all writers of a disk together gather before they become thrifty: few uploads get large writes, and many take
/// no more memory for it than eight. Measured with 64 at once.
const GATHERED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A piece below this is copied: it would pin the whole buffer that it was read into, hundreds of times its size from a
/// client that sends little at a time.
const COPIED_BELOW_BYTES: usize = 8 * 1024;
/// Linux takes at most 1024 pieces in one vectored write (IOV_MAX).
const PIECES_MAX: usize = 1_024;

/// How far what is written counts without its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    AsItComes,
    /// All together with the next checkpoint, and nothing is in the file yet.
    AsAWhole,
    /// The same, and some of it is in the file: a document says that it does not count.
    OnceVerified,
}

/// The writer of one epoch's file.
pub(super) struct DiskWriter {
    disk: Disk,
    task: TaskKey,
    key: String,
    epoch: WriterEpoch,
    /// Segments that earlier epochs wrote.
    earlier: Vec<Segment>,
    /// Where this epoch's file begins in the upload.
    start: u64,
    /// That beginning where it has to be written before the file: it is neither known of itself nor from a record.
    unwritten: Option<EpochStart>,
    /// The end of what is in the file.
    written: u64,
    /// The end of what the last checkpoint made durable. No record names what lies behind it.
    durable: u64,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    file: Option<File>,
    /// Whether what is written counts only with the next checkpoint, and whether a document says so already.
    counting: Counting,
    /// Set by a failed write: what the file holds past the last checkpoint is unknown from then on.
    failed: bool,
}

impl DiskWriter {
    pub(super) fn new(disk: Disk, record: &Record) -> Self {
        let key = format!("{}.{}", Disk::stem(&record.key), record.token.epoch);
        let mut earlier = record.segments.clone();
        let own = earlier.pop_if(|last| last.key == key);
        let start = own.as_ref().map_or(record.received, |own| own.start);
        let begins = EpochStart {
            epoch: record.token.epoch,
            start,
        };
        // The first epoch begins at 0 as long as nothing says otherwise, so that most uploads have no such document.
        let is_plain = begins.epoch == WriterEpoch(1) && start == 0;
        Self {
            disk,
            task: record.key.clone(),
            key,
            epoch: record.token.epoch,
            earlier,
            start,
            unwritten: (own.is_none() && !is_plain).then_some(begins),
            written: record.received,
            durable: record.received,
            gathered: Vec::new(),
            gathered_bytes: 0,
            file: None,
            counting: Counting::AsItComes,
            failed: false,
        }
    }

    /// Whether there is enough for a write of its own.
    fn is_full(&self) -> bool {
        let crowded = self.disk.gathered.load(Ordering::Relaxed) >= GATHERED_BYTES_MAX;
        let enough = if crowded { GATHER_BYTES_CROWDED } else { GATHER_BYTES };
        self.gathered_bytes >= enough || self.gathered.len() >= PIECES_MAX
    }

    /// Counts what was gathered as gathered no more.
    fn let_go(&mut self) {
        self.disk.gathered.fetch_sub(self.gathered_bytes, Ordering::Relaxed);
        self.gathered_bytes = 0;
    }

    /// Writes what was gathered. With `sync` it is durable then, and the completion is written behind it.
    async fn flush(&mut self, sync: bool, completion: Option<Completion>) -> Result<(), Error> {
        if self.failed {
            return Err(Error::RunThread);
        }
        if self.gathered.is_empty() && completion.is_none() && (!sync || self.file.is_none()) {
            return Ok(());
        }
        // Until the work is known to have ended well, it has not.
        self.failed = true;
        let documents = || self.disk.documents(&self.task);
        let begins = self.unwritten.filter(|_| !self.gathered.is_empty());
        let counting = match self.counting {
            Counting::AsItComes => Counting::AsItComes,
            // A checkpoint: it is whole, and nothing of it is in the file.
            Counting::AsAWhole if sync => Counting::AsItComes,
            Counting::AsAWhole | Counting::OnceVerified => Counting::OnceVerified,
        };
        let marks = counting != self.counting && counting == Counting::OnceVerified;
        let counts = sync && counting == Counting::OnceVerified;
        // What another request of this epoch left.
        let leftovers = (self.counting != Counting::OnceVerified && !self.gathered.is_empty())
            && self.disk.unverified().contains(&self.key);
        if marks {
            self.disk.unverified().insert(self.key.clone());
        }
        let unverified = |from| Unverified {
            epoch: self.epoch,
            from,
        };
        let mut before = Vec::new();
        before.extend(leftovers.then(|| unverified(None)));
        before.extend(marks.then(|| unverified(Some(self.durable))));
        let work = Work {
            documents: documents(),
            leftovers,
            before,
            after: counts.then(|| unverified(None)),
            begins,
            completion,
            path: self.disk.path(&self.key),
            file: self.file.take(),
            pieces: std::mem::take(&mut self.gathered),
            at: self.written - self.start,
            durable: self.durable - self.start,
            sync,
            disk: self.disk.clone(),
        };
        self.file = self.disk.threads.run(move || work.run()).await?;
        self.written += self.gathered_bytes as u64;
        self.let_go();
        if counts || leftovers && !marks {
            self.disk.unverified().remove(&self.key);
        }
        self.counting = if counts { Counting::AsItComes } else { counting };
        if begins.is_some() {
            self.unwritten = None;
        }
        self.failed = false;
        Ok(())
    }
}

/// What is done on a thread that may wait for the disk, in one go.
struct Work {
    disk: Disk,
    path: PathBuf,
    file: Option<File>,
    pieces: Vec<Bytes>,
    at: u64,
    durable: u64,
    sync: bool,
    /// The file of the upload's documents.
    documents: PathBuf,
    begins: Option<EpochStart>,
    /// Whether the file has bytes behind the durable ones that must not come to count.
    leftovers: bool,
    /// What is said of what counts before the bytes are written, and after they are durable.
    before: Vec<Unverified>,
    after: Option<Unverified>,
    completion: Option<Completion>,
}

impl Work {
    fn run(mut self) -> Result<Option<File>, Error> {
        let file = self.file.take();
        let Self {
            disk, path, documents, ..
        } = &self;
        if let Some(begins) = &self.begins {
            // Bytes that nobody can place are lost with their record.
            documents::write_epoch(disk, documents, begins)?;
        }
        let file = match file {
            None if self.pieces.is_empty() => None,
            None => {
                let file = create(path)?;
                disk.sync_parent(path)?;
                Some(file)
            }
            file => file,
        };
        if let Some(file) = file.as_ref().filter(|_| self.leftovers) {
            file.set_len(self.durable)
                .map_err(|source| failed("shorten", path, source))?;
        }
        for unverified in &self.before {
            documents::write_unverified(disk, documents, unverified)?;
        }
        if let Some(file) = &file {
            if let Err(source) = write_all_at(file, &self.pieces, self.at) {
                // On a full disk what will never count gives its room back: otherwise not even the record of a
                // termination, which makes room, would find any. Best effort, the error itself is told.
                let _ = file.set_len(self.durable);
                return Err(failed("write", path, source));
            }
            if self.sync {
                disk.sync(file, path)?;
            }
        }
        if let Some(unverified) = &self.after {
            documents::write_unverified(disk, documents, unverified)?;
        }
        if let Some(completion) = &self.completion {
            documents::write_completion(disk, documents, completion)?;
        }
        Ok(file)
    }
}

impl Drop for DiskWriter {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[async_trait]
impl Writer for DiskWriter {
    fn counts_as_a_whole(&mut self) {
        self.counting = Counting::AsAWhole;
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.gathered_bytes += bytes.len();
        self.disk.gathered.fetch_add(bytes.len(), Ordering::Relaxed);
        self.gathered.push(if bytes.len() < COPIED_BELOW_BYTES {
            Bytes::copy_from_slice(&bytes)
        } else {
            bytes
        });
        if self.is_full() {
            self.flush(false, None).await?;
        }
        Ok(())
    }

    async fn checkpoint(&mut self, whole: Option<&Completion>) -> Result<Checkpoint, Error> {
        let received = self.written + self.gathered_bytes as u64;
        let whole = whole.filter(|completion| completion.length == received);
        self.flush(true, whole.cloned()).await?;
        self.durable = self.written;
        Ok(self.durable())
    }

    fn durable(&self) -> Checkpoint {
        let mut segments = self.earlier.clone();
        if self.durable > self.start {
            segments.push(Segment {
                store: STORE.to_owned(),
                key: self.key.clone(),
                start: self.start,
                end: self.durable,
                kind: SegmentKind::Part,
                parts: None,
            });
        }
        Checkpoint {
            received: self.durable,
            segments,
        }
    }
}

fn write_all_at(file: &File, pieces: &[Bytes], mut at: u64) -> std::io::Result<()> {
    for pieces in pieces.chunks(PIECES_MAX) {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, at) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    at += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(())
}
