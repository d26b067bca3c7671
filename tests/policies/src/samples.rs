//! Every sample is judged as its name says, and every rule has one that it denies.

use anyhow::Result;
use serde_json::{Value, json};
use windlass_policy::{Evaluator, Verdict};

use crate::report::Report;
use crate::tree::{Sample, Tree};

pub(crate) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    let mut engine = engine(tree, &tree.files)?;
    for sample in &tree.samples {
        let said = judge(&mut engine, sample);
        report.check(said.as_ref().is_ok_and(|said| *said == expected(sample)), || {
            format!(
                "{}: {}",
                sample.path,
                said.map_or_else(|error| error, |said| format!("denied by {said:?}"))
            )
        });
    }
    for (policy, rules) in tree.rules() {
        report.check(!rules.is_empty(), || format!("{} has no rule", policy.query()));
        for rule in rules {
            let has = tree
                .samples
                .iter()
                .any(|sample| sample.policy == policy && sample.rule.as_ref() == Some(&rule));
            report.check(has, || format!("{} has no sample that {rule} denies", policy.query()));
        }
        let allowed = tree
            .samples
            .iter()
            .any(|sample| sample.policy == policy && sample.rule.is_none());
        report.check(allowed, || format!("{} has no allowed sample", policy.query()));
    }
    // Whatever says nothing is denied, by every domain.
    for domain in tree.bundle.domains() {
        let evaluator = Evaluator::new(&tree.bundle, domain)?;
        for input in [
            json!({}),
            Value::Null,
            json!([]),
            json!("plan"),
            json!({"plan": {}, "manifests": null, "tenant": 1}),
        ] {
            let decision = evaluator.decide(&input);
            report.check(decision.verdict == Verdict::Deny, || {
                format!("{domain} allows the input {input}")
            });
        }
    }
    Ok(())
}

fn expected(sample: &Sample) -> Vec<String> {
    sample.rule.iter().cloned().collect()
}

/// The names of the rules that deny a sample, each once; or why it could not be evaluated.
pub(crate) fn judge(engine: &mut regorus::Engine, sample: &Sample) -> Result<Vec<String>, String> {
    engine.set_input(regorus::Value::from(sample.input.clone()));
    let denied = engine
        .eval_rule(sample.policy.query())
        .map_err(|error| error.to_string())?;
    let denied = serde_json::to_value(&denied).map_err(|error| error.to_string())?;
    let mut rules = Vec::new();
    for violation in denied.as_array().ok_or("no set")? {
        rules.push(
            violation["rule"]
                .as_str()
                .ok_or("a violation without a rule")?
                .to_owned(),
        );
    }
    rules.sort();
    rules.dedup();
    Ok(rules)
}

/// Whether a sample is judged as its name says.
pub(crate) fn as_expected(engine: &mut regorus::Engine, sample: &Sample) -> bool {
    judge(engine, sample).is_ok_and(|said| said == expected(sample))
}

/// An engine over modules, some of which may be changed, and the tree's limits.
pub(crate) fn engine(tree: &Tree, files: &[windlass_policy::File]) -> Result<regorus::Engine> {
    let mut engine = regorus::Engine::new();
    engine.set_strict_builtin_errors(true);
    for file in files.iter().filter(|file| crate::tree::is_module(&file.path)) {
        engine.add_policy(file.path.clone(), file.text.clone())?;
    }
    engine.add_data(regorus::Value::from(limits(tree)?))?;
    Ok(engine)
}

/// `{"limits": …}` of all files in `limits/`.
pub(crate) fn limits(tree: &Tree) -> Result<Value> {
    let mut all = serde_json::Map::new();
    for file in tree.files.iter().filter(|file| file.path.starts_with("limits/")) {
        let fields: serde_json::Map<String, Value> = serde_json::from_str(&file.text)?;
        all.extend(fields);
    }
    Ok(json!({ "limits": all }))
}
