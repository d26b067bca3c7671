//! Whether the other end is still there. Sans-I/O: the time is an argument.

use std::time::{Duration, Instant};

mod pace;

use pace::Pace;
pub use pace::Profile;

/// How often a connection is pinged and how long it may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// The time between two pings; where it adapts, until something is known of the link.
    pub interval: Duration,
    /// Whether the time follows the link, where the client need not be told.
    pub adapts: bool,
    /// The longest time between two pings in any profile: what clients are told at connect, for their own watchdog
    /// must not bite when a connection is moved to a slower profile.
    pub announced: Duration,
    /// After this long without a sign of life the connection is closed.
    pub read_deadline: Duration,
}

impl Rhythm {
    /// How long a stream that goes one way may be silent. Nothing that comes back tells how its link is, but a client
    /// that came back by itself does: something has cut its stream, perhaps for being silent.
    #[must_use]
    pub fn silence(&self, came_back: bool) -> Duration {
        if self.adapts && came_back {
            Profile::Fast.interval()
        } else {
            self.interval
        }
    }
}

/// One connection's heartbeat.
#[derive(Debug)]
pub struct Heartbeat {
    rhythm: Rhythm,
    next_ping: Instant,
    heard: Instant,
    /// Pings that were not answered yet.
    open: u32,
    /// How the time between pings follows the link, if it does.
    pace: Option<Box<Pace>>,
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
            pace: None,
        }
    }

    /// The same, for a client that need not be told how often it is pinged: the time between pings follows the link
    /// where the rhythm does.
    #[must_use]
    pub fn adaptive(rhythm: Rhythm, now: Instant, jitter: f64) -> Self {
        Self {
            pace: rhythm.adapts.then(Box::default),
            ..Self::start(rhythm, now, jitter)
        }
    }

    /// Something came from the other end.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// A pong came. Says whether there was a ping that it can be the answer to.
    #[must_use]
    pub fn pong(&mut self, now: Instant) -> bool {
        let expected = self.open > 0;
        match &mut self.pace {
            None => self.open = self.open.saturating_sub(1),
            Some(pace) => {
                if self.open == 1 {
                    pace.answered(now);
                }
                // Of several pings the last alone may be answered (RFC 6455 section 5.5.3).
                self.open = 0;
            }
        }
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
        self.next_ping = now
            + match &mut self.pace {
                None => self.rhythm.interval,
                Some(pace) => pace.ping(now, self.open > 0),
            };
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
        adapts: false,
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
                    prop_assert!(heartbeat.pong(now));
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
        let now = Instant::now();
        let mut heartbeat = Heartbeat::start(RHYTHM, now, 1.0);
        assert!(!heartbeat.pong(now));
        assert_eq!(heartbeat.beat(heartbeat.next()), Beat::Ping);
        assert!(heartbeat.pong(now));
        assert!(!heartbeat.pong(now));
    }

    /// The times between the pings of a client that answers each of them after its turn of `answers`, milliseconds, in
    /// seconds.
    fn intervals(answers: &[Option<u64>]) -> Vec<u64> {
        let rhythm = Rhythm { adapts: true, ..RHYTHM };
        let mut heartbeat = Heartbeat::adaptive(rhythm, Instant::now(), 1.0);
        let mut intervals = Vec::new();
        for answer in answers {
            let now = heartbeat.next();
            assert_eq!(heartbeat.beat(now), Beat::Ping);
            intervals.push((heartbeat.next() - now).as_secs());
            if let Some(milliseconds) = answer {
                let comes = now + Duration::from_millis(*milliseconds);
                heartbeat.heard(comes);
                assert!(heartbeat.pong(comes));
            }
        }
        intervals
    }

    #[test]
    fn a_good_link_is_pinged_more_often_and_a_bad_one_less() {
        let (good, fair, bad) = (Some(20), Some(500), Some(3_000));
        assert_eq!(intervals(&[good; 7]), [15, 15, 15, 5, 5, 5, 5]);
        assert_eq!(intervals(&[fair; 5]), [15; 5]);
        assert_eq!(intervals(&[bad; 4]), [15, 30, 30, 30]);
    }

    #[test]
    fn one_missing_answer_slows_the_pings_down_and_it_takes_some_to_make_them_fast_again() {
        let good = Some(20);
        let missed = [
            good, good, good, good, None, good, good, good, good, good, good, good, good,
        ];
        assert_eq!(intervals(&missed), [15, 15, 15, 5, 5, 30, 30, 30, 30, 15, 15, 15, 5]);
        let jumpy: Vec<_> = [Some(5), Some(1_500)].into_iter().cycle().take(12).collect();
        assert!(
            intervals(&jumpy).iter().all(|seconds| *seconds >= 15),
            "what varies is not good"
        );
    }

    #[test]
    fn a_stream_that_was_cut_is_kept_from_being_silent() {
        let rhythm = Rhythm { adapts: true, ..RHYTHM };
        let seconds = |rhythm: Rhythm, came_back| rhythm.silence(came_back).as_secs();
        assert_eq!((seconds(rhythm, false), seconds(rhythm, true)), (10, 5));
        assert_eq!((seconds(RHYTHM, false), seconds(RHYTHM, true)), (10, 10));
    }
}
