//! `spec.networkPolicy`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::platform::Peer;

/// Who may reach the pods, and whom they may reach. Members reach each other, the operator reaches the agents, and the agents
/// the API server; probes of the kubelet are not stopped by policies.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// `false`: no policy is made, and everybody reaches everything.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Who may reach Redis. The pods of this namespace when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub clients: Vec<Peer>,
    /// Who may read the agents' `/metrics`: Prometheus. The pods of this namespace when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub monitoring: Vec<Peer>,
    /// TCP ports at which the API server is reached by the agents, whose lease is there: that of its Service and its own.
    #[serde(default = "api_server_ports")]
    #[schemars(length(min = 1, max = 8), inner(range(min = 1, max = 65535)))]
    pub api_server_ports: Vec<i32>,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self {
            enabled: enabled(),
            clients: Vec::new(),
            monitoring: Vec::new(),
            api_server_ports: api_server_ports(),
        }
    }
}

fn enabled() -> bool {
    true
}

/// That of the Service, and kubeadm's.
fn api_server_ports() -> Vec<i32> {
    vec![443, 6443]
}
