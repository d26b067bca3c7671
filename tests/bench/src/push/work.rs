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
    /// Publications as fast as they are answered, each to a channel of one subscriber.
    Rush {
        /// How many channels.
        channels: usize,
        /// The publications.
        pace: Pace,
    },
}

/// What the channels go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// The memory of one process.
    Memory,
    /// A Redis, which so many processes share.
    Redis(usize),
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
    /// The delay at the last receiver that 99 of 100 publications keep below.
    LastHigh,
    /// CPU time of Redis for one publication.
    Redis,
    /// Publications a second.
    Rate,
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
            Self::LastHigh => "fan-out, delay of the last receiver p99",
            Self::Redis => "a publication, in Redis",
            Self::Rate => "publications as fast as they are answered",
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
            Self::Delivery | Self::Publication | Self::Request | Self::Redis => "CPU µs each",
            Self::DelayMedian | Self::DelayHigh | Self::LastHigh => "ms",
            Self::Rate => "a second",
        }
    }

    /// At most this is to be reached; `None` where nothing is promised.
    #[must_use]
    pub fn reach(self, through: Through) -> Option<f64> {
        match (self, through) {
            (Self::IdleMemory, Through::Memory) => Some(5_000.0),
            (Self::IdleMemory, Through::Redis(_)) => Some(6.0 * 1024.0),
            (_, Through::Redis(_)) => None,
            (Self::IdleCpu, Through::Memory) => Some(2.0),
            (Self::Delivery, Through::Memory) => Some(9.0),
            (Self::DelayHigh, Through::Memory) => Some(60.0),
            (Self::Publication | Self::Request, Through::Memory) => Some(60.0),
            (Self::DelayMedian | Self::LastHigh | Self::Redis | Self::Rate, Through::Memory) => None,
        }
    }
}

impl Work {
    /// How the service is published to.
    #[must_use]
    pub fn way(&self) -> Way {
        match self {
            Self::Idle { .. } | Self::FanOut { .. } | Self::Single { .. } | Self::Rush { .. } => Way::Protocol,
            Self::Requests { .. } => Way::Api,
        }
    }

    /// The figures that it gives.
    #[must_use]
    pub fn figures(&self) -> &'static [Figure] {
        match self {
            Self::Idle { .. } => &[Figure::IdleMemory, Figure::IdleCpu],
            Self::FanOut { .. } => &[
                Figure::Delivery,
                Figure::DelayMedian,
                Figure::DelayHigh,
                Figure::LastHigh,
            ],
            Self::Rush { .. } => &[Figure::Rate, Figure::Publication, Figure::Redis],
            Self::Single { .. } => &[Figure::Publication],
            Self::Requests { .. } => &[Figure::Request],
        }
    }
}

/// The works of the documentation's table, and what each goes through.
#[must_use]
pub fn all() -> Vec<(Work, Through)> {
    let singly = Pace {
        count: 30_000,
        rate: 3_000.0,
        connections: 32,
    };
    let works = [
        idle(),
        fan_out(),
        Work::Single {
            channels: 5_000,
            pace: singly,
        },
        Work::Requests {
            channels: 5_000,
            pace: singly,
        },
    ];
    works.map(|work| (work, Through::Memory)).to_vec()
}

/// The same for processes that share a Redis.
#[must_use]
pub fn shared() -> Vec<(Work, Through)> {
    let rush = Work::Rush {
        channels: 2_000,
        pace: Pace {
            count: 100_000,
            rate: f64::INFINITY,
            connections: 64,
        },
    };
    vec![
        (idle(), Through::Redis(1)),
        (fan_out(), Through::Redis(1)),
        (fan_out(), Through::Redis(2)),
        (rush.clone(), Through::Redis(1)),
        (rush, Through::Redis(2)),
    ]
}

fn idle() -> Work {
    Work::Idle {
        connections: 15_000,
        watch: Duration::from_secs(30),
    }
}

fn fan_out() -> Work {
    Work::FanOut {
        subscribers: 5_000,
        pace: Pace {
            count: 100,
            rate: 10.0,
            connections: 1,
        },
    }
}

impl Work {
    /// The same at a size that proves nothing but that it runs.
    #[must_use]
    pub fn smoke(self) -> Self {
        let pace = Pace {
            count: 3,
            rate: 100.0,
            connections: 1,
        };
        match self {
            Self::Idle { .. } => Self::Idle {
                connections: 3,
                watch: Duration::from_millis(1),
            },
            Self::FanOut { .. } => Self::FanOut { subscribers: 3, pace },
            Self::Single { .. } => Self::Single { channels: 3, pace },
            Self::Requests { .. } => Self::Requests { channels: 3, pace },
            Self::Rush { .. } => Self::Rush { channels: 3, pace },
        }
    }
}
