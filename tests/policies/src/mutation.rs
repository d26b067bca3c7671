//! Changes each rule and each condition, one at a time, and requires a sample to notice.
//!
//! `opa fmt` puts one expression on a line, which is what makes this possible without a parser.

use anyhow::Result;
use windlass_policy::File;

use crate::report::Report;
use crate::samples::{as_expected, engine};
use crate::tree::{Tree, is_module};

/// Comparisons and what each is changed into.
const COMPARISONS: [(&str, &str); 6] = [
    (" == ", " != "),
    (" != ", " == "),
    (" >= ", " > "),
    (" <= ", " < "),
    (" > ", " >= "),
    (" < ", " <= "),
];

struct Mutant {
    line: usize,
    text: String,
}

pub(crate) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    for (position, file) in tree.files.iter().enumerate().filter(|(_, file)| judged(&file.path)) {
        let folder = file.path.split('/').next().unwrap_or_default().to_owned();
        for mutant in mutants(file) {
            let mut files = tree.files.clone();
            files[position].text = replaced(&file.text, &mutant);
            // What does not compile would not pass `opa check` either.
            let Ok(mut engine) = engine(tree, &files) else { continue };
            if !compiles(&mut engine, &file.path) {
                continue;
            }
            let own = |path: &str| {
                folder == "lib"
                    || file
                        .path
                        .strip_suffix("policy.rego")
                        .is_some_and(|own| path.starts_with(own))
            };
            let mut samples = tree.samples.iter().filter(|sample| own(&sample.path));
            let survived = samples.all(|sample| as_expected(&mut engine, sample));
            report.check(!survived, || {
                format!(
                    "no sample notices: {}:{}: {}",
                    file.path,
                    mutant.line + 1,
                    mutant.text.trim()
                )
            });
            let counted = if survived {
                &mut report.survived
            } else {
                &mut report.killed
            };
            *counted.entry(folder.clone()).or_default() += 1;
        }
    }
    Ok(())
}

/// The log's mask has tests of its own in the crate.
fn judged(path: &str) -> bool {
    is_module(path) && !path.starts_with("log/")
}

/// A mutant whose variables are unsafe fails at its first evaluation, with the engine's word for it.
fn compiles(engine: &mut regorus::Engine, path: &str) -> bool {
    let query = format!(
        "data.windlass.{}",
        path.trim_end_matches("/policy.rego")
            .trim_end_matches(".rego")
            .replace('/', ".")
    );
    engine.set_input(regorus::Value::from(serde_json::json!({})));
    match engine.eval_query(query, false) {
        Ok(_) => true,
        Err(error) => !["unsafe", "undefined variable", "expected"]
            .iter()
            .any(|word| error.to_string().contains(word)),
    }
}

fn replaced(text: &str, mutant: &Mutant) -> String {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| if index == mutant.line { &mutant.text } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

fn mutants(file: &File) -> Vec<Mutant> {
    let mut found = Vec::new();
    let (mut in_body, mut in_every) = (false, false);
    for (line, text) in file.text.lines().enumerate() {
        let mut add = |text: String| found.push(Mutant { line, text });
        if !text.starts_with('\t') && text != "}" {
            in_body = false;
        }
        if text.starts_with('#') || text.trim().is_empty() {
            continue;
        }
        // `head if expression`
        if let Some((head, expression)) = text
            .split_once(" if ")
            .filter(|(head, rest)| !head.starts_with('\t') && *rest != "{")
        {
            add(format!("{head} if {}", negated(expression)));
            add(format!("{head} if true"));
            compare(expression, &mut |changed| add(format!("{head} if {changed}")));
            continue;
        }
        if text.ends_with(" if {") {
            in_body = true;
            in_every = false;
            add(format!("{text}\n\tfalse"));
            continue;
        }
        if text == "}" {
            in_body = false;
            continue;
        }
        if !in_body {
            continue;
        }
        let expression = text.trim_start_matches('\t');
        let depth = text.len() - expression.len();
        if expression.starts_with("every ") {
            in_every = true;
            continue;
        }
        if depth > if in_every { 2 } else { 1 } || !balanced(expression) || expression.contains(" := ") {
            continue;
        }
        let indent = "\t".repeat(depth);
        if expression.starts_with("some ") {
            continue;
        }
        add(format!("{indent}{}", negated(expression)));
        add(format!("{indent}true"));
        compare(expression, &mut |changed| add(format!("{indent}{changed}")));
    }
    found
}

fn negated(expression: &str) -> String {
    expression
        .strip_prefix("not ")
        .map_or_else(|| format!("not {expression}"), str::to_owned)
}

/// Changes the first comparison of each kind.
fn compare(expression: &str, add: &mut impl FnMut(String)) {
    for (from, to) in COMPARISONS {
        if expression.contains(from) {
            add(expression.replacen(from, to, 1));
        }
    }
}

fn balanced(expression: &str) -> bool {
    let count = |one: char| expression.chars().filter(|each| *each == one).count();
    count('(') == count(')') && count('{') == count('}') && count('[') == count(']')
}
