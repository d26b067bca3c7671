//! The library half of the `windlass` command: the services in one process, and the command-line clients.

pub mod cli;
pub mod dev;
mod page;
mod text;
