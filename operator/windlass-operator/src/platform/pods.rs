//! Pods of the two services: Deployment, Service, PodDisruptionBudget.

use k8s_openapi::api::core::v1::ResourceRequirements;
use serde_json::{Value, json};
use windlass_api::Platform;
use windlass_api::platform::Service;

use super::plan::{name_of, selector};
use super::settings::{self, Settings};
use super::validate::Validated;
use crate::digest;

/// Where a service is served.
pub(super) const PORT: u16 = 8080;
/// Where its probes and metrics are.
pub(super) const ADMIN_PORT: u16 = 9090;
/// The user and group of the images (`nonroot`), who owns the files that are mounted.
const USER: i64 = 65_532;
/// After the last connection is cut, seconds: what the process needs to write what it has, with room.
const END: i64 = 5;
/// In the pod template: the digest of the configuration and of all that it refers to. Another one makes new pods.
const CONFIGURATION: &str = "windlass.dev/configuration";

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Takes uploads.
    Upload,
    /// Pushes.
    Push,
}

impl Role {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Upload, Self::Push];

    /// As it is in names.
    #[must_use]
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Push => "push",
        }
    }
}

/// How many pods of a service there should be.
pub(super) fn replicas(platform: &Platform, role: Role) -> i32 {
    match role {
        Role::Upload => platform.spec.upload.replicas,
        Role::Push => platform.spec.push.replicas,
    }
}

pub(super) fn settings(platform: &Platform, role: Role) -> Settings {
    match role {
        Role::Upload => settings::upload(platform),
        Role::Push => settings::push(platform),
    }
}

pub(super) fn service(platform: &Platform, role: Role) -> Value {
    json!({ "spec": {
        "selector": selector(platform, role),
        "ports": [{ "name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP" }],
    }})
}

/// One pod at a time, also where there is only one: a node must be able to be drained.
pub(super) fn disruption_budget(platform: &Platform, role: Role) -> Value {
    json!({ "spec": { "maxUnavailable": 1, "selector": { "matchLabels": selector(platform, role) } } })
}

pub(super) fn deployment(platform: &Platform, role: Role, validated: &Validated) -> Value {
    match role {
        Role::Upload => of(platform, role, &platform.spec.upload, validated),
        Role::Push => of(platform, role, &platform.spec.push, validated),
    }
}

fn of<C>(platform: &Platform, role: Role, service: &Service<C>, validated: &Validated) -> Value {
    let spec = &platform.spec;
    let settings = settings(platform, role);
    let labels = selector(platform, role);
    let mut annotations = service.pod_annotations.clone();
    annotations.insert(CONFIGURATION.to_owned(), configuration_digest(&settings, validated));
    let pull_secrets: Vec<_> = spec
        .images
        .pull_secrets
        .iter()
        .map(|name| json!({ "name": name }))
        .collect();
    let selector = json!({ "matchLabels": labels });
    let over_nodes = json!({ "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector });
    // Zones are not a second constraint: where nodes have none, the scheduler would then heed neither.
    let over_zones = json!({ "topologyKey": "topology.kubernetes.io/zone", "labelSelector": selector });
    let grace = i64::from(spec.drain.removal_seconds) + i64::from(spec.drain.deadline_seconds) + END;
    json!({ "spec": {
        "replicas": service.replicas,
        "selector": { "matchLabels": labels },
        // A new pod serves before an old one goes: clients that are asked to leave find where to go.
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
        "template": {
            "metadata": { "labels": labels, "annotations": annotations },
            "spec": {
                "serviceAccountName": account(platform, role),
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": grace,
                "imagePullSecrets": pull_secrets,
                "nodeSelector": service.node_selector,
                "tolerations": service.tolerations,
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
                "containers": [container(platform, role, service, &settings)],
                "volumes": volumes(platform, role, &settings),
            },
        },
    }})
}

/// Whom the pods run as.
pub(super) fn account(platform: &Platform, role: Role) -> String {
    let given = match role {
        Role::Upload => &platform.spec.upload.service_account,
        Role::Push => &platform.spec.push.service_account,
    };
    given.clone().unwrap_or_else(|| name_of(platform, role))
}

fn container<C>(platform: &Platform, role: Role, service: &Service<C>, settings: &Settings) -> Value {
    let spec = &platform.spec;
    let (image, memory) = match role {
        // In front of a bucket its buffers take 256 MiB.
        Role::Upload => (&spec.images.upload, "512Mi"),
        Role::Push => (&spec.images.push, "128Mi"),
    };
    let mut arguments = vec![
        format!("--listen=0.0.0.0:{PORT}"),
        format!("--admin-listen=0.0.0.0:{ADMIN_PORT}"),
        format!("--config={}/windlass.yaml", settings::CONFIGURATION),
        "--log-format=json".to_owned(),
    ];
    if role == Role::Upload {
        arguments.push(format!("--data-dir={DATA}"));
    }
    arguments.extend(service.max_connections.map(|most| format!("--max-connections={most}")));
    let origins = spec.routes.iter().flat_map(|routes| &routes.allow_origins);
    arguments.extend(origins.map(|origin| format!("--allow-origin={origin}")));
    let resources = service.resources.clone().unwrap_or_else(|| ResourceRequirements {
        requests: Some(
            [("cpu", "100m"), ("memory", memory)]
                .map(|(name, text)| (name.to_owned(), quantity(text)))
                .into(),
        ),
        ..ResourceRequirements::default()
    });
    let mut mounts = vec![json!({ "name": "configuration", "mountPath": settings::CONFIGURATION, "readOnly": true })];
    let projected = [
        ("secrets", settings::SECRETS, &settings.secrets),
        ("files", settings::FILES, &settings.files),
    ];
    for (name, path, _) in projected.iter().filter(|(_, _, files)| !files.is_empty()) {
        mounts.push(json!({ "name": name, "mountPath": path, "readOnly": true }));
    }
    if role == Role::Upload {
        mounts.push(json!({ "name": "data", "mountPath": DATA }));
    }
    let probe = |path: &str, period: i32, failures: i32| json!({ "httpGet": { "path": path, "port": "admin" }, "periodSeconds": period, "timeoutSeconds": 2, "failureThreshold": failures });
    json!({
        "name": "windlass",
        "image": image,
        "imagePullPolicy": spec.images.pull_policy.as_str(),
        "args": arguments,
        "env": service.env,
        "ports": [
            { "name": "http", "containerPort": PORT, "protocol": "TCP" },
            { "name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP" },
        ],
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        // The process answers as long as it runs at all; its readiness tells only of its own faults.
        "livenessProbe": probe("/healthz", 10, 6),
        "readinessProbe": probe("/readyz", 2, 2),
        "volumeMounts": mounts,
    })
}

/// Where uploads are kept on a volume; in front of a bucket the folder is empty.
const DATA: &str = "/var/lib/windlass";

fn volumes(platform: &Platform, role: Role, settings: &Settings) -> Value {
    let projected = |files: &[(String, windlass_api::SecretKey)]| {
        let sources: Vec<_> = files
            .iter()
            .map(|(path, key)| json!({ "secret": { "name": key.name, "items": [{ "key": key.key, "path": path }] } }))
            .collect();
        json!({ "defaultMode": MODE, "sources": sources })
    };
    let configuration = json!({ "name": name_of(platform, role), "defaultMode": MODE });
    let mut volumes = vec![json!({ "name": "configuration", "configMap": configuration })];
    for (name, files) in [("secrets", &settings.secrets), ("files", &settings.files)] {
        if !files.is_empty() {
            volumes.push(json!({ "name": name, "projected": projected(files) }));
        }
    }
    if role == Role::Upload {
        volumes.push(match &platform.spec.storage.volume {
            Some(volume) => json!({ "name": "data", "persistentVolumeClaim": { "claimName": volume.claim_name } }),
            None => json!({ "name": "data", "emptyDir": {} }),
        });
    }
    Value::Array(volumes)
}

/// Owner and group may read (0440).
const MODE: i32 = 0o440;

fn quantity(text: &str) -> k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.to_owned())
}

/// Of the file and the digests of all values that it refers to.
fn configuration_digest(settings: &Settings, validated: &Validated) -> String {
    let mut pieces = vec![settings.text.as_bytes()];
    for (name, key) in settings.secrets.iter().chain(&settings.files) {
        let value = validated.secrets.get(key).map_or("", String::as_str);
        pieces.extend([name.as_bytes(), value.as_bytes()]);
    }
    digest::of_pieces(pieces)
}
