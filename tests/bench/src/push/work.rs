//! What is measured: the works, and the figures that each gives.

use std::time::Duration;

use super::publisher::{Pace, Way};

/// One work; each gives some figures.
#[derive(Debug, Clone)]
pub enum Work {
    /// Connections with one subscription each, all to channels of their own, to which nothing comes.
    Idle {
        /// How many.
        connections: usize,
        /// How long they are watched; pings come in that time.
        watch: Duration,
    },
    /// Publications to one channel.
    FanOut {
        /// Its subscribers.
        subscribers: usize,
        /// The publications.
        pace: Pace,
    },
    /// Publications, each to a channel of one subscriber.
    Single {
        /// How many channels.
        channels: usize,
        /// The publications.
        pace: Pace,
    },
    /// The same, each by an HTTP request of its own.
    Requests {
        /// How many channels.
        channels: usize,
        /// The publications.
        pace: Pace,
    },
}

/// One figure of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Resident memory of an idle connection.
    IdleMemory,
    /// CPU time that an idle connection costs a second.
    IdleCpu,
    /// CPU time of one delivery of a fan-out.
    Delivery,
    /// The delay that half of the deliveries keep below.
    DelayMedian,
    /// The delay that 99 of 100 deliveries keep below.
    DelayHigh,
    /// CPU time of one publication to one subscriber.
    Publication,
    /// The same, by an HTTP request of its own.
    Request,
}

impl Figure {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IdleMemory => "idle connection, one subscription",
            Self::IdleCpu => "idle connection, pings",
            Self::Delivery => "fan-out, a delivery",
            Self::DelayMedian => "fan-out, delay p50",
            Self::DelayHigh => "fan-out, delay p99",
            Self::Publication => "publication to one subscriber",
            Self::Request => "the same, each its own HTTP request",
        }
    }

    /// Its unit.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::IdleMemory => "bytes resident",
            Self::IdleCpu => "CPU µs a second",
            Self::Delivery | Self::Publication | Self::Request => "CPU µs each",
            Self::DelayMedian | Self::DelayHigh => "ms",
        }
    }

    /// At most this is to be reached; `None` where nothing is promised.
    #[must_use]
    pub fn reach(self) -> Option<f64> {
        match self {
            Self::IdleMemory => Some(5_000.0),
            Self::IdleCpu => Some(2.0),
            Self::Delivery => Some(9.0),
            Self::DelayMedian => None,
            Self::DelayHigh => Some(60.0),
            Self::Publication | Self::Request => Some(60.0),
        }
    }
}

impl Work {
    /// How the service is published to.
    #[must_use]
    pub fn way(&self) -> Way {
        match self {
            Self::Idle { .. } | Self::FanOut { .. } | Self::Single { .. } => Way::Protocol,
            Self::Requests { .. } => Way::Api,
        }
    }

    /// The figures that it gives.
    #[must_use]
    pub fn figures(&self) -> &'static [Figure] {
        match self {
            Self::Idle { .. } => &[Figure::IdleMemory, Figure::IdleCpu],
            Self::FanOut { .. } => &[Figure::Delivery, Figure::DelayMedian, Figure::DelayHigh],
            Self::Single { .. } => &[Figure::Publication],
            Self::Requests { .. } => &[Figure::Request],
        }
    }
}

/// The works of the documentation's table.
#[must_use]
pub fn all() -> Vec<Work> {
    let singly = Pace {
        count: 30_000,
        rate: 3_000.0,
        connections: 32,
    };
    vec![
        Work::Idle {
            connections: 15_000,
            watch: Duration::from_secs(30),
        },
        Work::FanOut {
            subscribers: 5_000,
            pace: Pace {
                count: 100,
                rate: 10.0,
                connections: 1,
            },
        },
        Work::Single {
            channels: 5_000,
            pace: singly,
        },
        Work::Requests {
            channels: 5_000,
            pace: singly,
        },
    ]
}

/// The same at a size that proves nothing but that they run.
#[must_use]
pub fn smoke() -> Vec<Work> {
    let pace = Pace {
        count: 3,
        rate: 100.0,
        connections: 1,
    };
    vec![
        Work::Idle {
            connections: 3,
            watch: Duration::from_millis(1),
        },
        Work::FanOut { subscribers: 3, pace },
        Work::Single { channels: 3, pace },
        Work::Requests { channels: 3, pace },
    ]
}
