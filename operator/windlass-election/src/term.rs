//! The names of things that must not be mistaken for one another.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One attempt to have a primary. Each is greater than all that were seen before; 0 is before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(u64);

impl Term {
    /// The term with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A life of the data, within which nothing that was acknowledged is missing: clients reconcile what is of another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(u64);

impl Generation {
    /// The generation that begins with an election.
    #[must_use]
    pub const fn begun_in(term: Term) -> Self {
        Self(term.0)
    }

    /// Its number: that of the term which began it.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A member: the ordinal of its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ordinal(u16);

impl Ordinal {
    /// The member with this ordinal.
    #[must_use]
    pub const fn new(ordinal: u16) -> Self {
        Self(ordinal)
    }

    /// The ordinal itself.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Ordinal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// All members there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roster(BTreeSet<Ordinal>);

impl Roster {
    /// These members.
    pub fn of(members: impl IntoIterator<Item = Ordinal>) -> Self {
        Self(members.into_iter().collect())
    }

    /// In the order of their ordinals.
    pub fn iter(&self) -> impl Iterator<Item = Ordinal> + '_ {
        self.0.iter().copied()
    }

    /// All but one.
    pub fn but(&self, one: Ordinal) -> impl Iterator<Item = Ordinal> + '_ {
        self.iter().filter(move |member| *member != one)
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// One process of a Redis server (`run_id` of `INFO server`, or whatever tells two of them apart).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Run(String);

impl Run {
    /// The process of this id.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }
}

/// A point on the clock of one process that only goes forward. Not comparable between processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// So long after the clock's beginning.
    #[must_use]
    pub const fn at(since_beginning: Duration) -> Self {
        Self(since_beginning)
    }

    /// How long from `earlier` to here; nothing when it is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}
