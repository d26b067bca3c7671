//! One accept loop, guarded: what a serving process of this project has before its own routes begin.
//!
//! The way of a request: [`server`] accepts it on a counted [`socket`], secured by [`tls`] where that is configured, the
//! request span and [`metrics`] begin, [`guard`] looks at Host and Origin, [`auth`] at the token, then the service's own
//! router answers, in errors as a [`problem`].
//! [`program`] puts these together for a binary; [`shutdown`] and [`tracker`] are the way down, [`drain`] goes most of it and
//! comes back.
//!
//! It must not know uploads, tasks' states, channels or any protocol above HTTP.

pub mod admin;
pub mod auth;
pub mod config;
pub mod drain;
pub mod guard;
pub mod interim;
pub mod listener;
pub mod metrics;
mod observe;
pub mod problem;
pub mod program;
pub mod server;
pub mod shutdown;
pub mod socket;
pub mod telemetry;
pub mod tls;
pub mod trace;
pub mod tracker;
pub mod upgrade;

pub use auth::{Authenticator, Caller};
pub use drain::Drain;
pub use guard::Guard;
pub use interim::Informational;
pub use problem::Problem;
pub use program::{Flags, Program};
pub use server::{Connection, Options, serve};
pub use shutdown::Shutdown;
pub use socket::Socket;
pub use tracker::Tracker;
