//! What the operator and the agents say to one another.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::member::Role;
use crate::term::{Generation, Ordinal, Roster, Term};

/// What an agent is told to do. Each may come late, twice, or from an operator that is one no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Order {
    /// Say how things are.
    Probe,
    /// Leave whatever primary there was, for good, and report what is there. From the operator.
    Detach {
        /// The election's term.
        term: Term,
    },
    /// Become the primary. From the operator, to the candidate of this term only.
    Promote {
        /// The term in which it detached.
        term: Term,
        /// Whether it was chosen for having all that it acknowledged, so that it must still be the same process.
        intact: bool,
        /// All members, itself too.
        roster: Roster,
        /// What the data is called from now on.
        generation: Generation,
    },
    /// Follow the primary of a term. From the operator.
    Follow {
        /// That primary's term.
        term: Term,
        /// Who it is.
        primary: Ordinal,
    },
    /// Promise not to leave the primary of this term. From that primary.
    Promise {
        /// Its term.
        term: Term,
        /// For how long, from when this comes.
        lasts: Duration,
    },
    /// Be ready to take over from the primary that is followed. From the operator.
    Succeed {
        /// The term that begins with it.
        term: Term,
        /// Who hands over.
        from: Ordinal,
        /// All members.
        roster: Roster,
    },
    /// Hand over to a member that is ready to succeed. From the operator, to the primary.
    HandOver {
        /// The term that begins with it.
        term: Term,
        /// Who succeeds.
        to: Ordinal,
    },
}

/// How much of the data a member has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The last term of which there is anything in the data: each primary writes its term before anything else.
    pub term: Term,
    /// How far it has come in the stream of writes. Comparable within a term.
    pub offset: u64,
}

impl Position {
    /// Whether no primary has ever written anything to it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.term == Term::default()
    }
}

/// What a member has, said once it had left its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The term in which it left.
    pub term: Term,
    /// How far its data goes.
    pub position: Position,
    /// Whether it still has all that it ever acknowledged: its process is the one that was in step with a primary. One that
    /// was started anew has what its files had (`appendfsync everysec` may lack the last second).
    pub intact: bool,
}

/// How things are with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The greatest term that it took an order of.
    pub term: Term,
    /// What it is in that term.
    pub role: Role,
    /// Whether a promise of it holds, so that it would not detach.
    pub is_promised: bool,
    /// Whether its data is in step with the primary that it follows, in the process that now runs.
    pub is_in_step: bool,
}

/// Why an order was not followed. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Refusal {
    /// It is of a term that is over.
    Stale {
        /// The term that the member has.
        seen: Term,
    },
    /// The member has promised its primary not to.
    Promised {
        /// For how long yet.
        remaining: Duration,
    },
    /// It does not fit what the member is.
    Unfit {
        /// That.
        role: Role,
    },
}

/// An agent's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reply {
    /// To [`Order::Probe`].
    State(State),
    /// To [`Order::Promise`]: given, and on the volume.
    Promised {
        /// To the primary of this term.
        term: Term,
    },
    /// It is on the volume, and done or being done.
    Accepted,
    /// It is refused.
    Refused(Refusal),
}
