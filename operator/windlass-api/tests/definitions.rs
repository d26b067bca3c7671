//! What is installed is what the types say.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_chart_has_the_definitions_of_these_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/windlass-operator/files/crds");
    let made = windlass_api::definitions::all();
    for (name, text) in &made {
        let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            committed == *text,
            "{name} is old: run `cargo run -p windlass-api --bin crds`"
        );
    }
    let names: BTreeSet<_> = made.into_iter().map(|(name, _)| name).collect();
    let files: BTreeSet<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| {
            entry
                .expect("it can be read")
                .file_name()
                .into_string()
                .expect("names are ASCII")
        })
        .collect();
    assert_eq!(files, names, "a definition of no type");
}

#[test]
fn every_rule_has_a_sample_that_breaks_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/invalid");
    let refused: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| std::fs::read_to_string(entry.expect("it can be read").path()).expect("samples are texts"))
        .filter_map(|sample| Some(sample.lines().next()?.strip_prefix("# refused: ")?.to_owned()))
        .collect();
    for (name, text) in windlass_api::definitions::all() {
        let messages: Vec<_> = messages(&text);
        assert!(messages.len() > 8, "{name}: the rules were not found");
        for message in messages {
            assert!(
                refused.iter().any(|text| message.starts_with(text)),
                "{name}: no sample for {message:?}"
            );
        }
    }
}

/// What the rules of a definition say.
fn messages(text: &str) -> Vec<String> {
    fn collect(value: &serde_json::Value, into: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for rule in fields
                    .get("x-kubernetes-validations")
                    .and_then(|rules| rules.as_array())
                    .into_iter()
                    .flatten()
                {
                    into.push(
                        rule["message"]
                            .as_str()
                            .expect("each rule says what to write")
                            .to_owned(),
                    );
                }
                fields.values().for_each(|field| collect(field, into));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_yaml::from_str(text).expect("a definition is YAML"), &mut found);
    found
}
