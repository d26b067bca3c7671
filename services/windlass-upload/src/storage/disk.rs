//! The local disk: one file a writer epoch, written in place, and the documents beside it.
//!
//! `<root>/<tenant>/<partition>/<id>.<epoch>` holds what one writer epoch wrote. Bytes past what the record knows are
//! leftovers of a writer that died before its checkpoint was committed; nobody reads them, and whoever goes on in
//! the same epoch writes over them. `<id>.object` is what came whole from elsewhere, `<id>.jsonl` the documents, among
//! them where in the upload each epoch after the first began.

mod documents;
mod find;
mod list;
mod pieces;
mod read;
mod threads;
mod writer;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use windlass_task::{Generation, Record, Segment, SegmentKind, TaskKey, WriterEpoch};

use self::threads::Threads;
use super::{Bytestream, Completion, Cursor, Error, Found, Manifest, Pace, Page, Piece, Storage, Transfer, Writer};

/// The name of this storage in segments.
const STORE: &str = "disk";

/// What a checkpoint survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process: the bytes are the operating system's.
    #[default]
    Process,
    /// A power cut too: each checkpoint waits for the disk.
    PowerCut,
}

/// A directory of a local disk.
#[derive(Debug, Clone)]
pub struct Disk {
    root: Arc<Path>,
    durability: Durability,
    threads: Arc<Threads>,
    /// Bytes that all writers together hold in memory.
    gathered: Arc<AtomicUsize>,
    /// The keys of the files that end with bytes which do not count, for their body was broken off: whoever goes on in
    /// the epoch, which is this process's, removes them first. One at most of each upload that is there.
    unverified: Arc<Mutex<HashSet<String>>>,
}

impl Disk {
    /// The storage in `root`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::UseFile`] when it cannot be made.
    pub fn open(root: &Path, durability: Durability) -> Result<Self, Error> {
        std::fs::create_dir_all(root).map_err(|source| failed("create", root, source))?;
        Ok(Self {
            root: root.into(),
            durability,
            threads: Arc::new(Threads::start(durability).map_err(|source| failed("start threads for", root, source))?),
            gathered: Arc::default(),
            unverified: Arc::default(),
        })
    }

    /// Whether a file in `directory` can have a second name here: links do not reach another file system.
    ///
    /// # Errors
    /// [`Error::UseFile`] when one of the two cannot be looked at.
    pub fn shares_file_system(&self, directory: &Path) -> Result<bool, Error> {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path: &Path| {
            let metadata = std::fs::metadata(path).map_err(|source| failed("look at", path, source))?;
            Ok(metadata.dev())
        };
        Ok(device(&self.root)? == device(directory)?)
    }

    /// `<tenant>/<partition>/<id>`, the common part of a task's keys. Each piece is validated by its type, so no
    /// text from outside can leave the root.
    fn stem(key: &TaskKey) -> String {
        format!("{}/{:02x}/{}", key.tenant, key.id.partition().0, key.id)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// The file of an upload's documents.
    fn documents(&self, key: &TaskKey) -> PathBuf {
        self.path(&format!("{}.jsonl", Self::stem(key)))
    }

    /// Does what may take long, such as a walk over a large directory, on threads that hold up nobody who uploads.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let disk = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&disk)).await;
        done.map_err(|_| Error::RunThread)?
    }

    fn unverified(&self) -> MutexGuard<'_, HashSet<String>> {
        self.unverified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self, file: &File, path: &Path) -> Result<(), Error> {
        match self.durability {
            Durability::Process => Ok(()),
            Durability::PowerCut => file.sync_data().map_err(|source| failed("sync", path, source)),
        }
    }

    /// A new name is durable when its directory is.
    fn sync_parent(&self, path: &Path) -> Result<(), Error> {
        match (self.durability, path.parent()) {
            (Durability::PowerCut, Some(parent)) => File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(|source| failed("sync", parent, source)),
            (Durability::Process, _) | (_, None) => Ok(()),
        }
    }
}

#[async_trait]
impl Storage for Disk {
    async fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let (disk, manifest) = (self.clone(), manifest.clone());
        let path = self.documents(&manifest.key);
        self.threads
            .run(move || documents::write_manifest(&disk, &path, &manifest))
            .await
    }

    async fn write_completion(&self, key: &TaskKey, completion: &Completion) -> Result<(), Error> {
        let (disk, completion) = (self.clone(), completion.clone());
        let path = self.documents(key);
        self.threads
            .run(move || documents::write_completion(&disk, &path, &completion))
            .await
    }

    async fn write_length(&self, key: &TaskKey, length: u64) -> Result<(), Error> {
        let (disk, path) = (self.clone(), self.documents(key));
        self.threads
            .run(move || documents::write_length(&disk, &path, length))
            .await
    }

    async fn read_completion(&self, key: &TaskKey) -> Result<Option<Completion>, Error> {
        let path = self.documents(key);
        self.threads.run(move || documents::read_completion(&path)).await
    }

    async fn find(&self, key: &TaskKey) -> Result<Option<Found>, Error> {
        let (disk, key) = (self.clone(), key.clone());
        self.threads.run(move || find::find(&disk, &key)).await
    }

    async fn secure(
        &self,
        key: &TaskKey,
        found: Found,
        generation: Generation,
        epoch: WriterEpoch,
    ) -> Result<Found, Error> {
        let (disk, path) = (self.clone(), self.documents(key));
        let ground = documents::Ground {
            generation,
            epoch,
            segments: found.segments.clone(),
        };
        self.threads
            .run(move || documents::write_ground(&disk, &path, &ground))
            .await?;
        Ok(found)
    }

    async fn list(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, Error> {
        let after = after.cloned();
        self.aside(move |disk| list::list(disk, after.as_ref(), limit)).await
    }

    async fn measure(&self, segments: &[Segment]) -> Result<Vec<u64>, Error> {
        let segments = segments.to_vec();
        self.aside(move |disk| pieces::measure(disk, &segments)).await
    }

    async fn pieces(&self, key: &TaskKey) -> Result<Vec<Piece>, Error> {
        let key = key.clone();
        self.aside(move |disk| pieces::pieces(disk, &key)).await
    }

    async fn discard(&self, key: &TaskKey, piece: &Piece) -> Result<bool, Error> {
        let (key, piece) = (key.clone(), piece.clone());
        self.aside(move |disk| pieces::discard(disk, &key, &piece)).await
    }

    fn path_of(&self, segment: &Segment) -> Option<PathBuf> {
        let path = (segment.store == STORE).then(|| self.path(&segment.key))?;
        std::path::absolute(path).ok()
    }

    async fn take_in(&self, key: &TaskKey, file: &Path, size: u64, how: Transfer) -> Result<Vec<Segment>, Error> {
        if size == 0 {
            return Ok(Vec::new());
        }
        let (disk, file) = (self.clone(), file.to_owned());
        let key = format!("{}.object", Self::stem(key));
        let segment = Segment {
            store: STORE.to_owned(),
            key: key.clone(),
            start: 0,
            end: size,
            kind: SegmentKind::Object,
            parts: None,
        };
        self.threads
            .run(move || take_in(&disk, &file, &disk.path(&key), how))
            .await?;
        Ok(vec![segment])
    }

    fn pace(&self) -> Pace {
        // DESIGN P1: every 500 ms or part size, whichever is first.
        Pace {
            interval: Duration::from_millis(500),
            by_part: true,
        }
    }

    async fn open(&self, record: &Record) -> Result<Box<dyn Writer>, Error> {
        Ok(Box::new(writer::DiskWriter::new(self.clone(), record)))
    }

    async fn read(&self, segments: &[Segment], range: Range<u64>) -> Result<Bytestream, Error> {
        let foreign = segments.iter().find(|segment| segment.store != STORE);
        match foreign {
            Some(segment) => Err(Error::FindSegment {
                key: segment.key.clone(),
            }),
            None => Ok(read::stream(self.clone(), segments.to_vec(), range)),
        }
    }

    async fn remove(&self, key: &TaskKey, segments: &[Segment], epoch: WriterEpoch) -> Result<(), Error> {
        let (disk, stem) = (self.clone(), Self::stem(key));
        let mut keys: Vec<String> = segments.iter().map(|segment| segment.key.clone()).collect();
        keys.extend((1..=epoch.0).map(|epoch| format!("{stem}.{epoch}")));
        keys.push(format!("{stem}.object"));
        // Last: while the manifest is there, what is left can be found by it.
        keys.push(format!("{stem}.jsonl"));
        let remove = move || {
            for key in keys {
                let path = disk.path(&key);
                disk.unverified().remove(&key);
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => return Err(failed("remove", &path, source)),
                    Ok(()) => {}
                }
            }
            Ok(())
        };
        self.threads.run(remove).await
    }
}

/// Gives `file` the name `path`, or copies it there. A name that is taken is from an earlier try.
fn take_in(disk: &Disk, file: &Path, path: &Path, how: Transfer) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|source| failed("create", parent, source))?;
    }
    match how {
        Transfer::Link => match std::fs::hard_link(file, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed("link", path, source)),
            Ok(()) => {}
        },
        Transfer::Copy => {
            // Under another name until it is whole.
            let draft = path.with_extension("draft");
            let copied = std::fs::copy(file, &draft).and_then(|_| std::fs::rename(&draft, path));
            if let Err(source) = copied {
                let _ = std::fs::remove_file(&draft);
                return Err(failed("copy to", path, source));
            }
        }
    }
    let taken = File::open(path).map_err(|source| failed("open", path, source))?;
    disk.sync(&taken, path)?;
    disk.sync_parent(path)
}

/// Opens a file for reading and writing, with its directory made the first time it is missing.
fn create(path: &Path) -> Result<File, Error> {
    let open = || {
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true).open(path)
    };
    let opened = match (open(), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(parent).and_then(|()| open())
        }
        (opened, _) => opened,
    };
    opened.map_err(|source| failed("create", path, source))
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::FindRoom { source },
        _ => Error::UseFile {
            operation,
            path: path.to_owned(),
            source,
        },
    }
}

#[cfg(test)]
mod tests;
