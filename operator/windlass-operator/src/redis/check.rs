//! What no plan may do, whatever made it. Asked before every write and in every test.

use windlass_election::{Ordinal, Phase, WaitingOn};
use windlass_redis_wire::names::PRIMARY;

use super::observe::Observed;
use super::plan::{Plan, Reason, makes_primary, pod_name};
use super::rollout::{self, Rollout, is_in_step};
use crate::effects::Action;
use crate::kind::Kind;

/// A plan that must not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It acts where nothing may be done: before what is decided is kept, too.
    #[error("a plan that is not to act has {actions} actions")]
    Act {
        /// How many.
        actions: usize,
    },
    /// It removes what is not the Redis's, or has data.
    #[error("a plan would remove {what}")]
    Remove {
        /// What.
        what: String,
    },
    /// It writes an object that somebody else owns.
    #[error("a plan would take {what} from somebody else")]
    Take {
        /// What.
        what: String,
    },
    /// It changes what a StatefulSet cannot change, or takes members away.
    #[error("a plan would reshape {what}")]
    Reshape {
        /// Which.
        what: String,
    },
    /// It makes a pod anew whose member is needed: a second one, or one of those that have everything while another lags.
    #[error("a plan would stop member {member}, which is needed")]
    Stop {
        /// Which.
        member: Ordinal,
    },
    /// It sends clients to a member that is not the primary.
    #[error("a plan would send clients to {what}, which is not the primary")]
    Misdirect {
        /// Which pod.
        what: String,
    },
    /// It makes a member a primary that nobody has decided on.
    #[error("a plan would make member {member} a primary, which is not decided")]
    Promote {
        /// Which.
        member: Ordinal,
    },
    /// It tells of what has not happened.
    #[error("a plan would report")]
    Report,
}

/// Whether a plan may be carried out.
///
/// # Errors
/// The first thing that it must not do.
pub fn check(plan: &Plan, observed: &Observed) -> Result<(), Violation> {
    let may_act = match &plan.reason {
        Reason::Differs => true,
        Reason::Converged | Reason::Decided | Reason::Suspended | Reason::Invalid(_) => false,
    };
    if !may_act && !plan.actions.is_empty() {
        return Err(Violation::Act {
            actions: plan.actions.len(),
        });
    }
    let mut restarts = 0;
    for action in &plan.actions {
        of_action(plan, observed, action)?;
        if let Action::Restart { what, .. } = action {
            restarts += 1;
            stops(plan, observed, &what.name, restarts)?;
        }
    }
    Ok(())
}

fn of_action(plan: &Plan, observed: &Observed, action: &Action) -> Result<(), Violation> {
    let owned = observed.objects.as_ref().map(|objects| &objects.owned);
    let live = |what| owned.and_then(|owned| owned.objects.get(what));
    let primary = plan.record.and_then(|record| record.primary());
    match action {
        Action::Remove { what, .. } if !what.kind.is_removable() || live(what).is_none() => {
            Err(Violation::Remove { what: what.to_string() })
        }
        Action::Apply { what, object, seen, .. } => {
            let live = live(what);
            let is_foreign = owned.is_none_or(|owned| owned.foreign.contains(what));
            if is_foreign || seen.is_some() != live.is_some() {
                return Err(Violation::Take { what: what.to_string() });
            }
            let Some(live) = live.filter(|_| what.kind == Kind::StatefulSet) else {
                return Ok(());
            };
            let reshapes = live.data["spec"]["selector"] != object.data["spec"]["selector"]
                || live.data["spec"]["replicas"].as_i64() > object.data["spec"]["replicas"].as_i64();
            match reshapes {
                true => Err(Violation::Reshape { what: what.to_string() }),
                false => Ok(()),
            }
        }
        Action::Label { what, value, .. } => {
            let of_primary = primary.is_some_and(|primary| pod_name(observed, primary) == what.name);
            match *value == PRIMARY && !of_primary {
                true => Err(Violation::Misdirect { what: what.to_string() }),
                false => Ok(()),
            }
        }
        Action::Order { to, order } if makes_primary(order) => {
            let decided = plan.record.map(|record| record.standing.phase);
            let is_decided = match decided {
                Some(Phase::Promoting { candidacy, .. }) => candidacy.member == *to,
                Some(Phase::SwitchingOver { to: heir, .. }) => heir == *to,
                Some(Phase::Presiding { .. } | Phase::Electing { .. }) | None => false,
            };
            if is_decided {
                Ok(())
            } else {
                Err(Violation::Promote { member: *to })
            }
        }
        Action::Report(_) | Action::Commit { .. } | Action::Tell { .. } => Err(Violation::Report),
        Action::Remove { .. }
        | Action::Generate { .. }
        | Action::Restart { .. }
        | Action::Hold { .. }
        | Action::Order { .. } => Ok(()),
    }
}

/// A pod is made anew only under a primary, one in a pass, and while everybody else has everything; but for one that lags itself,
/// and one that does not run at all.
fn stops(plan: &Plan, observed: &Observed, pod: &str, restarts: usize) -> Result<(), Violation> {
    let Some(record) = plan.record else {
        return Err(Violation::Remove { what: pod.to_owned() });
    };
    let member = record
        .replicas
        .members()
        .find(|member| pod_name(observed, *member) == pod);
    let Some(member) = member else {
        return Err(Violation::Remove { what: pod.to_owned() });
    };
    if restarts == 1 && rollout::stuck(observed) == Some(member) {
        return Ok(());
    }
    let Phase::Presiding { primary, since } = record.standing.phase else {
        return Err(Violation::Stop { member });
    };
    let is_whole = |member: &Ordinal| is_in_step(observed, *member, primary, since);
    let others_are_whole = record
        .replicas
        .members()
        .filter(|other| *other != member)
        .all(|other| is_whole(&other));
    let is_alone = record.replicas.number() == 1;
    let may = restarts == 1
        && plan.waiting == Some(WaitingOn::Nothing)
        && plan.rollout == Rollout::Restart(member)
        && (member != primary || is_alone)
        && (others_are_whole || !is_whole(&member));
    if may { Ok(()) } else { Err(Violation::Stop { member }) }
}
