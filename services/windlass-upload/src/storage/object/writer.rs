//! Writing one run of an upload: full parts go out while the next fills, what is left over becomes a tail.
//!
//! From its start, an upload is what is there already, then parts under way, then pending bytes. A part carries the tails
//! that stand where it begins, so that all parts are equal; these tails are removed once a commit names the part
//! in their place. Nothing here is written twice under one name, and no part is sent whose number no commit reserved.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::task::AbortOnDropHandle;
use windlass_serve::trace;
use windlass_task::{Generation, Multipart, PartNumber, Parts, Record, Segment, SegmentKind, TaskKey};

use super::name::{Name, Run, folder};
use super::pending::{Pending, Piece, payload};
use super::retry::Patience;
use super::store::Place;
use super::{ObjectStorage, RequestError, failed};
use crate::storage::{Checkpoint, Completion, Error, Storage as _, Writer};

/// Parts of one upload that are under way at once, besides the one that fills: the network is never idle while a part
/// is being answered. More would only take more of the budget.
const UNDER_WAY_MAX: usize = 3;
/// How many part numbers are reserved at once. They ride on a checkpoint's commit, so few cost nothing, and what a dead
/// process leaves of them is lost: S3 has 10,000.
const RESERVED_AT_ONCE: u32 = 4;
/// How many tails an upload may have before they are written as one: a record lists them, and a part reads them all.
const TAILS_MAX: usize = 32;

/// Where a run of parts begins; written before the first of them, so that they are found without a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Begin {
    /// The version.
    pub(super) v: u32,
    /// The object that the multipart upload becomes.
    pub(super) key: String,
    /// The store's id of it.
    pub(super) upload: String,
    /// The number of the first part; those that follow have the numbers that follow.
    pub(super) first: PartNumber,
    /// Where the first part begins in the upload.
    pub(super) start: u64,
    /// Where the run itself began to write: what the first part carries from before, others wrote.
    pub(super) from: u64,
    /// The size of each part in bytes, but for the upload's last.
    pub(super) size: u64,
}

/// The version of [`Begin`] that this build writes.
const BEGIN_VERSION: u32 = 1;

/// How far what a run has written counts without its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    AsItComes,
    /// All together with the next checkpoint, and nothing is stored yet.
    AsAWhole,
    /// The same, and some of it is stored: a document says that it does not count.
    OnceVerified,
}

/// A part under way.
struct Outgoing {
    key: String,
    upload: String,
    number: PartNumber,
    range: Range<u64>,
    pieces: Vec<Piece>,
    answer: AbortOnDropHandle<Result<(), RequestError>>,
}

/// The writer of one run.
pub(super) struct ObjectWriter {
    storage: ObjectStorage,
    task: TaskKey,
    folder: String,
    run: Run,
    generation: Generation,
    part_size: u64,
    length: Option<u64>,
    /// Where the run began.
    from: u64,
    /// What is there before everything else: objects, and parts that were answered.
    there: Vec<Segment>,
    under_way: VecDeque<Outgoing>,
    pending: Pending,
    /// As recorded, or about to be.
    multipart: Option<Multipart>,
    /// The reserved numbers that nobody has used.
    numbers: Range<u32>,
    /// Numbers that a commit is asked to reserve.
    wanted: Option<Multipart>,
    /// Whether the run of parts in hand has its document.
    begun: bool,
    /// Tails whose bytes are elsewhere too, removed once a commit says so.
    superseded: Vec<String>,
    /// How far what is written counts.
    counting: Counting,
    /// Set by a request that failed for good.
    broken: bool,
}

impl ObjectWriter {
    pub(super) fn new(storage: ObjectStorage, record: &Record) -> Self {
        let tails = record
            .segments
            .iter()
            .rev()
            .take_while(|segment| segment.kind == SegmentKind::Tail);
        let there = record.segments.len() - tails.count();
        let (there, tails) = record.segments.split_at(there);
        let mut pending = Pending::new(there.last().map_or(0, |last| last.end));
        for tail in tails {
            pending.push_tail(tail.start..tail.end, tail.key.clone());
        }
        let generation = record.token.generation;
        Self {
            folder: folder(&storage.prefix, &record.key),
            task: record.key.clone(),
            run: Run::begin(&record.token),
            generation,
            part_size: record.part_size,
            length: record.length,
            from: record.received,
            there: there.to_vec(),
            under_way: VecDeque::new(),
            pending,
            multipart: record.multipart.clone().filter(|open| open.generation == generation),
            numbers: 0..0,
            wanted: None,
            begun: false,
            superseded: Vec::new(),
            counting: Counting::AsItComes,
            broken: false,
            storage,
        }
    }

    fn key(&self, name: &Name) -> String {
        format!("{}{name}", self.folder)
    }

    /// Says of the run that it counts only as a whole, before anything of it is stored.
    async fn mark(&mut self) -> Result<(), Error> {
        if self.counting == Counting::AsAWhole {
            self.say(&Name::Unverified { run: self.run }).await?;
            self.counting = Counting::OnceVerified;
        }
        Ok(())
    }

    /// Writes a document that is nothing but its name.
    async fn say(&self, name: &Name) -> Result<(), Error> {
        let key = self.key(name);
        let written = self.storage.store.put(&key, Bytes::new().into(), Patience::BYTES);
        written.await.map_err(failed(&key))
    }

    /// Sends every full part for which there is a number.
    async fn send_full(&mut self) -> Result<(), Error> {
        while self.pending.size() >= self.part_size && !self.numbers.is_empty() {
            self.send_part(self.part_size).await?;
        }
        Ok(())
    }

    /// Sends the first `size` pending bytes as a part.
    async fn send_part(&mut self, size: u64) -> Result<(), Error> {
        let Some(Multipart { key, id, .. }) = self.multipart.clone() else {
            return Ok(());
        };
        let number = PartNumber(self.numbers.start);
        self.mark().await?;
        if !self.begun {
            self.write_begin(number, &key, &id).await?;
            self.begun = true;
        }
        while self.under_way.len() >= UNDER_WAY_MAX {
            self.settle_first().await?;
        }
        self.numbers.start += 1;
        let start = self.pending.start();
        let pieces = self.pending.take(size);
        let range = start..self.pending.start();
        let (store, payload) = (Arc::clone(&self.storage.store), payload(&pieces));
        let (to, upload) = (key.clone(), id.clone());
        let sending = async move {
            let place = Place {
                key: &to,
                upload: &upload,
                number,
            };
            store.put_part(place, payload).await.map(drop)
        };
        self.under_way.push_back(Outgoing {
            key,
            upload: id,
            number,
            range,
            pieces,
            answer: AbortOnDropHandle::new(tokio::spawn(trace::carry(sending))),
        });
        Ok(())
    }

    async fn write_begin(&self, first: PartNumber, key: &str, upload: &str) -> Result<(), Error> {
        let begin = Begin {
            v: BEGIN_VERSION,
            key: key.to_owned(),
            upload: upload.to_owned(),
            first,
            start: self.pending.start(),
            from: self.from,
            size: self.part_size,
        };
        let document = serde_json::to_vec(&begin).map_err(|source| Error::EncodeDocument { source })?;
        let name = self.key(&Name::Begin { run: self.run, first });
        let written = self
            .storage
            .store
            .put(&name, Bytes::from(document).into(), Patience::BYTES);
        written.await.map_err(failed(&name))
    }

    /// Waits for the first part under way.
    async fn settle_first(&mut self) -> Result<(), Error> {
        let Some(first) = self.under_way.front_mut() else {
            return Ok(());
        };
        let answered = (&mut first.answer).await;
        let Some(sent) = self.under_way.pop_front() else {
            return Ok(());
        };
        self.broken = true;
        answered.map_err(|_| Error::RunThread)?.map_err(failed(&sent.key))?;
        self.broken = false;
        let tails = sent.pieces.iter().filter_map(Piece::tail);
        self.superseded.extend(tails.map(str::to_owned));
        let follows = |parts: &Parts, start: u64| {
            let count = (sent.range.start - start) / parts.size;
            parts.upload == sent.upload && u64::from(parts.first.0) + count == u64::from(sent.number.0)
        };
        match self.there.last_mut() {
            Some(Segment {
                start,
                end,
                parts: Some(parts),
                ..
            }) if follows(parts, *start) => *end = sent.range.end,
            _ => self.there.push(Segment {
                store: self.storage.name().to_owned(),
                key: sent.key,
                start: sent.range.start,
                end: sent.range.end,
                kind: SegmentKind::Part,
                parts: Some(Parts {
                    upload: sent.upload,
                    first: sent.number,
                    size: self.part_size,
                }),
            }),
        }
        Ok(())
    }

    /// Writes the bytes that are in memory alone as tails, none across the end of a part; many tails become one.
    async fn store_pending(&mut self) -> Result<(), Error> {
        while self.pending.unstored() > 0 {
            let stored = self.pending.end() - self.pending.unstored();
            let part_end =
                self.pending.start() + self.part_size * ((stored - self.pending.start()) / self.part_size + 1);
            let end = part_end.min(self.pending.end());
            let start = if self.pending.tails() >= TAILS_MAX {
                self.pending.start()
            } else {
                stored
            };
            self.cut_at(end);
            self.store_tail(start..end).await?;
        }
        Ok(())
    }

    /// Lets a piece end at `end`.
    fn cut_at(&mut self, end: u64) {
        if end < self.pending.end() {
            let start = self.pending.start();
            let front = self.pending.take(end - start);
            self.pending.put_back(front);
        }
    }

    async fn store_tail(&mut self, range: Range<u64>) -> Result<(), Error> {
        self.mark().await?;
        let key = self.key(&Name::Tail {
            run: self.run,
            range: range.clone(),
        });
        let pieces = self.pending.within(&range);
        let written = self.storage.store.put(&key, payload(&pieces), Patience::BYTES);
        written.await.map_err(failed(&key))?;
        self.superseded.extend(self.pending.replace(range, key));
        Ok(())
    }

    /// Writes an upload that is all in memory as one object.
    async fn store_whole(&mut self) -> Result<(), Error> {
        let range = 0..self.pending.end();
        let key = self.key(&Name::Put {
            run: self.run,
            range: range.clone(),
        });
        let pieces = self.pending.take(range.end);
        let written = self.storage.store.put(&key, payload(&pieces), Patience::BYTES);
        written.await.map_err(failed(&key))?;
        self.there.push(Segment {
            store: self.storage.name().to_owned(),
            key,
            start: 0,
            end: range.end,
            kind: SegmentKind::Object,
            parts: None,
        });
        Ok(())
    }

    /// Whether these are an upload's last bytes.
    fn is_last(&self, whole: Option<&Completion>) -> bool {
        let length = self.length.or(whole.map(|completion| completion.length));
        length == Some(self.pending.end())
    }

    /// Makes everything durable, the way that suits what it is.
    async fn store_all(&mut self, whole: Option<&Completion>) -> Result<(), Error> {
        self.send_full().await?;
        let last = self.is_last(whole) && self.pending.size() > 0;
        if last && self.begun && !self.numbers.is_empty() && self.pending.size() <= self.part_size {
            self.send_part(self.pending.size()).await?;
        }
        while !self.under_way.is_empty() {
            self.settle_first().await?;
        }
        let alone = self.there.is_empty() && self.pending.tails() == 0;
        if last && alone && self.pending.size() > 0 && self.pending.size() <= self.part_size {
            self.store_whole().await
        } else {
            self.store_pending().await
        }
    }

    /// How many numbers the rest of the upload may need, a few at a time.
    fn block(&self) -> u32 {
        let rest = self
            .length
            .map(|length| length.saturating_sub(self.pending.start()).div_ceil(self.part_size));
        let rest = rest
            .and_then(|parts| u32::try_from(parts).ok())
            .unwrap_or(RESERVED_AT_ONCE);
        rest.clamp(1, RESERVED_AT_ONCE)
    }

    /// The next block of numbers in the multipart upload in hand; none when it has no more.
    fn next_block(&self, open: &Multipart) -> Option<Multipart> {
        // The last number is whoever seals the upload's.
        let end = (open.next_part.0 + self.block()).min(self.storage.parts_max);
        (end > open.next_part.0).then(|| Multipart {
            next_part: PartNumber(end),
            ..open.clone()
        })
    }

    fn check(&self) -> Result<(), Error> {
        if self.broken { Err(Error::RunThread) } else { Ok(()) }
    }

    /// What is durable without a gap.
    fn segments(&self) -> Vec<Segment> {
        let mut segments = self.there.clone();
        let pieces = self.under_way.iter().flat_map(|outgoing| &outgoing.pieces);
        let tails = pieces
            .chain(self.pending.pieces())
            .map_while(|piece| piece.segment(self.storage.name()));
        segments.extend(tails);
        segments
    }
}

#[async_trait]
impl Writer for ObjectWriter {
    fn counts_as_a_whole(&mut self) {
        self.counting = Counting::AsAWhole;
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.check()?;
        if !bytes.is_empty() {
            self.pending.push(bytes);
        }
        self.send_full().await
    }

    async fn checkpoint(&mut self, whole: Option<&Completion>) -> Result<Checkpoint, Error> {
        self.check()?;
        if self.counting == Counting::AsAWhole {
            // It is whole, and nothing of it was stored before.
            self.counting = Counting::AsItComes;
        }
        self.store_all(whole).await?;
        if self.counting == Counting::OnceVerified {
            self.say(&Name::Verified { run: self.run }).await?;
            self.counting = Counting::AsItComes;
        }
        if !self.storage.budget.has_room_to_keep() {
            self.pending.forget_stored();
        }
        let checkpoint = self.durable();
        if let Some(whole) = whole.filter(|whole| whole.length == checkpoint.received)
            && self.storage.is_sealed(&checkpoint.segments)
        {
            self.storage.write_completion(&self.task, whole).await?;
        }
        Ok(checkpoint)
    }

    fn durable(&self) -> Checkpoint {
        let segments = self.segments();
        Checkpoint {
            received: segments.last().map_or(0, |last| last.end),
            segments,
        }
    }

    async fn settled(&mut self) -> Result<(), Error> {
        self.check()?;
        if self.under_way.is_empty() {
            return std::future::pending().await;
        }
        self.settle_first().await
    }

    async fn relieve(&mut self) -> Result<(), Error> {
        self.check()?;
        if self.pending.is_in_memory() {
            self.storage.metrics.spilled.inc_by(self.pending.unstored());
            self.store_pending().await?;
            self.pending.forget_stored();
        }
        Ok(())
    }

    async fn reservation(&mut self) -> Result<Option<Multipart>, Error> {
        self.check()?;
        if self.pending.size() < self.part_size || !self.numbers.is_empty() {
            return Ok(None);
        }
        if self.wanted.is_none() {
            let more = self.multipart.as_ref().and_then(|open| self.next_block(open));
            let wanted = match more {
                Some(wanted) => wanted,
                None => {
                    let start = self.pending.start();
                    let key = self.key(&Name::Object { run: self.run, start });
                    let id = self.storage.store.begin(&key).await.map_err(failed(&key))?;
                    Multipart {
                        key,
                        id,
                        generation: self.generation,
                        next_part: PartNumber(1 + self.block()),
                    }
                }
            };
            self.wanted = Some(wanted);
        }
        Ok(self.wanted.clone())
    }

    fn renewal(&mut self) -> Option<Multipart> {
        let used = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX) <= RESERVED_AT_ONCE / 2;
        let left = self.length.is_none_or(|length| {
            let parts = length.saturating_sub(self.pending.start()).div_ceil(self.part_size);
            parts > self.numbers.len() as u64
        });
        if !self.begun || !used || !left || self.wanted.is_some() {
            return None;
        }
        self.wanted = self.multipart.as_ref().and_then(|open| self.next_block(open));
        self.wanted.clone()
    }

    fn recorded(&mut self, record: &Record) {
        if let Some(wanted) = self.wanted.take_if(|wanted| record.multipart.as_ref() == Some(wanted)) {
            let before = self.multipart.replace(wanted.clone());
            let before = before.filter(|before| before.id == wanted.id);
            let first = before.as_ref().map_or(1, |before| before.next_part.0);
            // What is left of the last block goes on in the next, and a run of parts with it.
            if self.numbers.is_empty() || before.is_none() {
                self.begun &= before.is_some() && self.numbers.end == first;
                self.numbers.start = first;
            }
            self.numbers.end = wanted.next_part.0;
        }
        let (gone, kept) = std::mem::take(&mut self.superseded)
            .into_iter()
            .partition(|key| record.segments.iter().all(|segment| segment.key != *key));
        self.superseded = kept;
        self.storage.remove_soon(gone);
    }
}
