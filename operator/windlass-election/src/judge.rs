//! Whether those who have answered are enough to elect, and whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::term::{Ordinal, Roster};
use crate::word::{Position, Report};

/// When a write counts as acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When so many members have it, the primary among them.
    Strict {
        /// How many: one more than `WAIT` is asked for.
        copies: usize,
    },
    /// When the primary has it.
    Available,
}

/// What an election goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// All members there are.
    pub roster: Roster,
    /// When a write counts.
    pub durability: Durability,
    /// Somebody has said that this election may lose data: whatever has answered is enough.
    pub may_lose: bool,
    /// Whether it was waited for more answers than have come ([`crate::Timing::patience`]).
    pub was_patient: bool,
}

/// Whether all that was acknowledged is in the candidate's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Certainty {
    /// It is.
    Whole,
    /// It may not be, and nothing that can be waited for would change that, or nobody wants to wait.
    MayLack,
}

/// Who is to be the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidacy {
    /// Who.
    pub member: Ordinal,
    /// Whether it has everything.
    pub certainty: Certainty,
    /// Whether it has all that it acknowledged itself ([`Report::intact`]).
    pub intact: bool,
}

/// Why there is no candidate yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// So many more members that still have what they acknowledged must answer, or all there are.
    Answers {
        /// How many more.
        more: usize,
    },
    /// More may answer within the time that is given them.
    Patience,
}

/// What comes of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This one.
    Elect(Candidacy),
    /// Nobody yet.
    Wait(Missing),
}

/// Judges the reports of members that have left their primary in one and the same term.
///
/// Any `copies` members have one in common with any `n - copies + 1`: so many that still have what they acknowledged are
/// enough, and the one among them that goes furthest in the newest term has everything (Raft §5.4.1). Once all members there
/// are have answered there is nothing more to wait for.
#[must_use]
pub fn judge(rules: &Rules, reports: &BTreeMap<Ordinal, Report>) -> Verdict {
    let answered: BTreeMap<_, _> = rules
        .roster
        .iter()
        .filter_map(|member| Some((member, reports.get(&member)?)))
        .collect();
    let copies = match rules.durability {
        Durability::Strict { copies } => copies,
        Durability::Available => 1,
    };
    let needed = (rules.roster.count() + 1).saturating_sub(copies).max(1);
    let intact = answered.values().filter(|report| is_sound(report)).count();
    let everybody = answered.len() == rules.roster.count();
    let certainty = if intact >= needed {
        Certainty::Whole
    } else {
        Certainty::MayLack
    };
    let enough = match (certainty, rules.durability) {
        (Certainty::Whole, _) => true,
        (Certainty::MayLack, _) if everybody => true,
        (Certainty::MayLack, Durability::Available) if intact > 0 => {
            if !rules.was_patient {
                return Verdict::Wait(Missing::Patience);
            }
            true
        }
        (Certainty::MayLack, Durability::Strict { .. } | Durability::Available) => rules.may_lose,
    };
    match (enough, furthest(&answered)) {
        (true, Some((member, intact))) => Verdict::Elect(Candidacy {
            member,
            certainty,
            intact,
        }),
        (true, None) | (false, _) => Verdict::Wait(Missing::Answers {
            more: needed.saturating_sub(intact).max(1),
        }),
    }
}

fn is_sound(report: &Report) -> bool {
    report.intact && !report.position.is_empty()
}

/// The newest term first, then who is intact, then the offset; the lowest ordinal among equals.
fn furthest(answered: &BTreeMap<Ordinal, &Report>) -> Option<(Ordinal, bool)> {
    let rank = |report: &Report| {
        let Position { term, offset } = report.position;
        (term, report.intact, offset)
    };
    let best = answered.values().map(|report| rank(report)).max()?;
    answered
        .iter()
        .find(|(_, report)| rank(report) == best)
        .map(|(member, report)| (*member, report.intact))
}

#[cfg(test)]
mod tests;
