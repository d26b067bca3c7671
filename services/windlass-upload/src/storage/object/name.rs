//! The names of an upload's objects. They say what each is and where it belongs, so that a listing alone tells what there is.
//!
//! Below `<prefix>/<tenant>/<partition>/<id>/`:
//!
//! | name | what it is |
//! |---|---|
//! | `manifest`, `length`, `completion` | the documents; a length only where it was deferred |
//! | `begin-<run>-<first part>` | where a run of parts begins, written before the first of them |
//! | `ground-<run>` | what a reconciliation found and its generation goes on from |
//! | `kept-<run>-<start>-<end>` | a tail of that ground, copied: the writer that was overruled may remove its own |
//! | `tail-<run>-<start>-<end>` | a small remainder |
//! | `put-<run>-<start>-<end>` | bytes that came in one request, and were written as one object |
//! | `object-<run>-<start>` | what a multipart upload becomes |
//! | `part-<upload>-<number>` | a part of an object, where a store has none but objects (GCS) |
//! | `composed-<upload>-<digest>` | some of these parts on their way to be one object |
//! | `unverified-<run>` | the run is of a body that counts only as a whole; written before anything of it |
//! | `verified-<run>` | that body was whole and right, so the run counts |
//! | `sealed-<of>-<start>-<end>` | what tails, or several objects, became once every byte was there; `of` says which they were |
//! | `taken-<end>` | what came whole from elsewhere |
//!
//! A run is one request's writing. Runs are ordered: by the task store's generation, the writer epoch, and within an epoch,
//! which is one process's, by that process's clock. Nothing is ever written twice under one name but the same bytes, and the
//! length, of which the last counts.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use windlass_task::{Generation, PartNumber, TaskKey, Token, WriterEpoch};

/// One request's writing to one upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) generation: Generation,
    pub(super) epoch: WriterEpoch,
    /// Microseconds since 1970 by the process's clock, later for each run of the process.
    at: u64,
    /// Two processes that err about who holds an upload still have names of their own.
    random: u32,
}

impl Run {
    /// The run that begins now under `token`.
    pub(super) fn begin(token: &Token) -> Self {
        Self::of(token.generation, token.epoch)
    }

    /// The run that begins now, of a generation and an epoch.
    pub(super) fn of(generation: Generation, epoch: WriterEpoch) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let later = |last: u64| Some(now.max(last + 1));
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        Self {
            generation,
            epoch,
            at: now.max(last.unwrap_or_default() + 1),
            random: getrandom::u32().expect("the system's random source answers once the system has started"),
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            generation,
            epoch,
            at,
            random,
        } = self;
        write!(f, "{:x}.{:x}.{at:x}.{random:x}", generation.0, epoch.0)
    }
}

impl FromStr for Run {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = text
            .split('.')
            .map(|number| u64::from_str_radix(number, 16).map_err(drop));
        let mut next = || numbers.next().unwrap_or(Err(()));
        let run = Self {
            generation: Generation(next()?),
            epoch: WriterEpoch(next()?),
            at: next()?,
            random: u32::try_from(next()?).map_err(drop)?,
        };
        if numbers.next().is_some() { Err(()) } else { Ok(run) }
    }
}

/// What an object of an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Manifest,
    Length,
    Completion,
    Begin { run: Run, first: PartNumber },
    Ground { run: Run },
    Kept { run: Run, range: Range<u64> },
    Tail { run: Run, range: Range<u64> },
    Put { run: Run, range: Range<u64> },
    Object { run: Run, start: u64 },
    Part { upload: String, number: PartNumber },
    Composed { upload: String, digest: u64 },
    Unverified { run: Run },
    Verified { run: Run },
    Sealed { of: u64, range: Range<u64> },
    Taken { end: u64 },
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest => f.write_str("manifest"),
            Self::Length => f.write_str("length"),
            Self::Completion => f.write_str("completion"),
            Self::Begin { run, first } => write!(f, "begin-{run}-{}", first.0),
            Self::Ground { run } => write!(f, "ground-{run}"),
            Self::Kept { run, range } => write!(f, "kept-{run}-{}-{}", range.start, range.end),
            Self::Tail { run, range } => write!(f, "tail-{run}-{}-{}", range.start, range.end),
            Self::Put { run, range } => write!(f, "put-{run}-{}-{}", range.start, range.end),
            Self::Object { run, start } => write!(f, "object-{run}-{start}"),
            Self::Part { upload, number } => write!(f, "part-{upload}-{}", number.0),
            Self::Composed { upload, digest } => write!(f, "composed-{upload}-{digest:016x}"),
            Self::Unverified { run } => write!(f, "unverified-{run}"),
            Self::Verified { run } => write!(f, "verified-{run}"),
            Self::Sealed { of, range } => write!(f, "sealed-{of:016x}-{}-{}", range.start, range.end),
            Self::Taken { end } => write!(f, "taken-{end}"),
        }
    }
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let pieces: Vec<&str> = text.split('-').collect();
        let run = |text: &str| text.parse::<Run>();
        let number = |text: &str| text.parse::<u64>().map_err(drop);
        let range = |start: &str, end: &str| {
            let range = number(start)?..number(end)?;
            if range.is_empty() { Err(()) } else { Ok(range) }
        };
        Ok(match pieces.as_slice() {
            ["manifest"] => Self::Manifest,
            ["length"] => Self::Length,
            ["completion"] => Self::Completion,
            ["begin", by, first] => Self::Begin {
                run: run(by)?,
                first: PartNumber(first.parse().map_err(drop)?),
            },
            ["ground", by] => Self::Ground { run: run(by)? },
            ["kept", by, start, end] => Self::Kept {
                run: run(by)?,
                range: range(start, end)?,
            },
            ["tail", by, start, end] => Self::Tail {
                run: run(by)?,
                range: range(start, end)?,
            },
            ["put", by, start, end] => Self::Put {
                run: run(by)?,
                range: range(start, end)?,
            },
            ["object", by, start] => Self::Object {
                run: run(by)?,
                start: number(start)?,
            },
            ["part", upload, number] => Self::Part {
                upload: (*upload).to_owned(),
                number: PartNumber(number.parse().map_err(drop)?),
            },
            ["composed", upload, digest] => Self::Composed {
                upload: (*upload).to_owned(),
                digest: u64::from_str_radix(digest, 16).map_err(drop)?,
            },
            ["unverified", by] => Self::Unverified { run: run(by)? },
            ["verified", by] => Self::Verified { run: run(by)? },
            ["sealed", of, start, end] if of.len() == 16 => Self::Sealed {
                of: u64::from_str_radix(of, 16).map_err(drop)?,
                range: range(start, end)?,
            },
            ["taken", end] => Self::Taken { end: number(end)? },
            _ => return Err(()),
        })
    }
}

/// What the keys of all an upload's objects begin with, its slash included. Each piece is validated by its type.
pub(super) fn folder(prefix: &str, key: &TaskKey) -> String {
    format!("{prefix}{}/{:02x}/{}/", key.tenant, key.id.partition().0, key.id)
}

/// The upload whose object a key is, and what it is; `None` when it is none.
pub(super) fn parse(prefix: &str, key: &str) -> Option<(TaskKey, Name)> {
    let mut pieces = key.strip_prefix(prefix)?.split('/');
    let (tenant, partition, id, name) = (pieces.next()?, pieces.next()?, pieces.next()?, pieces.next()?);
    let task = TaskKey {
        tenant: tenant.parse().ok()?,
        id: id.parse().ok()?,
    };
    let placed = format!("{:02x}", task.id.partition().0) == partition && pieces.next().is_none();
    placed.then_some((task, name.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use windlass_task::fixture::creation;

    use super::*;

    #[test]
    fn every_name_reads_back_as_what_it_is() {
        let creation = creation(None);
        let run = Run::begin(&creation.token);
        let later = Run::begin(&creation.token);
        assert!(run < later);
        let folder = folder("a/b/", &creation.key);
        for name in [
            Name::Manifest,
            Name::Length,
            Name::Completion,
            Name::Begin {
                run,
                first: PartNumber(7),
            },
            Name::Ground { run },
            Name::Kept { run, range: 3..9 },
            Name::Tail { run, range: 3..9 },
            Name::Put { run, range: 0..1 },
            Name::Object { run, start: 5 },
            Name::Part {
                upload: "0a".to_owned(),
                number: PartNumber(9),
            },
            Name::Composed {
                upload: "0a".to_owned(),
                digest: 7,
            },
            Name::Unverified { run },
            Name::Verified { run },
            Name::Sealed { of: 9, range: 0..2 },
            Name::Taken { end: 8 },
        ] {
            let key = format!("{folder}{name}");
            assert_eq!(parse("a/b/", &key), Some((creation.key.clone(), name)), "{key}");
            assert_eq!(parse("a/", &key), None);
        }
        for other in [
            "tail-1-0-4",
            "tail-1.1.1.1-4-4",
            "put-1.1.1.1.1-0-4",
            "manifest2",
            "object-1.1.1.1",
            "ground-1.1",
            "",
        ] {
            assert_eq!(parse("a/b/", &format!("{folder}{other}")), None, "{other}");
        }
    }
}
