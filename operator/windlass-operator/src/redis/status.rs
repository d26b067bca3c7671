//! What is said of a Redis: what is decided, facts that were observed, and conditions that follow from them. Nothing is said
//! from what is only intended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use windlass_api::RedisStatus;
use windlass_api::condition::{Finding, Truth, Type, conclude};
use windlass_api::redis::{Durability, Member, MemberRole};
use windlass_election::{Certainty, Ordinal, Phase, Role, Timing, WaitingOn};

use super::check::Violation;
use super::news;
use super::observe::Observed;
use super::plan::{Plan, Reason, may_take_writes, pod_name};
use super::record::{Count, Record};
use super::rollout::{self, Rollout, has_all};
use crate::effects::{Action, Mood, Seen};

/// An election that has gone on for so many leases is said to be stuck: one that goes well takes less than two.
const STUCK: u32 = 3;

/// What to tell: the status if it is another than what stands there, and an event for each transition.
#[must_use]
pub fn status(
    observed: &Observed,
    plan: &Plan,
    violation: Option<&Violation>,
    timing: &Timing,
    now: &Time,
) -> Vec<Action> {
    let redis = &observed.redis;
    let before = redis.status.clone().unwrap_or_default();
    let generation = redis.metadata.generation;
    let found = find(observed, plan, violation, timing);
    let after = match &plan.record {
        Some(record) => RedisStatus {
            observed_generation: generation,
            conditions: conclude(&before.conditions, found, generation, now),
            standing: Some(record.standing_text()),
            term: i64::try_from(record.standing.term.number()).unwrap_or(i64::MAX),
            primary: record.primary().map(|primary| i32::from(primary.number())),
            replicas: i32::from(record.replicas.number()),
            electors: i32::from(record.electors.number()),
            members: members(observed, record, &before),
        },
        // What is decided stays as it stands there, whatever it is.
        None => RedisStatus {
            observed_generation: generation,
            conditions: conclude(&before.conditions, found, generation, now),
            ..before.clone()
        },
    };
    if after == before {
        return Vec::new();
    }
    let seen = Seen {
        uid: redis.metadata.uid.clone().unwrap_or_default(),
        version: redis.metadata.resource_version.clone().unwrap_or_default(),
    };
    let former = Record::read(redis).ok().flatten();
    let of_election = plan
        .record
        .and_then(|record| news::of_election(observed, former.as_ref(), &record));
    let of_conditions = after
        .conditions
        .iter()
        .filter_map(|condition| tell(&before.conditions, condition));
    let news: Vec<_> = of_election.into_iter().chain(of_conditions).collect();
    let status = serde_json::to_value(&after).expect("a status is plain data");
    std::iter::once(Action::Commit { status, seen }).chain(news).collect()
}

/// An event where something changed that people should know of and that the election does not tell.
fn tell(before: &[Condition], after: &Condition) -> Option<Action> {
    let of = |of: Type| after.type_ == of.as_str();
    let same = |old: &&Condition| old.type_ == after.type_ && old.status == after.status;
    if before.iter().any(|old| same(&old) && old.reason == after.reason) {
        return None;
    }
    let holds = after.status == Truth::True.as_str();
    // That there is a primary again, the election tells.
    let mood = if of(Type::Degraded) && holds {
        Mood::Warning
    } else if of(Type::Paused) && holds {
        Mood::Normal
    } else {
        return None;
    };
    Some(Action::Tell {
        mood,
        reason: after.reason.clone(),
        note: after.message.clone(),
    })
}

fn members(observed: &Observed, record: &Record, before: &RedisStatus) -> Vec<Member> {
    let of = |member: Ordinal| {
        let ordinal = i32::from(member.number());
        let state = observed.recent.get(&member);
        let is_primary = record.primary() == Some(member);
        let role = match state.map(|state| state.role) {
            None => MemberRole::Unknown,
            Some(role) if may_take_writes(role) && (is_primary || record.primary().is_none()) => MemberRole::Primary,
            Some(Role::Following { .. } | Role::Succeeding { .. }) => MemberRole::Replica,
            Some(Role::Primary | Role::Yielding { .. } | Role::Detached | Role::Deposed) => MemberRole::Waiting,
        };
        let known = before.members.iter().find(|known| known.ordinal == ordinal);
        Member {
            ordinal,
            role,
            in_step: state.is_some_and(|state| state.is_in_step),
            // Not looked at in each pass.
            updated: rollout::is_updated(observed, member)
                .or(known.map(|known| known.updated))
                .unwrap_or_default(),
        }
    };
    record.replicas.members().map(of).collect()
}

fn finding(of: Type, truth: impl Into<Truth>, reason: &'static str, message: impl Into<String>) -> Finding {
    Finding {
        of,
        truth: truth.into(),
        reason,
        message: message.into(),
    }
}

fn find(observed: &Observed, plan: &Plan, violation: Option<&Violation>, timing: &Timing) -> Vec<Finding> {
    let available = primary_available(observed, plan);
    let healthy = replication_healthy(observed, plan);
    vec![
        ready(observed, plan, &available),
        progressing(observed, plan),
        degraded(observed, plan, violation, timing),
        paused(observed),
        available,
        healthy,
    ]
}

fn primary_available(observed: &Observed, plan: &Plan) -> Finding {
    let of = Type::PrimaryAvailable;
    let Some(record) = &plan.record else {
        return finding(of, Truth::Unknown, "NotUnderstood", "see the condition Degraded");
    };
    match record.standing.phase {
        Phase::Presiding { primary, .. } if plan.waiting == Some(WaitingOn::Promise) => finding(
            of,
            true,
            "HeldByPromises",
            format!(
                "{} does not renew its lease, and takes writes by the promises of the others",
                pod_name(observed, primary)
            ),
        ),
        Phase::Presiding { primary, .. } => finding(
            of,
            true,
            "Serving",
            format!("{} takes writes", pod_name(observed, primary)),
        ),
        Phase::Electing { .. } => finding(of, false, "Electing", "members say what they have"),
        Phase::Promoting { candidacy, .. } => finding(
            of,
            false,
            "Promoting",
            format!("{} is to be the primary", pod_name(observed, candidacy.member)),
        ),
        Phase::SwitchingOver { from, to, .. } => finding(
            of,
            false,
            "SwitchingOver",
            format!("{} hands over to {}", pod_name(observed, from), pod_name(observed, to)),
        ),
    }
}

fn replication_healthy(observed: &Observed, plan: &Plan) -> Finding {
    let of = Type::ReplicationHealthy;
    let Some(record) = &plan.record else {
        return finding(of, Truth::Unknown, "NotUnderstood", "see the condition Degraded");
    };
    let Phase::Presiding { primary, since } = record.standing.phase else {
        return finding(of, false, "NoPrimary", "there is nobody to follow");
    };
    let lagging: Vec<_> = record
        .replicas
        .members()
        .filter(|member| *member != primary && !has_all(observed.recent.get(member), *member, primary, since))
        .map(|member| pod_name(observed, member))
        .collect();
    if lagging.is_empty() {
        finding(of, true, "InStep", "every replica has what the primary has")
    } else {
        finding(of, false, "OutOfStep", format!("not in step: {}", lagging.join(", ")))
    }
}

/// How many members have each write, of how many that must.
fn copies(observed: &Observed, record: &Record) -> (usize, usize) {
    let wanted = observed.redis.spec.copies().unwrap_or(1);
    let Phase::Presiding { primary, since } = record.standing.phase else {
        return (0, wanted);
    };
    let replicas = record.replicas.members().filter(|member| *member != primary);
    let in_step = replicas.filter(|member| has_all(observed.recent.get(member), *member, primary, since));
    (1 + in_step.count(), wanted)
}

fn ready(observed: &Observed, plan: &Plan, available: &Finding) -> Finding {
    let of = Type::Ready;
    let record = match (&plan.reason, &plan.record) {
        (Reason::Invalid(problem), _) => return finding(of, false, problem.reason, "see the condition Degraded"),
        (_, None) => return finding(of, false, "NotUnderstood", "nothing was decided yet"),
        (_, Some(record)) => record,
    };
    if available.truth != Truth::True {
        return finding(of, false, available.reason, available.message.clone());
    }
    let (have, want) = copies(observed, record);
    match observed.redis.spec.durability {
        Durability::Strict if have < want => finding(
            of,
            false,
            "TooFewCopies",
            format!("{have} members have each write and {want} must: writes wait"),
        ),
        Durability::Strict | Durability::Available => finding(of, true, "Serving", "writes are taken and acknowledged"),
    }
}

fn progressing(observed: &Observed, plan: &Plan) -> Finding {
    let of = Type::Progressing;
    let grows = plan
        .record
        .is_some_and(|record| Count::of(observed.redis.spec.replicas) > record.replicas);
    let in_election = plan.record.is_some_and(|record| record.primary().is_none());
    let applies = plan.actions.iter().any(|action| {
        matches!(
            action,
            Action::Apply { .. } | Action::Generate { .. } | Action::Remove { .. }
        )
    });
    match (&plan.reason, plan.rollout) {
        (Reason::Invalid(_), _) => finding(of, false, "WaitingForChange", "see the condition Degraded"),
        (Reason::Suspended, _) => finding(of, false, "Suspended", "nothing is written"),
        _ if in_election => finding(of, true, "Electing", "see the condition PrimaryAvailable"),
        _ if !plan.problems.is_empty() => finding(of, false, "WaitingForChange", "see the condition Degraded"),
        _ if applies => finding(of, true, "Applying", "changes are being made"),
        (_, Rollout::Restart(_) | Rollout::Waiting | Rollout::SwitchOver(_)) => {
            finding(of, true, "RollingOut", "pods are made anew, one after the other")
        }
        (_, Rollout::Supervised) => finding(
            of,
            false,
            "WaitingForSwitchover",
            "only the primary's pod is of an older version: hand over with spec.switchover, or, where it is alone, remove its pod",
        ),
        _ if grows => finding(of, true, "Growing", "members are added, one after the other"),
        (Reason::Converged | Reason::Differs | Reason::Decided, Rollout::Done) => {
            finding(of, false, "Converged", "there is nothing to do")
        }
        // What is not looked at in this pass is as it was said last.
        (Reason::Converged | Reason::Differs | Reason::Decided, Rollout::Unknown) => as_before(observed, of),
    }
}

fn degraded(observed: &Observed, plan: &Plan, violation: Option<&Violation>, timing: &Timing) -> Finding {
    let of = Type::Degraded;
    if let Some(violation) = violation {
        return finding(of, true, "PlanRefused", violation.to_string());
    }
    if let Reason::Invalid(problem) = &plan.reason {
        return finding(of, true, problem.reason, problem.message.clone());
    }
    let electing = plan
        .record
        .filter(|record| matches!(record.standing.phase, Phase::Electing { .. }));
    if let (Some(record), Some(WaitingOn::Reports(_))) = (electing, plan.waiting)
        && observed.standing_for >= timing.lease * STUCK
    {
        let silent: Vec<_> = record
            .replicas
            .members()
            .filter(|member| !observed.reports.contains_key(member))
            .map(|member| pod_name(observed, member))
            .collect();
        let missing = if silent.is_empty() {
            "those who answered do not have everything".to_owned()
        } else {
            format!("without an answer: {}", silent.join(", "))
        };
        return finding(
            of,
            true,
            "ElectionStuck",
            format!(
                "{missing}. Bring them back; or write allowDataLoss: {} to go by those who answered, and lose what only the others have",
                record.standing.term
            ),
        );
    }
    if !plan.problems.is_empty() {
        let messages: Vec<_> = plan.problems.iter().map(|problem| problem.message.as_str()).collect();
        let reason = plan.problems.first().map_or("Invalid", |problem| problem.reason);
        return finding(of, true, reason, messages.join("; "));
    }
    if observed.objects.is_none() {
        return as_before(observed, of);
    }
    finding(of, false, "AsExpected", "nothing is wrong")
}

/// What was said last of what this pass does not look at; an election that was stuck is looked at in each.
fn as_before(observed: &Observed, of: Type) -> Finding {
    const REASONS: [&str; 8] = [
        "Applying",
        "RollingOut",
        "Growing",
        "Converged",
        "WaitingForSwitchover",
        "WaitingForChange",
        "SecretMissing",
        "NameTaken",
    ];
    let status = observed.redis.status.as_ref();
    let before = status
        .into_iter()
        .flat_map(|status| &status.conditions)
        .find(|condition| condition.type_ == of.as_str());
    let reason = before.and_then(|before| REASONS.into_iter().find(|reason| *reason == before.reason));
    match (before, reason) {
        (Some(before), Some(reason)) => finding(
            of,
            before.status == Truth::True.as_str(),
            reason,
            before.message.clone(),
        ),
        _ if of == Type::Degraded => finding(of, false, "AsExpected", "nothing is wrong"),
        _ => finding(of, true, "Applying", "changes are being made"),
    }
}

fn paused(observed: &Observed) -> Finding {
    if observed.redis.spec.suspend {
        finding(
            Type::Paused,
            true,
            "Suspended",
            "spec.suspend is true: nothing is written, and nobody follows a primary that dies",
        )
    } else {
        finding(Type::Paused, false, "Running", "spec.suspend is false")
    }
}

/// How sure an election was, for people.
pub(super) const fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Whole => "it has everything that was acknowledged",
        Certainty::MayLack => "it may lack writes that were acknowledged",
    }
}
