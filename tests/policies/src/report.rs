//! What was proven, counted and printed.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_policy::Domain;

use crate::tree::Tree;

#[derive(Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    pub(crate) killed: BTreeMap<String, usize>,
    pub(crate) survived: BTreeMap<String, usize>,
    pub(crate) parity: BTreeMap<String, usize>,
    pub(crate) times: BTreeMap<Domain, Vec<Duration>>,
}

impl Report {
    /// Counts one check; a failed one says what is wrong.
    pub(crate) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("FAILED: {}", what());
        }
    }

    pub(crate) fn print(mut self, tree: &Tree) {
        println!(
            "\n{:<12} {:>8} {:>6} {:>8} {:>7} {:>7} {:>9} {:>7} {:>10} {:>10}",
            "domain", "policies", "rules", "samples", "denied", "killed", "survived", "parity", "cpu p50", "cpu p99"
        );
        let rules = tree.rules();
        for domain in tree.bundle.domains() {
            let name = domain.as_str();
            let of_domain = |sample: &&crate::tree::Sample| sample.policy.domain == *domain;
            let times = self.times.entry(domain.clone()).or_default();
            times.sort();
            println!(
                "{name:<12} {:>8} {:>6} {:>8} {:>7} {:>7} {:>9} {:>7} {:>7} µs {:>7} µs",
                tree.bundle.policies(domain).len(),
                rules
                    .iter()
                    .filter(|(policy, _)| policy.domain == *domain)
                    .map(|(_, rules)| rules.len())
                    .sum::<usize>(),
                tree.samples.iter().filter(of_domain).count(),
                tree.samples
                    .iter()
                    .filter(of_domain)
                    .filter(|sample| sample.rule.is_some())
                    .count(),
                self.killed.get(name).unwrap_or(&0),
                self.survived.get(name).unwrap_or(&0),
                self.parity.get(name).unwrap_or(&0),
                percentile(times, 50),
                percentile(times, 99),
            );
        }
        for shared in ["lib", "log"] {
            let (killed, survived) = (
                self.killed.get(shared).unwrap_or(&0),
                self.survived.get(shared).unwrap_or(&0),
            );
            println!(
                "{shared:<12} {:>8} {:>6} {:>8} {:>7} {killed:>7} {survived:>9}",
                "", "", "", ""
            );
        }
        println!("\n{} passed, {} failed", self.passed, self.failed);
        std::process::exit(i32::from(self.failed > 0));
    }
}

/// Microseconds at a percentile of sorted times.
fn percentile(times: &[Duration], percent: usize) -> u128 {
    let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(index).map_or(0, Duration::as_micros)
}
