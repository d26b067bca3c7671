//! What to do so that the world is as the spec says: pure, without time and I/O. A converged world gives an empty plan.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::DynamicObject;
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;
use windlass_api::Platform;

use super::PLATFORM;
use super::observe::Observed;
use super::pods::{self, Role};
use super::validate::{Problem, Validated};
use super::{network, routes};
use crate::effects::Action;
use crate::kind::{Identity, Kind};
use crate::objects::{self, Belonging};

/// Why there is, or is not, something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// All is as it should be.
    Converged,
    /// There are actions.
    Differs,
    /// Nothing is written, whatever differs.
    Suspended,
    /// Nothing can be written before these change.
    Invalid(Vec<Problem>),
}

/// What to do, in this order.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Why.
    pub reason: Reason,
    /// What.
    pub actions: Vec<Action>,
}

/// The name of what a service has.
pub(super) fn name_of(platform: &Platform, role: Role) -> String {
    format!("{}-{}", platform.name_any(), role.as_str())
}

/// The labels that tell a service's pods from all others. They can never change: a Deployment's selector cannot.
pub(super) fn selector(platform: &Platform, role: Role) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", format!("windlass-{}", role.as_str())),
        ("app.kubernetes.io/instance", platform.name_any()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Everything that the spec wants to be there.
pub(super) fn identities(platform: &Platform) -> BTreeSet<Identity> {
    let mut wanted = BTreeSet::new();
    for role in Role::ALL {
        let name = name_of(platform, role);
        let own_account = pods::account(platform, role) == name;
        for (kind, is_wanted) in [
            (Kind::ServiceAccount, own_account),
            (Kind::ConfigMap, true),
            (Kind::NetworkPolicy, platform.spec.network_policy.enabled),
            (Kind::Service, true),
            (Kind::Deployment, true),
            (Kind::PodDisruptionBudget, true),
        ] {
            if is_wanted {
                wanted.insert(Identity {
                    kind,
                    name: name.clone(),
                });
            }
        }
    }
    if platform.spec.redis.managed.is_some() {
        wanted.insert(Identity {
            kind: Kind::Redis,
            name: platform.name_any(),
        });
    }
    if let Some(routes) = &platform.spec.routes {
        for (kind, is_wanted) in [
            (Kind::HttpRoute, routes.gateway.is_some()),
            (Kind::Ingress, routes.ingress.is_some()),
        ] {
            if is_wanted {
                wanted.insert(Identity {
                    kind,
                    name: platform.name_any(),
                });
            }
        }
    }
    wanted
}

/// What to do.
#[must_use]
pub fn plan(observed: &Observed, validated: Result<Validated, Vec<Problem>>) -> Plan {
    let nothing = |reason| Plan {
        reason,
        actions: Vec::new(),
    };
    if observed.platform.spec.suspend {
        return nothing(Reason::Suspended);
    }
    let validated = match validated {
        Ok(validated) => validated,
        Err(problems) => return nothing(Reason::Invalid(problems)),
    };
    let wanted = identities(&observed.platform);
    let mut actions: Vec<Action> = wanted
        .iter()
        .filter(|what| validated.are_there || what.kind != Kind::Deployment)
        .filter_map(|what| {
            let object = render(&observed.platform, what, &validated);
            objects::difference(observed.owned.get(what), what, object)
        })
        .collect();
    for (what, object) in &observed.owned {
        if !wanted.contains(what) && what.kind.is_removable() && object.metadata.deletion_timestamp.is_none() {
            actions.push(Action::Remove {
                what: what.clone(),
                seen: objects::seen(object),
            });
        }
    }
    let reason = if actions.is_empty() {
        Reason::Converged
    } else {
        Reason::Differs
    };
    Plan { reason, actions }
}

/// One object as it should be.
fn render(platform: &Platform, what: &Identity, validated: &Validated) -> DynamicObject {
    let role = if what.name == name_of(platform, Role::Upload) {
        Role::Upload
    } else {
        Role::Push
    };
    let spec = &platform.spec;
    let body = match what.kind {
        Kind::ServiceAccount => json!({ "automountServiceAccountToken": false }),
        Kind::ConfigMap => json!({ "data": { "windlass.yaml": pods::settings(platform, role).text } }),
        Kind::NetworkPolicy => network::policy(platform, role),
        Kind::Service => pods::service(platform, role),
        Kind::Deployment => pods::deployment(platform, role, validated),
        Kind::PodDisruptionBudget => pods::disruption_budget(platform, role),
        Kind::HttpRoute => match spec
            .routes
            .as_ref()
            .and_then(|routes| Some((routes, routes.gateway.as_ref()?)))
        {
            Some((given, gateway)) => routes::http_route(platform, given, gateway),
            None => json!({}),
        },
        Kind::Ingress => match spec
            .routes
            .as_ref()
            .and_then(|routes| Some((routes, routes.ingress.as_ref()?)))
        {
            Some((given, ingress)) => routes::ingress(platform, given, ingress),
            None => json!({}),
        },
        Kind::Redis => json!({ "spec": spec.redis.managed }),
        // Not a Platform's.
        Kind::Secret | Kind::Role | Kind::RoleBinding | Kind::Lease | Kind::StatefulSet | Kind::Pod => json!({}),
    };
    let mut labels = BTreeMap::from([
        (PLATFORM.to_owned(), platform.name_any()),
        (
            "app.kubernetes.io/managed-by".to_owned(),
            "windlass-operator".to_owned(),
        ),
    ]);
    if what.name != platform.name_any() {
        labels.extend(selector(platform, role));
    }
    let belonging = Belonging {
        namespace: platform.namespace(),
        labels,
        owner: platform.controller_owner_ref(&()),
    };
    objects::dress(what, body, belonging)
}
