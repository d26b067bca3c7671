//! The election of a Redis's primary in a world of models: the real decisions of operator and agents, over Redises that
//! replicate late and forget their last writes when they die, a Kubernetes API that is away at times, two operators at once,
//! clocks that differ, and messages that are lost and come late.
//!
//! Main path: [`run`] → `world` (one seed; a queue of what happens when) → `agent` and `operator` do what the decisions say
//! to `redis` and `api` → `ledger` hears of every write and finds what must not be.

mod agent;
mod api;
mod ledger;
mod operator;
mod queue;
mod redis;
mod world;

pub use world::{Harmed, Mutation, Setting, run};
