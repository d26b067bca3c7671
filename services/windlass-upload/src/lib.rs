//! The upload service: takes bytes over resumable protocols and loses none that it has acknowledged.
//!
//! Main path: [`router`] → `http` (thin handlers) → `tus` or `form` (what the request means, no I/O) → `creation`, or
//! `holder` (who may write now) → `append` (body to storage in checkpoints, each a commit) → `finish` (the verdict).
//! [`storage`] keeps bytes, `windlass_task`'s store keeps everything else.
//!
//! It must not know of WebSocket or channels: watchers learn from the commits.

pub mod announce;
mod append;
mod concat;
pub mod config;
pub mod content;
mod creation;
pub mod digest;
mod download;
pub mod embedded;
pub mod error;
mod finish;
mod form;
pub mod garbage;
mod holder;
pub mod hooks;
mod http;
pub mod ietf;
mod listen;
mod location;
mod metrics;
pub mod range;
mod rebuild;
mod reconcile;
mod service;
pub mod storage;
pub mod tenants;
pub mod tus;
pub mod tusd;
mod upkeep;
mod verdict;
pub mod verify;
mod waits;

pub use config::Config;
pub use error::Error;
pub use http::router;
pub use service::{Parts, Upload};
