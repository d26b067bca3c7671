//! How often a link is pinged, by how it answers: often where that costs little and a break is noticed soon, seldom where
//! each ping wakes a radio or waits behind other bytes.

use std::time::{Duration, Instant};

/// How often a connection is pinged (DESIGN section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// A good link.
    Fast,
    /// One of which nothing is known yet, or nothing in particular.
    Normal,
    /// A bad one, or one that sleeps.
    Slow,
}

/// An answer within this time makes a link a good one: cables, Wi-Fi and LTE keep below it.
const GOOD: Duration = Duration::from_millis(200);

/// One that takes longer than this makes it a bad one: a radio that sleeps, or a queue of other bytes.
const FAIR: Duration = Duration::from_secs(2);

/// A link becomes a better one after so many answers in a row that say so; a worse one at the first.
const AGREEING: u8 = 3;

/// What is known of a link.
#[derive(Debug)]
pub(super) struct Pace {
    profile: Profile,
    sent: Option<Instant>,
    /// The time that an answer takes, smoothed, and how much it varies (RFC 6298 section 2).
    round_trip: Option<(Duration, Duration)>,
    /// How many answers in a row have said that the link is better than its profile.
    better: u8,
}

impl Profile {
    /// The time between two pings.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_secs(match self {
            Self::Fast => 5,
            Self::Normal => 15,
            Self::Slow => 30,
        })
    }

    fn faster(self) -> Self {
        match self {
            Self::Fast | Self::Normal => Self::Fast,
            Self::Slow => Self::Normal,
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            profile: Profile::Normal,
            sent: None,
            round_trip: None,
            better: 0,
        }
    }
}

impl Pace {
    /// A ping goes out, and the one before it was not answered if `missed`; how long until the next.
    pub(super) fn ping(&mut self, now: Instant, missed: bool) -> Duration {
        if missed {
            self.profile = Profile::Slow;
            self.better = 0;
        }
        self.sent = Some(now);
        self.profile.interval()
    }

    /// The last ping was answered.
    pub(super) fn answered(&mut self, now: Instant) {
        let Some(sent) = self.sent.take() else { return };
        let measured = now.saturating_duration_since(sent);
        let (smoothed, deviation) = match self.round_trip {
            None => (measured, measured / 2),
            Some((smoothed, deviation)) => (
                (smoothed * 7 + measured) / 8,
                (deviation * 3 + smoothed.abs_diff(measured)) / 4,
            ),
        };
        self.round_trip = Some((smoothed, deviation));
        // Within this an answer is to be expected.
        let deserved = match smoothed + deviation * 4 {
            time if time <= GOOD => Profile::Fast,
            time if time <= FAIR => Profile::Normal,
            _ => Profile::Slow,
        };
        self.better = if deserved < self.profile { self.better + 1 } else { 0 };
        if deserved > self.profile {
            self.profile = deserved;
        } else if self.better >= AGREEING {
            self.profile = self.profile.faster();
            self.better = 0;
        }
    }
}
