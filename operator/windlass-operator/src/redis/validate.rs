//! Whether there is something to decide by, and whether what the objects need is there. What a spec may say at all, the
//! schema has checked.

use std::error::Error as _;

use super::observe::{Keys, Observed};
use super::record::Record;
use super::render::{self, KEYS};
use crate::kind::{Identity, Kind};

pub use crate::platform::validate::Problem;

/// What a Secret with certificates has.
const CERTIFICATES: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// What the rest of a pass may rely on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// What was decided; `None` if nothing was yet.
    pub record: Option<Record>,
    /// Why no object may be written. Who is the primary is decided all the same.
    pub problems: Vec<Problem>,
}

/// Checks what everything rests on.
///
/// # Errors
/// When what was decided, or the lease, is not understood: then nothing may be decided or written.
pub fn validate(observed: &Observed) -> Result<Validated, Problem> {
    let record = Record::read(&observed.redis).map_err(|error| Problem {
        reason: "StandingUnreadable",
        message: format!(
            "{error} ({}): let the operator's version go on that wrote it, or restore the status",
            error.source().map(ToString::to_string).unwrap_or_default()
        ),
    })?;
    if let Some(Err(error)) = observed.lease.as_ref().map(|held| &held.lease) {
        return Err(Problem {
            reason: "LeaseUnreadable",
            message: format!(
                "the Lease {} is not understood ({error}): somebody else writes it; find out who, and remove it",
                render::names(&observed.redis).base()
            ),
        });
    }
    Ok(Validated {
        record,
        problems: problems(observed),
    })
}

fn problems(observed: &Observed) -> Vec<Problem> {
    let Some(objects) = &observed.objects else {
        return Vec::new();
    };
    let names = render::names(&observed.redis);
    let mut problems = Vec::new();
    let mut taken = |what: &Identity| {
        let message = format!("{what} is somebody else's: remove it, or name the Redis otherwise");
        problems.push(Problem {
            reason: "NameTaken",
            message,
        });
    };
    objects.owned.foreign.iter().for_each(&mut taken);
    if objects.secret.as_ref().is_some_and(|secret| !secret.is_own) {
        taken(&Identity {
            kind: Kind::Secret,
            name: names.base().to_owned(),
        });
    }
    let mut lacks = |name: &str, found: Option<&Keys>, wanted: &[&str]| {
        let missing: Vec<_> = wanted
            .iter()
            .filter(|key| found.is_none_or(|found| !found.keys.contains(**key)))
            .copied()
            .collect();
        if !missing.is_empty() {
            problems.push(Problem {
                reason: "SecretMissing",
                message: format!("the Secret {name} lacks {}: add what is missing", missing.join(", ")),
            });
        }
    };
    if let Some(secret) = &objects.secret {
        lacks(names.base(), Some(secret), &KEYS);
    }
    if let Some(tls) = &observed.redis.spec.tls {
        lacks(&tls.secret_name, objects.tls.as_ref(), &CERTIFICATES);
    }
    problems
}
