//! `policies/capabilities.json`: the builtins that both engines have and whose result follows from their arguments.
//! OPA and conftest refuse everything else, so a policy that passes in CI can be evaluated in process.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::report::Report;
use crate::tree::Tree;

const FILE: &str = "capabilities.json";

pub(crate) fn write(opa: &Path, tree: &Tree) -> Result<()> {
    Ok(fs::write(tree.root.join(FILE), generate(opa)?)?)
}

pub(crate) fn check(opa: &Path, tree: &Tree, report: &mut Report) -> Result<()> {
    let committed = fs::read_to_string(tree.root.join(FILE)).unwrap_or_default();
    report.check(committed == generate(opa)?, || {
        format!("policies/{FILE} is not what the two engines have in common: run `cargo run -p policies OPA --write-capabilities`")
    });
    Ok(())
}

fn generate(opa: &Path) -> Result<String> {
    let output = Command::new(opa)
        .args(["capabilities", "--current"])
        .output()
        .context("run opa")?;
    let mut all: Value = serde_json::from_slice(&output.stdout).context("read opa's capabilities")?;
    let builtins = all["builtins"].as_array_mut().context("no builtins")?;
    builtins.retain(|builtin| {
        let pure =
            builtin["nondeterministic"] != json!(true) && builtin["name"] != "trace" && builtin["name"] != "print";
        pure && ours(builtin)
    });
    // What is left out here is refused in policies: no network, no WebAssembly, no future keywords but the standard.
    all["allow_net"] = json!([]);
    all["wasm_abi_versions"] = json!([]);
    let mut text = String::from("{\n");
    let fields = all.as_object().context("no object")?;
    for (index, (name, field)) in fields.iter().enumerate() {
        let comma = if index + 1 < fields.len() { "," } else { "" };
        match field.as_array().filter(|items| !items.is_empty()) {
            Some(items) => {
                let lines: Vec<_> = items.iter().map(|item| format!("  {item}")).collect();
                text.push_str(&format!("\"{name}\": [\n{}\n]{comma}\n", lines.join(",\n")));
            }
            None => text.push_str(&format!("\"{name}\": {field}{comma}\n")),
        }
    }
    text.push_str("}\n");
    Ok(text)
}

/// Whether the engine in process has a builtin: it says so when a policy calls it. Operators it calls by their sign.
fn ours(builtin: &Value) -> bool {
    if builtin.get("infix").is_some() {
        return true;
    }
    let Some(name) = builtin["name"].as_str() else {
        return false;
    };
    // Called by the compiler for what every policy may write.
    if name.starts_with("internal.") {
        return name == "internal.member_2" || name == "internal.member_3";
    }
    let arguments = builtin["decl"]["args"].as_array().map_or(0, Vec::len);
    let call = format!("package probe\nx := {name}({})\n", vec!["null"; arguments].join(", "));
    let mut engine = regorus::Engine::new();
    if engine.add_policy("probe.rego".to_owned(), call).is_err() {
        return false;
    }
    match engine.eval_rule("data.probe.x".to_owned()) {
        Ok(_) => true,
        Err(error) => !error.to_string().contains("could not find function"),
    }
}
