//! How long decisions take. Measured and printed, never asserted.
//!
//! Processor time of the thread, not the clock on the wall: on a machine with other work the clock tells of that work.

use std::time::Duration;

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use windlass_policy::Evaluator;

use crate::report::Report;
use crate::tree::Tree;

/// Decisions a sample: enough that p99 is not the first, cold one, and few enough to take seconds.
const ROUNDS: usize = 50;

pub(crate) fn measure(tree: &Tree, report: &mut Report) -> Result<()> {
    for domain in tree.bundle.domains() {
        let evaluator = Evaluator::new(&tree.bundle, domain)?;
        let times = report.times.entry(domain.clone()).or_default();
        for _ in 0..ROUNDS {
            for sample in tree.samples.iter().filter(|sample| sample.policy.domain == *domain) {
                let began = thread_time();
                let _ = evaluator.decide(&sample.input);
                times.push(thread_time().saturating_sub(began));
            }
        }
    }
    Ok(())
}

fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}
