//! What is told of elections and switchovers: one event a transition.

use windlass_election::{Cause, Certainty, Phase};

use super::observe::Observed;
use super::plan::pod_name;
use super::record::Record;
use super::status::certainty;
use crate::effects::{Action, Mood};

/// What to tell of the step from what was decided before to what is now, if it is one.
pub(super) fn of_election(observed: &Observed, former: Option<&Record>, record: &Record) -> Option<Action> {
    let (before, after) = (former?.standing, record.standing);
    if before == after {
        return None;
    }
    let name = |member| pod_name(observed, member);
    let term = after.term;
    let (mood, reason, note) = match (before.phase, after.phase) {
        (Phase::Promoting { former, candidacy }, Phase::Presiding { primary, .. }) => {
            let reason = if former.is_some() {
                "FailoverEnded"
            } else {
                "PrimaryElected"
            };
            let mood = match candidacy.certainty {
                Certainty::MayLack if former.is_some() => Mood::Warning,
                Certainty::MayLack | Certainty::Whole => Mood::Normal,
            };
            let sure = if former.is_some() {
                certainty(candidacy.certainty)
            } else {
                "it is the first"
            };
            (
                mood,
                reason,
                format!("{} is the primary of term {term}: {sure}", name(primary)),
            )
        }
        (Phase::SwitchingOver { from, to, .. }, Phase::Presiding { primary, .. }) if primary == to => (
            Mood::Normal,
            "SwitchoverEnded",
            format!("{} handed over to {} in term {term}", name(from), name(to)),
        ),
        (Phase::SwitchingOver { to, .. }, Phase::Presiding { primary, .. }) => (
            Mood::Warning,
            "SwitchoverFailed",
            format!("{} did not take over in time; {} goes on", name(to), name(primary)),
        ),
        (_, Phase::Presiding { primary, .. }) => (
            Mood::Normal,
            "FailoverAverted",
            format!("{} came back in time and goes on", name(primary)),
        ),
        (Phase::Presiding { primary, .. }, Phase::Electing { cause, .. }) => (
            Mood::Warning,
            "FailoverBegan",
            format!("{}: {}", name(primary), because(cause)),
        ),
        (Phase::SwitchingOver { from, .. }, Phase::Electing { cause, .. }) => (
            Mood::Warning,
            "FailoverBegan",
            format!("{}, in a switchover: {}", name(from), because(cause)),
        ),
        (_, Phase::SwitchingOver { from, to, .. }) => (
            Mood::Normal,
            "SwitchoverBegan",
            format!("{} is to hand over to {} in term {term}", name(from), name(to)),
        ),
        // Steps of one election are no news.
        (_, Phase::Electing { .. } | Phase::Promoting { .. }) => return None,
    };
    Some(Action::Tell {
        mood,
        reason: reason.to_owned(),
        note,
    })
}

const fn because(cause: Cause) -> &'static str {
    match cause {
        Cause::First => "there was no primary yet",
        Cause::Stale => "it has not renewed its lease",
        Cause::Released => "its Redis has died, and it gave its lease up",
        Cause::Ahead => "a member has heard of a later term, or the lease is another's",
        Cause::Silent => "the candidate did not come",
        Cause::HandoverFailed => "the handover ended with nobody",
    }
}
