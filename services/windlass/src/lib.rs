//! The library half of the `windlass` command: the services in one process, and the command-line clients.
//!
//! [`dev`] composes the services; [`put`] and [`watch`] speak to any server over HTTP and share nothing with `dev`. When to
//! try again is decided in [`retry`] alone, which knows neither time nor network.

pub mod cli;
pub mod dev;
mod duration;
mod page;
pub mod put;
mod random;
pub mod retry;
pub mod target;
mod task_name;
mod text;
pub mod to_tusd;
pub mod verify;
pub mod watch;
