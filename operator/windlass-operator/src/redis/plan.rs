//! What to decide and to do: pure, without time and I/O. A converged Redis gives an empty plan.
//!
//! What is decided is written first, with the version that it was decided on, and nothing is done in that pass; the next one
//! reads it and acts by it. So whoever acts, acts by what is kept.

use kube::ResourceExt as _;
use windlass_election::{
    DeciderAction, Durability, Observed as Seen, Order, Ordinal, Phase, Role, Step, Term, Timing, WaitingOn, step,
};
use windlass_redis_wire::names::{PRIMARY, REPLICA, ROLE};

use super::observe::Observed;
use super::record::Record;
use super::render::{self, KEYS};
use super::rollout::{self, Rollout};
use super::validate::{Problem, Validated};
use crate::effects::Action;
use crate::kind::{Identity, Kind};
use crate::objects;

/// After a handover that came to nothing, this long passes before the operator tries one of its own again: each costs a pause.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(15);

/// Why there is, or is not, something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// All is as it should be.
    Converged,
    /// There are actions.
    Differs,
    /// Something was decided, and is kept before anything else is done.
    Decided,
    /// Nothing is written, whatever differs.
    Suspended,
    /// Nothing can be decided before this changes.
    Invalid(Problem),
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Why.
    pub reason: Reason,
    /// What is decided, as it is to be kept; `None` where nothing can be.
    pub record: Option<Record>,
    /// What the election waits for; `None` where it does not go on.
    pub waiting: Option<WaitingOn>,
    /// Why no object is written, if so.
    pub problems: Vec<Problem>,
    /// How far a change of the pods is.
    pub rollout: Rollout,
    /// What to do, in this order.
    pub actions: Vec<Action>,
}

/// What to do.
#[must_use]
pub fn plan(observed: &Observed, validated: Result<Validated, Problem>, timing: &Timing) -> Plan {
    let nothing = |reason, record| Plan {
        reason,
        record,
        waiting: None,
        problems: Vec::new(),
        rollout: Rollout::Unknown,
        actions: Vec::new(),
    };
    let Validated { record, problems } = match validated {
        Ok(validated) => validated,
        Err(problem) => return nothing(Reason::Invalid(problem), None),
    };
    if observed.redis.spec.suspend {
        return nothing(Reason::Suspended, record);
    }
    let Some(record) = record else {
        return nothing(Reason::Decided, Some(Record::first(&observed.redis)));
    };
    let rollout = rollout::rollout(observed, &record);
    let mut plan = Plan {
        reason: Reason::Converged,
        record: Some(record),
        waiting: None,
        problems,
        rollout,
        actions: Vec::new(),
    };
    let mut orders = Vec::new();
    if let Some(seen) = election(observed, &record, rollout) {
        match step(&record.standing, &seen, timing) {
            Step::Advance(standing) => return decided(plan, record.advance(standing)),
            Step::Stay(waiting, actions) => {
                plan.waiting = Some(waiting);
                orders = actions;
            }
        }
    }
    if let Some(grown) = grow(observed, &record, plan.waiting) {
        return decided(plan, grown);
    }
    // Off the former primary first, and on the new one last, when all else is as it should be for its clients.
    let (off, on) = labels(observed, &record);
    plan.actions.extend(off);
    if plan.problems.is_empty() {
        plan.actions.extend(of_objects(observed, &record));
    }
    plan.actions
        .extend(orders.into_iter().filter_map(|action| carry(observed, action)));
    plan.actions.extend(on);
    if let Rollout::Restart(member) = rollout {
        let is_calm = plan.waiting == Some(WaitingOn::Nothing);
        let may = is_calm || rollout::stuck(observed) == Some(member);
        plan.actions.extend(restart(observed, member).filter(|_| may));
    }
    if !plan.actions.is_empty() {
        plan.reason = Reason::Differs;
    }
    plan
}

fn decided(plan: Plan, record: Record) -> Plan {
    Plan {
        reason: Reason::Decided,
        record: Some(record),
        actions: Vec::new(),
        ..plan
    }
}

/// What the election goes by; nothing without a lease, which is made first.
fn election(observed: &Observed, record: &Record, rollout: Rollout) -> Option<Seen> {
    let held = observed.lease.as_ref()?;
    let lease = *held.lease.as_ref().ok()?;
    let spec = &observed.redis.spec;
    let durability = match spec.copies() {
        Some(copies) => Durability::Strict { copies },
        None => Durability::Available,
    };
    // Whoever was added since the term began follows, and may have acknowledged a write: where copies are counted it is counted.
    // The primary does not know it, so it was not asked for a promise: where one answer may be enough, its own is not.
    let is_electing = matches!(record.standing.phase, Phase::Electing { .. });
    let roster = match durability {
        Durability::Available if is_electing => record.electors.roster(),
        Durability::Available | Durability::Strict { .. } => record.replicas.roster(),
    };
    let of_term = |term: i64| u64::try_from(term).map(Term::new).ok();
    Some(Seen {
        roster,
        durability,
        may_lose: spec.allow_data_loss.and_then(of_term),
        wanted: wanted(observed, record, rollout),
        lease,
        unchanged_for: held.unchanged_for,
        standing_for: observed.standing_for,
        states: observed.states.clone(),
        reports: observed.reports.clone(),
    })
}

/// The member that is to be the primary, if somebody wants one: the user, in this term only; else the primary's pod is on its
/// way out, or is to be made anew.
fn wanted(observed: &Observed, record: &Record, rollout: Rollout) -> Option<Ordinal> {
    let Phase::Presiding { primary, since } = record.standing.phase else {
        return None;
    };
    let term = record.standing.term;
    let by_user = observed.redis.spec.switchover.filter(|switchover| {
        u64::try_from(switchover.term).is_ok_and(|wanted| Term::new(wanted) == term)
            && i64::from(record.replicas.number()) > i64::from(switchover.to)
    });
    if let Some(ordinal) = by_user.and_then(|switchover| u16::try_from(switchover.to).ok()) {
        return Some(Ordinal::new(ordinal));
    }
    if since < term && observed.standing_for < AGAIN {
        return None;
    }
    let is_leaving = observed.pods.get(&primary).is_some_and(|pod| pod.is_leaving);
    if is_leaving {
        return record.replicas.members().find(|member| {
            let stays = observed.pods.get(member).is_some_and(|pod| !pod.is_leaving);
            *member != primary && stays && rollout::is_in_step(observed, *member, primary, since)
        });
    }
    match rollout {
        Rollout::SwitchOver(heir) => Some(heir),
        Rollout::Unknown | Rollout::Done | Rollout::Waiting | Rollout::Restart(_) | Rollout::Supervised => None,
    }
}

/// One more member, while all that there are have everything.
fn grow(observed: &Observed, record: &Record, waiting: Option<WaitingOn>) -> Option<Record> {
    let Phase::Presiding { primary, since } = record.standing.phase else {
        return None;
    };
    let is_calm =
        waiting == Some(WaitingOn::Nothing) && rollout::everybody_is_in_step(observed, record, primary, since);
    let wanted = super::record::Count::of(observed.redis.spec.replicas);
    (is_calm && wanted > record.replicas).then(|| Record {
        replicas: record.replicas.next(),
        ..*record
    })
}

/// Labels to take off, and to put on: clients are sent to the primary that presides, and to nobody while there is none.
fn labels(observed: &Observed, record: &Record) -> (Vec<Action>, Vec<Action>) {
    let names = render::names(&observed.redis);
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for (member, pod) in &observed.pods {
        let is_primary = record.primary() == Some(*member);
        let value = if is_primary { PRIMARY } else { REPLICA };
        if pod.role.as_deref() == Some(value) {
            continue;
        }
        let label = Action::Label {
            what: Identity {
                kind: Kind::Pod,
                name: names.pod(*member),
            },
            seen: pod.seen.clone(),
            key: ROLE,
            value,
        };
        if is_primary { on.push(label) } else { off.push(label) }
    }
    (off, on)
}

fn of_objects(observed: &Observed, record: &Record) -> Vec<Action> {
    let Some(found) = &observed.objects else {
        return Vec::new();
    };
    let redis = &observed.redis;
    let mut actions = Vec::new();
    if found.secret.is_none() {
        let what = Identity {
            kind: Kind::Secret,
            name: render::names(redis).base().to_owned(),
        };
        let object = Box::new(render::render(redis, record, &what));
        let keys = KEYS.to_vec();
        actions.push(Action::Generate { what, object, keys });
    }
    let wanted = render::identities(redis);
    actions.extend(wanted.iter().filter_map(|what| {
        let object = render::render(redis, record, what);
        objects::difference(found.owned.objects.get(what), what, object)
    }));
    for (what, object) in &found.owned.objects {
        if !wanted.contains(what) && what.kind.is_removable() && object.metadata.deletion_timestamp.is_none() {
            let (what, seen) = (what.clone(), objects::seen(object));
            actions.push(Action::Remove { what, seen });
        }
    }
    actions
}

/// What the election wants done. Orders go to pods that are there.
fn carry(observed: &Observed, action: DeciderAction) -> Option<Action> {
    match action {
        DeciderAction::Send(to, order) => {
            observed.pods.get(&to)?;
            Some(Action::Order { to, order })
        }
        DeciderAction::Write(lease) => {
            let held = observed.lease.as_ref()?;
            let (holder, transitions) = windlass_redis_wire::write(lease);
            Some(Action::Hold {
                what: Identity {
                    kind: Kind::Lease,
                    name: render::names(&observed.redis).base().to_owned(),
                },
                seen: held.seen.clone(),
                holder,
                transitions,
            })
        }
    }
}

fn restart(observed: &Observed, member: Ordinal) -> Option<Action> {
    let pod = observed.pods.get(&member)?;
    Some(Action::Restart {
        what: Identity {
            kind: Kind::Pod,
            name: render::names(&observed.redis).pod(member),
        },
        seen: pod.seen.clone(),
    })
}

/// Whether an order makes a primary.
pub(super) fn makes_primary(order: &Order) -> bool {
    matches!(order, Order::Promote { .. } | Order::Succeed { .. })
}

/// Whether a role is that of one who may take writes.
pub(super) fn may_take_writes(role: Role) -> bool {
    match role {
        Role::Primary | Role::Yielding { .. } => true,
        Role::Detached | Role::Following { .. } | Role::Succeeding { .. } | Role::Deposed => false,
    }
}

/// The name of a member's pod, for people.
pub(super) fn pod_name(observed: &Observed, member: Ordinal) -> String {
    let redis = &observed.redis;
    windlass_redis_wire::Names::of(&redis.name_any(), &redis.namespace().unwrap_or_default()).pod(member)
}
