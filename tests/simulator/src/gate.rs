//! What a pod's work passes on its way to the outside: a pod that stands still reaches nothing, a dead one never again.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    /// As by SIGSTOP: what it was doing goes on when it wakes, however late.
    Paused,
    /// As by `kill -9`.
    Dead,
}

/// Not a `watch`: that wakes its waiters by chance, and a seed could not be repeated.
#[derive(Clone)]
pub(crate) struct Gate(Arc<(Mutex<Life>, Notify)>);

impl Gate {
    pub(crate) fn open() -> Self {
        Self(Arc::new((Mutex::new(Life::Running), Notify::new())))
    }

    pub(crate) fn set(&self, life: Life) {
        let (now, changed) = &*self.0;
        let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody comes back from the dead.
        if *now != Life::Dead {
            *now = life;
            changed.notify_waiters();
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.life() == Life::Dead
    }

    /// Waits until the pod runs; for a dead one, for ever.
    pub(crate) async fn pass(&self) {
        self.becomes(Life::Running).await;
    }

    pub(crate) async fn death(&self) {
        self.becomes(Life::Dead).await;
    }

    fn life(&self) -> Life {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn becomes(&self, life: Life) {
        loop {
            let changed = self.0.1.notified();
            if self.life() == life {
                return;
            }
            changed.await;
        }
    }
}
