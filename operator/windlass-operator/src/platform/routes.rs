//! The ways in: an HTTPRoute, an Ingress, or both.

use serde_json::{Value, json};
use windlass_api::Platform;
use windlass_api::platform::{Gateway, Ingress, Routes};

use super::plan::name_of;
use super::pods::{PORT, Role};

/// Where clients reach the platform.
pub(super) fn url(platform: &Platform) -> Option<String> {
    let routes = platform.spec.routes.as_ref()?;
    let scheme = if routes.tls { "https" } else { "http" };
    let port = routes.port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{}{port}", routes.host))
}

/// What each service serves to clients. The API for backends is not there: they reach it by the Service.
const PATHS: [(Role, &[&str]); 2] = [
    (Role::Upload, &["/files"]),
    (Role::Push, &["/connection", "/emulation", "/events", "/tasks", "/ws"]),
];

pub(super) fn http_route(platform: &Platform, routes: &Routes, gateway: &Gateway) -> Value {
    let rules: Vec<Value> = PATHS
        .iter()
        .map(|(role, paths)| {
            let matches: Vec<_> =
                paths.iter().map(|path| json!({ "path": { "type": "PathPrefix", "value": path } })).collect();
            json!({
                "matches": matches,
                "backendRefs": [{ "group": "", "kind": "Service", "name": name_of(platform, *role), "port": PORT, "weight": 1 }],
                // Envoy would end streams, long polls and held requests after 15 s.
                "timeouts": { "request": "0s" },
            })
        })
        .collect();
    let mut parent = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway.name });
    if let Some(namespace) = &gateway.namespace {
        parent["namespace"] = json!(namespace);
    }
    if let Some(section) = &gateway.section_name {
        parent["sectionName"] = json!(section);
    }
    json!({ "spec": { "parentRefs": [parent], "hostnames": [routes.host], "rules": rules } })
}

pub(super) fn ingress(platform: &Platform, routes: &Routes, ingress: &Ingress) -> Value {
    let paths: Vec<Value> = PATHS
        .iter()
        .flat_map(|(role, paths)| paths.iter().map(move |path| (role, path)))
        .map(|(role, path)| {
            let service = json!({ "name": name_of(platform, *role), "port": { "number": PORT } });
            json!({ "path": path, "pathType": "Prefix", "backend": { "service": service } })
        })
        .collect();
    let mut spec = json!({ "rules": [{ "host": routes.host, "http": { "paths": paths } }] });
    if let Some(class) = &ingress.class_name {
        spec["ingressClassName"] = json!(class);
    }
    if routes.tls {
        let mut tls = json!({ "hosts": [routes.host] });
        if let Some(secret) = &ingress.tls_secret {
            tls["secretName"] = json!(secret);
        }
        spec["tls"] = json!([tls]);
    }
    json!({ "metadata": { "annotations": ingress.annotations }, "spec": spec })
}
