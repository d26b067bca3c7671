//! The texts that decisions are made from, checked once.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::Digest;

/// A text and the path it is known by, relative to the tree's root: `rollout/budget/policy.rego`.
#[derive(Clone, Debug)]
pub struct File {
    /// Path with `/`.
    pub path: String,
    /// Content.
    pub text: String,
}

/// What cannot be made a bundle of.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no policy at all: an empty gate would let everything through.
    #[error("the tree has no policy.rego")]
    FindPolicies,
    /// A policy has no rule `deny contains …`, so it could never deny.
    #[error("{path} has no rule `deny contains`")]
    FindDenyRule {
        /// The policy's path.
        path: String,
    },
    /// A policy lies elsewhere than its package says.
    #[error("{path} is not of package {package}")]
    MatchPackage {
        /// The policy's path.
        path: String,
        /// The package that belongs to the path.
        package: String,
    },
    /// A builtin whose result does not follow from the input: a decision with it could not be replayed.
    #[error("{path} calls {builtin}, which depends on more than the input")]
    CallImpure {
        /// The module's path.
        path: String,
        /// The builtin.
        builtin: &'static str,
    },
    /// Limits that are no JSON object.
    #[error("{path} is not a JSON object")]
    ReadLimits {
        /// The file's path.
        path: String,
    },
    /// Two files define the same limits.
    #[error("{path} defines {key} again")]
    DefineTwice {
        /// The second file's path.
        path: String,
        /// The key of both.
        key: String,
    },
    /// A module that the engine does not understand.
    #[error("parse {path}: {message}")]
    Parse {
        /// The module's path.
        path: String,
        /// The engine's words.
        message: String,
    },
}

/// Builtins that the engine has and whose result is not a function of the input; the capabilities file leaves them out
/// as well, so OPA refuses them too.
pub(crate) const IMPURE: [&str; 6] = [
    "http.send",
    "opa.runtime",
    "rand.intn",
    "time.now_ns",
    "trace(",
    "uuid.rfc4122",
];

/// A group of policies that judge one kind of input: the folder right below the tree's root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

impl Domain {
    /// Names a domain; whether a bundle has it shows when it is evaluated.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The folder's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One policy: a package with rules `deny`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Policy {
    /// Domain that it belongs to.
    pub domain: Domain,
    /// Name of its folder.
    pub name: String,
}

impl Policy {
    /// The query for its denials, `data.windlass.rollout.budget.deny`.
    #[must_use]
    pub fn query(&self) -> String {
        format!("data.windlass.{}.{}.deny", self.domain, self.name)
    }
}

/// Policies, what they share, and their limits: everything that a decision depends on beside its input.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub(crate) modules: Vec<File>,
    pub(crate) limits: Value,
    policies: BTreeMap<Domain, Vec<Policy>>,
    digest: Digest,
}

impl Bundle {
    /// Takes the files of the tree `policies/`, in any order: `DOMAIN/POLICY/policy.rego`, `lib/*.rego`, `log/*.rego` and
    /// `limits/*.json`. Tests (`*_test.rego`), samples and anything else are left out.
    ///
    /// # Errors
    /// See [`Error`]: a tree that could let something through by mistake is refused whole.
    pub fn new(files: impl IntoIterator<Item = File>) -> Result<Self, Error> {
        let mut files: Vec<File> = files.into_iter().collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let (mut modules, mut limits, mut policies) = (Vec::new(), Map::new(), BTreeMap::<_, Vec<_>>::new());
        for file in files {
            let parts: Vec<&str> = file.path.split('/').collect();
            match parts[..] {
                ["limits", name] if name.ends_with(".json") => add_limits(&mut limits, &file)?,
                [_, name] if is_module(name) => modules.push(checked(file)?),
                [domain, name, "policy.rego"] => {
                    let policy = Policy {
                        domain: Domain::new(domain),
                        name: name.to_owned(),
                    };
                    modules.push(checked_policy(file, &policy)?);
                    policies.entry(policy.domain.clone()).or_default().push(policy);
                }
                _ => {}
            }
        }
        if policies.is_empty() {
            return Err(Error::FindPolicies);
        }
        let limits = Value::Object(Map::from_iter([("limits".to_owned(), Value::Object(limits))]));
        let digest = digest_of(&modules, &limits);
        Ok(Self {
            modules,
            limits,
            policies,
            digest,
        })
    }

    /// SHA-256 over all modules and limits: what a decision was made by.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The domains that have policies.
    pub fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.policies.keys()
    }

    /// The policies of a domain, ordered by name; none if the bundle has no such domain.
    #[must_use]
    pub fn policies(&self, domain: &Domain) -> &[Policy] {
        self.policies.get(domain).map_or(&[], Vec::as_slice)
    }
}

fn is_module(name: &str) -> bool {
    name.ends_with(".rego") && !name.ends_with("_test.rego")
}

fn add_limits(limits: &mut Map<String, Value>, file: &File) -> Result<(), Error> {
    let Ok(Value::Object(fields)) = serde_json::from_str(&file.text) else {
        return Err(Error::ReadLimits {
            path: file.path.clone(),
        });
    };
    for (key, value) in fields {
        if limits.insert(key.clone(), value).is_some() {
            return Err(Error::DefineTwice {
                path: file.path.clone(),
                key,
            });
        }
    }
    Ok(())
}

fn checked(file: File) -> Result<File, Error> {
    let code = file.text.lines().filter(|line| !line.trim_start().starts_with('#'));
    for line in code {
        if let Some(builtin) = IMPURE.iter().find(|builtin| line.contains(**builtin)) {
            return Err(Error::CallImpure {
                path: file.path,
                builtin: builtin.trim_end_matches('('),
            });
        }
    }
    Ok(file)
}

fn checked_policy(file: File, policy: &Policy) -> Result<File, Error> {
    let package = format!("windlass.{}.{}", policy.domain, policy.name);
    if !file.text.lines().any(|line| line == format!("package {package}")) {
        return Err(Error::MatchPackage {
            path: file.path,
            package,
        });
    }
    if !file.text.lines().any(|line| line.starts_with("deny contains ")) {
        return Err(Error::FindDenyRule { path: file.path });
    }
    checked(file)
}

fn digest_of(modules: &[File], limits: &Value) -> Digest {
    let limits = crate::canonical(limits);
    let texts = modules
        .iter()
        .flat_map(|module| [module.path.as_bytes(), module.text.as_bytes()]);
    Digest::of_parts(texts.chain([limits.as_bytes()]))
}
