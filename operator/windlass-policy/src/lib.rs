//! Decides by Rego policies inside a Rust process: the same files that OPA and conftest read in CI.
//!
//! Main path: a [`Bundle`] takes the texts of policies and limits; an [`Evaluator`] prepares one domain of it
//! (`rollout`, `terraform`, …); [`Evaluator::decide`] answers with a [`Decision`]; a [`Record`] of it can be replayed.
//!
//! It fails closed: an input that is no object, a policy that cannot be evaluated, a builtin's error, too much time,
//! or a domain without policies is a denial with the reason in words. It does no I/O and knows no wall clock: texts,
//! inputs, timestamps and ids are arguments, and policies that ask for the time or for chance are refused.

mod bundle;
mod canonical;
mod decision;
mod digest;
mod evaluator;
mod record;

pub use bundle::{Bundle, Domain, Error as BundleError, File, Policy};
pub use canonical::canonical;
pub use decision::{Decision, Verdict, Violation};
pub use digest::Digest;
pub use evaluator::{Evaluator, TIME_LIMIT};
pub use record::{Error as ReplayError, Mask, Record, Replay, Request};
