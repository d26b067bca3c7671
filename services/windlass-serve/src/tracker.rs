//! What is still open: sockets, and whatever outlives the HTTP exchange that started it.
//!
//! hyper's graceful shutdown ends when a connection is handed over to a WebSocket handler, and axum does not count
//! those either; a drain that trusted them would cut every WebSocket. Here each [`Guard`] counts until it is dropped:
//! the socket itself holds one, upgraded or not, and a handler with work left after its socket takes its own.

use tokio::sync::watch;

/// Counts what is open. Clones count together.
#[derive(Debug, Clone)]
pub struct Tracker {
    open: watch::Sender<usize>,
}

/// One thing that is open, until this is dropped.
#[derive(Debug)]
#[must_use = "dropping the guard says that the work is done"]
pub struct Guard {
    open: watch::Sender<usize>,
}

impl Tracker {
    /// A tracker of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            open: watch::Sender::new(0),
        }
    }

    /// Counts one more thing until the guard is dropped.
    pub fn guard(&self) -> Guard {
        self.open.send_modify(|open| *open += 1);
        Guard {
            open: self.open.clone(),
        }
    }

    /// How many guards there are.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.open.borrow()
    }

    /// Waits until no guard is left; at once if there is none.
    pub async fn idle(&self) {
        // The sender lives in `self`, so the wait cannot end by its being dropped.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_waits_for_the_last_guard_of_any_clone() {
        let tracker = Tracker::new();
        tracker.idle().await;
        let first = tracker.guard();
        let second = tracker.clone().guard();
        assert_eq!(tracker.count(), 2);
        let waiting = tokio::spawn({
            let tracker = tracker.clone();
            async move { tracker.idle().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
        assert_eq!(tracker.count(), 0);
    }
}
