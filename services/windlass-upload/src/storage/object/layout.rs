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
    /// It is of a body that counts only as a whole, and that body was so.
    unverified: bool,
    verified: bool,
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
            // They count where a run of parts says so.
            Name::Part { .. } | Name::Composed { .. } => {}
            Name::Tail { run, range } => of_run(run, segment(range, SegmentKind::Tail)),
            Name::Put { run, range } => of_run(run, segment(range, SegmentKind::Object)),
            Name::Object { run, start } => {
                self.runs.entry(*run).or_default();
                let range = *start..*start + object.size;
                self.objects
                    .push((run.generation, segment(&range, SegmentKind::Object)));
            }
            Name::Unverified { run } => self.runs.entry(*run).or_default().unverified = true,
            Name::Verified { run } => self.runs.entry(*run).or_default().verified = true,
            Name::Sealed { range, .. } => self.sealed.push(segment(range, SegmentKind::Object)),
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
        let runs_of = |counts: bool, settled: u64| {
            let runs = self.runs.iter();
            let wanted = runs.filter(|(run, _)| since.is_none_or(|since| run.generation >= since) == counts);
            placed(wanted.map(|(_, left)| left), settled)
        };
        let (earlier, _) = runs_of(false, 0);
        let (later, mut carried) = runs_of(true, settled);
        let runs = Runs {
            earlier,
            ground: Some(storage::Run {
                start: 0,
                segments: base,
            }),
            later,
        };
        let whole = completed.map(|_| line_up(runs.clone(), completed));
        if let Some((segments, None)) = whole {
            return (segments, None);
        }
        let mut later = in_place(runs.later.clone());
        let reached = later.iter().map(|run| end(&run.segments).max(run.start)).max();
        let (mut segments, damage) = loop {
            let later_so_far = later.clone();
            let lined = line_up(
                Runs {
                    later: later_so_far,
                    ..runs.clone()
                },
                completed,
            );
            // What a part took in is nowhere else once it was recorded, though the part's own run has not come further.
            let (_, Some(Damage::Missing { from, .. })) = &lined else {
                break lined;
            };
            let Some(fill) = carried.iter().position(|run| run.start == *from) else {
                break lined;
            };
            let fill = carried.swap_remove(fill);
            let at = later
                .iter()
                .position(|run| run.start > fill.start)
                .unwrap_or(later.len());
            later.insert(at, fill);
        };
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
    /// What counts of it behind what is `settled` and before `limit`, where a later run began, and whether that is only what
    /// it carries from before; nothing where no byte of it is there, or none counts.
    fn run(&self, settled: u64, limit: u64) -> Option<(storage::Run, bool)> {
        if self.unverified && !self.verified {
            return None;
        }
        let first = self.pieces.iter().map(|piece| piece.start).min()?;
        let from = self.from.unwrap_or(first).max(settled);
        let start = first.max(settled);
        let segments = whole_parts(chain(&self.pieces, start), limit);
        let run = |start, segments| storage::Run { start, segments };
        Some(if segments.is_empty() {
            (run(from, segments), false)
        } else if end(&segments) < from {
            // Short of where it began it has nothing of its own.
            (run(start, segments), true)
        } else {
            (run(start, segments), false)
        })
    }
}

/// Runs in their order, and beside them what those carry from before that have nothing of their own.
fn placed<'a>(runs: impl DoubleEndedIterator<Item = &'a Left>, settled: u64) -> (Vec<storage::Run>, Vec<storage::Run>) {
    let (mut placed, mut carried) = (Vec::new(), Vec::new());
    let mut limit = u64::MAX;
    for left in runs.rev() {
        let Some((run, only_carries)) = left.run(settled, limit) else {
            continue;
        };
        let run = if only_carries {
            let began = left.from.unwrap_or(run.start).max(settled);
            carried.push(run);
            storage::Run {
                start: began,
                segments: Vec::new(),
            }
        } else {
            run
        };
        limit = limit.min(run.start);
        placed.push(run);
    }
    placed.reverse();
    (placed, carried)
}

/// Without the parts that reach over `limit`, and what follows them: a part is there as a whole or not at all, and one that
/// was recorded ends before the next run begins. What such a part took in is there still.
fn whole_parts(mut segments: Vec<Segment>, limit: u64) -> Vec<Segment> {
    let over = |segment: &Segment| segment.parts.is_some() && segment.end > limit;
    if let Some(at) = segments.iter().position(over) {
        segments.truncate(at + 1);
        if let Some(Segment {
            start,
            end,
            parts: Some(parts),
            ..
        }) = segments.last_mut()
        {
            let size = parts.size.max(1);
            *end = *start + limit.saturating_sub(*start) / size * size;
        }
        segments.pop_if(|last| last.end == last.start);
    }
    segments
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

#[cfg(test)]
mod tests {
    use windlass_task::{PartNumber, Parts, UnixMillis};

    use super::*;

    fn run(at: u64) -> Run {
        format!("1.1.{at:x}.1").parse().unwrap()
    }

    fn tail(layout: &mut Layout, at: u64, range: Range<u64>) {
        let name = Name::Tail {
            run: run(at),
            range: range.clone(),
        };
        let object = Object {
            key: name.to_string(),
            size: range.end - range.start,
            modified: UnixMillis(0),
        };
        layout.add(&name, &object);
    }

    /// Parts of 8 bytes.
    fn parts(layout: &mut Layout, at: u64, from: u64, range: Range<u64>) {
        let segment = Segment {
            store: "s3".to_owned(),
            key: format!("object-{at}"),
            start: range.start,
            end: range.end,
            kind: SegmentKind::Part,
            parts: Some(Parts {
                upload: at.to_string(),
                first: PartNumber(1),
                size: 8,
            }),
        };
        layout.begin(run(at), from, Some(segment));
    }

    fn ends(layout: &Layout) -> (Vec<(bool, u64)>, Option<Damage>) {
        let (segments, damage) = layout.line_up(None);
        let ends = segments.iter().map(|segment| (segment.parts.is_some(), segment.end));
        (ends.collect(), damage)
    }

    #[test]
    fn a_part_that_reaches_over_the_beginning_of_the_next_run_was_never_recorded() {
        let mut layout = Layout::of("s3");
        tail(&mut layout, 1, 0..3);
        parts(&mut layout, 2, 3, 0..16);
        assert_eq!(ends(&layout), (vec![(true, 16)], None));
        // Recorded was the tail alone, or the first part with it.
        let mut other = Layout::of("s3");
        tail(&mut other, 1, 0..3);
        parts(&mut other, 2, 3, 0..16);
        tail(&mut layout, 3, 3..4);
        assert_eq!(ends(&layout), (vec![(false, 3), (false, 4)], None));
        tail(&mut other, 3, 8..9);
        assert_eq!(ends(&other), (vec![(true, 8), (false, 9)], None));
    }

    #[test]
    fn a_part_of_nothing_but_old_tails_is_in_their_place_also_when_its_run_has_not_come_further() {
        let mut layout = Layout::of("s3");
        parts(&mut layout, 1, 0, 0..8);
        // Tails were 8..16 and 16..20; a part was recorded in place of the first one, which is removed.
        tail(&mut layout, 2, 16..20);
        parts(&mut layout, 3, 20, 8..16);
        assert_eq!(ends(&layout), (vec![(true, 8), (true, 16), (false, 20)], None));
        tail(&mut layout, 2, 8..16);
        assert_eq!(ends(&layout), (vec![(true, 8), (false, 16), (false, 20)], None));
    }

    #[test]
    fn a_run_that_counts_as_a_whole_counts_when_it_was_verified() {
        let mut layout = Layout::of("s3");
        tail(&mut layout, 1, 0..3);
        parts(&mut layout, 2, 3, 0..8);
        tail(&mut layout, 2, 8..9);
        let object = Object {
            key: String::new(),
            size: 0,
            modified: UnixMillis(0),
        };
        layout.add(&Name::Unverified { run: run(2) }, &object);
        assert_eq!(ends(&layout), (vec![(false, 3)], None));
        layout.add(&Name::Verified { run: run(2) }, &object);
        assert_eq!(ends(&layout), (vec![(true, 8), (false, 9)], None));
    }
}
