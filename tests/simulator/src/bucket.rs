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
use tokio::time::sleep;
use windlass_task::{Generation, Record, Segment, SegmentKind, TaskKey, Token, UnixMillis, WriterEpoch};
use windlass_upload::storage::{
    Bytestream, Checkpoint, Completion, Cursor, Error, Found, Manifest, Pace, Page, Run, Runs, Storage, Stored,
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
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    uploads: HashMap<TaskKey, Objects>,
    /// Where a part begins in its upload, and its bytes.
    parts: HashMap<String, (u64, Bytes)>,
    numbers: u64,
    calm: bool,
}

#[derive(Default)]
struct Objects {
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
            inner: Mutex::default(),
        })
    }

    pub(crate) fn calm(&self) {
        self.lock().calm = true;
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
            Fate::Done => effect(&mut self.bucket.lock()),
            Fate::Before => Err(Error::RunThread),
            Fate::After => effect(&mut self.bucket.lock()).and(Err(Error::RunThread)),
            Fate::Late(wait) => {
                let bucket = Arc::clone(&self.bucket);
                tokio::spawn(async move {
                    sleep(wait).await;
                    bucket.trace.say("a put arrives that was given up");
                    let _ = effect(&mut bucket.lock());
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
            let objects = inner.uploads.entry(manifest.key.clone()).or_default();
            objects.manifest.get_or_insert(manifest);
            Ok(())
        })
        .await
    }

    async fn write_completion(&self, key: &TaskKey, completion: &Completion) -> Result<(), Error> {
        let (key, completion) = (key.clone(), completion.clone());
        self.put(move |inner| {
            let objects = inner.uploads.entry(key).or_default();
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
            inner.uploads.entry(key).or_default().length = Some(length);
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
            let grounds = &mut inner.uploads.entry(key).or_default().grounds;
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

    async fn list(&self, _: Option<&Cursor>, _: usize) -> Result<Page, Error> {
        let mut uploads = self
            .get(|inner| inner.uploads.keys().cloned().collect::<Vec<_>>())
            .await;
        uploads.sort();
        let stored = |key| Stored {
            key,
            bytes: 0,
            newest: UnixMillis(0),
            documented: true,
        };
        Ok(Page {
            uploads: uploads.into_iter().map(stored).collect(),
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
                let (start, bytes) = inner.parts.get(&segment.key)?;
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
        let (start, bytes) = inner.parts.get(name)?;
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
                let epochs = &mut inner.uploads.entry(task).or_default().epochs;
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
                    inner.parts.insert(named.clone(), (start, bytes));
                    let epochs = &mut inner.uploads.entry(task).or_default().epochs;
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
