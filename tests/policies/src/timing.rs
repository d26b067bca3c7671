//! How long decisions take. Measured and printed, never asserted.

use anyhow::Result;
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
                times.push(evaluator.decide(&sample.input).elapsed);
            }
        }
    }
    Ok(())
}
