//! Who leads: a state machine over one Lease, of which any number of processes are candidates.
//!
//! A candidate writes only with the version that it read, so of two that want the lease one gets it. It takes the lease of
//! another only after it has seen it unchanged for the lease's whole duration on its own monotonic clock: clocks that
//! disagree do no harm, and nothing that is written in the lease as a time is ever read. The leader counts from before it
//! sent its last renewal, and stops to lead `deadline` after that, which is before anybody can have taken its lease.
//! Whoever has led and does not any more must exit: `Lost` is the end. The number of changes of hands is the leader's term.

pub mod lease;

use std::time::Duration;

/// How long things take. Monotonic, as all times here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long a lease that is not renewed still counts.
    pub duration: Duration,
    /// How long after its last renewal the leader leads. Shorter than `duration`: the difference is for what it has
    /// under way.
    pub deadline: Duration,
    /// Between two looks at the lease.
    pub retry: Duration,
}

/// What is written in the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The version that a write must name.
    pub version: String,
    /// Who leads; nobody when it was given back.
    pub holder: Option<String>,
    /// How often it has changed hands: the term of its holder.
    pub term: Term,
    /// How long it counts, as its holder says.
    pub duration: Duration,
}

/// How often the lease has changed hands: greater with each leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Term(pub i32);

/// What to do after a look at the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Look again later: another leads.
    Wait,
    /// Make the lease, and with it begin this term.
    Create(Term),
    /// Write oneself into the lease of this version, and begin this term.
    Take(String, Term),
    /// Write oneself into the lease of this version again.
    Renew(String, Term),
    /// Exit: what is under way may already be another's.
    Lost,
}

/// One candidate.
#[derive(Debug)]
pub struct Election {
    identity: String,
    times: Times,
    /// The version that was seen last, and when for the first time.
    seen: Option<(String, Duration)>,
    held: Option<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    term: Term,
    /// Before the last renewal that succeeded was sent.
    renewed: Duration,
}

impl Election {
    /// A candidate whose `identity` no other process ever had or will have.
    #[must_use]
    pub fn new(identity: String, times: Times) -> Self {
        Self {
            identity,
            times,
            seen: None,
            held: None,
        }
    }

    /// What to do now that the lease was read. `now` is after the reading.
    pub fn look(&mut self, record: Option<&Record>, now: Duration) -> Step {
        if let Some(held) = self.held {
            return match record {
                Some(record) if record.holder.as_ref() == Some(&self.identity) && self.leads_until() > Some(now) => {
                    Step::Renew(record.version.clone(), held.term)
                }
                _ => Step::Lost,
            };
        }
        let Some(record) = record else {
            return Step::Create(Term(1));
        };
        let next = Term(record.term.0.saturating_add(1));
        if record.holder.as_ref().is_none_or(String::is_empty) {
            return Step::Take(record.version.clone(), next);
        }
        match &self.seen {
            Some((version, since)) if *version == record.version => {
                if now.saturating_sub(*since) >= record.duration.max(self.times.duration) {
                    Step::Take(record.version.clone(), next)
                } else {
                    Step::Wait
                }
            }
            _ => {
                self.seen = Some((record.version.clone(), now));
                Step::Wait
            }
        }
    }

    /// The write that [`Election::look`] asked for succeeded. `sent` is before it was sent.
    pub fn written(&mut self, term: Term, sent: Duration) {
        self.held = Some(Held { term, renewed: sent });
    }

    /// When this process stops to lead if nothing else succeeds; none if it does not lead.
    #[must_use]
    pub fn leads_until(&self) -> Option<Duration> {
        self.held.map(|held| held.renewed + self.times.deadline)
    }

    /// Whether this process leads.
    #[must_use]
    pub fn leads(&self, now: Duration) -> bool {
        self.leads_until() > Some(now)
    }
}

#[cfg(test)]
mod tests;
