//! `cargo run --release -p simulator -- --seeds 1000`, and `-- --seed N` to replay one with its trace.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;
use simulator::{Mutation, run};

/// Runs the upload service in a world that fails
#[derive(clap::Parser)]
struct Arguments {
    /// Replay this seed and print what happens
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to try
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Build this bug into the models
    #[arg(long, value_enum)]
    mutation: Option<Mutation>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        let outcome = run(seed, arguments.mutation);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        return match outcome.violation {
            None => ExitCode::SUCCESS,
            Some(_) => ExitCode::FAILURE,
        };
    }
    let began = Instant::now();
    let mut failed = 0_u64;
    for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
        if let Some(violation) = run(seed, arguments.mutation).violation {
            failed += 1;
            println!("seed {seed}: {violation}");
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} seeds tried in {seconds:.1} s, {failed} broke a promise",
        arguments.seeds
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
