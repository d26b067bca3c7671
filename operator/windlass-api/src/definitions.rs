//! The definitions of all kinds, as YAML.

use kube::CustomResourceExt as _;

use crate::{Platform, Redis};

/// Removing the chart must not remove the definitions: with them would go every resource of these kinds, and all that
/// these own.
const KEEP: (&str, &str) = ("helm.sh/resource-policy", "keep");

/// File name and content of each definition.
#[must_use]
pub fn all() -> Vec<(String, String)> {
    [Platform::crd(), Redis::crd()]
        .into_iter()
        .map(|mut definition| {
            let (key, value) = KEEP;
            let annotations = definition.metadata.annotations.get_or_insert_default();
            annotations.insert(key.to_owned(), value.to_owned());
            let name = format!("{}.yaml", definition.spec.names.plural);
            let text = serde_yaml::to_string(&definition).expect("a definition is plain data");
            (
                name,
                format!("# Made by `cargo run -p windlass-api --bin crds`; a test compares.\n{text}"),
            )
        })
        .collect()
}
