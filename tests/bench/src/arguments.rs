//! What is asked for on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{floor, neighbours, push, s3, table, work};

/// Measures a service's CPU time and memory beside a floor: for uploads a bare loop that reads sockets and writes files,
/// for push (`bench push`) one that writes ready frames to sockets
#[derive(Debug, Parser)]
pub struct Arguments {
    /// The server: `windlass-upload` or `windlass-push`, or `windlass`, which is started as `windlass dev`
    #[arg(long, global = true, value_name = "FILE", env = "WINDLASS_BENCH_SERVER")]
    server: Option<PathBuf>,

    /// Folder for the uploads, on the disk that is to be measured; the system's temporary folder when absent
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Rounds of each row; the table shows their median
    #[arg(long, global = true, value_name = "N", default_value_t = 5)]
    rounds: usize,

    /// Size of the large upload, MiB
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    large_mib: u64,

    /// Run only rows whose name contains this
    #[arg(long, global = true, value_name = "TEXT", default_value = "")]
    only: String,

    /// Sizes that prove nothing but that the program runs
    #[arg(long, global = true)]
    smoke: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the push service instead of uploads
    Push {
        /// Processes that share their channels through a Redis, which is started for them
        #[arg(long)]
        redis: bool,
    },
    /// Measure how a tenant that floods the upload service slows another one
    Neighbours,
    /// Measure uploads into an S3 server beside a bare client of the same library, which is started for it
    S3 {
        /// Instead of the table: so many uploads at once, with the memory that they take
        #[arg(long, value_name = "N")]
        uploads: Option<u64>,
        /// The size of each of these, MiB
        #[arg(long, value_name = "N", default_value_t = 100)]
        size_mib: u64,
        /// The byte budget of the server, MiB; its own when absent
        #[arg(long, value_name = "N")]
        budget_mib: Option<u64>,
    },
    /// Be the bare client: take bytes on a free port until killed, and upload them
    #[command(hide = true)]
    S3Floor { endpoint: String },
    /// Be the bare client: upload so many objects into a bucket, then say what it took
    #[command(hide = true)]
    S3Bare {
        endpoint: String,
        uploads: u64,
        at_once: u64,
        size: u64,
    },
    /// Be the floor of the push service: serve on a free port until killed
    #[command(hide = true)]
    PushFloor,
    /// Be the floor: serve on a free port until killed, files into DIR
    #[command(hide = true)]
    Floor { dir: PathBuf },
}

impl Arguments {
    /// Does it.
    ///
    /// # Errors
    /// When it could not be measured to its end.
    pub fn run(self) -> anyhow::Result<()> {
        let (rounds, works) = if self.smoke {
            (1, work::smoke())
        } else {
            (self.rounds, work::all(self.large_mib))
        };
        let settings = table::Settings {
            server: self.server,
            dir: self.dir,
            rounds,
            only: self.only,
            works,
        };
        match &self.command {
            Some(Command::Floor { dir }) => floor::serve(dir),
            Some(Command::PushFloor) => push::floor::serve(),
            Some(Command::Push { redis }) => {
                let works = if *redis {
                    push::work::shared()
                } else {
                    push::work::all()
                };
                let sized = works.into_iter().map(|(work, through)| {
                    let work = if self.smoke { work.smoke() } else { work };
                    (work, through)
                });
                push::table::run(&settings, &sized.collect::<Vec<_>>())
            }
            Some(Command::Neighbours) => neighbours::run(&settings),
            Some(Command::S3 {
                uploads: Some(uploads),
                size_mib,
                budget_mib,
            }) => s3::crowd::run(&settings, *uploads, size_mib * work::MIB, *budget_mib),
            Some(Command::S3 { .. }) => s3::run(&settings, self.smoke),
            Some(Command::S3Floor { endpoint }) => s3::bare::serve(endpoint),
            Some(Command::S3Bare {
                endpoint,
                uploads,
                at_once,
                size,
            }) => s3::bare::run(endpoint, *uploads, *at_once, *size),
            None => table::run(&settings),
        }
    }
}
