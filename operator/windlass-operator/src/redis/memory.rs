//! What one process remembers of one Redis between passes: since when it has seen the lease and the standing as they are, and
//! what members have said. Nothing of it is kept: a process that starts counts from its start, which only delays.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_election::{Ordinal, Report, State, Term};
use windlass_redis_wire::Answer;

/// After so long without a look, what is seen is seen for the first time: an operator that could not reach the API server
/// gives the primary, which could not renew its lease there either, a whole lease to do so. It is longer than a pass over a
/// Redis whose members do not answer takes, and shorter than a lease.
const SIGHT: Duration = Duration::from_secs(6);
/// How old an answer may be to be shown to people.
const RECENT: Duration = Duration::from_secs(10);

/// A time on this process's monotonic clock.
pub type Now = Duration;

/// Since when a version has been seen without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    version: String,
    since: Now,
    last: Now,
}

/// What is remembered of one Redis.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    lease: Option<Sight>,
    standing: Option<Sight>,
    reports: BTreeMap<Ordinal, Report>,
    states: BTreeMap<Ordinal, (State, Now)>,
}

impl Memory {
    /// The lease was read, asked for at `asked`. For how long it has been as it is, at least.
    pub fn saw_lease(&mut self, version: &str, asked: Now, heard: Now) -> Duration {
        look(&mut self.lease, version, asked, heard)
    }

    /// The standing was read, likewise.
    pub fn saw_standing(&mut self, standing: &str, asked: Now, heard: Now) -> Duration {
        look(&mut self.standing, standing, asked, heard)
    }

    /// A member has said how it is.
    pub fn hear_state(&mut self, from: Ordinal, state: State, now: Now) {
        self.states.insert(from, (state, now));
    }

    /// A member has answered an order. Only what it reports is remembered: that it has accepted shows in how it is.
    pub fn hear(&mut self, from: Ordinal, answer: Answer) {
        match answer {
            Answer::Report(report) => drop(self.reports.insert(from, report)),
            Answer::Reply(_) => {}
        }
    }

    /// What was reported in this term; what is of another is forgotten.
    pub fn reports(&mut self, term: Term) -> BTreeMap<Ordinal, Report> {
        self.reports.retain(|_, report| report.term == term);
        self.reports.clone()
    }

    /// What members said lately.
    #[must_use]
    pub fn recent(&self, now: Now) -> BTreeMap<Ordinal, State> {
        let recent = self
            .states
            .iter()
            .filter(|(_, (_, at))| now.saturating_sub(*at) <= RECENT);
        recent.map(|(member, (state, _))| (*member, *state)).collect()
    }
}

/// What is as it was has been so since it was first heard; whatever was under way then does not count.
fn look(sight: &mut Option<Sight>, version: &str, asked: Now, heard: Now) -> Duration {
    match sight {
        Some(sight) if sight.version == version && asked.saturating_sub(sight.last) <= SIGHT => {
            sight.last = heard;
            asked.saturating_sub(sight.since)
        }
        _ => {
            *sight = Some(Sight {
                version: version.to_owned(),
                since: heard,
                last: heard,
            });
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_stands_still_from_when_it_was_first_heard_until_it_was_asked_for_again() {
        let mut memory = Memory::default();
        assert_eq!(memory.saw_lease("1", seconds(0), seconds(2)), seconds(0));
        assert_eq!(memory.saw_lease("1", seconds(5), seconds(6)), seconds(3));
        assert_eq!(memory.saw_lease("2", seconds(7), seconds(7)), seconds(0));
    }

    #[test]
    fn what_was_out_of_sight_is_seen_for_the_first_time() {
        let mut memory = Memory::default();
        memory.saw_lease("1", seconds(0), seconds(0));
        assert_eq!(memory.saw_lease("1", seconds(6), seconds(6)), seconds(6));
        assert_eq!(memory.saw_lease("1", seconds(600), seconds(600)), seconds(0));
        assert_eq!(memory.saw_lease("1", seconds(603), seconds(603)), seconds(3));
    }
}
