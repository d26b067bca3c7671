//! The folder `policies/` as it lies in the checkout.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use windlass_policy::{Bundle, File, Policy};

/// An input with what a policy must say of it.
pub(crate) struct Sample {
    /// `terraform/shape/samples/denied/plan-errored.json`.
    pub(crate) path: String,
    pub(crate) policy: Policy,
    /// The rule that must deny, and no other of the policy; none for an allowed sample.
    pub(crate) rule: Option<String>,
    pub(crate) input: Value,
}

pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<File>,
    pub(crate) bundle: Bundle,
    pub(crate) samples: Vec<Sample>,
}

impl Tree {
    pub(crate) fn read() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../policies")
            .canonicalize()?;
        let mut paths = Vec::new();
        walk(&root, &mut paths)?;
        paths.sort();
        let (mut files, mut samples) = (Vec::new(), Vec::new());
        for path in paths {
            let name = path
                .strip_prefix(&root)?
                .to_str()
                .context("a path that is not UTF-8")?
                .to_owned();
            let text = fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
            match name.split('/').collect::<Vec<_>>()[..] {
                [domain, policy, "samples", kind, file] => {
                    let policy = Policy {
                        domain: windlass_policy::Domain::new(domain),
                        name: policy.to_owned(),
                    };
                    let rule = file.split('.').next().filter(|_| kind == "denied").map(str::to_owned);
                    let input = serde_json::from_str(&text).with_context(|| format!("read {name}"))?;
                    samples.push(Sample {
                        path: name,
                        policy,
                        rule,
                        input,
                    });
                }
                _ => files.push(File { path: name, text }),
            }
        }
        let bundle = Bundle::new(files.clone()).context("take policies/ as a bundle")?;
        Ok(Self {
            root,
            files,
            bundle,
            samples,
        })
    }

    /// Every policy with the names of its rules: the titles above `deny contains`.
    pub(crate) fn rules(&self) -> Vec<(Policy, Vec<String>)> {
        let mut found = Vec::new();
        for domain in self.bundle.domains() {
            for policy in self.bundle.policies(domain) {
                let path = format!("{}/{}/policy.rego", policy.domain, policy.name);
                let text = self
                    .files
                    .iter()
                    .find(|file| file.path == path)
                    .map_or("", |file| &file.text);
                let mut rules: Vec<_> = text
                    .split("deny contains violation.because(\n\t\"")
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next().map(str::to_owned))
                    .collect();
                rules.dedup();
                found.push((policy.clone(), rules));
            }
        }
        found
    }

    /// Paths of the modules that both engines read, without tests.
    pub(crate) fn modules(&self) -> Vec<PathBuf> {
        let modules = self.files.iter().filter(|file| is_module(&file.path));
        modules.map(|file| self.root.join(&file.path)).collect()
    }
}

pub(crate) fn is_module(path: &str) -> bool {
    path.ends_with(".rego") && !path.ends_with("_test.rego")
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, paths)?;
        } else if path.extension().is_some_and(|kind| kind == "rego" || kind == "json") {
            paths.push(path);
        }
    }
    Ok(())
}
