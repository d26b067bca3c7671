//! Randomness that can be had again: one seed, printed, and settable by `WINDLASS_SEED`.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and good enough to choose moments.
#[derive(Debug, Clone)]
pub struct Random(u64);

/// The variable that sets the seed of a run.
pub const SEED_VARIABLE: &str = "WINDLASS_SEED";

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own each run, or that of `WINDLASS_SEED`; prints how to have that of `what` again.
    ///
    /// # Panics
    /// When the variable is no number.
    #[must_use]
    pub fn of_this_run(what: &str) -> Self {
        let seed = match std::env::var(SEED_VARIABLE) {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("{SEED_VARIABLE} is not a number: {text:?}")),
            Err(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |now| u64::from(now.subsec_nanos()) ^ now.as_secs() << 30),
        };
        crate::report::line(&format!("{what}: {SEED_VARIABLE}={seed}"));
        Self::seeded(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number of `range`, which is not empty.
    pub fn between(&mut self, range: Range<u64>) -> u64 {
        range.start + self.number() % (range.end - range.start)
    }

    /// A time of `range`, to the microsecond.
    pub fn time(&mut self, range: Range<Duration>) -> Duration {
        let micros = |time: Duration| u64::try_from(time.as_micros()).expect("a test's time is short");
        Duration::from_micros(self.between(micros(range.start)..micros(range.end)))
    }

    /// True once in `many` times.
    pub fn once_in(&mut self, many: u64) -> bool {
        self.number().is_multiple_of(many)
    }
}

/// SplitMix64's finaliser: a number that looks like nothing of `value`.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_sequence_again() {
        let (mut a, mut b) = (Random::seeded(7), Random::seeded(7));
        for _ in 0..100 {
            assert_eq!(a.number(), b.number());
            assert!((3..9).contains(&a.between(3..9)));
            b.number();
        }
    }
}
