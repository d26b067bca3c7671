//! What is said of every resource, in Kubernetes' own form, keyed by type.
//!
//! A condition's reason is a word for programs, its message a sentence for people. `observedGeneration` says of which
//! version of the resource a condition speaks: one that is older than the resource says nothing of what was just written.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What a condition speaks of. Every resource has the first four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// It does what its resource says.
    Ready,
    /// It is on its way to what its resource says.
    Progressing,
    /// Something is wrong that does not go away by waiting, or has not for a while.
    Degraded,
    /// It is suspended: nothing is written.
    Paused,
    /// Of a Redis: a primary takes writes.
    PrimaryAvailable,
    /// Of a Redis: every replica has all that its primary had, and gets writes as they come.
    ReplicationHealthy,
}

impl Type {
    /// As it is written in `status.conditions[].type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::Paused => "Paused",
            Self::PrimaryAvailable => "PrimaryAvailable",
            Self::ReplicationHealthy => "ReplicationHealthy",
        }
    }
}

/// Whether what a condition's type says is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody can say.
    Unknown,
}

impl Truth {
    /// As it is written in `status.conditions[].status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What is found of one type now; when it changed follows from what was said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of what.
    pub of: Type,
    /// Whether it is so.
    pub truth: Truth,
    /// Why: one word in CamelCase, for programs.
    pub reason: &'static str,
    /// Why, for people. It holds no secret.
    pub message: String,
}

/// The conditions to write: as `found`, and where the truth is the same as in `before`, with the time from there.
#[must_use]
pub fn conclude(before: &[Condition], found: Vec<Finding>, generation: Option<i64>, now: &Time) -> Vec<Condition> {
    let since = |finding: &Finding| {
        before
            .iter()
            .find(|old| old.type_ == finding.of.as_str() && old.status == finding.truth.as_str())
            .map_or_else(|| now.clone(), |old| old.last_transition_time.clone())
    };
    found
        .into_iter()
        .map(|finding| Condition {
            last_transition_time: since(&finding),
            message: finding.message,
            observed_generation: generation,
            reason: finding.reason.to_owned(),
            status: finding.truth.as_str().to_owned(),
            type_: finding.of.as_str().to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(second).expect("a small number is a time"))
    }

    fn ready(truth: Truth, reason: &'static str) -> Finding {
        Finding {
            of: Type::Ready,
            truth,
            reason,
            message: String::new(),
        }
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_truth_changes() {
        let first = conclude(&[], vec![ready(Truth::False, "Starting")], Some(1), &time(10));
        let same = conclude(&first, vec![ready(Truth::False, "Waiting")], Some(2), &time(20));
        assert_eq!(same[0].last_transition_time, time(10));
        assert_eq!(
            (same[0].reason.as_str(), same[0].observed_generation),
            ("Waiting", Some(2))
        );
        let other = conclude(&same, vec![ready(Truth::True, "Serving")], Some(2), &time(30));
        assert_eq!(other[0].last_transition_time, time(30));
    }
}
