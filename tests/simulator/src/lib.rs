//! The upload service in a world of models: its real HTTP handlers, sessions, takeovers and reconciliation, over a Redis that
//! loses its last commits, a bucket whose writes fail before or after their effect or arrive late, pods that pause and die,
//! and clients that go on.
//!
//! Main path: [`run`] → `world` (one seed, one thread, time that is only counted) → `client` asks `pod`s, which reach `redis`
//! and `bucket` through a gate of theirs → `trace` hears of everything and finds what breaks a promise. The same seed gives
//! the same trace. It must know nothing of the service but what Redis, an object store and a client know: the traits and
//! HTTP.
//!
//! [`election`] is another world, of its own: who may write to a Redis.

mod bucket;
mod client;
pub mod election;
mod gate;
mod pod;
mod random;
mod redis;
mod seeds;
mod trace;
mod world;

pub use seeds::{Seeds, report, seeds_of_today};
pub use world::{Mutation, Outcome, run};
