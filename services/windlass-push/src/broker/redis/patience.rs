//! For how long something is tried again.

use std::time::Duration;

use tokio::time::Instant;

/// For how long: a reconnect, a replica's promotion. Less than what the caller is kept waiting
/// ([`crate::broker::bounded`]), so that it is told by whoever knows why.
const TRY_FOR: Duration = Duration::from_secs(3);
/// The first wait between two tries; it doubles.
const WAIT_MIN: Duration = Duration::from_millis(10);
/// The longest wait, for what comes back while somebody is waiting.
const WAIT_MAX: Duration = Duration::from_millis(320);

/// How long it has been tried.
#[derive(Debug)]
pub(super) struct Patience {
    until: Instant,
    wait: Duration,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self {
            until: Instant::now() + TRY_FOR,
            wait: WAIT_MIN,
        }
    }

    /// Waits before the next try; with jitter, for many wait for the same. False when there is to be none.
    pub(super) async fn wait(&mut self) -> bool {
        let mut byte = [0];
        getrandom::fill(&mut byte).expect("the system's random source answers once the system has started");
        let wait = self.wait.mul_f64(f64::from(byte[0]) / 255.0);
        self.wait = (self.wait * 2).min(WAIT_MAX);
        if Instant::now() + wait >= self.until {
            return false;
        }
        tokio::time::sleep(wait).await;
        true
    }
}
