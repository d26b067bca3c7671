//! The kinds of `windlass.dev`: what users write, what is refused and with which words, and what is reported back.
//!
//! The types are the only source: `cargo run -p windlass-api --bin crds` writes the definitions that the operator's chart
//! installs, and a test fails when those differ. Documentation of fields is the users' documentation, as `kubectl explain`
//! shows it. Nothing here knows how a platform is run.

pub mod condition;
pub mod definitions;
pub mod platform;
pub mod redis;
mod reference;

pub use platform::{Platform, PlatformSpec, PlatformStatus};
pub use redis::{Redis, RedisSpec, RedisStatus};
pub use reference::SecretKey;

/// The API group of all kinds.
pub const GROUP: &str = "windlass.dev";
