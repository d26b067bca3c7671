//! What no plan may do, whatever made it. Asked before every write and in every test.

use super::observe::Observed;
use super::plan::{Plan, Reason};
use crate::effects::Action;
use crate::kind::Kind;

/// Removals in one pass. A spec that drops all that can be dropped (both routes, both policies, both accounts) has six.
const REMOVALS_MAX: usize = 6;

/// A plan that must not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It writes where nothing may be written.
    #[error("a plan that is not to write has {actions} actions")]
    Write {
        /// How many.
        actions: usize,
    },
    /// It removes what serves, or what is not the Platform's.
    #[error("a plan would remove {what}")]
    Remove {
        /// What.
        what: String,
    },
    /// It removes too much at once.
    #[error("a plan would remove {removals} objects at once")]
    RemoveMany {
        /// How many.
        removals: usize,
    },
    /// It writes an object that somebody else owns.
    #[error("a plan would take {what} from somebody else")]
    Take {
        /// What.
        what: String,
    },
    /// It changes by which labels a Deployment knows its pods: they would all be replaced at once.
    #[error("a plan would change the selector of {what}")]
    Reselect {
        /// Which.
        what: String,
    },
}

/// Whether a plan may be carried out.
///
/// # Errors
/// The first thing that it must not do.
pub fn check(plan: &Plan, observed: &Observed) -> Result<(), Violation> {
    let may_write = match &plan.reason {
        Reason::Differs => true,
        Reason::Converged | Reason::Suspended | Reason::Invalid(_) => false,
    };
    if !may_write && !plan.actions.is_empty() {
        return Err(Violation::Write {
            actions: plan.actions.len(),
        });
    }
    let mut removals = 0;
    for action in &plan.actions {
        match action {
            Action::Remove { what, .. } => {
                removals += 1;
                if !what.kind.is_removable() || !observed.owned.contains_key(what) {
                    return Err(Violation::Remove { what: what.to_string() });
                }
            }
            Action::Apply { what, object, seen, .. } => {
                let live = observed.owned.get(what);
                if observed.foreign.contains(what) || seen.is_some() != live.is_some() {
                    return Err(Violation::Take { what: what.to_string() });
                }
                let selector = |data: &serde_json::Value| data["spec"]["selector"].clone();
                let reselects = live.is_some_and(|live| selector(&live.data) != selector(&object.data));
                if what.kind == Kind::Deployment && reselects {
                    return Err(Violation::Reselect { what: what.to_string() });
                }
            }
            Action::Report(_)
            | Action::Commit { .. }
            | Action::Tell { .. }
            | Action::Generate { .. }
            | Action::Label { .. }
            | Action::Restart { .. }
            | Action::Hold { .. }
            | Action::Order { .. } => {
                return Err(Violation::Write {
                    actions: plan.actions.len(),
                });
            }
        }
    }
    if removals > REMOVALS_MAX {
        return Err(Violation::RemoveMany { removals });
    }
    Ok(())
}
