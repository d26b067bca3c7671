//! The operator: one process that leads, watches, and passes over each resource as
//! observe → validate → plan → apply → status.
//!
//! Nothing is decided from a cache: watches only say which resource to look at, and a pass reads what it decides on. So no
//! decision is older than the operator's own last write. Planners do no I/O and know no time.

pub mod admin;
pub mod controller;
pub mod digest;
pub mod drift;
pub mod effects;
pub mod election;
pub mod flags;
pub mod kind;
pub mod metrics;
mod network;
pub mod objects;
pub mod operator;
pub mod platform;
pub mod queue;
pub mod redis;
pub mod signal;
pub mod watch;
