//! An object store: immutable objects, puts that fail before or after their effect, and puts that were given up and arrive
//! late.
//!
//! An upload's bytes are parts, each an object of its own named by generation, epoch and a number that is never used
//! twice; before its first part an epoch writes where it begins.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep};
use windlass_task::{Generation, Record, Segment, SegmentKind, TaskKey, Token, UnixMillis, WriterEpoch};
use windlass_upload::storage::{
    Bytestream, Checkpoint, Completion, Cursor, Error, Found, Manifest, Pace, Page, Piece, Run, Runs, Storage, Stored,
    Transfer, Writer, line_up,
};

use crate::gate::Gate;
use crate::random::Random;
use crate::trace::Trace;
use crate::world::Mutation;

/// How late a put that was given up may arrive: longer than a takeover and a failover together.
const LATE_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Bucket {
    random: Random,
    trace: Trace,
    mutation: Option<Mutation>,
    began: (Instant, UnixMillis),
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    uploads: HashMap<TaskKey, Objects>,
    parts: HashMap<String, Part>,
    /// When the put in hand arrives.
    now: UnixMillis,
    numbers: u64,
    calm: bool,
}

struct Part {
    /// Where it begins in its upload.
    start: u64,
    bytes: Bytes,
    arrived: UnixMillis,
}

#[derive(Default)]
struct Objects {
    /// When something of it arrived last.
    newest: UnixMillis,
    manifest: Option<Manifest>,
    length: Option<u64>,
    completion: Option<Completion>,
    epochs: BTreeMap<(Generation, WriterEpoch), Epoch>,
    grounds: BTreeMap<(Generation, WriterEpoch), Vec<Segment>>,
}

#[derive(Default)]
struct Epoch {
    start: u64,
    parts: Vec<String>,
}

/// What becomes of a put.
enum Fate {
    Done,
    /// It fails, and nothing is there.
    Before,
    /// It fails, and all of it is there.
    After,
    /// It fails, and all of it will be there later.
    Late(Duration),
}

impl Bucket {
    pub(crate) fn start(random: Random, trace: Trace, mutation: Option<Mutation>) -> Arc<Self> {
        Arc::new(Self {
            random,
            trace,
            mutation,
            began: (Instant::now(), UnixMillis::now()),
            inner: Mutex::default(),
        })
    }

    pub(crate) fn calm(&self) {
        self.lock().calm = true;
    }

    /// The store's clock; no line of a trace shows it.
    pub(crate) fn now(&self) -> UnixMillis {
        self.began.1.after(self.began.0.elapsed())
    }

    /// The clock by which the collectors of garbage judge what is old.
    pub(crate) fn as_collectors_see_it(&self) -> UnixMillis {
        match self.mutation {
            Some(Mutation::CollectAnyAge) => self.now().after(Duration::from_secs(3_600)),
            _ => self.now(),
        }
    }

    pub(crate) fn say_collected(&self, removed: u64) {
        self.trace.say(&format!("garbage of {removed} uploads is removed"));
    }

    /// As it is when a put arrives.
    fn now_locked(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        inner.now = self.now();
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self) -> Fate {
        if self.lock().calm || !self.random.once_in(15) {
            return Fate::Done;
        }
        match self.random.between(0, 3) {
            0 => Fate::Before,
            1 => Fate::After,
            _ => Fate::Late(self.random.millis(0, LATE_MAX.as_millis() as u64)),
        }
    }
}

/// A pod's way to the bucket.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) gate: Gate,
}

impl Access {
    async fn travel(&self) {
        let calm = self.bucket.lock().calm;
        sleep(self.bucket.random.millis(0, if calm { 5 } else { 60 })).await;
    }

    /// Puts something: `effect` happens once, or never.
    async fn put(&self, effect: impl FnOnce(&mut Inner) -> Result<(), Error> + Send + 'static) -> Result<(), Error> {
        self.gate.pass().await;
        self.travel().await;
        let fate = self.bucket.fate();
        let done = match fate {
            Fate::Done => effect(&mut self.bucket.now_locked()),
            Fate::Before => Err(Error::RunThread),
            Fate::After => effect(&mut self.bucket.now_locked()).and(Err(Error::RunThread)),
            Fate::Late(wait) => {
                let bucket = Arc::clone(&self.bucket);
                tokio::spawn(async move {
                    sleep(wait).await;
                    bucket.trace.say("a put arrives that was given up");
                    let _ = effect(&mut bucket.now_locked());
                });
                Err(Error::RunThread)
            }
        };
        self.travel().await;
        self.gate.pass().await;
        done
    }

    async fn get<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        self.gate.pass().await;
        self.travel().await;
        let found = look(&self.bucket.lock());
        self.gate.pass().await;
        found
    }
}

#[async_trait]
impl Storage for Access {
    async fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let manifest = manifest.clone();
        self.put(move |inner| {
            let objects = inner.upload(manifest.key.clone());
            objects.manifest.get_or_insert(manifest);
            Ok(())
        })
        .await
    }

    async fn write_completion(&self, key: &TaskKey, completion: &Completion) -> Result<(), Error> {
        let (key, completion) = (key.clone(), completion.clone());
        self.put(move |inner| {
            let objects = inner.upload(key);
            if *objects.completion.get_or_insert_with(|| completion.clone()) == completion {
                Ok(())
            } else {
                Err(Error::CreateDocument { path: PathBuf::new() })
            }
        })
        .await
    }

    async fn write_length(&self, key: &TaskKey, length: u64) -> Result<(), Error> {
        let key = key.clone();
        self.put(move |inner| {
            inner.upload(key).length = Some(length);
            Ok(())
        })
        .await
    }

    async fn read_completion(&self, key: &TaskKey) -> Result<Option<Completion>, Error> {
        let found = self.get(|inner| inner.uploads.get(key).and_then(|objects| objects.completion.clone()));
        Ok(found.await)
    }

    async fn find(&self, key: &TaskKey) -> Result<Option<Found>, Error> {
        Ok(self.get(|inner| find(inner, key)).await)
    }

    async fn secure(
        &self,
        key: &TaskKey,
        found: Found,
        generation: Generation,
        epoch: WriterEpoch,
    ) -> Result<Found, Error> {
        let (key, segments) = (key.clone(), found.segments.clone());
        self.put(move |inner| {
            let grounds = &mut inner.upload(key).grounds;
            let ground = grounds.entry((generation, epoch)).or_default();
            let end = |segments: &[Segment]| segments.last().map_or(0, |last| last.end);
            if end(&segments) > end(ground) {
                *ground = segments;
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    async fn measure(&self, segments: &[Segment]) -> Result<Vec<u64>, Error> {
        let there = |inner: &Inner, segment: &Segment| {
            let part = inner.parts.get(&segment.key);
            let end = part.map_or(0, |part| part.start + part.bytes.len() as u64);
            end.min(segment.end).saturating_sub(segment.start)
        };
        Ok(self
            .get(|inner| segments.iter().map(|segment| there(inner, segment)).collect())
            .await)
    }

    async fn pieces(&self, key: &TaskKey) -> Result<Vec<Piece>, Error> {
        Ok(self.get(|inner| inner.pieces(key)).await)
    }

    async fn discard(&self, key: &TaskKey, piece: &Piece) -> Result<bool, Error> {
        let (task, seen) = (key.clone(), piece.clone());
        let is_there = self.get(|inner| inner.pieces(key).contains(piece)).await;
        if !is_there {
            return Ok(false);
        }
        self.put(move |inner| {
            inner.discard(&task, &seen);
            Ok(())
        })
        .await?;
        Ok(true)
    }

    async fn list(&self, _: Option<&Cursor>, _: usize) -> Result<Page, Error> {
        let uploads = self.get(|inner| {
            let mut keys: Vec<&TaskKey> = inner.uploads.keys().collect();
            keys.sort();
            keys.into_iter().filter_map(|key| inner.stored(key)).collect()
        });
        Ok(Page {
            uploads: uploads.await,
            ..Page::default()
        })
    }

    fn path_of(&self, _: &Segment) -> Option<PathBuf> {
        None
    }

    async fn take_in(&self, _: &TaskKey, _: &Path, _: u64, _: Transfer) -> Result<Vec<Segment>, Error> {
        Err(Error::RunThread)
    }

    fn pace(&self) -> Pace {
        Pace {
            interval: Duration::from_millis(200),
            by_part: true,
        }
    }

    async fn open(&self, record: &Record) -> Result<Box<dyn Writer>, Error> {
        Ok(Box::new(PartWriter {
            access: self.clone(),
            task: record.key.clone(),
            token: record.token,
            segments: record.segments.clone(),
            start: record.received,
            begun: false,
            durable: record.received,
            gathered: Vec::new(),
            broken: false,
        }))
    }

    async fn read(&self, segments: &[Segment], range: Range<u64>) -> Result<Bytestream, Error> {
        let segments = segments.to_vec();
        let bytes = self.get(|inner| {
            let piece = |segment: &Segment| {
                let Part { start, bytes, .. } = inner.parts.get(&segment.key)?;
                let (from, to) = (segment.start.max(range.start), segment.end.min(range.end));
                let at = |position: u64| usize::try_from(position.saturating_sub(*start)).ok();
                (from < to).then(|| bytes.slice(at(from).unwrap_or(0)..at(to).unwrap_or(0)))
            };
            segments.iter().filter_map(piece).collect::<Vec<_>>()
        });
        Ok(futures_util::stream::iter(bytes.await).map(Ok).boxed())
    }

    async fn remove(&self, key: &TaskKey, _: &[Segment], _: WriterEpoch) -> Result<(), Error> {
        let key = key.clone();
        self.put(move |inner| {
            inner.uploads.remove(&key);
            Ok(())
        })
        .await
    }
}

/// The name of the documents of an upload together.
const DOCUMENTS: &str = "documents";

impl Inner {
    /// An upload to which something is written.
    fn upload(&mut self, key: TaskKey) -> &mut Objects {
        let objects = self.uploads.entry(key).or_default();
        objects.newest = self.now;
        objects
    }

    fn stored(&self, key: &TaskKey) -> Option<Stored> {
        let objects = self.uploads.get(key)?;
        let pieces = self.pieces(key);
        let sum = |documents: bool| {
            let wanted = pieces.iter().filter(|piece| piece.document || !documents);
            wanted.map(|piece| piece.bytes).sum()
        };
        Some(Stored {
            key: key.clone(),
            bytes: sum(false),
            documents: sum(true),
            newest: objects.newest,
            documented: objects.manifest.is_some(),
        })
    }

    /// The parts, and the documents as one.
    fn pieces(&self, key: &TaskKey) -> Vec<Piece> {
        let Some(objects) = self.uploads.get(key) else {
            return Vec::new();
        };
        let names = objects.epochs.values().flat_map(|epoch| &epoch.parts);
        let parts = names.filter_map(|name| {
            let part = self.parts.get(name)?;
            Some(Piece {
                key: name.clone(),
                bytes: part.bytes.len() as u64,
                newest: part.arrived,
                document: false,
                part_of: None,
            })
        });
        let documents = Piece {
            key: DOCUMENTS.to_owned(),
            bytes: 1,
            newest: objects.newest,
            document: true,
            part_of: None,
        };
        parts.chain([documents]).collect()
    }

    fn discard(&mut self, key: &TaskKey, piece: &Piece) {
        if !self.pieces(key).contains(piece) {
            return;
        }
        if piece.document {
            self.uploads.remove(key);
        } else {
            self.parts.remove(&piece.key);
        }
    }
}

/// As an object store is asked: listings, and a document an epoch.
fn find(inner: &Inner, key: &TaskKey) -> Option<Found> {
    let objects = inner.uploads.get(key)?;
    // Of several that reconciled at once only one was recorded, and any of them may have been it.
    let last = objects.grounds.keys().map(|(generation, _)| *generation).max();
    let grounds = objects
        .grounds
        .iter()
        .filter(|((generation, _), _)| Some(*generation) == last);
    let longest = grounds.max_by_key(|(_, segments)| segments.last().map_or(0, |last| last.end));
    let of = |since: bool| {
        let epochs = objects.epochs.iter();
        let wanted = epochs.filter(move |((generation, _), _)| (Some(*generation) >= last) == since);
        wanted.map(|(_, epoch)| run(inner, epoch)).collect()
    };
    let runs = Runs {
        earlier: of(false),
        ground: longest.map(|(_, segments)| Run {
            start: 0,
            segments: segments.clone(),
        }),
        later: of(true),
    };
    let accepted = objects.completion.as_ref().filter(|completion| completion.accepted);
    let (segments, damage) = line_up(runs, accepted.map(|completion| completion.length));
    Some(Found {
        manifest: objects.manifest.clone(),
        completion: objects.completion.clone(),
        length: objects.length,
        segments,
        epoch: objects
            .epochs
            .keys()
            .chain(objects.grounds.keys())
            .map(|(_, epoch)| *epoch)
            .max()
            .unwrap_or(WriterEpoch(0)),
        damage,
    })
}

/// The parts that follow from where the epoch began; of two that begin alike, for one was put twice, the longer.
fn run(inner: &Inner, epoch: &Epoch) -> Run {
    let (mut segments, mut covered) = (Vec::new(), epoch.start);
    let parts = epoch.parts.iter().filter_map(|name| {
        let Part { start, bytes, .. } = inner.parts.get(name)?;
        Some((name, *start, start + bytes.len() as u64))
    });
    let parts: Vec<_> = parts.collect();
    loop {
        let reaching = parts
            .iter()
            .filter(|(_, start, end)| *start <= covered && covered < *end);
        let Some((name, _, end)) = reaching.max_by_key(|(_, _, end)| *end) else {
            break;
        };
        segments.push(segment(name, covered, *end));
        covered = *end;
    }
    Run {
        start: epoch.start,
        segments,
    }
}

fn segment(name: &str, start: u64, end: u64) -> Segment {
    Segment {
        store: "model".to_owned(),
        key: name.to_owned(),
        start,
        end,
        kind: SegmentKind::Part,
        parts: None,
    }
}

struct PartWriter {
    access: Access,
    task: TaskKey,
    token: Token,
    segments: Vec<Segment>,
    /// Where the session began.
    start: u64,
    begun: bool,
    durable: u64,
    gathered: Vec<u8>,
    broken: bool,
}

impl PartWriter {
    /// The epoch's document: where the first session of the epoch began.
    async fn begin(&mut self) -> Result<(), Error> {
        if self.begun {
            return Ok(());
        }
        let (task, start) = (self.task.clone(), self.start);
        let name = (self.token.generation, self.token.epoch);
        self.access
            .put(move |inner| {
                let epochs = &mut inner.upload(task).epochs;
                epochs.entry(name).or_insert(Epoch {
                    start,
                    parts: Vec::new(),
                });
                Ok(())
            })
            .await?;
        self.begun = true;
        Ok(())
    }

    async fn put_part(&mut self) -> Result<(), Error> {
        let bytes = Bytes::from(std::mem::take(&mut self.gathered));
        if bytes.is_empty() {
            return Ok(());
        }
        self.begin().await?;
        let (task, start, size) = (self.task.clone(), self.durable, bytes.len() as u64);
        let epoch = (self.token.generation, self.token.epoch);
        let name = {
            let mut inner = self.access.bucket.lock();
            inner.numbers += 1;
            format!("{}.{}.{}", epoch.0, epoch.1, inner.numbers)
        };
        let forgets =
            self.access.bucket.mutation == Some(Mutation::AcknowledgeEarly) && self.access.bucket.random.once_in(8);
        if !forgets {
            let named = name.clone();
            self.access
                .put(move |inner| {
                    let arrived = inner.now;
                    inner.parts.insert(named.clone(), Part { start, bytes, arrived });
                    let epochs = &mut inner.upload(task).epochs;
                    epochs.entry(epoch).or_default().parts.push(named);
                    Ok(())
                })
                .await?;
        }
        self.durable += size;
        self.segments.push(segment(&name, start, self.durable));
        Ok(())
    }
}

#[async_trait]
impl Writer for PartWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.gathered.extend_from_slice(&bytes);
        Ok(())
    }

    async fn checkpoint(&mut self, whole: Option<&Completion>) -> Result<Checkpoint, Error> {
        if self.broken {
            return Err(Error::RunThread);
        }
        self.broken = true;
        self.put_part().await?;
        if let Some(whole) = whole.filter(|whole| whole.length == self.durable) {
            self.access.write_completion(&self.task, whole).await?;
        }
        self.broken = false;
        Ok(self.durable())
    }

    fn durable(&self) -> Checkpoint {
        Checkpoint {
            received: self.durable,
            segments: self.segments.clone(),
        }
    }
}
