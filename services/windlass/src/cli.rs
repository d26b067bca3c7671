//! The commands and their flags.

use clap::{Parser, Subcommand};

use crate::{dev, put, to_tusd, verify, watch};

const EXAMPLES: &str = "\
Examples:
  windlass dev                          serve on http://127.0.0.1:8080
  windlass put video.mp4                upload to it; run it again after an interruption
  windlass put *.iso --to https://up.example.com --give-up-after 1h
  windlass verify                       check all uploads of ./windlass-data
  windlass watch TASK                   follow an upload by the id that put prints";

/// Resumable uploads with live progress.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
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

    /// Upload files, going on where an earlier run was cut off
    ///
    /// Prints "TASK<tab>FILE" on stdout for each file that is whole on the server. What an earlier run of this command
    /// has uploaded of the same, unchanged file is not sent again.
    ///
    /// Exit code: 0 all files are uploaded, 1 some are not, 2 the command was wrong.
    Put(put::Arguments),

    /// Follow an upload until it is completed or failed
    ///
    /// Exit code: 0 completed; 1 failed, gone, or the server could not be reached; 2 the command was wrong.
    Watch(watch::Arguments),

    /// Compare the records of uploads with what is stored of them, and repair what is wrong
    ///
    /// Reads only, also beside services that run: records in the data folder or in Redis, bytes on the disk or in a bucket, as
    /// the configuration says. Each finding is a line on stdout: the upload, what it costs (`lost` bytes, `unusable`, at `risk`
    /// if the records are lost too, `garbage`, `cosmetic`), what is wrong, and what a plan would do about it. What is garbage
    /// and says so is removed by the service itself; this is its dry run.
    ///
    /// `--plan FILE` writes the repairs down; `--apply FILE` does those whose finding still holds, and a second time none. On a
    /// data folder of its own the service must be stopped for that.
    ///
    /// Exit code: 0 nothing is wrong, or all steps are done or needless; 1 something was found, or a step failed; 2 nobody could
    /// look.
    Verify(verify::Arguments),

    /// Bring uploads that were taken over from tusd back to where they stand, in tusd's own files
    ///
    /// Exit code: 0 all are; 1 some are left as they were, and stderr says why; 2 the command was wrong.
    ToTusd(to_tusd::Arguments),
}
