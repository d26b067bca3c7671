//! Many seeds of one world, or one with its trace.

use std::io::Write as _;
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::world::Outcome;

/// Which seeds are tried.
#[derive(Debug, clap::Args)]
pub struct Seeds {
    /// Replay this seed and print what happens
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to try
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    first: u64,
}

impl Seeds {
    /// Tries them all and prints which break a promise, or replays the one with its trace.
    pub fn try_all(&self, run: impl Fn(u64) -> Outcome) -> ExitCode {
        if let Some(seed) = self.seed {
            let outcome = run(seed);
            outcome.trace.iter().for_each(|line| println!("{line}"));
            return match outcome.violation {
                None => ExitCode::SUCCESS,
                Some(_) => ExitCode::FAILURE,
            };
        }
        let began = Instant::now();
        let mut failed = 0_u64;
        for seed in self.first..self.first.saturating_add(self.seeds) {
            if let Some(violation) = run(seed).violation {
                failed += 1;
                println!("seed {seed}: {violation}");
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        println!("{} seeds tried in {seconds:.1} s, {failed} broke a promise", self.seeds);
        if failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// So many seeds that change from day to day.
///
/// # Panics
/// When the clock stands before 1970.
#[must_use]
pub fn seeds_of_today(count: u64) -> Range<u64> {
    let day = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is after 1970")
        .as_secs()
        / 86_400;
    day * 1_000_000..day * 1_000_000 + count
}

/// Says what was tried, where a test's harness captures nothing.
///
/// # Panics
/// When there is no standard error.
pub fn report(text: &str) {
    let line = format!("simulator: {text}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("there is a standard error");
}
