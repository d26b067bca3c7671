//! The way down: readiness off → stop accepting → tell clients → drain → deadline → exit.
//!
//! [`Shutdown`] is only the signal. Who listens does its own part: `/readyz` looks at [`Shutdown::phase`], the accept
//! loop and the handlers of long-lived connections wait for [`Shutdown::draining`].

use std::time::Duration;

use tokio::sync::watch;

/// How far down the process is. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving and ready.
    Running,
    /// Not ready any more, still accepting: load balancers take the address out in this time.
    Leaving,
    /// The listener is closed; clients are told to go elsewhere and what runs is finished.
    Draining,
}

/// The signal to go down. Clones are the same signal.
#[derive(Debug, Clone)]
pub struct Shutdown {
    phase: watch::Sender<Phase>,
    removal: Duration,
}

impl Shutdown {
    /// A signal that goes from running to draining at once, as fits a process without a load balancer in front.
    #[must_use]
    pub fn new() -> Self {
        Self::with_removal_wait(Duration::ZERO)
    }

    /// A signal that stays [`Phase::Leaving`] for `removal`, the time that load balancers need to notice.
    #[must_use]
    pub fn with_removal_wait(removal: Duration) -> Self {
        Self {
            phase: watch::Sender::new(Phase::Running),
            removal,
        }
    }

    /// Begins to go down. A second call changes nothing. With a removal wait it must run inside a tokio runtime.
    pub fn begin(&self) {
        self.advance(Phase::Leaving);
        if self.removal.is_zero() {
            self.advance(Phase::Draining);
        } else if self.phase() < Phase::Draining {
            let shutdown = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(shutdown.removal).await;
                shutdown.advance(Phase::Draining);
            });
        }
    }

    /// How long load balancers are given to notice.
    #[must_use]
    pub fn removal(&self) -> Duration {
        self.removal
    }

    /// How far down the process is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether clients are to be sent away by now.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase() == Phase::Draining
    }

    /// Waits until [`Shutdown::is_draining`]; at once if it is.
    pub async fn draining(&self) {
        // The sender lives in `self`, so the wait cannot end by its being dropped.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Draining).await;
    }

    /// Begins at the first SIGTERM or SIGINT and exits the process with code 130 at the second: who asks twice does
    /// not want to wait. Never returns.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub async fn signals(&self) -> std::io::Result<std::convert::Infallible> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if self.phase() > Phase::Running {
                tracing::warn!(signal = name, "second signal, leaving at once");
                std::process::exit(130);
            }
            tracing::info!(signal = name, "going down");
            self.begin();
        }
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = *phase < to;
            *phase = (*phase).max(to);
            later
        });
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_sees_the_drain_also_after_the_fact() {
        let shutdown = Shutdown::new();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.draining().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert!(!shutdown.is_draining());
        shutdown.begin();
        shutdown.begin();
        waiting.await.unwrap();
        shutdown.clone().draining().await;
        assert!(shutdown.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_goes_before_the_listener_when_there_is_a_removal_wait() {
        let shutdown = Shutdown::with_removal_wait(Duration::from_secs(5));
        let begun = tokio::time::Instant::now();
        shutdown.begin();
        assert_eq!(shutdown.phase(), Phase::Leaving);
        assert!(!shutdown.is_draining());
        shutdown.draining().await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
