//! An object store: parts while a body is read, small tails where it breaks off, one readable object at the end.
//!
//! No byte touches a disk of this machine. What uploads have in memory is bounded by a budget of the process, after which
//! their sockets are not read. Nothing that is stored is ever written over: names carry the run that wrote them (`name`),
//! parts have numbers that a commit reserved. So a writer that wakes late can do no harm, and a listing tells what there
//! is when the record is lost (`find`).

mod azure;
mod budget;
mod documents;
mod exchange;
mod find;
mod gcs;
mod layout;
mod metrics;
mod name;
mod pending;
mod pieces;
mod retry;
mod s3;
mod seal;
mod settings;
mod store;
mod writer;
mod xml;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prometheus_client::registry::Registry;
use windlass_task::{Generation, Record, Segment, SegmentKind, TaskKey, WriterEpoch};

pub use azure::AzureSettings;
pub use budget::{Budget, Purse};
pub use exchange::Error as RequestError;
pub use gcs::GcsSettings;
pub use s3::{Addressing, CreateOnly, S3Settings};
pub use settings::{Error as SettingsError, Settings};

use self::exchange::Source;
use self::layout::Ground;
use self::metrics::Metrics;
use self::name::{Name, Run, folder};
use self::retry::Patience;
use self::store::Store;
use super::{
    Bytestream, Completion, Cursor, Error, Found, Manifest, Pace, Page, Piece, Storage, Transfer, Unfinished,
    UnfinishedPage, Writer,
};

/// DESIGN P1: each full part, the end or break of a body, and every 5 s between.
const TAIL_EVERY: Duration = Duration::from_secs(5);

/// A bucket. Clones share its connections and its budget.
#[derive(Debug, Clone)]
pub struct ObjectStorage {
    store: Arc<dyn Store>,
    /// What every key begins with; empty, or with a slash at its end.
    prefix: Arc<str>,
    parts_max: u32,
    /// Whether several objects are made one by copying; not where all parts must be equal.
    joins: bool,
    budget: Budget,
    metrics: Metrics,
}

impl ObjectStorage {
    /// The bucket that the settings name. Nothing is sent yet: a store that is away when a process starts is waited for by
    /// the requests that need it.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn open(settings: &Settings, registry: &mut Registry) -> Result<Self, SettingsError> {
        let metrics = Metrics::register(registry);
        let opened = settings.open(metrics.clone())?;
        Ok(Self {
            store: opened.store,
            prefix: opened.prefix.into(),
            parts_max: opened.parts_max,
            joins: opened.joins,
            budget: Budget::new(opened.buffer_bytes, metrics.budget.clone()),
            metrics,
        })
    }

    /// Refuses a lifetime of unfinished uploads in which the store drops what was acknowledged of them.
    ///
    /// # Errors
    /// [`SettingsError::ShortenLifetime`].
    pub fn check_lifetime(&self, lifetime: Duration) -> Result<(), SettingsError> {
        match self.store.rules().parts_stay {
            Some(limit) if lifetime >= limit => Err(SettingsError::ShortenLifetime { limit }),
            Some(_) | None => Ok(()),
        }
    }

    /// The name of its kind of store in segments.
    fn name(&self) -> &'static str {
        self.store.rules().name
    }

    fn folder(&self, key: &TaskKey) -> String {
        folder(&self.prefix, key)
    }

    /// Removes objects that nobody needs any more, when there is time. What stays of them is found by the next listing.
    fn remove_soon(&self, keys: Vec<String>) {
        if keys.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            for key in keys {
                if let Err(error) = store.delete(&key).await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a tail that is not needed stays"
                    );
                }
            }
        });
    }

    /// Ends the multipart uploads of an upload: those that its own documents name and those that the store lists, for not
    /// every store lists them by a prefix.
    async fn abort_all(&self, folder: &str, names: &[Name]) -> Result<(), Error> {
        for begin in self.read_begins(folder, names).await? {
            self.store
                .abort(&begin.key, &begin.upload)
                .await
                .map_err(failed(&begin.key))?;
        }
        let open = self.store.list_open(folder).await.map_err(failed(folder))?;
        for (key, upload) in open {
            self.store.abort(&key, &upload).await.map_err(failed(&key))?;
        }
        Ok(())
    }
}

/// A request that failed, as a failure of the storage.
fn failed(key: &str) -> impl FnOnce(RequestError) -> Error + use<> {
    let key = key.to_owned();
    move |source| {
        if source.is_full() {
            let source = std::io::Error::other(source);
            Error::FindRoom { source }
        } else {
            Error::UseObject { key, source }
        }
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    async fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let key = format!("{}{}", self.folder(&manifest.key), Name::Manifest);
        self.create_document(&key, manifest).await
    }

    async fn write_completion(&self, key: &TaskKey, completion: &Completion) -> Result<(), Error> {
        let key = format!("{}{}", self.folder(key), Name::Completion);
        self.create_document(&key, completion).await
    }

    async fn write_length(&self, key: &TaskKey, length: u64) -> Result<(), Error> {
        let key = format!("{}{}", self.folder(key), Name::Length);
        let document = length.to_string().into_bytes();
        let written = self
            .store
            .put(&key, bytes::Bytes::from(document).into(), Patience::REQUEST);
        written.await.map_err(failed(&key))
    }

    async fn read_completion(&self, key: &TaskKey) -> Result<Option<Completion>, Error> {
        let key = format!("{}{}", self.folder(key), Name::Completion);
        self.read_document(&key).await
    }

    async fn find(&self, key: &TaskKey) -> Result<Option<Found>, Error> {
        self.find_upload(key).await
    }

    /// Multipart uploads become objects: whoever still writes to one finds it gone. Tails are copied: whoever wrote them may
    /// yet put a part in their place. Then a document of its own says where everything is.
    async fn secure(
        &self,
        key: &TaskKey,
        mut found: Found,
        generation: Generation,
        epoch: WriterEpoch,
    ) -> Result<Found, Error> {
        let run = Run::of(generation, epoch);
        let completed = self.complete_all(&found.segments, &[]).await?;
        found.segments = self.keep_tails(key, run, completed).await?;
        let name = format!("{}{}", self.folder(key), Name::Ground { run });
        self.create_document(&name, &Ground::new(&found.segments)).await?;
        Ok(found)
    }

    async fn list(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, Error> {
        self.list_uploads(after, limit).await
    }

    async fn measure(&self, segments: &[Segment]) -> Result<Vec<u64>, Error> {
        self.measure_segments(segments).await
    }

    async fn pieces(&self, key: &TaskKey) -> Result<Vec<Piece>, Error> {
        self.pieces_of(key).await
    }

    async fn discard(&self, key: &TaskKey, piece: &Piece) -> Result<bool, Error> {
        self.discard_piece(key, piece).await
    }

    async fn unfinished(&self, after: Option<&Cursor>, limit: usize) -> Result<UnfinishedPage, Error> {
        self.list_unfinished(after, limit).await
    }

    async fn abandon(&self, unfinished: &Unfinished) -> Result<bool, Error> {
        self.abort_unfinished(unfinished).await
    }

    fn path_of(&self, _segment: &Segment) -> Option<PathBuf> {
        None
    }

    /// A file is copied whatever `how` says: an object has no second name.
    async fn take_in(&self, key: &TaskKey, file: &Path, size: u64, _how: Transfer) -> Result<Vec<Segment>, Error> {
        if size == 0 {
            return Ok(Vec::new());
        }
        let key = format!("{}{}", self.folder(key), Name::Taken { end: size });
        if self.store.head(&key).await.map_err(failed(&key))? != Some(size) {
            let sources = vec![Source::File {
                path: file.to_owned(),
                range: 0..size,
            }];
            self.store_object(&key, sources).await?;
        }
        Ok(vec![Segment {
            store: self.name().to_owned(),
            key,
            start: 0,
            end: size,
            kind: SegmentKind::Object,
            parts: None,
        }])
    }

    fn pace(&self) -> Pace {
        Pace {
            interval: TAIL_EVERY,
            by_part: false,
        }
    }

    fn budget(&self) -> Option<&Budget> {
        Some(&self.budget)
    }

    async fn open(&self, record: &Record) -> Result<Box<dyn Writer>, Error> {
        Ok(Box::new(writer::ObjectWriter::new(self.clone(), record)))
    }

    fn is_sealed(&self, segments: &[Segment]) -> bool {
        segments.iter().all(|segment| segment.kind == SegmentKind::Object) && (segments.len() <= 1 || !self.joins)
    }

    async fn seal(&self, key: &TaskKey, segments: &[Segment]) -> Result<Vec<Segment>, Error> {
        self.seal_upload(key, segments).await
    }

    async fn tidy(&self, key: &TaskKey, segments: &[Segment]) -> Result<(), Error> {
        let folder = self.folder(key);
        let objects = self.store.list_all(&folder).await.map_err(failed(&folder))?;
        for object in objects {
            let name: Option<Name> = object.key.strip_prefix(&folder).and_then(|name| name.parse().ok());
            let documents = name.as_ref().is_none_or(Name::is_document);
            if !documents && segments.iter().all(|segment| segment.key != object.key) {
                self.store.delete(&object.key).await.map_err(failed(&object.key))?;
            }
        }
        Ok(())
    }

    async fn read(&self, segments: &[Segment], range: Range<u64>) -> Result<Bytestream, Error> {
        let readable = |segment: &Segment| segment.store == self.name() && segment.parts.is_none();
        if let Some(foreign) = segments.iter().find(|segment| !readable(segment)) {
            return Err(Error::FindSegment {
                key: foreign.key.clone(),
            });
        }
        let store = Arc::clone(&self.store);
        let pieces: Vec<(String, Range<u64>)> = segments
            .iter()
            .filter_map(|segment| {
                let (start, end) = (segment.start.max(range.start), segment.end.min(range.end));
                (start < end).then(|| (segment.key.clone(), start - segment.start..end - segment.start))
            })
            .collect();
        let bytes = stream::iter(pieces).flat_map(move |(key, range)| {
            let name = key.clone();
            let bytes = store.read(key, range);
            bytes.map_err(move |source| failed(&name)(source)).boxed()
        });
        Ok(bytes.boxed())
    }

    async fn remove(&self, key: &TaskKey, _segments: &[Segment], _epoch: WriterEpoch) -> Result<(), Error> {
        let folder = self.folder(key);
        let objects = self.store.list_all(&folder).await.map_err(failed(&folder))?;
        let names: Vec<Name> = objects
            .iter()
            .filter_map(|object| object.key.strip_prefix(&folder)?.parse().ok())
            .collect();
        self.abort_all(&folder, &names).await?;
        let manifest = format!("{folder}{}", Name::Manifest);
        let begins = |key: &str| key.strip_prefix(&folder).is_some_and(|name| name.starts_with("begin-"));
        // What names multipart uploads goes after them, and last the manifest: while it is there, what is left can be
        // found by it.
        let mut keys: Vec<String> = objects.into_iter().map(|object| object.key).collect();
        keys.sort_by_key(|key| (*key == manifest, begins(key)));
        for key in keys {
            self.store.delete(&key).await.map_err(failed(&key))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
