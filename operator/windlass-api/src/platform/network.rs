//! `spec.networkPolicy`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may reach the pods, and whom they may reach. Probes of the kubelet are not stopped by policies.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// `false`: no policy is made, and everybody reaches everything.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Who may reach the services: the gateway's pods. Everybody when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub clients: Vec<Peer>,
    /// Who may read `/metrics` and `/admin`: Prometheus. The pods of this namespace when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub monitoring: Vec<Peer>,
    /// TCP ports that the pods may reach besides those of DNS, of Redis, of the object store, and 443: hooks, proxies,
    /// collectors of traces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(range(min = 1, max = 65535)))]
    pub egress_ports: Vec<i32>,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self {
            enabled: enabled(),
            clients: Vec::new(),
            monitoring: Vec::new(),
            egress_ports: Vec::new(),
        }
    }
}

fn enabled() -> bool {
    true
}

/// Pods, by their labels and those of their namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Of namespaces with these labels; of this namespace when empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub namespace_labels: BTreeMap<String, String>,
    /// Pods with these labels; all when empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub pod_labels: BTreeMap<String, String>,
}
