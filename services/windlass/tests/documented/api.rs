//! `docs/openapi.yaml` has every path that the services route, and every code of `docs/errors.md` that HTTP can show.
//!
//! What it says of each answer is compared with a running server by `tests/clients/openapi.test.mjs`.

use std::collections::BTreeSet;

use serde_yaml::Value;

use super::{products, read};

fn description() -> Value {
    serde_yaml::from_str(&read("docs/openapi.yaml")).unwrap()
}

/// The paths that a source routes.
fn routed(product: &str) -> impl Iterator<Item = String> {
    let literals = product
        .split(".route(")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    literals.map(str::to_owned)
}

#[test]
fn every_routed_path_is_described_and_no_other() {
    let products = products();
    let routed: BTreeSet<String> = products.iter().flat_map(|product| routed(product)).collect();
    // The collection is routed under both spellings, and described once.
    let routed: BTreeSet<String> = routed
        .iter()
        .map(|path| path.trim_end_matches('/').to_owned())
        .collect();
    let paths = description()["paths"].as_mapping().unwrap().clone();
    let described: BTreeSet<String> = paths.keys().map(|path| path.as_str().unwrap().to_owned()).collect();
    assert!(routed.len() > 10, "the sources were read wrongly: {routed:?}");
    assert_eq!(routed, described);
}

#[test]
fn every_code_that_http_can_show_is_described_and_no_other() {
    let code = &description()["components"]["schemas"]["Problem"]["properties"]["code"];
    let listed = code["enum"].as_sequence().unwrap().iter();
    let listed: BTreeSet<String> = listed.map(|code| code.as_str().unwrap().to_owned()).collect();
    let page = read("docs/errors.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<String> = rows
        .map(|row| row.split('|').map(str::trim).collect::<Vec<_>>())
        // A dash where the status stands: it comes on a WebSocket only.
        .filter(|cells| cells[2] != "–")
        .map(|cells| cells[1].trim_matches('`').to_owned())
        .collect();
    assert_eq!(listed, documented);
}
