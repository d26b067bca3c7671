//! What a storage can say of an upload by itself, when the store of records has forgotten it or is being checked.

use std::fmt;

use windlass_task::{Segment, TaskKey, UnixMillis, WriterEpoch};

use super::{Completion, Manifest, Piece};

/// One upload as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its manifest. Without one nobody can tell whose it is: it was never announced, or its removal has begun.
    pub manifest: Option<Manifest>,
    /// How it ended, if it did.
    pub completion: Option<Completion>,
    /// Its length as far as a document says so, for one that was deferred when it was created.
    pub length: Option<u64>,
    /// Where its bytes are, whole from the first one on.
    pub segments: Vec<Segment>,
    /// The greatest writer epoch that may have left anything, 0 when none has: whoever goes on takes a greater one.
    pub epoch: WriterEpoch,
    /// What shows that bytes are gone which were durable once.
    pub damage: Option<Damage>,
}

impl Found {
    /// The contiguous durable bytes from the upload's start.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.end)
    }
}

/// What one writer epoch stored, for [`line_up`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Where in the upload the epoch began.
    pub start: u64,
    /// What follows from there without a gap, in order; nothing when the epoch died before its first byte.
    pub segments: Vec<Segment>,
}

impl Run {
    fn end(&self) -> u64 {
        self.segments.last().map_or(self.start, |last| last.end)
    }

    fn up_to(&self, limit: u64) -> impl Iterator<Item = Segment> {
        let inside = self.segments.iter().filter(move |segment| segment.start < limit);
        inside.map(move |segment| Segment {
            end: segment.end.min(limit),
            ..segment.clone()
        })
    }
}

/// All runs of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// Those of generations before the last reconciliation, the oldest first.
    pub earlier: Vec<Run>,
    /// The ground of the last reconciliation, if there was one ([`super::Storage::secure`]); it begins at 0.
    pub ground: Option<Run>,
    /// Those after it, the oldest first.
    pub later: Vec<Run>,
}

/// The runs of an upload as one list of segments, and what is missing. `completed` is the length that an accepting completion
/// states.
///
/// An epoch counts up to where the next one began: what it wrote behind that, nobody was told of. What is earlier than the
/// ground does not count: puts that were given up may have arrived since. But who writes a completion had every byte
/// durable, at the end of its own run, even if it was overruled, or its generation over, before it could record that.
#[must_use]
pub fn line_up(runs: Runs, completed: Option<u64>) -> (Vec<Segment>, Option<Damage>) {
    let since: Vec<Run> = runs.ground.into_iter().chain(runs.later).collect();
    if let Some(length) = completed {
        let all = [&runs.earlier[..], &since[..]].concat();
        let whole = (0..all.len())
            .rev()
            .filter(|index| all.get(*index).is_some_and(|run| run.end() >= length));
        if let Some(segments) = whole.into_iter().find_map(|index| chain(&all, index, length)) {
            return (segments, None);
        }
    }
    let (segments, damage) = cut(&since);
    let received = segments.last().map_or(0, |last| last.end);
    let missing = completed.filter(|length| *length > received);
    let missing = missing.map(|to| Damage::Missing { from: received, to });
    (segments, damage.or(missing))
}

/// The segments up to `limit` that end in the run at `index` and, before it, in the latest that reach as far.
fn chain(runs: &[Run], index: usize, limit: u64) -> Option<Vec<Segment>> {
    let run = runs.get(index)?;
    let mut segments = if run.start == 0 {
        Vec::new()
    } else {
        let before = (0..index)
            .rev()
            .filter(|before| runs.get(*before).is_some_and(|before| before.end() >= run.start));
        before.into_iter().find_map(|before| chain(runs, before, run.start))?
    };
    segments.extend(run.up_to(limit));
    Some(segments)
}

/// Each run up to where the next begins.
fn cut(runs: &[Run]) -> (Vec<Segment>, Option<Damage>) {
    let mut segments: Vec<Segment> = Vec::new();
    let mut covered = 0;
    for (index, run) in runs.iter().enumerate() {
        if run.start > covered {
            let (from, to) = (covered, run.start);
            return (segments, Some(Damage::Missing { from, to }));
        }
        if run.start < covered {
            let key = run.segments.first().map(|first| first.key.clone()).unwrap_or_default();
            return (segments, Some(Damage::Unplaced { key }));
        }
        segments.extend(run.up_to(runs.get(index + 1).map_or(u64::MAX, |next| next.start)));
        covered = segments.last().map_or(0, |last| last.end);
    }
    (segments, None)
}

/// What shows that bytes are gone which were durable once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// A later epoch went on behind bytes that are not there, or the completion counts them.
    Missing {
        /// The first byte that is not there.
        from: u64,
        /// The position after the last one.
        to: u64,
    },
    /// Nothing says where in the upload these bytes belong.
    Unplaced {
        /// Their key.
        key: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { from, to } => write!(f, "bytes {from}..{to} are not there"),
            Self::Unplaced { key } => write!(f, "nothing says where {key} belongs"),
        }
    }
}

/// Where a page of a listing ended; only the storage that made it can read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub(super) String);

impl Cursor {
    /// It as text, to be kept.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Cursor {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// A page of all that is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The uploads of which anything is stored, each once.
    pub uploads: Vec<Stored>,
    /// What is there and belongs to no upload by its name.
    pub strays: Vec<Piece>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// An upload in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What finds it.
    pub key: TaskKey,
    /// How many bytes of room everything of it takes, documents and leftovers too.
    pub bytes: u64,
    /// How many of them are of documents that stay as long as the upload.
    pub documents: u64,
    /// When anything of it was last written, by the storage's clock.
    pub newest: UnixMillis,
    /// Whether any of its documents is there.
    pub documented: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_task::SegmentKind;

    fn run(key: &str, start: u64, end: u64) -> Run {
        let segment = Segment {
            store: "s".to_owned(),
            key: key.to_owned(),
            start,
            end,
            kind: SegmentKind::Part,
            parts: None,
        };
        Run {
            start,
            segments: if end > start { vec![segment] } else { Vec::new() },
        }
    }

    fn ends(segments: &[Segment]) -> Vec<(&str, u64)> {
        segments.iter().map(|segment| (&*segment.key, segment.end)).collect()
    }

    fn lined(ground: Option<Run>, later: &[Run], completed: Option<u64>) -> (Vec<(String, u64)>, Option<Damage>) {
        let runs = Runs {
            earlier: vec![run("old", 0, 20), run("late", 3, 4)],
            ground,
            later: later.to_vec(),
        };
        let runs = match &runs.ground {
            Some(_) => runs,
            None => Runs {
                earlier: Vec::new(),
                ..runs
            },
        };
        let (segments, damage) = line_up(runs, completed);
        let ends = ends(&segments)
            .into_iter()
            .map(|(key, end)| (key.to_owned(), end))
            .collect();
        (ends, damage)
    }

    fn named(ends: &[(&str, u64)]) -> Vec<(String, u64)> {
        ends.iter().map(|(key, end)| ((*key).to_owned(), *end)).collect()
    }

    #[test]
    fn an_epoch_counts_up_to_where_the_next_one_began() {
        let runs = [run("a", 0, 9), run("b", 5, 5), run("c", 5, 12)];
        assert_eq!(lined(None, &runs, None), (named(&[("a", 5), ("c", 12)]), None));
    }

    #[test]
    fn an_overruled_writers_completion_is_of_its_own_bytes() {
        // It had all 20; who took over from it at 5 has come to 12.
        let runs = [run("a", 0, 20), run("b", 5, 12)];
        assert_eq!(lined(None, &runs, Some(20)), (named(&[("a", 20)]), None));
        let runs = [run("a", 0, 20), run("b", 5, 20)];
        assert_eq!(lined(None, &runs, Some(20)).0, named(&[("a", 5), ("b", 20)]));
        // Nobody's bytes reach as far: some are gone.
        let runs = [run("a", 0, 19), run("b", 5, 12)];
        let missing = Damage::Missing { from: 12, to: 20 };
        assert_eq!(lined(None, &runs, Some(20)).1, Some(missing));
    }

    #[test]
    fn what_arrives_late_changes_nothing_below_the_ground() {
        // Two reconciled at once and saw different ends; the one that saw less was first.
        let ground = || Some(run("ground", 0, 9));
        let later = [run("c", 7, 12)];
        assert_eq!(
            lined(ground(), &later, None),
            (named(&[("ground", 7), ("c", 12)]), None)
        );
        // But a completion may be of an earlier generation.
        assert_eq!(lined(ground(), &later, Some(20)), (named(&[("old", 20)]), None));
    }

    #[test]
    fn bytes_that_a_later_epoch_went_on_behind_are_missed() {
        let runs = [run("a", 0, 4), run("b", 5, 12)];
        let missing = Damage::Missing { from: 4, to: 5 };
        assert_eq!(lined(None, &runs, None), (named(&[("a", 4)]), Some(missing)));
    }
}
