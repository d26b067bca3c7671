//! What is said of a Platform: facts that were observed, and conditions that follow from them and from why there is or is
//! not something to do. Nothing is said from what is only intended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::Value;
use windlass_api::PlatformStatus;
use windlass_api::condition::{Finding, Truth, Type, conclude};
use windlass_api::platform::ServiceStatus;

use super::check::Violation;
use super::observe::Observed;
use super::plan::{Plan, Reason, name_of};
use super::pods::{self, Role};
use super::routes;
use crate::effects::{Action, Mood};
use crate::kind::{Identity, Kind};

/// What to tell: the status if it is another than what stands there, and an event for each condition whose truth or
/// reason changed.
#[must_use]
pub fn status(observed: &Observed, plan: &Plan, violation: Option<&Violation>, now: &Time) -> Vec<Action> {
    let before = observed.platform.status.clone().unwrap_or_default();
    let generation = observed.platform.metadata.generation;
    let rollouts = Role::ALL.map(|role| Rollout::of(observed, role));
    let found = find(observed, plan, violation, &rollouts);
    let [upload, push] = rollouts.map(|rollout| Some(rollout.pods));
    let after = PlatformStatus {
        observed_generation: generation,
        conditions: conclude(&before.conditions, found, generation, now),
        upload,
        push,
        url: routes::url(&observed.platform),
    };
    if after == before {
        return Vec::new();
    }
    let events = after
        .conditions
        .iter()
        .filter_map(|condition| tell(&before.conditions, condition));
    let report = Action::Report(serde_json::to_value(&after).expect("a status is plain data"));
    std::iter::once(report).chain(events).collect()
}

/// An event where something changed that people should know of; progress is no news.
fn tell(before: &[Condition], after: &Condition) -> Option<Action> {
    let of = |of: Type| after.type_ == of.as_str();
    let same = |old: &&Condition| old.type_ == after.type_ && old.status == after.status;
    if before.iter().any(|old| same(&old) && old.reason == after.reason) {
        return None;
    }
    let holds = after.status == Truth::True.as_str();
    let was_ready = before
        .iter()
        .any(|old| old.type_ == Type::Ready.as_str() && old.status == Truth::True.as_str());
    let mood = if of(Type::Degraded) && holds || of(Type::Ready) && !holds && was_ready {
        Mood::Warning
    } else if holds && (of(Type::Ready) || of(Type::Paused)) {
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

fn find(observed: &Observed, plan: &Plan, violation: Option<&Violation>, rollouts: &[Rollout; 2]) -> Vec<Finding> {
    let finding = |of, truth: bool, reason, message: String| Finding {
        of,
        truth: truth.into(),
        reason,
        message,
    };
    let paused = observed.platform.spec.suspend;
    let waits = rollouts.iter().find(|rollout| !rollout.is_complete());
    let stuck = rollouts.iter().find_map(|rollout| rollout.stuck.clone());

    let ready = match (&plan.reason, waits) {
        (Reason::Invalid(problems), _) => {
            let reason = problems.first().map_or("Invalid", |problem| problem.reason);
            finding(Type::Ready, false, reason, "the spec cannot be followed".to_owned())
        }
        (Reason::Converged | Reason::Suspended, None) => {
            finding(Type::Ready, true, "Serving", "all pods serve".to_owned())
        }
        (Reason::Differs, None) => finding(Type::Ready, false, "Applying", "changes are being made".to_owned()),
        (Reason::Converged | Reason::Suspended | Reason::Differs, Some(rollout)) => {
            finding(Type::Ready, false, "PodsNotReady", rollout.to_string())
        }
    };
    let progressing = match (&plan.reason, waits) {
        (Reason::Suspended, _) => finding(Type::Progressing, false, "Suspended", "nothing is written".to_owned()),
        (Reason::Invalid(_), _) => finding(
            Type::Progressing,
            false,
            "WaitingForChange",
            "see the condition Degraded".to_owned(),
        ),
        (Reason::Differs, _) => finding(Type::Progressing, true, "Applying", "changes are being made".to_owned()),
        (Reason::Converged, Some(rollout)) => finding(Type::Progressing, true, "RollingOut", rollout.to_string()),
        (Reason::Converged, None) => finding(
            Type::Progressing,
            false,
            "Converged",
            "there is nothing to do".to_owned(),
        ),
    };
    let degraded = match (&plan.reason, violation, stuck) {
        (_, Some(violation), _) => finding(Type::Degraded, true, "PlanRefused", violation.to_string()),
        (Reason::Invalid(problems), None, _) => {
            let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
            let reason = problems.first().map_or("Invalid", |problem| problem.reason);
            finding(Type::Degraded, true, reason, messages.join("; "))
        }
        (_, None, Some(message)) => finding(Type::Degraded, true, "RolloutStuck", message),
        (_, None, None) => finding(Type::Degraded, false, "AsExpected", "nothing is wrong".to_owned()),
    };
    let paused = if paused {
        finding(
            Type::Paused,
            true,
            "Suspended",
            "spec.suspend is true: nothing is written".to_owned(),
        )
    } else {
        finding(Type::Paused, false, "Running", "spec.suspend is false".to_owned())
    };
    vec![ready, progressing, degraded, paused]
}

/// How far the pods of a service are.
#[derive(Debug)]
struct Rollout {
    role: Role,
    pods: ServiceStatus,
    /// Whether the Deployment speaks of what was last written to it.
    current: bool,
    /// What the Deployment says when it does not get further.
    stuck: Option<String>,
}

impl Rollout {
    fn of(observed: &Observed, role: Role) -> Self {
        let wanted = pods::replicas(&observed.platform, role);
        let what = Identity {
            kind: Kind::Deployment,
            name: name_of(&observed.platform, role),
        };
        let Some(deployment) = observed.owned.get(&what) else {
            let pods = ServiceStatus {
                wanted,
                ..ServiceStatus::default()
            };
            return Self {
                role,
                pods,
                current: false,
                stuck: None,
            };
        };
        let status = &deployment.data["status"];
        let count = |field: &str| {
            status[field]
                .as_i64()
                .and_then(|count| i32::try_from(count).ok())
                .unwrap_or_default()
        };
        let stuck = status["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|condition: &Value| {
                let is_stuck = condition["type"] == "Progressing" && condition["status"] == "False"
                    || condition["type"] == "ReplicaFailure" && condition["status"] == "True";
                let message = condition["message"].as_str().unwrap_or_default();
                is_stuck.then(|| format!("{}: {message}", role.as_str()))
            });
        Self {
            role,
            pods: ServiceStatus {
                wanted,
                updated: count("updatedReplicas"),
                ready: count("availableReplicas"),
            },
            current: status["observedGeneration"].as_i64() == deployment.metadata.generation,
            stuck,
        }
    }

    fn is_complete(&self) -> bool {
        let ServiceStatus { wanted, updated, ready } = self.pods;
        self.current && updated >= wanted && ready >= wanted
    }
}

impl std::fmt::Display for Rollout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ServiceStatus { wanted, updated, ready } = self.pods;
        write!(
            f,
            "{}: {ready} of {wanted} pods serve, {updated} are of the newest version",
            self.role.as_str()
        )
    }
}
