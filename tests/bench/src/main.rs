//! Prints the tables of docs/performance.md.

use std::process::ExitCode;

use bench::Arguments;
use clap::Parser as _;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
