//! Whether the other end is still there. Sans-I/O: the time is an argument.

use std::time::{Duration, Instant};

/// How often a connection is pinged and how long it may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// The time between two pings.
    pub interval: Duration,
    /// The longest time between two pings in any profile: what clients are told at connect, for their own watchdog
    /// must not bite when a connection is moved to a slower profile.
    pub announced: Duration,
    /// After this long without a sign of life the connection is closed.
    pub read_deadline: Duration,
}

/// One connection's heartbeat.
#[derive(Debug)]
pub struct Heartbeat {
    rhythm: Rhythm,
    next_ping: Instant,
    heard: Instant,
    /// Pings that were not answered yet.
    open: u32,
}

/// What a moment demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Nothing yet.
    Rest,
    /// Send a ping.
    Ping,
    /// The other end is gone.
    Dead,
}

impl Heartbeat {
    /// Starts now. `jitter`, from 0 to 1, puts the first ping between half an interval and a whole one, so that
    /// connections that came together are not pinged together for ever.
    #[must_use]
    pub fn start(rhythm: Rhythm, now: Instant, jitter: f64) -> Self {
        let first = rhythm.interval.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        Self {
            rhythm,
            next_ping: now + first,
            heard: now,
            open: 0,
        }
    }

    /// Something came from the other end.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// A pong came. Says whether there was a ping that it can be the answer to.
    #[must_use]
    pub fn pong(&mut self) -> bool {
        let expected = self.open > 0;
        self.open = self.open.saturating_sub(1);
        expected
    }

    /// What is to be done now. Asked again after each `Ping`.
    #[must_use]
    pub fn beat(&mut self, now: Instant) -> Beat {
        if now >= self.heard + self.rhythm.read_deadline {
            return Beat::Dead;
        }
        if now < self.next_ping {
            return Beat::Rest;
        }
        // From now on and not from when it was due: a process that was asleep does not send its pings in a burst.
        self.next_ping = now + self.rhythm.interval;
        self.open = self.open.saturating_add(1);
        Beat::Ping
    }

    /// When to ask again.
    #[must_use]
    pub fn next(&self) -> Instant {
        self.next_ping.min(self.heard + self.rhythm.read_deadline)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RHYTHM: Rhythm = Rhythm {
        interval: Duration::from_secs(10),
        announced: Duration::from_secs(30),
        read_deadline: Duration::from_secs(60),
    };

    #[test]
    fn the_first_ping_comes_between_half_an_interval_and_a_whole_one() {
        let now = Instant::now();
        let after = |jitter| Heartbeat::start(RHYTHM, now, jitter).next() - now;
        assert_eq!(after(0.0), Duration::from_secs(5));
        assert_eq!(after(1.0), Duration::from_secs(10));
        assert_eq!(after(f64::INFINITY), Duration::from_secs(10));
    }

    #[test]
    fn a_silent_end_is_pinged_until_the_deadline() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::start(RHYTHM, start, 1.0);
        let mut pings = 0;
        loop {
            let now = heartbeat.next();
            match heartbeat.beat(now) {
                Beat::Ping => pings += 1,
                Beat::Dead => {
                    assert_eq!(now - start, Duration::from_secs(60));
                    break;
                }
                Beat::Rest => panic!("nothing to do when something is due"),
            }
        }
        assert_eq!(pings, 5);
    }

    proptest! {
        /// Virtual time: each moment is the next at which something is due or heard.
        #[test]
        fn who_answers_in_time_stays_and_who_is_silent_goes_at_the_deadline(
            seconds in 1..30_u64,
            jitter in 0.0..1.0_f64,
            delays in proptest::collection::vec(0..59_u64, 1..50),
        ) {
            let rhythm = Rhythm { interval: Duration::from_secs(seconds), ..RHYTHM };
            let mut now = Instant::now();
            let mut heartbeat = Heartbeat::start(rhythm, now, jitter);
            let (mut last_ping, mut heard) = (None, now);
            let mut answers = delays.into_iter().map(Duration::from_secs);
            let mut answer = None;
            loop {
                let due = heartbeat.next();
                if let Some(comes) = answer.filter(|comes| *comes < due) {
                    (now, heard, answer) = (comes, comes, None);
                    heartbeat.heard(now);
                    prop_assert!(heartbeat.pong());
                    continue;
                }
                now = due;
                match heartbeat.beat(now) {
                    Beat::Rest => prop_assert!(false, "nothing to do when something is due"),
                    Beat::Ping => {
                        if let Some(last) = last_ping.replace(now) {
                            prop_assert_eq!(now - last, rhythm.interval);
                        }
                        prop_assert!(now < heard + rhythm.read_deadline);
                        if answer.is_none() {
                            answer = answers.next().map(|delay| now + delay);
                        }
                    }
                    Beat::Dead => {
                        prop_assert_eq!(now, heard + rhythm.read_deadline);
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn a_pong_answers_one_ping() {
        let mut heartbeat = Heartbeat::start(RHYTHM, Instant::now(), 1.0);
        assert!(!heartbeat.pong());
        assert_eq!(heartbeat.beat(heartbeat.next()), Beat::Ping);
        assert!(heartbeat.pong());
        assert!(!heartbeat.pong());
    }
}
