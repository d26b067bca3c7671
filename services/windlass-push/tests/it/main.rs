//! The push service over real sockets, on a real embedded store.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod adversary;
mod binary;
mod drain;
mod limits;
mod liveness;
mod proxy;
mod recovery;
mod server;
mod slow;
mod socket;
mod tasks;
mod tokens;
