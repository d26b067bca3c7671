//! `cargo run --release -p simulator -- uploads --seeds 1000`, `… election --seeds 1000`, and `--seed N` to replay one with
//! its trace.

use std::process::ExitCode;

use clap::Parser as _;
use simulator::{Mutation, Seeds, election, run};

/// Runs what Windlass decides in worlds that fail
#[derive(clap::Parser)]
enum World {
    /// The upload service over a Redis, a bucket and clients
    Uploads {
        #[command(flatten)]
        seeds: Seeds,
        /// Build this bug into the models
        #[arg(long, value_enum)]
        mutation: Option<Mutation>,
    },
    /// The election of a Redis's primary by operators and agents
    Election {
        #[command(flatten)]
        seeds: Seeds,
        /// How many members there are
        #[arg(long, default_value_t = 3)]
        members: usize,
        /// How many of them must have a write (`strict`); 0 is `available`
        #[arg(long, default_value_t = 2)]
        copies: usize,
        /// Build this bug into the models
        #[arg(long, value_enum)]
        mutation: Option<election::Mutation>,
    },
}

fn main() -> ExitCode {
    match World::parse() {
        World::Uploads { seeds, mutation } => seeds.try_all(|seed| run(seed, mutation)),
        World::Election {
            seeds,
            members,
            copies,
            mutation,
        } => {
            let setting = election::Setting {
                members,
                copies: (copies > 0).then_some(copies),
                mutation,
            };
            seeds.try_all(|seed| election::run(seed, setting).0)
        }
    }
}
