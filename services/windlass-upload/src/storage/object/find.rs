//! What a bucket says of an upload by itself.
//!
//! Runs are gone through in their order. Each began where its writer's record ended, so what an earlier run has behind that
//! was never acknowledged; a part carries bytes of tails before it and stands in their place. What a multipart upload
//! became, and what was sealed, was made when every byte was recorded: it stands in place of everything else.

use std::collections::BTreeMap;
use std::ops::Range;

use windlass_task::{Concat, PartNumber, Parts, Segment, SegmentKind, TaskKey, UnixMillis, WriterEpoch};

use super::name::{Name, Run, parse};
use super::s3::{Object, StoredPart};
use super::writer::Begin;
use super::{ObjectStorage, STORE, failed};
use crate::storage::{Completion, Cursor, Damage, Error, Found, Manifest, Page, Stored, Stray};

/// The most that S3 lists at once.
const PAGE_KEYS: usize = 1_000;

/// What one run left.
#[derive(Debug, Default)]
struct Left {
    /// Where it began, if a document of it says so.
    from: Option<u64>,
    pieces: Vec<Segment>,
}

/// What an upload consists of.
#[derive(Debug, Default)]
struct Layout {
    runs: BTreeMap<Run, Left>,
    /// What stands in place of everything else.
    finals: Vec<Segment>,
}

impl ObjectStorage {
    pub(super) async fn find_upload(&self, task: &TaskKey) -> Result<Option<Found>, Error> {
        let folder = self.folder(task);
        let objects = self.s3.list_all(&folder).await.map_err(failed(&folder))?;
        let named: Vec<(Name, &Object)> = objects
            .iter()
            .filter_map(|object| Some((object.key.strip_prefix(&folder)?.parse().ok()?, object)))
            .collect();
        if named.is_empty() {
            return Ok(None);
        }
        let (mut manifest, mut completion) = (None::<Manifest>, None::<Completion>);
        let mut length = None;
        let mut layout = Layout::default();
        let mut begins: Vec<(Run, Begin)> = Vec::new();
        for (name, object) in &named {
            match name {
                Name::Manifest => manifest = self.read_document(&object.key).await?,
                Name::Length => length = self.read_document(&object.key).await?,
                Name::Completion => completion = self.read_document(&object.key).await?,
                Name::Begin { run, .. } => {
                    let begin = self.read_document(&object.key).await?;
                    begins.extend(begin.map(|begin| (*run, begin)));
                }
                name => layout.add(name, object),
            }
        }
        let mut listed: BTreeMap<String, Option<Vec<StoredPart>>> = BTreeMap::new();
        for (_, begin) in &begins {
            if !listed.contains_key(&begin.upload) {
                let parts = self.s3.list_parts(&begin.key, &begin.upload).await;
                listed.insert(begin.upload.clone(), parts.map_err(failed(&begin.key))?);
            }
        }
        for (run, begin) in &begins {
            // Where the next run of parts in the same multipart upload begins, this one has ended.
            let others = begins
                .iter()
                .map(|(_, other)| other)
                .filter(|other| other.upload == begin.upload);
            let next = others
                .map(|other| other.first)
                .filter(|first| *first > begin.first)
                .min();
            let parts = listed.get(&begin.upload).and_then(Option::as_ref);
            let segment = parts.and_then(|parts| consecutive(begin, next, parts));
            let left = layout.runs.entry(*run).or_default();
            left.from = Some(left.from.map_or(begin.from, |from| from.min(begin.from)));
            left.pieces.extend(segment);
        }
        let epoch = layout.runs.keys().map(|run| run.epoch).max().unwrap_or(WriterEpoch(0));
        let (segments, gap) = layout.line_up();
        let received = segments.last().map_or(0, |last| last.end);
        // A final upload's bytes may be its parts'; what was refused may have lost its own.
        let owns_bytes = manifest
            .as_ref()
            .is_none_or(|manifest| !matches!(manifest.concat, Some(Concat::Final { .. })));
        let completed = completion
            .as_ref()
            .filter(|completion| completion.accepted && owns_bytes);
        let cut = completed
            .filter(|completion| completion.length > received)
            .map(|completion| Damage::Missing {
                from: received,
                to: completion.length,
            });
        Ok(Some(Found {
            manifest,
            completion,
            length,
            segments,
            epoch,
            damage: gap.or(cut),
        }))
    }

    pub(super) async fn list_uploads(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, Error> {
        let mut page = Page::default();
        let mut after = after.map(|cursor| cursor.0.clone());
        loop {
            let listed = self.s3.list(&self.prefix, after.as_deref(), PAGE_KEYS).await;
            let listed = listed.map_err(failed(&self.prefix))?;
            let more = listed.more && !listed.objects.is_empty();
            for object in listed.objects {
                let upload = parse(&self.prefix, &object.key);
                let known = page.uploads.last().map(|stored| &stored.key);
                let continues = upload.as_ref().is_some_and(|(key, _)| Some(key) == known);
                if !continues && page.uploads.len() + page.strays.len() >= limit {
                    page.next = after.map(Cursor);
                    return Ok(page);
                }
                after = Some(object.key.clone());
                match upload {
                    Some((key, name)) => page.count(key, &name, &object),
                    None => page.strays.push(Stray {
                        key: object.key,
                        bytes: object.size,
                        newest: object.modified,
                    }),
                }
            }
            if !more {
                return Ok(page);
            }
        }
    }
}

impl Page {
    fn count(&mut self, key: TaskKey, name: &Name, object: &Object) {
        if self.uploads.last().is_none_or(|stored| stored.key != key) {
            self.uploads.push(Stored {
                key,
                bytes: 0,
                newest: UnixMillis(0),
                documented: false,
            });
        }
        if let Some(stored) = self.uploads.last_mut() {
            stored.bytes += object.size;
            stored.newest = stored.newest.max(object.modified);
            stored.documented |= matches!(name, Name::Manifest | Name::Completion);
        }
    }
}

/// The parts of one run, as far as there is no gap in their numbers and all but the last are whole.
fn consecutive(begin: &Begin, next: Option<PartNumber>, listed: &[StoredPart]) -> Option<Segment> {
    let mut end = begin.start;
    let mut number = begin.first;
    for part in listed.iter().skip_while(|part| part.number < begin.first) {
        if part.number != number || Some(number) == next || part.size > begin.size {
            break;
        }
        end += part.size;
        number.0 += 1;
        if part.size < begin.size {
            break;
        }
    }
    (end > begin.start).then(|| Segment {
        store: STORE.to_owned(),
        key: begin.key.clone(),
        start: begin.start,
        end,
        kind: SegmentKind::Part,
        parts: Some(Parts {
            upload: begin.upload.clone(),
            first: begin.first,
            size: begin.size,
        }),
    })
}

impl Layout {
    fn add(&mut self, name: &Name, object: &Object) {
        let segment = |range: &Range<u64>, kind| Segment {
            store: STORE.to_owned(),
            key: object.key.clone(),
            start: range.start,
            end: range.end,
            kind,
            parts: None,
        };
        let mut of_run = |run: &Run, segment| self.runs.entry(*run).or_default().pieces.push(segment);
        match name {
            Name::Manifest | Name::Length | Name::Completion | Name::Begin { .. } => {}
            Name::Tail { run, range } => of_run(run, segment(range, SegmentKind::Tail)),
            Name::Put { run, range } => of_run(run, segment(range, SegmentKind::Object)),
            Name::Object { run, start } => {
                self.runs.entry(*run).or_default();
                let range = *start..*start + object.size;
                self.finals.push(segment(&range, SegmentKind::Object));
            }
            Name::Sealed { range } => self.finals.push(segment(range, SegmentKind::Object)),
            Name::Taken { end } => self.finals.push(segment(&(0..*end), SegmentKind::Object)),
        }
    }

    /// The segments from the first byte on, and what shows that some are missing.
    fn line_up(self) -> (Vec<Segment>, Option<Damage>) {
        let finals = chain(&self.finals, 0);
        let settled = finals.last().map_or(0, |last| last.end);
        let mut segments = finals.clone();
        let mut begun = 0;
        for left in self.runs.values() {
            let Some(first) = left.pieces.iter().map(|piece| piece.start).min() else {
                continue;
            };
            let from = left.from.unwrap_or(first).max(settled);
            begun = begun.max(from);
            let start = first.max(settled);
            cut_at(&mut segments, from);
            let covered = segments.last().map_or(0, |last| last.end);
            let chained = chain(&left.pieces, start);
            let reached = chained.last().map_or(0, |last| last.end);
            if start > covered || reached < covered {
                continue;
            }
            cut_at(&mut segments, start);
            segments.extend(chained);
        }
        // What was sealed behind what is not sealed yet.
        let covered = segments.last().map_or(0, |last| last.end);
        segments.extend(chain(&self.finals, covered));
        let received = segments.last().map_or(0, |last| last.end);
        let gap = (begun > received).then_some(Damage::Missing {
            from: received,
            to: begun,
        });
        (segments, gap)
    }
}

/// Of these, those that follow on one another from `start` on; parts before objects before tails, and of these the longest.
fn chain(pieces: &[Segment], start: u64) -> Vec<Segment> {
    let mut chain = Vec::new();
    let mut at = start;
    loop {
        let here = pieces.iter().filter(|piece| piece.start == at && piece.end > at);
        let rank = |piece: &&Segment| (piece.parts.is_some(), piece.kind == SegmentKind::Object, piece.end);
        let Some(next) = here.max_by_key(rank) else {
            return chain;
        };
        at = next.end;
        chain.push(next.clone());
    }
}

/// Drops what is behind `end`.
fn cut_at(segments: &mut Vec<Segment>, end: u64) {
    segments.retain(|segment| segment.start < end);
    if let Some(last) = segments.last_mut() {
        last.end = last.end.min(end);
    }
}
