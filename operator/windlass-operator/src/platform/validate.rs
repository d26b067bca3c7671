//! Whether what the spec refers to is there. What a spec may say at all, the schema has checked.

use std::collections::BTreeMap;

use windlass_api::SecretKey;

use super::observe::{Found, Observed};
use super::store;
use crate::kind::Kind;

/// Something without which nothing can be written. It waits for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In one word, for programs.
    pub reason: &'static str,
    /// For people: what is wrong, and what to do.
    pub message: String,
}

/// What the rest of a pass may rely on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// The digest of each value that pods mount.
    pub secrets: BTreeMap<SecretKey, String>,
    /// Whether all of them are there. Of a Redis that the operator runs they come with it, and pods wait for that.
    pub are_there: bool,
}

/// Checks all references.
///
/// # Errors
/// All that is wrong, not only the first.
pub fn validate(observed: &Observed) -> Result<Validated, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut secrets = BTreeMap::new();
    let mut are_there = true;
    for (key, found) in &observed.secrets {
        let SecretKey { name, key: entry } = key;
        let message = match found {
            Found::NoSecret | Found::NoKey if store::makes(&observed.platform, key) => {
                are_there = false;
                continue;
            }
            Found::Value(digest) => {
                secrets.insert(key.clone(), digest.clone());
                continue;
            }
            Found::NoSecret => format!("make the Secret {name} with the key {entry}, or refer to another"),
            Found::NoKey => format!("the Secret {name} has no key {entry}: add it, or refer to another"),
        };
        problems.push(Problem {
            reason: "SecretMissing",
            message,
        });
    }
    if let (Some(false), Some(volume)) = (observed.claim, &observed.platform.spec.storage.volume) {
        let message = format!(
            "make the PersistentVolumeClaim {}, or refer to another",
            volume.claim_name
        );
        problems.push(Problem {
            reason: "ClaimMissing",
            message,
        });
    }
    for what in &observed.foreign {
        let message = format!("{what} is somebody else's: remove it, or name the Platform otherwise");
        problems.push(Problem {
            reason: "NameTaken",
            message,
        });
    }
    let routes = observed.platform.spec.routes.as_ref();
    if routes.is_some_and(|routes| routes.gateway.is_some()) && observed.unserved.contains(&Kind::HttpRoute) {
        let message = "the cluster has no HTTPRoute: install Gateway API, or write routes.ingress instead".to_owned();
        problems.push(Problem {
            reason: "GatewayApiMissing",
            message,
        });
    }
    if observed.platform.spec.redis.managed.is_some() && observed.unserved.contains(&Kind::Redis) {
        let message = "the cluster has no Redis of windlass.dev: install the chart's definitions".to_owned();
        problems.push(Problem {
            reason: "DefinitionMissing",
            message,
        });
    }
    if problems.is_empty() {
        Ok(Validated { secrets, are_there })
    } else {
        Err(problems)
    }
}
