//! Until when a primary may take writes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::term::{Moment, Ordinal};

/// The lengths that the agreement rests on. They are counted on different clocks, each of which may be a tenth faster or
/// slower than another; what is between `tenure` and `lease` is for that, and for a fence to take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the operator sees a lease stand still before it may be taken.
    pub lease: Duration,
    /// How long a primary takes writes after it asked for the renewal that succeeded. Less than `lease`.
    pub tenure: Duration,
    /// How often it renews.
    pub renewal: Duration,
    /// For how long members promise. A primary counts nine tenths of it, from when it asked.
    pub promise: Duration,
    /// How long the operator waits for more answers where fewer would do (`available`).
    pub patience: Duration,
    /// How long it waits for the candidate to take writes, or for a planned handover, before it elects anew.
    pub deadline: Duration,
}

impl Default for Timing {
    /// Kubernetes' own components lead by 15, 10 and 2 s (`LeaderElectionConfiguration`); a crash is then noticed within
    /// 15 s by the lease, and at once where the agent outlives its Redis.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            tenure: Duration::from_secs(10),
            renewal: Duration::from_secs(2),
            promise: Duration::from_secs(10),
            patience: Duration::from_secs(2),
            deadline: Duration::from_secs(10),
        }
    }
}

/// A primary's right to take writes: a lease, or the promises of all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    lease_until: Option<Moment>,
    /// Of each other member, until when its promise counts.
    promises: BTreeMap<Ordinal, Option<Moment>>,
    /// When they were last asked for.
    asked: Option<Moment>,
}

impl Tenure {
    /// One without a right yet, of a primary among these others.
    pub fn begin(others: impl IntoIterator<Item = Ordinal>) -> Self {
        Self {
            lease_until: None,
            promises: others.into_iter().map(|other| (other, None)).collect(),
            asked: None,
        }
    }

    /// The lease was renewed, by a request made at `asked`.
    pub fn renew(&mut self, asked: Moment, timing: &Timing) {
        self.lease_until = self.lease_until.max(Some(asked + timing.tenure));
    }

    /// A member has promised, asked at `asked`. Of one that is no member it counts nothing.
    pub fn promised(&mut self, by: Ordinal, asked: Moment, timing: &Timing) {
        if let Some(until) = self.promises.get_mut(&by) {
            *until = (*until).max(Some(asked + timing.promise * 9 / 10));
        }
    }

    /// Until when writes may be taken, as things stand; nothing, if they never might. A lone member has nobody to promise it
    /// anything: its lease decides.
    #[must_use]
    pub fn until(&self) -> Option<Moment> {
        let of_others = self.promises.values().copied().min().flatten();
        self.lease_until.max(of_others)
    }

    /// Whether writes may be taken.
    #[must_use]
    pub fn holds(&self, now: Moment) -> bool {
        self.until() > Some(now)
    }

    /// Who is to be asked for a promise now: half of what the lease gave is over, and of theirs. They are asked at most four
    /// times a renewal.
    pub fn asks(&mut self, now: Moment, timing: &Timing) -> Vec<Ordinal> {
        let ends_soon = |until: Option<Moment>, whole: Duration| until.is_none_or(|until| now + whole / 2 >= until);
        let just_asked = self.asked.is_some_and(|at| now.since(at) < timing.renewal / 4);
        if just_asked || !ends_soon(self.lease_until, timing.tenure) {
            return Vec::new();
        }
        self.asked = Some(now);
        let promises = self.promises.iter();
        promises
            .filter(|(_, until)| ends_soon(**until, timing.promise))
            .map(|(member, _)| *member)
            .collect()
    }
}
