//! Making readable objects of what is stored: multipart uploads completed, tails put behind them, several objects made one.
//!
//! It is done once every byte is recorded, when no writer can change anything, and may be done by several at once or again
//! after a crash: each step does the same each time, and what was done already is found done.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use windlass_task::{PartNumber, Parts, Segment, SegmentKind, TaskKey};

use super::name::{Name, Run};
use super::retry::Patience;
use super::s3::{ETag, Payload, Source};
use super::{ObjectStorage, STORE, failed};
use crate::storage::Error;

/// The least that a part must have, but for the last: 5 MiB on S3, R2, MinIO and GCS; Alibaba OSS takes less.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// The most that one part can have, copied or sent: 5 GiB on all of them. A little less, so that what follows it is no
/// part of a few bytes.
const COPY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// The parts that a file or a run of small objects is sent in.
const SENT_BYTES: u64 = 64 * 1024 * 1024;
/// How often completing is begun again because a part was not the one that had been listed a moment before.
const COMPLETE_TRIES: usize = 4;
/// How many tails of one upload are copied at once: a record has some tens, and clients wait for its reconciliation.
const KEPT_AT_ONCE: usize = 8;

/// A part of an object that is made of others.
#[derive(Debug, Clone)]
enum Piece {
    /// Bytes of one object, which do not leave the store.
    Copied(String, std::ops::Range<u64>),
    /// Bytes that pass through here, a few at a time.
    Sent(Vec<Source>),
}

impl ObjectStorage {
    pub(super) async fn seal_upload(&self, task: &TaskKey, segments: &[Segment]) -> Result<Vec<Segment>, Error> {
        let tails = segments
            .iter()
            .rev()
            .take_while(|segment| segment.kind == SegmentKind::Tail)
            .count();
        let (before, tails) = segments.split_at(segments.len() - tails);
        let mut objects = self.complete_all(before, tails).await?;
        let tails_placed = before.last().is_some_and(|last| last.parts.is_some());
        if let (false, Some(first), Some(last)) = (tails_placed, tails.first(), tails.last()) {
            let range = first.start..last.end;
            let key = format!("{}{}", self.folder(task), Name::Sealed { range: range.clone() });
            let payload = Payload::new(tails.iter().map(stored).collect());
            let written = self.s3.put(&key, payload, Patience::BYTES);
            written.await.map_err(failed(&key))?;
            objects.push(object(key, range.start, range.end));
        }
        match objects.last() {
            Some(last) if objects.len() > 1 && self.joins => {
                let range = 0..last.end;
                let key = format!("{}{}", self.folder(task), Name::Sealed { range: range.clone() });
                if self.s3.head(&key).await.map_err(failed(&key))? != Some(range.end) {
                    self.store_object(&key, objects.iter().map(stored).collect()).await?;
                }
                Ok(vec![object(key, 0, range.end)])
            }
            Some(_) | None => Ok(objects),
        }
    }

    /// Copies each tail among the segments to a name of `run`. One by one: no tail crosses the end of a part.
    pub(super) async fn keep_tails(
        &self,
        task: &TaskKey,
        run: Run,
        segments: Vec<Segment>,
    ) -> Result<Vec<Segment>, Error> {
        let mut copies = Vec::with_capacity(segments.len());
        for segment in segments {
            copies.push(self.keep(self.folder(task), run, segment));
        }
        stream::iter(copies).buffered(KEPT_AT_ONCE).try_collect().await
    }

    async fn keep(&self, folder: String, run: Run, segment: Segment) -> Result<Segment, Error> {
        if segment.kind != SegmentKind::Tail {
            return Ok(segment);
        }
        let range = segment.start..segment.end;
        let key = format!("{folder}{}", Name::Kept { run, range });
        let payload = Payload::new(vec![stored(&segment)]);
        let written = self.s3.put(&key, payload, Patience::BYTES);
        written.await.map_err(failed(&key))?;
        Ok(Segment { key, ..segment })
    }

    /// Completes each multipart upload that segments are of; tails become the last one's last part.
    pub(super) async fn complete_all(&self, segments: &[Segment], tails: &[Segment]) -> Result<Vec<Segment>, Error> {
        let mut completed: Vec<Segment> = Vec::new();
        let mut rest = segments;
        while let Some(first) = rest.first() {
            let upload = first.parts.as_ref().map(|parts| &parts.upload);
            let same =
                |segment: &&Segment| upload.is_some() && segment.parts.as_ref().map(|parts| &parts.upload) == upload;
            let count = rest.iter().take_while(same).count().max(1);
            let (group, others) = rest.split_at(count);
            rest = others;
            if upload.is_none() {
                completed.extend_from_slice(group);
            } else {
                let tails = if rest.is_empty() { tails } else { &[] };
                completed.push(self.complete_group(group, tails).await?);
            }
        }
        Ok(completed)
    }

    /// Completes one multipart upload; tails behind its parts become its last part.
    async fn complete_group(&self, group: &[Segment], tails: &[Segment]) -> Result<Segment, Error> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return Err(Error::RunThread);
        };
        let Some(Parts { upload, .. }) = &first.parts else {
            return Err(Error::RunThread);
        };
        let key = &first.key;
        let end = tails.last().map_or(last.end, |tail| tail.end);
        let sealed = object(key.clone(), first.start, end);
        for _ in 0..COMPLETE_TRIES {
            let Some(listed) = self.s3.list_parts(key, upload).await.map_err(failed(key))? else {
                return self.find_completed(sealed).await;
            };
            let mut listed: BTreeMap<_, _> = listed.into_iter().map(|part| (part.number, part)).collect();
            let mut parts = Vec::with_capacity(listed.len());
            for (number, size) in group.iter().flat_map(numbers) {
                let found = listed.remove(&number).filter(|part| part.size == size);
                let found = found.ok_or_else(|| Error::FindSegment { key: key.clone() })?;
                parts.push((number, found.etag));
            }
            if !tails.is_empty() {
                // Nobody else's number, and the same bytes whoever does it.
                let number = PartNumber(self.parts_max);
                let payload = Payload::new(tails.iter().map(stored).collect());
                let sent = self.s3.put_part(key, upload, number, payload).await;
                match sent {
                    Ok(etag) => parts.push((number, etag)),
                    Err(error) if error.is_gone() => return self.find_completed(sealed).await,
                    Err(error) => return Err(failed(key)(error)),
                }
            }
            match self.s3.complete(key, upload, &parts).await {
                Ok(()) => return Ok(sealed),
                Err(error) if error.is_gone() => return self.find_completed(sealed).await,
                Err(error) if error.has_code("InvalidPart") => {}
                Err(error) => return Err(failed(key)(error)),
            }
        }
        Err(Error::FindSegment { key: key.clone() })
    }

    /// What a multipart upload became that is there no more: whoever completed it named the same parts.
    async fn find_completed(&self, sealed: Segment) -> Result<Segment, Error> {
        let size = self.s3.head(&sealed.key).await.map_err(failed(&sealed.key))?;
        if size == Some(sealed.end - sealed.start) {
            Ok(sealed)
        } else {
            Err(Error::FindSegment { key: sealed.key })
        }
    }

    /// Writes an object of any size: copied where the rules for parts allow, otherwise through here.
    pub(super) async fn store_object(&self, key: &str, sources: Vec<Source>) -> Result<(), Error> {
        let whole = Payload::new(sources.clone());
        if whole.size() <= SENT_BYTES {
            return self.s3.put(key, whole, Patience::BYTES).await.map_err(failed(key));
        }
        let upload = self.s3.create_multipart(key).await.map_err(failed(key))?;
        let stored = self.store_pieces(key, &upload, plan(sources)).await;
        if stored.is_err()
            && let Err(error) = self.s3.abort(key, &upload).await
        {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a multipart upload without a use stays"
            );
        }
        stored
    }

    async fn store_pieces(&self, key: &str, upload: &str, pieces: Vec<Piece>) -> Result<(), Error> {
        let mut parts: Vec<(PartNumber, ETag)> = Vec::with_capacity(pieces.len());
        for (number, piece) in (1..).map(PartNumber).zip(pieces) {
            let stored = match piece {
                Piece::Copied(from, range) => self.s3.copy_part(key, upload, number, (&from, range)).await,
                Piece::Sent(sources) => self.s3.put_part(key, upload, number, Payload::new(sources)).await,
            };
            parts.push((number, stored.map_err(failed(key))?));
        }
        match self.s3.complete(key, upload, &parts).await {
            Err(error) if error.is_gone() => Ok(()),
            completed => completed.map_err(failed(key)),
        }
    }
}

/// The parts that make an object of these sources: none but the last is too small, none too large. What is large enough is
/// copied; what is too small is sent together with what follows it.
fn plan(sources: Vec<Source>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut small: Vec<Source> = Vec::new();
    for source in sources {
        let mut rest = Some(source);
        while let Some(source) = rest.take() {
            let gathered: u64 = small.iter().map(Source::size).sum();
            let (front, behind) = match &source {
                Source::Stored { .. } if gathered == 0 && source.size() >= PART_BYTES_MIN => {
                    cut(source, COPY_BYTES_MAX)
                }
                Source::Stored { .. } => cut(source, PART_BYTES_MIN - gathered),
                Source::File { .. } | Source::Memory(_) => cut(source, SENT_BYTES - gathered),
            };
            rest = behind;
            match front {
                Source::Stored { key, range } if gathered == 0 && range.end - range.start >= PART_BYTES_MIN => {
                    pieces.push(Piece::Copied(key, range));
                }
                front => {
                    small.push(front);
                    if small.iter().map(Source::size).sum::<u64>() >= PART_BYTES_MIN {
                        pieces.push(Piece::Sent(std::mem::take(&mut small)));
                    }
                }
            }
        }
    }
    if !small.is_empty() {
        pieces.push(Piece::Sent(small));
    }
    pieces
}

/// The first `size` bytes of a source, and the rest if there is any.
fn cut(source: Source, size: u64) -> (Source, Option<Source>) {
    if source.size() <= size {
        return (source, None);
    }
    match source {
        Source::Memory(mut bytes) => {
            let front = bytes.split_to(usize::try_from(size).unwrap_or(usize::MAX));
            (Source::Memory(front), Some(Source::Memory(bytes)))
        }
        Source::Stored { key, range } => {
            let middle = range.start + size;
            let front = Source::Stored {
                key: key.clone(),
                range: range.start..middle,
            };
            let range = middle..range.end;
            (front, Some(Source::Stored { key, range }))
        }
        Source::File { path, range } => {
            let middle = range.start + size;
            let front = Source::File {
                path: path.clone(),
                range: range.start..middle,
            };
            let range = middle..range.end;
            (front, Some(Source::File { path, range }))
        }
    }
}

fn stored(segment: &Segment) -> Source {
    Source::Stored {
        key: segment.key.clone(),
        range: 0..segment.end - segment.start,
    }
}

fn object(key: String, start: u64, end: u64) -> Segment {
    Segment {
        store: STORE.to_owned(),
        key,
        start,
        end,
        kind: SegmentKind::Object,
        parts: None,
    }
}

/// The numbers of a segment's parts with the size that each must have.
fn numbers(segment: &Segment) -> impl Iterator<Item = (PartNumber, u64)> + use<> {
    let (start, end) = (segment.start, segment.end);
    let (first, size) = segment
        .parts
        .as_ref()
        .map_or((0, 1), |parts| (parts.first.0, parts.size.max(1)));
    let starts = (start..end).step_by(usize::try_from(size).unwrap_or(usize::MAX));
    (first..)
        .map(PartNumber)
        .zip(starts.map(move |start| size.min(end - start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn sizes(sources: &[u64]) -> Vec<(bool, u64)> {
        let stored = sources.iter().enumerate().map(|(index, size)| Source::Stored {
            key: index.to_string(),
            range: 0..*size,
        });
        let pieces = plan(stored.collect());
        let size = |piece: &Piece| match piece {
            Piece::Copied(_, range) => (true, range.end - range.start),
            Piece::Sent(sources) => (false, sources.iter().map(Source::size).sum()),
        };
        pieces.iter().map(size).collect()
    }

    #[test]
    fn what_is_large_enough_is_copied_and_what_is_too_small_is_sent_with_what_follows() {
        assert_eq!(sizes(&[8 * MIB, 9 * MIB]), [(true, 8 * MIB), (true, 9 * MIB)]);
        assert_eq!(
            sizes(&[MIB, 20 * MIB, 3]),
            [(false, 5 * MIB), (true, 16 * MIB), (false, 3)]
        );
        assert_eq!(sizes(&[MIB, MIB, MIB]), [(false, 3 * MIB)]);
        let large = sizes(&[COPY_BYTES_MAX + 1, 8 * MIB, 1]);
        let sum: u64 = large.iter().map(|(_, size)| size).sum();
        assert_eq!(sum, COPY_BYTES_MAX + 1 + 8 * MIB + 1);
        let (_, before) = large.split_last().unwrap();
        assert!(
            before
                .iter()
                .all(|(_, size)| (PART_BYTES_MIN..=COPY_BYTES_MAX).contains(size)),
            "{large:?}"
        );
    }

    #[test]
    fn a_run_of_parts_has_a_number_for_each_and_a_short_one_at_its_end() {
        let segment = Segment {
            kind: SegmentKind::Part,
            parts: Some(Parts {
                upload: "u".to_owned(),
                first: PartNumber(7),
                size: 10,
            }),
            ..object("k".to_owned(), 100, 125)
        };
        let expected = [(PartNumber(7), 10), (PartNumber(8), 10), (PartNumber(9), 5)];
        assert_eq!(numbers(&segment).collect::<Vec<_>>(), expected);
    }
}
