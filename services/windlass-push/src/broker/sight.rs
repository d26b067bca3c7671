//! Whether what is published comes to this node.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a node's probes have shown: it publishes to itself, and looks whether that comes.
#[derive(Debug, Default)]
pub struct Sight(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    last: Option<Instant>,
    is_blind: bool,
}

impl Sight {
    /// How long ago a probe came; `None` when none has come yet, or none is sent, as within one process.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.lock().last.map(|last| last.elapsed())
    }

    /// Whether this node does not get what other nodes get, and a new connection did not help: it is of no use to its
    /// clients, who would be better off elsewhere.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.lock().is_blind
    }

    /// A probe came.
    pub(super) fn see(&self) {
        *self.lock() = Seen {
            last: Some(Instant::now()),
            is_blind: false,
        };
    }

    /// Others see theirs, and this node does not.
    pub(super) fn lose(&self) {
        self.lock().is_blind = true;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
