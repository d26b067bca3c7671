//! The controller of `Redis`: observe → validate → plan → status → apply. Who is the primary is decided by `windlass_election`;
//! here it is given what it goes by, and carried out what it says.
//!
//! What is decided is written into the status, with the version that was seen, and nothing else is done in that pass. A Redis
//! that is calm is looked at every second or two: its lease, its pods, and what the agents say; at all of its objects every ten
//! seconds. Nothing of what was seen is decided by later.

pub mod check;
pub mod memory;
mod network;
mod news;
pub mod observe;
pub mod plan;
pub mod record;
mod render;
pub mod rollout;
pub mod status;
pub mod validate;

use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use windlass_election::{Phase, Timing, WaitingOn};

use crate::effects::{self, Action, Effects};
use crate::kind::Kind;
use observe::Observed;
use plan::{Plan, Reason};
use rollout::Rollout;

/// On each object, and on the pods: the Redis that it belongs to.
pub const REDIS: &str = "windlass.dev/redis";
/// What a Redis makes and keeps as it should be, in the order in which it is applied: what pods refer to is there before them.
pub const KINDS: [Kind; 9] = [
    Kind::ServiceAccount,
    Kind::ConfigMap,
    Kind::NetworkPolicy,
    Kind::Service,
    Kind::PodDisruptionBudget,
    Kind::Role,
    Kind::RoleBinding,
    Kind::Lease,
    Kind::StatefulSet,
];
/// Between two looks at all objects: how late it is noticed what somebody changed.
const WHOLE: Duration = Duration::from_secs(10);
/// Between two passes over a Redis where all is as it should be: how late a lease that stands still is noticed.
const CALM: Duration = Duration::from_secs(2);
/// Between two passes where something is not: how often members are told again.
const BEAT: Duration = Duration::from_secs(1);
/// Between two passes while somebody becomes the primary: each costs the pause in writes that long.
const HURRY: Duration = Duration::from_millis(200);
/// After what was decided is written: it is read and acted by at once.
const AT_ONCE: Duration = Duration::from_millis(10);

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is there could not be read.
    #[error(transparent)]
    Observe(#[from] crate::objects::Error),
    /// What would be done must not be.
    #[error(transparent)]
    Check(#[from] check::Violation),
    /// Something was not done.
    #[error(transparent)]
    Apply(#[from] effects::Error),
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// How much was written to the API server.
    pub writes: usize,
    /// When to look again.
    pub again: Duration,
}

/// One pass over what was observed. All that is done goes through `effects`.
///
/// # Errors
/// When something was refused or failed. What was done stays done, and the next pass goes on from there.
pub async fn pass(observed: &Observed, timing: &Timing, effects: &impl Effects) -> Result<Applied, Error> {
    let plan = plan::plan(observed, validate::validate(observed), timing);
    let checked = check::check(&plan, observed);
    let violation = checked.as_ref().err();
    let news = status::status(observed, &plan, violation, timing, &Time(Timestamp::now()));
    let again = again(&plan);
    let mut writes = news.len();
    for action in news {
        effects.carry_out(action).await?;
    }
    checked?;
    // Orders go out together: who does not answer delays nobody.
    let is_order = |action: &Action| matches!(action, Action::Order { .. });
    let mut actions = plan.actions.into_iter().peekable();
    while let Some(action) = actions.next() {
        if !is_order(&action) {
            writes += 1;
            effects.carry_out(action).await?;
            continue;
        }
        let mut orders = vec![action];
        while let Some(order) = actions.next_if(is_order) {
            orders.push(order);
        }
        let sent = join_all(orders.into_iter().map(|order| effects.carry_out(order))).await;
        sent.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(Applied { writes, again })
}

/// When to look again.
fn again(plan: &Plan) -> Duration {
    let phase = plan.record.map(|record| record.standing.phase);
    match (&plan.reason, phase) {
        (Reason::Decided, _) => AT_ONCE,
        (Reason::Invalid(_) | Reason::Suspended, _) => WHOLE,
        (Reason::Converged | Reason::Differs, Some(Phase::Promoting { .. } | Phase::SwitchingOver { .. })) => HURRY,
        (Reason::Converged, Some(Phase::Presiding { .. }))
            if plan.waiting == Some(WaitingOn::Nothing) && matches!(plan.rollout, Rollout::Done | Rollout::Unknown) =>
        {
            CALM
        }
        (Reason::Converged | Reason::Differs, _) => BEAT,
    }
}
