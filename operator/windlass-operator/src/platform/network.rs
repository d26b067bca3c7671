//! Who may reach the pods, and whom they may reach.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use windlass_api::Platform;

use super::plan::selector;
use super::pods::{ADMIN_PORT, PORT, Role};
use crate::network::{DNS, peer, tcp};

/// What HTTPS has.
const HTTPS: u16 = 443;
/// Redis's own.
const REDIS: u16 = 6379;

pub(super) fn policy(platform: &Platform, role: Role) -> Value {
    let settings = &platform.spec.network_policy;
    let mut clients = json!({ "ports": [tcp(PORT)] });
    if !settings.clients.is_empty() {
        clients["from"] = settings.clients.iter().map(peer).collect();
    }
    let monitoring: Vec<Value> = if settings.monitoring.is_empty() {
        vec![json!({ "podSelector": {} })]
    } else {
        settings.monitoring.iter().map(peer).collect()
    };
    let ports: Vec<Value> = ports(platform).into_iter().map(tcp).collect();
    json!({ "spec": {
        "podSelector": { "matchLabels": selector(platform, role) },
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [clients, { "from": monitoring, "ports": [tcp(ADMIN_PORT)] }],
        "egress": [
            { "ports": [{ "protocol": "UDP", "port": DNS }, tcp(DNS)] },
            { "ports": ports },
        ],
    }})
}

/// The TCP ports that pods need, in order and each once.
fn ports(platform: &Platform) -> BTreeSet<u16> {
    let spec = &platform.spec;
    let redis = super::store::connection(platform);
    let authority = |url: &str| {
        url.split_once("://")
            .map_or_else(|| url.to_owned(), |(_, rest)| rest.to_owned())
    };
    let port = |address: &str, usual: u16| {
        let host = authority(address);
        let host = host.split('/').next().unwrap_or_default();
        host.rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(usual)
    };
    let mut ports = BTreeSet::from([HTTPS, port(&redis.url, REDIS)]);
    ports.extend(redis.nodes.iter().map(|node| port(node, REDIS)));
    if let Some(endpoint) = spec.storage.s3.as_ref().and_then(|s3| s3.endpoint.as_ref()) {
        ports.insert(port(endpoint, if endpoint.starts_with("http://") { 80 } else { HTTPS }));
    }
    if let Some(jwks) = &spec.auth.jwks {
        ports.insert(port(
            &jwks.url,
            if jwks.url.starts_with("http://") { 80 } else { HTTPS },
        ));
    }
    ports.extend(
        spec.network_policy
            .egress_ports
            .iter()
            .filter_map(|port| u16::try_from(*port).ok()),
    );
    ports
}
