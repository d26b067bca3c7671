//! How a change of the pods is brought to them: replicas from the highest ordinal on, each in step before the next; then a
//! switchover; then the former primary.

use windlass_election::{Ordinal, Phase, Role, State, Term};

use super::observe::{Observed, Pod};
use super::record::Record;
use super::render;
use crate::kind::{Identity, Kind};

/// How far it is, and what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollout {
    /// Nobody can say: the objects were not read, or do not speak of what was last written.
    Unknown,
    /// All pods are of the newest version.
    Done,
    /// Some are not, and what was begun last has not ended.
    Waiting,
    /// This member's pod is made anew.
    Restart(Ordinal),
    /// This member becomes the primary, so that the primary's pod can be made anew.
    SwitchOver(Ordinal),
    /// Somebody has to do that.
    Supervised,
}

/// What comes next.
#[must_use]
pub fn rollout(observed: &Observed, record: &Record) -> Rollout {
    if let Some(stuck) = stuck(observed) {
        return Rollout::Restart(stuck);
    }
    match record.standing.phase {
        Phase::Presiding { primary, since } => under(observed, record, primary, since),
        Phase::Electing { .. } | Phase::Promoting { .. } | Phase::SwitchingOver { .. } => Rollout::Unknown,
    }
}

/// A member whose pod does not run and is of an older version: it takes part in nothing, with or without a primary, and a version
/// that cannot start must not keep the next from it.
#[must_use]
pub fn stuck(observed: &Observed) -> Option<Ordinal> {
    let revision = revision(observed)?;
    let is_stuck = |pod: &&Pod| pod.is_stuck && !pod.is_leaving && pod.revision.as_ref() != Some(&revision);
    let mut pods = observed.pods.iter().rev();
    pods.find(|(_, pod)| is_stuck(pod)).map(|(member, _)| *member)
}

/// What comes next under this primary.
fn under(observed: &Observed, record: &Record, primary: Ordinal, since: Term) -> Rollout {
    let Some(revision) = revision(observed) else {
        return Rollout::Unknown;
    };
    let outdated: Vec<_> = observed
        .pods
        .iter()
        .filter(|(_, pod)| pod.revision.as_ref() != Some(&revision))
        .map(|(member, _)| *member)
        .collect();
    let Some(highest) = outdated.iter().rev().find(|member| **member != primary) else {
        return of_primary(observed, record, primary, since, outdated.is_empty());
    };
    if observed.pods.values().any(|pod| pod.is_leaving) {
        return Rollout::Waiting;
    }
    let lags = |member: &&Ordinal| **member != primary && !is_in_step(observed, **member, primary, since);
    // One that has nothing to lose comes first.
    if let Some(lagging) = outdated.iter().rev().find(lags) {
        return Rollout::Restart(*lagging);
    }
    if everybody_is_in_step(observed, record, primary, since) {
        Rollout::Restart(*highest)
    } else {
        Rollout::Waiting
    }
}

fn of_primary(observed: &Observed, record: &Record, primary: Ordinal, since: Term, is_done: bool) -> Rollout {
    let spec = &observed.redis.spec;
    let is_supervised = spec.update_strategy.supervised;
    let heir = record.replicas.members().find(|member| *member != primary);
    match heir {
        _ if is_done => Rollout::Done,
        _ if !everybody_is_in_step(observed, record, primary, since) => Rollout::Waiting,
        _ if is_supervised => Rollout::Supervised,
        Some(heir) => Rollout::SwitchOver(heir),
        // All that a lone member without a volume has goes with its pod.
        None if spec.storage.ephemeral.is_some() => Rollout::Supervised,
        None => Rollout::Restart(primary),
    }
}

/// Whether every member has a pod that stays, and all data: the primary itself, and who is in step with it.
#[must_use]
pub fn everybody_is_in_step(observed: &Observed, record: &Record, primary: Ordinal, since: Term) -> bool {
    record.replicas.members().all(|member| {
        let stays = observed.pods.get(&member).is_some_and(|pod| !pod.is_leaving);
        stays && is_in_step(observed, member, primary, since)
    })
}

/// Whether a member says now that it has all data, in the term that began with `since`. What it said a moment ago decides nothing:
/// its pod may be another by now.
#[must_use]
pub fn is_in_step(observed: &Observed, member: Ordinal, primary: Ordinal, since: Term) -> bool {
    has_all(observed.states.get(&member), member, primary, since)
}

/// Whether a member has all data by what it said.
pub(super) fn has_all(said: Option<&State>, member: Ordinal, primary: Ordinal, since: Term) -> bool {
    said.is_some_and(|state| {
        let as_it_should = match state.role {
            Role::Primary => member == primary,
            Role::Following { primary: followed } => followed == primary,
            Role::Detached | Role::Succeeding { .. } | Role::Yielding { .. } | Role::Deposed => false,
        };
        as_it_should && state.term >= since && state.is_in_step
    })
}

/// The newest version of the pods, if the StatefulSet speaks of what was last written to it.
fn revision(observed: &Observed) -> Option<String> {
    let what = Identity {
        kind: Kind::StatefulSet,
        name: render::names(&observed.redis).base().to_owned(),
    };
    let set = observed.objects.as_ref()?.owned.objects.get(&what)?;
    let status = &set.data["status"];
    if status["observedGeneration"].as_i64() != set.metadata.generation {
        return None;
    }
    status["updateRevision"].as_str().map(str::to_owned)
}

/// Whether a member's pod is of the newest version, as far as anybody can say.
#[must_use]
pub fn is_updated(observed: &Observed, member: Ordinal) -> Option<bool> {
    let revision = revision(observed)?;
    let pod = observed.pods.get(&member)?;
    Some(pod.revision.as_ref() == Some(&revision))
}
