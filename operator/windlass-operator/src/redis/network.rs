//! Who may reach the pods of a Redis, and whom they may reach.

use serde_json::{Value, json};
use windlass_api::Redis;
use windlass_redis_wire::names::{AGENT_PORT, REDIS_PORT};

use super::render::selector;
use crate::network::{DNS, peer, tcp};

/// What the operator's pods are labelled with, wherever they are: by its chart.
const OPERATOR: (&str, &str) = ("app.kubernetes.io/name", "windlass-operator");

pub(super) fn policy(redis: &Redis) -> Value {
    let settings = &redis.spec.network_policy;
    let of_namespace = |peers: &[windlass_api::platform::Peer]| -> Vec<Value> {
        if peers.is_empty() {
            vec![json!({ "podSelector": {} })]
        } else {
            peers.iter().map(peer).collect()
        }
    };
    let own = json!({ "podSelector": { "matchLabels": selector(redis) } });
    let (key, value) = OPERATOR;
    let operator = json!({ "namespaceSelector": {}, "podSelector": { "matchLabels": { key: value } } });
    let mut of_agent = of_namespace(&settings.monitoring);
    // Who is no operator has no token; the policy only spares the agents the trouble.
    of_agent.push(operator);
    let api_server: Vec<_> = settings
        .api_server_ports
        .iter()
        .filter_map(|port| u16::try_from(*port).ok())
        .map(tcp)
        .collect();
    json!({ "spec": {
        "podSelector": { "matchLabels": selector(redis) },
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            { "from": [own], "ports": [tcp(REDIS_PORT), tcp(AGENT_PORT)] },
            { "from": of_namespace(&settings.clients), "ports": [tcp(REDIS_PORT)] },
            { "from": of_agent, "ports": [tcp(AGENT_PORT)] },
        ],
        "egress": [
            { "ports": [{ "protocol": "UDP", "port": DNS }, tcp(DNS)] },
            { "to": [own], "ports": [tcp(REDIS_PORT), tcp(AGENT_PORT)] },
            // The API server, whose address no selector can name.
            { "ports": api_server },
        ],
    }})
}
