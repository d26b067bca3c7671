//! Pieces of NetworkPolicies.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_api::platform::Peer;

/// The port of DNS.
pub(crate) const DNS: u16 = 53;

/// A TCP port.
pub(crate) fn tcp(port: u16) -> Value {
    json!({ "protocol": "TCP", "port": port })
}

/// Who may reach somebody, as a policy has it.
pub(crate) fn peer(peer: &Peer) -> Value {
    let mut selected = json!({ "podSelector": labels(&peer.pod_labels) });
    if !peer.namespace_labels.is_empty() {
        selected["namespaceSelector"] = labels(&peer.namespace_labels);
    }
    selected
}

fn labels(labels: &BTreeMap<String, String>) -> Value {
    if labels.is_empty() {
        json!({})
    } else {
        json!({ "matchLabels": labels })
    }
}
