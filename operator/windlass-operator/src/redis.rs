//! The controller of `Redis`: observe → validate → plan → status → apply. Who is the primary is decided by `windlass_election`;
//! here it is given what it goes by, and carried out what it says.
//!
//! What is decided is written into the status, with the version that was seen, and nothing else is done in that pass. A Redis
//! that is calm is looked at every second or two: its lease, its pods, and what the agents say; at all of its objects every ten
//! seconds. Nothing of what was seen is decided by later.

pub mod agents;
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

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::ApiResource;
use kube::{Resource as _, ResourceExt as _};
use tokio::time::Instant;
use windlass_api::Redis;
use windlass_election::{Phase, Timing, WaitingOn};

use crate::controller::{self, Passed, Tools};
use crate::effects::{self, Action, Effects};
use crate::kind::Kind;
use crate::watch::Reference;
use agents::Agents;
use memory::{Memory, Now};
use observe::{Observed, Read};
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
/// What it hears of: not of the lease, which is renewed every two seconds.
const WATCHED: [Kind; 9] = [
    Kind::ServiceAccount,
    Kind::ConfigMap,
    Kind::NetworkPolicy,
    Kind::Service,
    Kind::PodDisruptionBudget,
    Kind::Role,
    Kind::RoleBinding,
    Kind::StatefulSet,
    Kind::Pod,
];
/// Between two looks at all objects: how late it is noticed what somebody changed.
const WHOLE: Duration = Duration::from_secs(10);
/// Between two passes over a Redis where all is as it should be: how late a lease that stands still is noticed.
const CALM: Duration = Duration::from_secs(2);
/// Between two passes where something is not: how often members are told again.
const BEAT: Duration = Duration::from_secs(1);
/// Between two passes while somebody becomes the primary: each costs the pause in writes that long.
const HURRY: Duration = Duration::from_millis(100);
/// After what was decided is written: it is read and acted by at once.
const AT_ONCE: Duration = Duration::from_millis(10);

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is there could not be read.
    #[error(transparent)]
    Observe(#[from] crate::objects::Error),
    /// Nobody can be ordered.
    #[error(transparent)]
    Reach(#[from] agents::Error),
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

/// Looks after Redises. Clones share what they remember.
#[derive(Debug, Clone)]
pub struct Controller {
    began: Instant,
    timing: Timing,
    known: Arc<Mutex<BTreeMap<Reference, Known>>>,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            timing: Timing::default(),
            known: Arc::default(),
        }
    }
}

/// What this process knows of one Redis.
#[derive(Debug, Default)]
struct Known {
    /// Of which one of that name.
    uid: String,
    memory: Memory,
    agents: Option<Agents>,
    /// When all of its objects were read last, in which version of the resource, and whether all was as it should be.
    whole: Option<(Now, Option<i64>)>,
}

impl controller::Controller for Controller {
    const LABEL: &'static str = REDIS;
    const WATCHED: &'static [Kind] = &WATCHED;
    type Error = Error;

    fn resource(&self) -> ApiResource {
        ApiResource::erase::<Redis>(&())
    }

    async fn pass(&self, tools: &Tools, of: &Reference) -> Result<Passed, Error> {
        let Some(redis) = observe::redis(&tools.client, of).await? else {
            self.known().remove(of);
            return Ok(Passed::Gone);
        };
        // A pass that breaks off takes with it what was known; the next counts anew, which only delays.
        let uid = redis.uid().unwrap_or_default();
        let known = self.known().remove(of).filter(|known| known.uid == uid);
        let mut known = known.unwrap_or_else(|| Known {
            uid,
            ..Known::default()
        });
        let passed = self.pass_over(tools, of, redis, &mut known).await;
        self.known().insert(of.clone(), known);
        match passed {
            Ok(Applied { writes, again }) => Ok(Passed::Done { writes, again }),
            // Members and their pods change all the time: what was decided on is no more, and the next pass decides anew.
            Err(Error::Apply(error @ effects::Error::Overtaken { .. })) => {
                tracing::info!(namespace = of.namespace, name = of.name, error = %error, "overtaken");
                Ok(Passed::Done {
                    writes: 1,
                    again: HURRY,
                })
            }
            Err(error) => Err(error),
        }
    }
}

impl Controller {
    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<Reference, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass_over(
        &self,
        tools: &Tools,
        of: &Reference,
        redis: Redis,
        known: &mut Known,
    ) -> Result<Applied, Error> {
        let clock = || self.began.elapsed();
        let (generation, regarding) = (redis.metadata.generation, redis.object_ref(&()));
        let is_whole = known
            .whole
            .is_none_or(|(at, of)| of != generation || clock() - at >= WHOLE);
        let Read { mut observed, access } =
            observe::observe(&tools.client, redis, is_whole, &mut known.memory, clock).await?;
        if is_whole {
            known.whole = Some((clock(), generation));
        }
        let former = known.agents.take();
        let access = access.or_else(|| former.as_ref().map(|agents| agents.access().clone()));
        if let Some(access) = access {
            known.agents = Some(Agents::reach(former, access, &observed)?);
        }
        if let Some(agents) = &known.agents {
            observed.states = agents.probe().await;
            let now = clock();
            for (member, state) in &observed.states {
                known.memory.hear_state(*member, *state, now);
            }
            observed.recent = known.memory.recent(now);
        }
        let mut effects = tools.effects(controller::Controller::resource(self), of, regarding);
        effects.agents.clone_from(&known.agents);
        let applied = pass(&observed, &self.timing, &effects).await;
        for (member, answer) in known.agents.iter().flat_map(Agents::answers) {
            known.memory.hear(member, answer);
        }
        // What was just made, or is only half, is looked at again.
        if !matches!(applied, Ok(Applied { writes: 0, .. })) {
            known.whole = None;
        }
        applied
    }
}
