//! `docs/openapi.yaml` has every path that the services route, and every code of `docs/errors.md` that HTTP can show.
//!
//! What it says of each answer is compared with a running server by `tests/clients/openapi.test.mjs`.

#![expect(clippy::unwrap_used, reason = "a test file: a missing source is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn description() -> Value {
    serde_yaml::from_str(&read("docs/openapi.yaml")).unwrap()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The paths that a source routes, outside its tests.
fn routed(source: &str) -> impl Iterator<Item = String> {
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    let literals = product
        .split(".route(")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    literals.map(str::to_owned)
}

#[test]
fn every_routed_path_is_described_and_no_other() {
    let mut files = Vec::new();
    for service in ["windlass-serve", "windlass-upload", "windlass-push"] {
        sources(&root().join("services").join(service).join("src"), &mut files);
    }
    let texts = files
        .iter()
        .filter(|file| !file.ends_with("tests.rs"))
        .map(|file| std::fs::read_to_string(file).unwrap());
    let routed: BTreeSet<String> = texts.flat_map(|text| routed(&text).collect::<Vec<_>>()).collect();
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
