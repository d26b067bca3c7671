//! The `garbage` section of `upload`.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;
use windlass_serve::config::Time;

/// How garbage is collected.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// How long after one round the next begins, over all processes.
    pub every: Time,
    /// What was written since then is never removed: it may be about to be recorded.
    pub safe_age: Time,
    /// How many uploads' leftovers are removed in a second.
    pub removals_per_second: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Garbage is what processes leave that die, and clients that repeat an unanswered creation: little in a day.
            every: Time(Duration::from_secs(6 * 3_600)),
            // Recording takes as long as a request is held, seconds; the rest is for clocks that are wrong by hours.
            safe_age: Time(Duration::from_secs(24 * 3_600)),
            // A hundredth of what a small object store does.
            removals_per_second: NonZeroU32::new(20).expect("it is not 0"),
        }
    }
}

/// Settings that were checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validated {
    pub(crate) every: Duration,
    pub(crate) safe_age: Duration,
    /// Between two removals.
    pub(crate) pace: Duration,
}

impl Settings {
    pub(crate) fn validated(&self) -> Validated {
        Validated {
            every: self.every.0,
            safe_age: self.safe_age.0,
            pace: Duration::from_secs(1) / self.removals_per_second.get(),
        }
    }
}
