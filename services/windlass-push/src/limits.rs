//! Bounds on how many and how fast.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use windlass_serve::config::Time;

/// So many in so long, in one burst or spread. `100` in `1s` when written as `{ count: 100 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Written")]
pub struct Rate {
    count: u32,
    interval: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    count: u32,
    interval: Option<Time>,
}

impl Rate {
    /// `None` for none at all, or for so many that there is no time between two.
    #[must_use]
    pub fn new(count: u32, interval: Duration) -> Option<Self> {
        (count > 0 && !(interval / count).is_zero()).then_some(Self { count, interval })
    }

    /// What one takes of the interval.
    fn share(self) -> Duration {
        self.interval / self.count
    }
}

impl TryFrom<Written> for Rate {
    type Error = &'static str;

    fn try_from(Written { count, interval }: Written) -> Result<Self, &'static str> {
        let interval = interval.map_or(Duration::from_secs(1), |time| time.0);
        Self::new(count, interval).ok_or("count and interval must not be zero, and interval not shorter than count ns")
    }
}

/// How much of a rate is used up: the generic cell rate algorithm (ITU-T I.371), a token bucket that is one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meter {
    /// When nothing is used up any more.
    empty_at: Option<Instant>,
}

impl Meter {
    /// Takes one, if the rate lets it.
    #[must_use]
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let used_until = self.empty_at.filter(|empty_at| *empty_at > now).unwrap_or(now);
        let next = used_until + rate.share();
        let fits = next <= now + rate.interval;
        if fits {
            self.empty_at = Some(next);
        }
        fits
    }
}

/// The bounds of a service; without one there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Connections of this process at a time.
    pub connections: Option<usize>,
    /// Connections of one user at this process at a time.
    pub connections_per_user: Option<usize>,
    /// New connections of this process.
    pub handshakes: Option<Rate>,
    /// Commands of one connection of the Centrifuge protocol.
    pub commands: Option<Rate>,
    /// Commands of one connection that are refused for what the client does.
    pub errors: Option<Rate>,
}

/// Counts who comes in.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<Passed>);

#[derive(Debug, Default)]
struct Passed {
    inside: usize,
    meter: Meter,
}

/// One that came in; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Gate>);

/// Why nobody else comes in now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// As many are inside as may be.
    Full,
    /// Too many came too quickly.
    Rush,
}

impl Gate {
    /// Lets one in.
    ///
    /// # Errors
    /// [`Closed`].
    pub(crate) fn enter(self: &Arc<Self>, limits: &Limits, now: Instant) -> Result<Ticket, Closed> {
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.connections.is_some_and(|most| passed.inside >= most) {
            return Err(Closed::Full);
        }
        if limits.handshakes.is_some_and(|rate| !passed.meter.take(rate, now)) {
            return Err(Closed::Rush);
        }
        passed.inside += 1;
        Ok(Ticket(Arc::clone(self)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).inside -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_of_as_many_as_the_rate_says_passes_and_then_one_at_a_time() {
        let rate = Rate::new(4, SECOND).unwrap();
        let mut meter = Meter::default();
        let start = Instant::now();
        assert!((0..4).all(|_| meter.take(rate, start)));
        assert!(!meter.take(rate, start));
        let quarter = start + SECOND / 4;
        assert!(meter.take(rate, quarter) && !meter.take(rate, quarter));
        let later = start + 10 * SECOND;
        assert!((0..4).all(|_| meter.take(rate, later)) && !meter.take(rate, later));
    }

    proptest! {
        /// In any interval twice as many pass at the most: a burst, and what comes back meanwhile.
        #[test]
        fn never_more_pass_than_the_rate_says(
            count in 1..20_u32,
            pauses in proptest::collection::vec(0..300_u64, 1..200),
        ) {
            let rate = Rate::new(count, SECOND).unwrap();
            let mut meter = Meter::default();
            let mut now = Instant::now();
            let mut passed = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                if meter.take(rate, now) {
                    passed.push(now);
                }
                let recent = passed.iter().filter(|moment| now - **moment < SECOND).count();
                prop_assert!(recent <= 2 * count as usize);
            }
        }
    }

    #[test]
    fn a_rate_is_written_with_or_without_its_interval() {
        let read = |text: &str| serde_json::from_str::<Rate>(text).ok();
        assert_eq!(read(r#"{"count":7}"#), Rate::new(7, SECOND));
        assert_eq!(read(r#"{"count":7,"interval":"5s"}"#), Rate::new(7, 5 * SECOND));
        for bad in [r#"{"count":0}"#, r#"{"count":7,"interval":"0s"}"#, r#"{"rate":7}"#, "7"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_gate_lets_in_as_many_as_there_is_room_for_and_the_next_when_one_goes() {
        let limits = Limits {
            connections: Some(2),
            ..Limits::default()
        };
        let (gate, now) = (Arc::new(Gate::default()), Instant::now());
        let first = gate.enter(&limits, now).unwrap();
        let _second = gate.enter(&limits, now).unwrap();
        assert_eq!(gate.enter(&limits, now).err(), Some(Closed::Full));
        drop(first);
        assert!(gate.enter(&limits, now).is_ok());
        let limits = Limits {
            handshakes: Rate::new(1, SECOND),
            ..Limits::default()
        };
        let gate = Arc::new(Gate::default());
        assert!(gate.enter(&limits, now).is_ok());
        assert_eq!(gate.enter(&limits, now).err(), Some(Closed::Rush));
    }
}
