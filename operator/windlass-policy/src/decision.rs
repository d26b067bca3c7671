//! What comes out of an evaluation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Digest, Domain};

/// Whether the change may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every policy was evaluated and none denied.
    Allow,
    /// At least one policy denied, or could not be evaluated.
    Deny,
}

/// One reason why not, as a policy gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Violation {
    /// The rule's name, stable across releases: `bake-too-short`.
    pub rule: String,
    /// What it is about: an address, an object, a region.
    pub subject: String,
    /// Why it is denied.
    pub why: String,
    /// What to do or write instead.
    pub instead: String,
}

/// The answer to one input.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The domain that was asked.
    pub domain: Domain,
    /// The answer.
    pub verdict: Verdict,
    /// Every reason of every policy, ordered; empty if and only if the verdict is [`Verdict::Allow`].
    pub violations: Vec<Violation>,
    /// How many policies were evaluated to the end.
    pub policies: usize,
    /// What was decided by.
    pub policy_digest: Digest,
    /// What was decided on (of its canonical form).
    pub input_digest: Digest,
    /// How long it took, for metrics; it has no part in the verdict.
    pub elapsed: Duration,
}

impl Decision {
    /// The verdict follows from the violations and nothing else.
    pub(crate) fn verdict_of(violations: &[Violation]) -> Verdict {
        if violations.is_empty() {
            Verdict::Allow
        } else {
            Verdict::Deny
        }
    }
}
