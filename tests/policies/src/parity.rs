//! Both engines say the same of every input, compared as canonical JSON (RFC 8785).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use windlass_policy::{Domain, canonical};

use crate::report::Report;
use crate::samples::{engine, limits};
use crate::tree::Tree;

pub(crate) fn check(opa: &Path, tree: &Tree, recorded: &[String], report: &mut Report) -> Result<()> {
    let mut inputs: BTreeMap<Domain, BTreeMap<String, Value>> = BTreeMap::new();
    for sample in &tree.samples {
        let of_domain = inputs.entry(sample.policy.domain.clone()).or_default();
        of_domain.insert(sample.path.clone(), sample.input.clone());
    }
    for argument in recorded {
        let (domain, path) = argument.split_once('=').context("recorded inputs are DOMAIN=FILE")?;
        let input = serde_json::from_str(&fs::read_to_string(path).with_context(|| format!("read {path}"))?)?;
        inputs
            .entry(Domain::new(domain))
            .or_default()
            .insert(path.to_owned(), input);
    }
    for (domain, inputs) in inputs {
        let ours = ours(tree, &domain, &inputs)?;
        let theirs = theirs(opa, tree, &domain, &inputs)?;
        for path in inputs.keys() {
            let (ours, theirs) = (&ours[path], &theirs[path]);
            report.check(ours == theirs, || {
                format!("{path}: the engines differ\n  regorus {ours}\n  OPA     {theirs}")
            });
            *report.parity.entry(domain.to_string()).or_default() += 1;
        }
    }
    Ok(())
}

const FAILED: &str = "evaluation failed";

/// Every policy's denials of every input by the engine in process. An evaluation that fails, fails in both.
fn ours(tree: &Tree, domain: &Domain, inputs: &BTreeMap<String, Value>) -> Result<BTreeMap<String, String>> {
    let mut engine = engine(tree, &tree.files)?;
    let mut all = BTreeMap::new();
    for (path, input) in inputs {
        engine.set_input(regorus::Value::from(input.clone()));
        let mut said = serde_json::Map::new();
        for policy in tree.bundle.policies(domain) {
            let denied = match engine.eval_rule(policy.query()) {
                Ok(denied) => serde_json::to_value(&denied)?,
                Err(_) => json!(FAILED),
            };
            said.insert(policy.name.clone(), denied);
        }
        all.insert(path.clone(), canonical(&sorted(Value::Object(said))));
    }
    Ok(all)
}

/// The same by OPA: one process for all inputs; where one of them ends it, one for each input and policy.
fn theirs(
    opa: &Path,
    tree: &Tree,
    domain: &Domain,
    inputs: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, String>> {
    let fields: Vec<_> = tree
        .bundle
        .policies(domain)
        .iter()
        .map(|policy| format!("{:?}: {}", policy.name, policy.query()))
        .collect();
    let said = format!("{{{}}}", fields.join(", "));
    let query = format!("{{path: said | some path, value in data.inputs; said := {said} with input as value}}");
    if let Some(Value::Object(all)) = evaluate(opa, tree, &query, inputs)? {
        return Ok(all
            .into_iter()
            .map(|(path, said)| (path, canonical(&sorted(said))))
            .collect());
    }
    let mut all = BTreeMap::new();
    for (path, input) in inputs {
        let mut said = serde_json::Map::new();
        for policy in tree.bundle.policies(domain) {
            let query = format!("denied := {} with input as data.inputs.one", policy.query());
            let query = format!("[denied | {query}][0]");
            let one = BTreeMap::from([("one".to_owned(), input.clone())]);
            said.insert(
                policy.name.clone(),
                evaluate(opa, tree, &query, &one)?.unwrap_or_else(|| json!(FAILED)),
            );
        }
        all.insert(path.clone(), canonical(&sorted(Value::Object(said))));
    }
    Ok(all)
}

/// A query's value; none if it ended in an error of evaluation.
fn evaluate(opa: &Path, tree: &Tree, query: &str, inputs: &BTreeMap<String, Value>) -> Result<Option<Value>> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data.json");
    let mut all = limits(tree)?;
    all["inputs"] = json!(inputs);
    fs::write(&data, all.to_string())?;
    let mut command = Command::new(opa);
    command
        .args(["eval", "--strict-builtin-errors", "--format=json", "--fail", "--data"])
        .arg(&data);
    for module in tree.modules() {
        command.arg("--data").arg(module);
    }
    let output = command.arg(query).output().context("run opa")?;
    let answer: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("opa: {}", String::from_utf8_lossy(&output.stderr)))?;
    if let Some(errors) = answer["errors"].as_array() {
        if errors
            .iter()
            .any(|error| error["code"] != "eval_builtin_error" && error["code"] != "eval_type_error")
        {
            bail!("opa: {errors:?}");
        }
        return Ok(None);
    }
    Ok(answer["result"][0]["expressions"][0].get("value").cloned())
}

/// Sets have no order; as arrays they get one.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, field)| (name, sorted(field))).collect()),
        Value::Array(mut items) => {
            items.sort_by_key(canonical);
            Value::Array(items)
        }
        other => other,
    }
}
