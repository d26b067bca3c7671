//! Everything that a Redis makes, as it should be.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::core::DynamicObject;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use windlass_api::Redis;
use windlass_redis_wire::names::{AGENT_PORT, CONFIGURATION, PRIMARY, REDIS_PORT, REPLICATION, ROLE, SERVICES, TOKEN};
use windlass_redis_wire::{Access, Configuration, Member, Names, Tls, User};

use super::REDIS;
use super::network;
use super::record::Record;
use crate::kind::{Identity, Kind};
use crate::objects::{self, Belonging};

/// The user and group of the image (`nonroot`), who owns the volume.
const USER: i64 = 65_532;
/// Owner and group may read (0440).
const MODE: i32 = 0o440;
/// What a pod that goes has for handing over (a lease's tenure, 10 s) and for writing its files, seconds.
const GRACE: i64 = 60;
/// The keys of the Secret.
pub(super) const KEYS: [&str; 3] = [TOKEN, REPLICATION, SERVICES];

/// Names of a Redis's objects.
pub(super) fn names(redis: &Redis) -> Names {
    Names::of(&redis.name_any(), &redis.namespace().unwrap_or_default())
}

/// The labels that tell its pods from all others. They can never change: a StatefulSet's selector cannot.
pub(super) fn selector(redis: &Redis) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "windlass-redis".to_owned()),
        ("app.kubernetes.io/instance", redis.name_any()),
        ("app.kubernetes.io/component", "redis".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The labels of what it owns, and of its pods, by which they are found.
pub(super) fn labels(redis: &Redis) -> BTreeMap<String, String> {
    let mut labels = selector(redis);
    labels.insert(REDIS.to_owned(), redis.name_any());
    labels.insert(
        "app.kubernetes.io/managed-by".to_owned(),
        "windlass-operator".to_owned(),
    );
    labels
}

/// All that the spec wants to be there, but for the Secret, which is only ever made.
pub(super) fn identities(redis: &Redis) -> BTreeSet<Identity> {
    let names = names(redis);
    let base = |kind| Identity {
        kind,
        name: names.base().to_owned(),
    };
    let mut wanted: BTreeSet<_> = [
        Kind::ServiceAccount,
        Kind::ConfigMap,
        Kind::Service,
        Kind::PodDisruptionBudget,
        Kind::Role,
        Kind::RoleBinding,
        Kind::Lease,
        Kind::StatefulSet,
    ]
    .map(base)
    .into();
    wanted.insert(Identity {
        kind: Kind::Service,
        name: names.members(),
    });
    if redis.spec.network_policy.enabled {
        wanted.insert(base(Kind::NetworkPolicy));
    }
    wanted
}

/// One object as it should be.
pub(super) fn render(redis: &Redis, record: &Record, what: &Identity) -> DynamicObject {
    let names = names(redis);
    let base = names.base();
    let body = match what.kind {
        // The agent asks the API server for its lease; its pods mount the token themselves.
        Kind::ServiceAccount => json!({ "automountServiceAccountToken": false }),
        Kind::ConfigMap => json!({ "data": { CONFIGURATION: configuration(redis, record) } }),
        Kind::NetworkPolicy => network::policy(redis),
        Kind::Service if what.name == names.members() => members(redis),
        Kind::Service => primary(redis),
        // One at a time: whoever is drained is in step again, or another is the primary, before the next.
        Kind::PodDisruptionBudget => {
            json!({ "spec": { "maxUnavailable": 1, "selector": { "matchLabels": selector(redis) } } })
        }
        Kind::Role => json!({ "rules": [
            { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [base], "verbs": ["get", "update"] },
        ] }),
        Kind::RoleBinding => json!({
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": base },
            "subjects": [{ "kind": "ServiceAccount", "name": base, "namespace": redis.namespace() }],
        }),
        Kind::StatefulSet => stateful_set(redis, record),
        // Of the lease and the Secret only that they are there; the rest is not a Redis's.
        Kind::Lease | Kind::Secret | Kind::Deployment | Kind::HttpRoute | Kind::Ingress | Kind::Pod | Kind::Redis => {
            json!({})
        }
    };
    let belonging = Belonging {
        namespace: redis.namespace(),
        labels: labels(redis),
        owner: redis.controller_owner_ref(&()),
    };
    objects::dress(what, body, belonging)
}

/// The agents' file.
fn configuration(redis: &Redis, record: &Record) -> String {
    let names = names(redis);
    let member = |ordinal| {
        let member = Member {
            host: names.host(ordinal),
            redis_port: REDIS_PORT,
            agent_port: AGENT_PORT,
        };
        (ordinal, member)
    };
    let configuration = Configuration {
        lease: names.base().to_owned(),
        members: record.replicas.members().map(member).collect(),
        max_memory_bytes: redis.spec.max_memory_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        users: vec![User {
            name: SERVICES.to_owned(),
            password: SERVICES.into(),
            access: Access::Application,
        }],
        tls: redis.spec.tls.as_ref().map(|_| Tls {
            certificate: "tls.crt".into(),
            key: "tls.key".into(),
            authority: "ca.crt".into(),
        }),
    };
    let mut text = serde_json::to_string_pretty(&configuration).expect("a configuration is plain data");
    text.push('\n');
    text
}

/// By it clients find the primary, and nobody while there is none.
fn primary(redis: &Redis) -> Value {
    let mut selector = selector(redis);
    selector.insert(ROLE.to_owned(), PRIMARY.to_owned());
    json!({ "spec": {
        "selector": selector,
        // Who is the primary is decided elsewhere; a probe that is late must not take it from its clients.
        "publishNotReadyAddresses": true,
        "ports": [{ "name": "redis", "port": REDIS_PORT, "targetPort": "redis", "protocol": "TCP" }],
    }})
}

/// By it members find each other, ready or not.
fn members(redis: &Redis) -> Value {
    json!({ "spec": {
        "clusterIP": "None",
        "selector": selector(redis),
        "publishNotReadyAddresses": true,
        "ports": [
            { "name": "redis", "port": REDIS_PORT, "targetPort": "redis", "protocol": "TCP" },
            { "name": "agent", "port": AGENT_PORT, "targetPort": "agent", "protocol": "TCP" },
        ],
    }})
}

fn stateful_set(redis: &Redis, record: &Record) -> Value {
    let (spec, names) = (&redis.spec, names(redis));
    let claims = spec.storage.persistent.as_ref().map(|storage| {
        json!({
            "metadata": { "name": "data" },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": storage.size } },
                "storageClassName": storage.storage_class_name,
            },
        })
    });
    let pull_secrets: Vec<_> = spec
        .image_pull_secrets
        .iter()
        .map(|name| json!({ "name": name }))
        .collect();
    let selector = json!({ "matchLabels": selector(redis) });
    let over_nodes = json!({ "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector });
    // Zones are not a second constraint: where nodes have none, the scheduler would then heed neither.
    let over_zones = json!({ "topologyKey": "topology.kubernetes.io/zone", "labelSelector": selector });
    json!({ "spec": {
        "replicas": record.replicas.number(),
        "serviceName": names.members(),
        // An election needs members, and members need no order.
        "podManagementPolicy": "Parallel",
        // Pods are made anew by the operator, one at a time, the primary last.
        "updateStrategy": { "type": "OnDelete" },
        "selector": selector,
        "template": {
            "metadata": { "labels": labels(redis), "annotations": spec.pod_annotations },
            "spec": {
                "serviceAccountName": names.base(),
                "automountServiceAccountToken": true,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": GRACE,
                "imagePullSecrets": pull_secrets,
                "nodeSelector": spec.node_selector,
                "tolerations": spec.tolerations,
                "topologySpreadConstraints": [over_nodes],
                "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
                    { "weight": 100, "podAffinityTerm": over_zones },
                ] } },
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    "fsGroup": USER,
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [container(redis)],
                "volumes": volumes(redis),
            },
        },
        "volumeClaimTemplates": claims.into_iter().collect::<Vec<_>>(),
    }})
}

fn container(redis: &Redis) -> Value {
    let spec = &redis.spec;
    let mut arguments = vec![
        format!("--configuration=/etc/windlass/redis/{CONFIGURATION}"),
        "--secrets=/etc/windlass/secrets".to_owned(),
        "--data=/data".to_owned(),
    ];
    let mut mounts = vec![
        json!({ "name": "data", "mountPath": "/data" }),
        json!({ "name": "configuration", "mountPath": "/etc/windlass/redis", "readOnly": true }),
        json!({ "name": "secrets", "mountPath": "/etc/windlass/secrets", "readOnly": true }),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
    ];
    if spec.tls.is_some() {
        arguments.push("--tls=/etc/windlass/tls".to_owned());
        mounts.push(json!({ "name": "tls", "mountPath": "/etc/windlass/tls", "readOnly": true }));
    }
    let scheme = if spec.tls.is_some() { "HTTPS" } else { "HTTP" };
    let probe = |path: &str, period: i32, failures: i32| json!({ "httpGet": { "path": path, "port": "agent", "scheme": scheme }, "periodSeconds": period, "timeoutSeconds": 2, "failureThreshold": failures });
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    json!({
        "name": "redis",
        "image": spec.image,
        "imagePullPolicy": spec.image_pull_policy.as_str(),
        "args": arguments,
        "env": [field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace")],
        "ports": [
            { "name": "redis", "containerPort": REDIS_PORT, "protocol": "TCP" },
            { "name": "agent", "containerPort": AGENT_PORT, "protocol": "TCP" },
        ],
        "resources": spec.resources.clone().unwrap_or_else(resources),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        // The agent answers as long as it runs at all; it starts its Redis anew by itself.
        "livenessProbe": probe("/healthz/live", 10, 6),
        "readinessProbe": probe("/healthz/ready", 2, 2),
        "volumeMounts": mounts,
    })
}

fn volumes(redis: &Redis) -> Vec<Value> {
    let names = names(redis);
    let base = names.base();
    let mut volumes = vec![
        json!({ "name": "configuration", "configMap": { "name": base, "defaultMode": MODE } }),
        json!({ "name": "secrets", "secret": { "secretName": base, "defaultMode": MODE } }),
        json!({ "name": "tmp", "emptyDir": {} }),
    ];
    if let Some(tls) = &redis.spec.tls {
        volumes.push(json!({ "name": "tls", "secret": { "secretName": tls.secret_name, "defaultMode": MODE } }));
    }
    if redis.spec.storage.ephemeral.is_some() {
        volumes.push(json!({ "name": "data", "emptyDir": {} }));
    }
    volumes
}

fn resources() -> ResourceRequirements {
    let requests = [("cpu", "100m"), ("memory", "256Mi")];
    ResourceRequirements {
        requests: Some(
            requests
                .map(|(name, text)| (name.to_owned(), Quantity(text.to_owned())))
                .into(),
        ),
        ..ResourceRequirements::default()
    }
}
