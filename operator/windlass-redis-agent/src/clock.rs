//! The agent's clock: it goes on while the machine sleeps, unlike [`std::time::Instant`], and only forward.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use windlass_election::Moment;

/// A clock of this process. Copies are the same clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Duration,
}

impl Clock {
    /// One that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { began: since_boot() }
    }

    /// What it says.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::at(since_boot().saturating_sub(self.began))
    }
}

/// `CLOCK_BOOTTIME`: a virtual machine that was stopped wakes to find its right to take writes ended.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
