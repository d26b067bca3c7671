//! The record of a decision, in the shape of OPA's decision log, and its replay.

use regorus::Engine;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::evaluator::engine;
use crate::{Bundle, BundleError, Decision, Digest, Domain, Evaluator, Violation};

/// What the caller knows of a request and this crate does not ask for itself.
#[derive(Clone, Debug)]
pub struct Request {
    /// Unique id of the decision.
    pub decision_id: String,
    /// Id of the program that decides, for the label `id`.
    pub instance: String,
    /// Version of the program, for the label `version`.
    pub version: String,
    /// Who asked.
    pub requested_by: String,
    /// When, RFC 3339.
    pub timestamp: String,
    /// W3C trace id, if the request is traced.
    pub trace_id: Option<String>,
    /// W3C span id, if the request is traced.
    pub span_id: Option<String>,
}

/// One entry of the decision log. Fields and names are OPA's ("Decision Logs" in its documentation); `policy_digest` and
/// `input_digest` are added, because a bundle's revision says nothing of a tree that was changed by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// `id` and `version` of the program that decided.
    pub labels: Value,
    /// Unique id.
    pub decision_id: String,
    /// W3C trace id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<String>,
    /// W3C span id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub span_id: Option<String>,
    /// `{"windlass": {"revision": policy digest}}`.
    pub bundles: Value,
    /// `windlass/rollout`.
    pub path: String,
    /// The input, without what was masked.
    pub input: Value,
    /// `{"allow": …, "violations": […]}`.
    pub result: Value,
    /// Who asked.
    pub requested_by: String,
    /// When, RFC 3339.
    pub timestamp: String,
    /// `timer_rego_query_eval_ns`, OPA's name.
    pub metrics: Value,
    /// JSON pointers that were taken out of the input, beginning with `/input`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub erased: Vec<String>,
    /// What was decided by.
    pub policy_digest: Digest,
    /// What was decided on: the whole input, before anything was taken out.
    pub input_digest: Digest,
}

impl Record {
    /// Writes down a decision. What the bundle's `data.system.log.mask` names is taken out; if that cannot be evaluated
    /// the whole input is, because a log entry must not leak what nobody has looked at.
    #[must_use]
    pub fn new(request: Request, decision: &Decision, input: &Value, mask: &Mask) -> Self {
        let mut event = json!({ "input": input });
        let mut erased = mask.pointers(&event);
        erased.retain(|pointer| pointer.starts_with("/input") && erase(&mut event, pointer));
        Self {
            labels: json!({ "id": request.instance, "version": request.version }),
            decision_id: request.decision_id,
            trace_id: request.trace_id,
            span_id: request.span_id,
            bundles: json!({ "windlass": { "revision": decision.policy_digest } }),
            path: format!("windlass/{}", decision.domain),
            input: event["input"].take(),
            result: result_of(&decision.violations),
            requested_by: request.requested_by,
            timestamp: request.timestamp,
            metrics: json!({ "timer_rego_query_eval_ns": u64::try_from(decision.elapsed.as_nanos()).unwrap_or(u64::MAX) }),
            erased,
            policy_digest: decision.policy_digest.clone(),
            input_digest: decision.input_digest.clone(),
        }
    }

    /// Decides again and compares. `input` is the original where the record's was masked.
    ///
    /// # Errors
    /// See [`Error`]: what was decided cannot be compared if it was decided by other policies or on another input.
    pub fn replay(&self, bundle: &Bundle, input: Option<&Value>) -> Result<Replay, Error> {
        let input = match input {
            Some(input) => input,
            None if self.erased.is_empty() => &self.input,
            None => {
                return Err(Error::NeedInput {
                    erased: self.erased.clone(),
                });
            }
        };
        if Digest::of_json(input) != self.input_digest {
            return Err(Error::MatchInput);
        }
        if *bundle.digest() != self.policy_digest {
            return Err(Error::MatchPolicies {
                recorded: self.policy_digest.clone(),
                given: bundle.digest().clone(),
            });
        }
        let domain = Domain::new(self.path.trim_start_matches("windlass/"));
        let decision = Evaluator::new(bundle, &domain).map_err(Error::Prepare)?.decide(input);
        let same = crate::canonical(&result_of(&decision.violations)) == crate::canonical(&self.result);
        Ok(if same {
            Replay::Same
        } else {
            Replay::Differs(Box::new(decision))
        })
    }
}

/// How a replay went.
#[derive(Debug)]
pub enum Replay {
    /// The same verdict for the same reasons.
    Same,
    /// The same policies say something else about the same input, which only a change of the engine can do.
    Differs(Box<Decision>),
}

/// Why a record cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Parts of the input were masked; the original is needed.
    #[error("the record's input is masked at {}: pass the original", erased.join(", "))]
    NeedInput {
        /// What was taken out.
        erased: Vec<String>,
    },
    /// The input is not the one that was decided on.
    #[error("the input's digest is not the record's")]
    MatchInput,
    /// The policies are not those that decided.
    #[error("the record was decided by policies {recorded}, these are {given}")]
    MatchPolicies {
        /// Digest in the record.
        recorded: Digest,
        /// Digest of the bundle.
        given: Digest,
    },
    /// The bundle cannot be evaluated.
    #[error("prepare the policies")]
    Prepare(#[source] BundleError),
}

/// What to take out of records: the rule `data.system.log.mask` of a bundle, as OPA evaluates it.
#[derive(Clone)]
pub struct Mask {
    engine: Engine,
}

impl Mask {
    /// Prepares a bundle's mask.
    ///
    /// # Errors
    /// [`BundleError::Parse`] if the engine does not understand a module.
    pub fn new(bundle: &Bundle) -> Result<Self, BundleError> {
        Ok(Self {
            engine: engine(bundle, |path| path.starts_with("log/"))?,
        })
    }

    fn pointers(&self, event: &Value) -> Vec<String> {
        let mut engine = self.engine.clone();
        engine.set_input(regorus::Value::from(event.clone()));
        engine
            .eval_rule("data.system.log.mask".to_owned())
            .ok()
            .and_then(|value| serde_json::to_value(&value).ok())
            .and_then(|value| serde_json::from_value(value).ok())
            .unwrap_or_else(|| vec!["/input".to_owned()])
    }
}

/// Takes the value at a JSON pointer (RFC 6901) out; false if there is none.
fn erase(event: &mut Value, pointer: &str) -> bool {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return false;
    };
    let name = last.replace("~1", "/").replace("~0", "~");
    match event.pointer_mut(parent) {
        Some(Value::Object(fields)) => fields.remove(&name).is_some(),
        // An element keeps its place, so that the other pointers still mean what they meant.
        Some(Value::Array(items)) => match name.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
            Some(item) => {
                *item = Value::Null;
                true
            }
            None => false,
        },
        _ => false,
    }
}

fn result_of(violations: &[Violation]) -> Value {
    json!({ "allow": violations.is_empty(), "violations": violations })
}
