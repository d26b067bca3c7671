//! Prints the table of docs/performance.md.

use std::path::PathBuf;
use std::process::ExitCode;

use bench::{floor, table, work};
use clap::{Parser, Subcommand};

/// Measures the upload service's CPU time and memory beside a floor: a bare loop that reads sockets and writes files
#[derive(Parser)]
struct Arguments {
    /// The server: `windlass-upload`, or `windlass`, which is started as `windlass dev`
    #[arg(long, value_name = "FILE", env = "WINDLASS_BENCH_SERVER")]
    server: Option<PathBuf>,

    /// Folder for the uploads, on the disk that is to be measured; the system's temporary folder when absent
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Rounds of each row; the table shows their median
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,

    /// Size of the large upload, MiB
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    large_mib: u64,

    /// Run only rows whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// Sizes that prove nothing but that the program runs
    #[arg(long)]
    smoke: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Be the floor: serve on a free port until killed, files into DIR
    #[command(hide = true)]
    Floor { dir: PathBuf },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Some(Command::Floor { dir }) => floor::serve(dir),
        None => table::run(&table::Settings {
            server: arguments.server,
            dir: arguments.dir,
            rounds: if arguments.smoke { 1 } else { arguments.rounds },
            only: arguments.only,
            works: if arguments.smoke {
                work::smoke()
            } else {
                work::all(arguments.large_mib)
            },
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
