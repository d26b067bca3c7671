//! When a client tries again: outcome in, decision out. No clock, no randomness and no I/O of its own.
//!
//! A failure that may pass is tried again after 1, 2, 4 s and so on; what counts against the limit are failures in a
//! row without an advance of the server's acknowledged offset. Anything else stops at once (DESIGN section 5).

use std::time::Duration;

/// The wait after the first failure in a row.
const FIRST: Duration = Duration::from_secs(1);

/// Waits double up to this: often enough to notice that a server is back, too seldom to be a burden to it.
const LONGEST: Duration = Duration::from_secs(30);

/// The part of a wait that is added at most at random, so that clients cut off together do not come back together.
const SPREAD: f64 = 0.2;

/// The longest `Retry-After` that is obeyed; a longer one is cut to this.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);

/// When to give up. Absent limits do not limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tries in a row after a failure, without an advance.
    pub retries: Option<u32>,
    /// Time without an advance.
    pub give_up_after: Option<Duration>,
}

/// What happened instead of success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No answer: refused, reset, stalled, not found by name.
    Network,
    /// An answer of this status, and how long it asked to wait.
    Status(u16, Option<Duration>),
    /// Something that trying again cannot change.
    Lasting,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Ask for the offset again, then go on, after this wait.
    Again(Duration),
    /// It might pass, but a limit is reached.
    GiveUp,
    /// It does not pass by waiting.
    Stop,
}

/// The memory of one upload, or of one stream that is followed.
#[derive(Debug, Clone)]
pub struct Policy {
    limits: Limits,
    failures: u32,
    acknowledged: Option<u64>,
    /// Since when nothing advances.
    since: Duration,
}

impl Policy {
    /// Nothing has happened yet at `now`, which like every time here is since any fixed moment.
    #[must_use]
    pub fn new(limits: Limits, now: Duration) -> Self {
        Self {
            limits,
            failures: 0,
            acknowledged: None,
            since: now,
        }
    }

    /// The server has acknowledged this offset. Only more than ever before is an advance.
    pub fn acknowledged(&mut self, offset: u64, now: Duration) {
        if self.acknowledged.is_none_or(|before| offset > before) {
            self.acknowledged = Some(offset);
            self.failures = 0;
            self.since = now;
        }
    }

    /// How many failures there were in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Decides after a failure. `random` is from 0 to 1.
    pub fn failed(&mut self, failure: Failure, now: Duration, random: f64) -> Decision {
        let asked = match failure {
            Failure::Network => None,
            Failure::Status(status, asked) if may_pass(status) => asked,
            Failure::Status(..) | Failure::Lasting => return Decision::Stop,
        };
        self.failures += 1;
        if self.limits.retries.is_some_and(|retries| self.failures > retries) {
            return Decision::GiveUp;
        }
        let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
        let wait = backoff(self.failures)
            .mul_f64(1.0 + SPREAD * random.clamp(0.0, 1.0))
            .max(asked);
        let Some(limit) = self.limits.give_up_after else {
            return Decision::Again(wait);
        };
        let left = limit.saturating_sub(now.saturating_sub(self.since));
        if left.is_zero() || asked > left {
            return Decision::GiveUp;
        }
        // The last try is at the limit, not before it.
        Decision::Again(wait.min(left))
    }
}

fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

/// Whether another try may find another answer: too slow (408), another writer (409), locked (423), too many (429),
/// bytes damaged on the way (460, tus checksum), and the server's own troubles.
fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 409 | 423 | 429 | 460 | 500..=599)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THREE: Limits = Limits {
        retries: Some(3),
        give_up_after: None,
    };
    const BUSY: Failure = Failure::Status(503, None);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn three_tries_after_one_two_and_four_seconds() {
        let mut policy = Policy::new(THREE, seconds(0));
        let decisions: Vec<_> = (0..4)
            .map(|n| policy.failed(Failure::Network, seconds(n), 0.0))
            .collect();
        let again = |n| Decision::Again(seconds(n));
        assert_eq!(decisions, [again(1), again(2), again(4), Decision::GiveUp]);
    }

    #[test]
    fn an_advance_begins_the_count_anew_and_the_same_offset_does_not() {
        let mut policy = Policy::new(THREE, seconds(0));
        policy.acknowledged(0, seconds(0));
        policy.failed(BUSY, seconds(1), 0.0);
        policy.failed(BUSY, seconds(2), 0.0);
        policy.acknowledged(0, seconds(3));
        assert_eq!(policy.failures(), 2);
        policy.acknowledged(1, seconds(4));
        assert_eq!(policy.failed(BUSY, seconds(5), 0.0), Decision::Again(seconds(1)));
        policy.acknowledged(0, seconds(6));
        assert_eq!(policy.failures(), 1, "a smaller offset is no advance");
    }

    #[test]
    fn what_cannot_pass_stops_at_once() {
        let mut policy = Policy::new(THREE, seconds(0));
        for status in [
            301, 304, 400, 401, 403, 404, 405, 410, 412, 413, 415, 416, 418, 422, 431, 451, 499,
        ] {
            assert_eq!(
                policy.failed(Failure::Status(status, None), seconds(0), 0.0),
                Decision::Stop,
                "{status}"
            );
        }
        assert_eq!(policy.failed(Failure::Lasting, seconds(0), 0.0), Decision::Stop);
        for status in [408, 409, 423, 429, 460, 500, 502, 503, 504, 507, 599] {
            let mut policy = Policy::new(THREE, seconds(0));
            let decision = policy.failed(Failure::Status(status, None), seconds(0), 0.0);
            assert_eq!(decision, Decision::Again(seconds(1)), "{status}");
        }
    }

    #[test]
    fn a_server_that_asks_for_more_time_gets_it_within_the_limit() {
        let asks = |asked| Failure::Status(429, Some(seconds(asked)));
        let mut policy = Policy::new(THREE, seconds(0));
        assert_eq!(policy.failed(asks(20), seconds(0), 1.0), Decision::Again(seconds(20)));
        assert_eq!(
            policy.failed(asks(0), seconds(0), 0.0),
            Decision::Again(seconds(2)),
            "never sooner than ours"
        );
        assert_eq!(
            policy.failed(asks(1_000_000), seconds(0), 0.0),
            Decision::Again(LONGEST_ASKED)
        );
        let limited = Limits {
            retries: None,
            give_up_after: Some(seconds(60)),
        };
        let mut policy = Policy::new(limited, seconds(0));
        assert_eq!(policy.failed(asks(59), seconds(0), 0.0), Decision::Again(seconds(59)));
        assert_eq!(
            policy.failed(asks(2), seconds(59), 0.0),
            Decision::GiveUp,
            "it could only come too late"
        );
    }

    #[derive(Debug, Clone)]
    enum Step {
        Acknowledge(u64),
        Fail(Failure),
    }

    fn step() -> impl Strategy<Value = Step> {
        let asked = proptest::option::of((0..10_000_u64).prop_map(Duration::from_secs));
        let failure = prop_oneof![
            Just(Failure::Network),
            Just(Failure::Lasting),
            (100..600_u16, asked).prop_map(|(status, asked)| Failure::Status(status, asked)),
        ];
        prop_oneof![(0..50_u64).prop_map(Step::Acknowledge), failure.prop_map(Step::Fail)]
    }

    proptest! {
        #[test]
        fn no_run_without_an_advance_outlasts_the_limits(
            steps in proptest::collection::vec((step(), 0..20_u64, 0.0..1.0_f64), 0..60),
            retries in proptest::option::of(0..6_u32),
            limit in proptest::option::of((1..200_u64).prop_map(Duration::from_secs)),
        ) {
            let mut now = Duration::ZERO;
            let mut policy = Policy::new(Limits { retries, give_up_after: limit }, now);
            let (mut best, mut in_a_row, mut advanced) = (None, 0, now);
            for (step, passed, random) in steps {
                match step {
                    Step::Acknowledge(offset) => {
                        policy.acknowledged(offset, now);
                        if best.is_none_or(|best| offset > best) {
                            (best, in_a_row, advanced) = (Some(offset), 0, now);
                        }
                    }
                    Step::Fail(failure) => match policy.failed(failure, now, random) {
                        Decision::Again(wait) => {
                            in_a_row += 1;
                            prop_assert!(retries.is_none_or(|retries| in_a_row <= retries));
                            prop_assert!(wait <= LONGEST_ASKED);
                            now += wait;
                            prop_assert!(limit.is_none_or(|limit| now - advanced <= limit));
                            if limit.is_none() {
                                prop_assert!(wait >= FIRST, "{wait:?}");
                            }
                            if let Failure::Status(_, Some(asked)) = failure {
                                prop_assert!(wait >= asked.min(LONGEST_ASKED));
                            }
                        }
                        Decision::GiveUp => {
                            prop_assert!(retries.is_some() || limit.is_some());
                            return Ok(());
                        }
                        Decision::Stop => {
                            prop_assert_ne!(failure, Failure::Network);
                            return Ok(());
                        }
                    },
                }
                // Working time passes too, but never while the policy has no say over it.
                if limit.is_none() {
                    now += Duration::from_secs(passed);
                }
            }
        }

        #[test]
        fn a_wait_spreads_by_a_fifth_at_most(failures in 1..40_u32, random in 0.0..=1.0_f64) {
            let mut policy = Policy::new(Limits { retries: None, give_up_after: None }, Duration::ZERO);
            let mut last = Decision::Stop;
            for _ in 0..failures {
                last = policy.failed(Failure::Network, Duration::ZERO, random);
            }
            let base = backoff(failures);
            let Decision::Again(wait) = last else { panic!("{last:?}") };
            prop_assert!(wait >= base && wait <= base.mul_f64(1.0 + SPREAD + 1e-9));
        }
    }
}
