//! Making readable objects of what is stored: multipart uploads completed, tails put behind them, several objects made one.
//!
//! It is done once every byte is recorded, when no writer can change anything, and may be done by several at once or again
//! after a crash: each step does the same each time, and what was done already is found done.

use std::collections::BTreeMap;
use std::ops::Range;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use windlass_task::{PartNumber, Parts, Segment, SegmentKind, TaskKey};

use super::exchange::{Payload, Source};
use super::name::{Name, Run};
use super::retry::Patience;
use super::store::{Finish, Place, Rules, Tag};
use super::{ObjectStorage, RequestError, failed};
use crate::storage::Error;

/// The least parts that a file, or objects that are not copied, are sent in.
const SENT_BYTES: u64 = 64 * 1024 * 1024;
/// How many parts an object is made of at most, where all are sent: each store takes 10,000.
const SENT_PARTS_MAX: u64 = 9_000;
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
            let key = format!("{}{}", self.folder(task), sealed(tails, range.clone()));
            let payload = Payload::new(tails.iter().map(stored).collect());
            let written = self.store.put(&key, payload, Patience::BYTES);
            written.await.map_err(failed(&key))?;
            objects.push(self.object(key, range.start, range.end));
        }
        match objects.last() {
            Some(last) if objects.len() > 1 && self.joins => {
                let range = 0..last.end;
                let key = format!("{}{}", self.folder(task), sealed(&objects, range.clone()));
                if self.store.head(&key).await.map_err(failed(&key))? != Some(range.end) {
                    self.store_object(&key, objects.iter().map(stored).collect()).await?;
                }
                Ok(vec![self.object(key, 0, range.end)])
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
        let written = self.store.put(&key, payload, Patience::BYTES);
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
        let sealed = self.object(key.clone(), first.start, end);
        for _ in 0..COMPLETE_TRIES {
            let Some(listed) = self.store.list_parts(key, upload).await.map_err(failed(key))? else {
                return self.find_completed(sealed, Patience::REQUEST).await;
            };
            let mut listed: BTreeMap<_, _> = listed.into_iter().map(|part| (part.number, part)).collect();
            let mut parts = Vec::with_capacity(listed.len());
            for (number, size) in group.iter().flat_map(numbers) {
                let found = listed.remove(&number).filter(|part| part.size == size);
                let found = found.ok_or_else(|| Error::FindSegment { key: key.clone() })?;
                parts.push((number, found.tag));
            }
            if !tails.is_empty() {
                // Nobody else's number, and the same bytes whoever does it.
                let number = PartNumber(self.parts_max);
                let payload = Payload::new(tails.iter().map(stored).collect());
                let place = Place { key, upload, number };
                match self.store.put_part(place, payload).await {
                    Ok(tag) => parts.push((number, tag)),
                    Err(error) if error.is_gone() => return self.find_completed(sealed, Patience::REQUEST).await,
                    Err(error) => return Err(failed(key)(error)),
                }
            }
            match self.store.finish(key, upload, &parts).await.map_err(failed(key))? {
                Finish::Done => return self.find_completed(sealed, Patience::BYTES).await,
                Finish::Gone => return self.find_completed(sealed, Patience::REQUEST).await,
                Finish::Stale => {}
            }
        }
        Err(Error::FindSegment { key: key.clone() })
    }

    /// What a multipart upload has become: whoever completed it named the same parts.
    async fn find_completed(&self, sealed: Segment, patience: Patience) -> Result<Segment, Error> {
        self.confirm(&sealed.key, sealed.end - sealed.start, patience).await?;
        Ok(sealed)
    }

    /// Waits until an object is there with all its bytes. That it is done is not enough to let go of what it is made of:
    /// who asks a second time, because the first answer was late, is told so by some stores while they are still at it.
    async fn confirm(&self, key: &str, size: u64, patience: Patience) -> Result<(), Error> {
        let mut tries = patience.begin();
        loop {
            let found = self.store.head(key).await;
            match found {
                Ok(Some(found)) if found == size => return Ok(()),
                Ok(None) if tries.wait().await => {}
                Ok(_) => return Err(Error::FindSegment { key: key.to_owned() }),
                Err(error) if error.is_temporary() && tries.wait().await => {}
                Err(error) => return Err(failed(key)(error)),
            }
        }
    }

    /// Writes an object of any size: copied where the rules for parts allow, otherwise through here.
    pub(super) async fn store_object(&self, key: &str, sources: Vec<Source>) -> Result<(), Error> {
        let whole = Payload::new(sources.clone());
        if whole.size() <= SENT_BYTES {
            return self.store.put(key, whole, Patience::BYTES).await.map_err(failed(key));
        }
        let upload = self.store.begin(key).await.map_err(failed(key))?;
        let size = whole.size();
        if let Err(error) = self.store_pieces(key, &upload, plan(sources, self.store.rules())).await {
            if let Err(error) = self.store.abort(key, &upload).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a multipart upload without a use stays"
                );
            }
            return Err(error);
        }
        self.confirm(key, size, Patience::BYTES).await
    }

    async fn store_pieces(&self, key: &str, upload: &str, pieces: Vec<Piece>) -> Result<(), Error> {
        let mut parts: Vec<(PartNumber, Tag)> = Vec::with_capacity(pieces.len());
        for (number, piece) in (1..).map(PartNumber).zip(pieces) {
            let place = Place { key, upload, number };
            let tag = self.store_piece(place, piece).await.map_err(failed(key))?;
            parts.push((number, tag));
        }
        match self.store.finish(key, upload, &parts).await.map_err(failed(key))? {
            Finish::Done | Finish::Gone => Ok(()),
            Finish::Stale => Err(Error::FindSegment { key: key.to_owned() }),
        }
    }

    async fn store_piece(&self, place: Place<'_>, piece: Piece) -> Result<Tag, RequestError> {
        let sources = match piece {
            Piece::Copied(key, range) => {
                if let Some(tag) = self.store.copy_part(place, &key, range.clone()).await? {
                    return Ok(tag);
                }
                vec![Source::Stored { key, range }]
            }
            Piece::Sent(sources) => sources,
        };
        self.store.put_part(place, Payload::new(sources)).await
    }

    fn object(&self, key: String, start: u64, end: u64) -> Segment {
        Segment {
            store: self.name().to_owned(),
            key,
            start,
            end,
            kind: SegmentKind::Object,
            parts: None,
        }
    }
}

/// The parts that make an object of these sources: none but the last is too small, none too large. What is large enough is
/// copied; what is too small is sent together with what follows it.
fn plan(sources: Vec<Source>, rules: Rules) -> Vec<Piece> {
    let whole: u64 = sources.iter().map(Source::size).sum();
    let sent = SENT_BYTES.max(whole.div_ceil(SENT_PARTS_MAX));
    let copied = |source: &Source| {
        matches!(source, Source::Stored { .. }) && rules.copy_bytes_max > 0 && source.size() >= rules.part_bytes_min
    };
    // What could be copied by itself is sent only as far as the part before it needs.
    let enough = |source: &Source| match source {
        Source::Stored { .. } if rules.copy_bytes_max > 0 => rules.part_bytes_min,
        Source::Stored { .. } | Source::File { .. } | Source::Memory(_) => sent,
    };
    let mut pieces = Vec::new();
    let mut small: Vec<Source> = Vec::new();
    for source in sources {
        let mut rest = Some(source);
        while let Some(source) = rest.take() {
            let gathered: u64 = small.iter().map(Source::size).sum();
            let copies = gathered == 0 && copied(&source);
            let enough = enough(&source);
            let (front, behind) = if copies {
                cut(source, rules.copy_bytes_max)
            } else {
                cut(source, enough.saturating_sub(gathered))
            };
            rest = behind;
            match front {
                Source::Stored { key, range } if copies => pieces.push(Piece::Copied(key, range)),
                front => {
                    small.push(front);
                    if small.iter().map(Source::size).sum::<u64>() >= enough {
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

/// The name of what these become: whoever makes it of others, in another generation, does not write over it.
fn sealed(of: &[Segment], range: Range<u64>) -> Name {
    let mut digest = Sha256::new();
    for Segment { key, start, end, .. } in of {
        digest.update(format!("{key} {start} {end}\n"));
    }
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(digest.finalize());
    let of = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    Name::Sealed { of, range }
}

fn stored(segment: &Segment) -> Source {
    Source::Stored {
        key: segment.key.clone(),
        range: 0..segment.end - segment.start,
    }
}

/// The numbers of a segment's parts with the size that each must have.
pub(super) fn numbers(segment: &Segment) -> impl Iterator<Item = (PartNumber, u64)> + use<> {
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

    const PART_BYTES_MIN: u64 = 5 * MIB;
    const COPY_BYTES_MAX: u64 = 4 * 1024 * MIB;

    fn sizes(sources: &[u64]) -> Vec<(bool, u64)> {
        sizes_where(sources, PART_BYTES_MIN, COPY_BYTES_MAX)
    }

    fn sizes_where(sources: &[u64], part_bytes_min: u64, copy_bytes_max: u64) -> Vec<(bool, u64)> {
        let rules = Rules {
            name: "some",
            part_bytes_min,
            copy_bytes_max,
            parts_stay: None,
        };
        let stored = sources.iter().enumerate().map(|(index, size)| Source::Stored {
            key: index.to_string(),
            range: 0..*size,
        });
        let pieces = plan(stored.collect(), rules);
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
    fn what_is_never_copied_is_sent_in_large_parts_and_what_has_no_least_size_is_always_copied() {
        let sent = [(false, SENT_BYTES), (false, SENT_BYTES), (false, 2 * MIB)];
        assert_eq!(sizes_where(&[MIB, 2 * SENT_BYTES, MIB], 1, 0), sent);
        let sources = [1, 2 * COPY_BYTES_MAX, 3];
        assert_eq!(sizes_where(&sources, 1, u64::MAX), sources.map(|size| (true, size)));
        let huge = sizes_where(&[20_000 * SENT_BYTES], 1, 0);
        assert!(huge.len() as u64 <= SENT_PARTS_MAX, "{}", huge.len());
    }

    #[test]
    fn a_run_of_parts_has_a_number_for_each_and_a_short_one_at_its_end() {
        let segment = Segment {
            store: "some".to_owned(),
            key: "k".to_owned(),
            start: 100,
            end: 125,
            kind: SegmentKind::Part,
            parts: Some(Parts {
                upload: "u".to_owned(),
                first: PartNumber(7),
                size: 10,
            }),
        };
        let expected = [(PartNumber(7), 10), (PartNumber(8), 10), (PartNumber(9), 5)];
        assert_eq!(numbers(&segment).collect::<Vec<_>>(), expected);
    }
}
