//! Agents with real Redis servers beside them, and what is done to them while clients write.
//!
//! Each agent has a runtime of its own in this process, so that one can stand still or end without the others; the lease
//! is a compare-and-swap in memory, and the operator a loop around [`windlass_election::step`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod clients;
mod configuration;
mod elections;
mod operator;
mod orders;
mod place;
mod wait;
mod world;
