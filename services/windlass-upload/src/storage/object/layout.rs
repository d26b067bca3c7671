//! What the objects of an upload are together, in the terms of [`line_up`].
//!
//! Runs are gone through in their order. Each began where its writer's record ended, so what an earlier run has behind that
//! was never acknowledged; a part carries bytes of tails before it and stands in their place. What a multipart upload
//! became, and what was sealed, was made when every byte was recorded: it stands in place of everything else. Once a
//! reconciliation has laid a ground, nothing of an earlier generation counts but what the ground names, and what a completion
//! is of.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use windlass_task::{Generation, Segment, SegmentKind, WriterEpoch};

use super::name::{Name, Run};
use super::store::Object;
use crate::storage::{self, Completion, Damage, Runs, line_up};

/// What a generation goes on from: where all bytes were when the upload was reconciled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ground {
    /// The version.
    v: u32,
    /// None of them is open parts.
    segments: Vec<Segment>,
}

/// The version of [`Ground`] that this build writes.
const GROUND_VERSION: u32 = 1;

impl Ground {
    pub(super) fn new(segments: &[Segment]) -> Self {
        Self {
            v: GROUND_VERSION,
            segments: segments.to_vec(),
        }
    }

    fn names(&self, key: &str) -> bool {
        self.segments.iter().any(|segment| segment.key == key)
    }
}

/// What one run left.
#[derive(Debug, Default)]
struct Left {
    /// Where it began, if a document of it says so.
    from: Option<u64>,
    pieces: Vec<Segment>,
}

/// What an upload consists of.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The name of the kind of store.
    store: &'static str,
    runs: BTreeMap<Run, Left>,
    /// What multipart uploads became, with the generation that began them.
    objects: Vec<(Generation, Segment)>,
    sealed: Vec<Segment>,
    taken: Vec<Segment>,
    /// What is there at all.
    keys: BTreeSet<String>,
    grounds: BTreeMap<Run, Ground>,
}

impl Layout {
    /// Nothing yet, in this kind of store.
    pub(super) fn of(store: &'static str) -> Self {
        Self {
            store,
            ..Self::default()
        }
    }

    /// Adds what its name alone places.
    pub(super) fn add(&mut self, name: &Name, object: &Object) {
        let store = self.store;
        let segment = |range: &Range<u64>, kind| Segment {
            store: store.to_owned(),
            key: object.key.clone(),
            start: range.start,
            end: range.end,
            kind,
            parts: None,
        };
        self.keys.insert(object.key.clone());
        let mut of_run = |run: &Run, segment| self.runs.entry(*run).or_default().pieces.push(segment);
        match name {
            Name::Manifest | Name::Length | Name::Completion | Name::Begin { .. } => {}
            // What is kept counts where a ground names it.
            Name::Ground { .. } | Name::Kept { .. } => {}
            Name::Tail { run, range } => of_run(run, segment(range, SegmentKind::Tail)),
            Name::Put { run, range } => of_run(run, segment(range, SegmentKind::Object)),
            Name::Object { run, start } => {
                self.runs.entry(*run).or_default();
                let range = *start..*start + object.size;
                self.objects
                    .push((run.generation, segment(&range, SegmentKind::Object)));
            }
            Name::Sealed { range } => self.sealed.push(segment(range, SegmentKind::Object)),
            Name::Taken { end } => self.taken.push(segment(&(0..*end), SegmentKind::Object)),
        }
    }

    /// Adds a run of parts, as far as they are there, whose writer began at `from`.
    pub(super) fn begin(&mut self, run: Run, from: u64, parts: Option<Segment>) {
        let left = self.runs.entry(run).or_default();
        left.from = Some(left.from.map_or(from, |known| known.min(from)));
        left.pieces.extend(parts);
    }

    /// Adds the ground of a reconciliation; one that was removed since the listing is of an upload that is finished.
    pub(super) fn stand_on(&mut self, run: Run, ground: Option<Ground>) {
        self.grounds.extend(ground.map(|ground| (run, ground)));
    }

    /// The greatest epoch that left anything.
    pub(super) fn epoch(&self) -> Option<WriterEpoch> {
        let runs = self.runs.keys().chain(self.grounds.keys());
        runs.map(|run| run.epoch).max()
    }

    /// The segments from the first byte on, and what shows that some are missing; of a completion that is of these bytes.
    pub(super) fn line_up(&self, completion: Option<&Completion>) -> (Vec<Segment>, Option<Damage>) {
        if let Some(Completion { length, .. }) = completion {
            let objects = self.objects.iter().map(|(_, object)| object);
            let finals: Vec<Segment> = objects.chain(&self.sealed).chain(&self.taken).cloned().collect();
            let mut whole = chain(&finals, 0);
            if end(&whole) >= *length {
                cut_at(&mut whole, *length);
                return (whole, None);
            }
        }
        let completed = completion.filter(|completion| completion.accepted);
        let completed = completed.map(|completion| completion.length);
        let since = self.grounds.keys().next_back().map(|run| run.generation);
        let finals = self.finals(since);
        let standing = chain(&finals, 0);
        let settled = end(&standing);
        let ground = self.ground(since);
        let base = if end(&ground) > settled { ground } else { standing };
        let runs_of = |counts: bool, settled: u64| -> Vec<storage::Run> {
            let runs = self.runs.iter();
            let wanted = runs.filter(|(run, _)| since.is_none_or(|since| run.generation >= since) == counts);
            wanted.filter_map(|(_, left)| left.run(settled)).collect()
        };
        let runs = Runs {
            earlier: runs_of(false, 0),
            ground: Some(storage::Run {
                start: 0,
                segments: base,
            }),
            later: runs_of(true, settled),
        };
        let whole = completed.map(|_| line_up(runs.clone(), completed));
        if let Some((segments, None)) = whole {
            return (segments, None);
        }
        let later = in_place(runs.later);
        let reached = later.iter().map(|run| end(&run.segments).max(run.start)).max();
        let (mut segments, damage) = line_up(Runs { later, ..runs }, completed);
        // What was completed behind what is not completed yet.
        let behind = chain(&finals, end(&segments));
        let enough = reached.max(completed).unwrap_or(0);
        if behind.is_empty() || end(&behind) < enough {
            return (segments, damage);
        }
        segments.extend(behind);
        (segments, None)
    }

    /// What stands in place of everything else. What tails were sealed as is left out where there is a ground: its name does
    /// not say of which generation's, and they are there themselves until a completion is.
    fn finals(&self, since: Option<Generation>) -> Vec<Segment> {
        let Some(since) = since else {
            let objects = self.objects.iter().map(|(_, object)| object);
            return objects.chain(&self.sealed).chain(&self.taken).cloned().collect();
        };
        let of_last = || self.grounds.iter().filter(|(run, _)| run.generation == since);
        let named = |object: &Segment| of_last().any(|(_, ground)| ground.names(&object.key));
        let empty = of_last().all(|(_, ground)| ground.segments.is_empty());
        let objects = self.objects.iter();
        let objects = objects.filter(|(generation, object)| *generation >= since || named(object));
        let taken = self.taken.iter().filter(|taken| empty || named(taken));
        objects.map(|(_, object)| object).chain(taken).cloned().collect()
    }

    /// The longest ground of a generation, as far as what it names is there: a part that carries a tail took its place.
    fn ground(&self, since: Option<Generation>) -> Vec<Segment> {
        let of_last = self
            .grounds
            .iter()
            .filter(|(run, _)| Some(run.generation) == since)
            .max_by_key(|(_, ground)| end(&ground.segments));
        let segments = of_last.map(|(_, ground)| &ground.segments[..]).unwrap_or_default();
        let there = segments.iter().take_while(|segment| self.keys.contains(&segment.key));
        there.cloned().collect()
    }
}

impl Left {
    /// What counts of it behind what is `settled`; nothing where no byte of it is there.
    fn run(&self, settled: u64) -> Option<storage::Run> {
        let first = self.pieces.iter().map(|piece| piece.start).min()?;
        let from = self.from.unwrap_or(first).max(settled);
        let start = first.max(settled);
        let segments = chain(&self.pieces, start);
        // Short of where it began it has nothing of its own, and what it carries from before is elsewhere too.
        Some(if segments.is_empty() || end(&segments) < from {
            storage::Run {
                start: from,
                segments: Vec::new(),
            }
        } else {
            storage::Run { start, segments }
        })
    }
}

/// Without those in whose place a later one stands, from where it begins or before.
fn in_place(runs: Vec<storage::Run>) -> Vec<storage::Run> {
    let mut kept: Vec<storage::Run> = Vec::with_capacity(runs.len());
    for run in runs {
        while kept.pop_if(|before| before.start >= run.start).is_some() {}
        kept.push(run);
    }
    kept
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

fn end(segments: &[Segment]) -> u64 {
    segments.last().map_or(0, |last| last.end)
}

/// Drops what is behind `limit`.
fn cut_at(segments: &mut Vec<Segment>, limit: u64) {
    segments.retain(|segment| segment.start < limit);
    if let Some(last) = segments.last_mut() {
        last.end = last.end.min(limit);
    }
}
