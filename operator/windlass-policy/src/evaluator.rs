//! One domain of a bundle, ready to decide.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use regorus::Engine;
use regorus::utils::limits::ExecutionTimerConfig;
use serde_json::Value;

use crate::{Bundle, BundleError, Decision, Digest, Domain, Policy, Violation};

/// Milliseconds that a decision may take, policies together times their number at worst. A rollout decision takes less
/// than one (docs/policies.md has the figures); without a limit one input could stop the operator.
pub const TIME_LIMIT: Duration = Duration::from_millis(250);

/// Work units between two looks at the clock: few enough that the limit is kept to a millisecond, many enough that
/// looking costs nothing.
const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::new(256).expect("256 is not zero");

/// Decides inputs of one domain. Cheap to clone per thread: texts are parsed once.
#[derive(Clone)]
pub struct Evaluator {
    engine: Engine,
    domain: Domain,
    policies: Vec<Policy>,
    digest: Digest,
}

impl Evaluator {
    /// Prepares a domain. A domain without policies is prepared too, and denies everything.
    ///
    /// # Errors
    /// [`BundleError::Parse`] if the engine does not understand a module.
    pub fn new(bundle: &Bundle, domain: &Domain) -> Result<Self, BundleError> {
        let mut engine = engine(bundle, |path| path.starts_with(&format!("{domain}/")))?;
        let policies = bundle.policies(domain).to_vec();
        // The engine orders its rules at the first evaluation; done here, no decision pays for it. What this one says,
        // on an input that says nothing, does not matter.
        engine.set_input(regorus::Value::new_object());
        for policy in &policies {
            let _ = engine.eval_rule(policy.query());
        }
        Ok(Self {
            engine,
            domain: domain.clone(),
            policies,
            digest: bundle.digest().clone(),
        })
    }

    /// Decides. It never fails: what goes wrong is a violation of the rule `not-evaluated` and thereby a denial.
    #[must_use]
    pub fn decide(&self, input: &Value) -> Decision {
        let began = Instant::now();
        let (mut violations, mut evaluated) = (Vec::new(), 0);
        if self.policies.is_empty() {
            violations.push(not_evaluated(
                self.domain.as_str(),
                "the bundle has no policy of this domain",
            ));
        } else if !input.is_object() {
            violations.push(not_evaluated("input", "the input is no JSON object"));
        } else {
            let mut engine = self.engine.clone();
            engine.set_input(regorus::Value::from(input.clone()));
            for policy in &self.policies {
                match denials(&mut engine, policy) {
                    Ok(found) => {
                        violations.extend(found);
                        evaluated += 1;
                    }
                    Err(message) => violations.push(not_evaluated(&policy.query(), &message)),
                }
            }
        }
        violations.sort();
        Decision {
            domain: self.domain.clone(),
            verdict: Decision::verdict_of(&violations),
            violations,
            policies: evaluated,
            policy_digest: self.digest.clone(),
            input_digest: Digest::of_json(input),
            elapsed: began.elapsed(),
        }
    }
}

/// An engine with what policies share, the modules that are wanted, and the limits; strict about builtins' errors and
/// limited in time.
pub(crate) fn engine(bundle: &Bundle, wanted: impl Fn(&str) -> bool) -> Result<Engine, BundleError> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: TIME_LIMIT,
        check_interval: CHECK_INTERVAL,
    });
    for module in bundle
        .modules
        .iter()
        .filter(|module| module.path.starts_with("lib/") || wanted(&module.path))
    {
        engine
            .add_policy(module.path.clone(), module.text.clone())
            .map_err(|error| BundleError::Parse {
                path: module.path.clone(),
                message: error.to_string(),
            })?;
    }
    engine
        .add_data(regorus::Value::from(bundle.limits.clone()))
        .map_err(|error| BundleError::Parse {
            path: "limits".to_owned(),
            message: error.to_string(),
        })?;
    Ok(engine)
}

/// A policy's violations. A result that is no set of violations is an error: it must not pass for "none".
fn denials(engine: &mut Engine, policy: &Policy) -> Result<Vec<Violation>, String> {
    let value = engine.eval_rule(policy.query()).map_err(|error| error.to_string())?;
    if !matches!(value, regorus::Value::Set(_)) {
        return Err("its result is no set of violations".to_owned());
    }
    let json = serde_json::to_value(&value).map_err(|error| error.to_string())?;
    serde_json::from_value(json).map_err(|error| error.to_string())
}

fn not_evaluated(subject: &str, message: &str) -> Violation {
    Violation {
        rule: "not-evaluated".to_owned(),
        subject: subject.to_owned(),
        why: format!(
            "it could not be evaluated: {}",
            message.lines().collect::<Vec<_>>().join(" ").trim()
        ),
        instead: "repair the input or the policy; what cannot be evaluated is denied".to_owned(),
    }
}
