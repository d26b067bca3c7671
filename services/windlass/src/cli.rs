//! The commands and their flags.

use clap::{Parser, Subcommand};

use crate::dev;

/// Resumable uploads with live progress.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve uploads, live progress and a page, all in this process
    ///
    /// No other program is needed. On a loopback address nobody logs in; on any other it starts only with auth
    /// configured. Prints `ready on http://ADDR` when it serves; logs go to stderr. SIGTERM finishes what runs and
    /// exits 0.
    Dev(dev::Arguments),
}
