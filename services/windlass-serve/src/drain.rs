//! Emptying a process that goes on: before it is scaled away, or its node is.
//!
//! A drain takes the way down as far as the last connection and no further: not ready, clients asked to leave evenly over
//! a window, whoever comes all the same asked at once. It can be paced anew and taken back. SIGTERM then finds nobody left.

mod http;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::shutdown::{Phase, Shutdown};
use crate::tracker::Tracker;

pub use http::KeyError;
pub(crate) use http::{Key, router};

/// What was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Over how long clients are asked to leave; as they are at SIGTERM when absent.
    pub window: Option<Duration>,
    /// When the first order of this drain came.
    begun: Instant,
    /// When load balancers have noticed, and clients are asked.
    closing: Instant,
}

impl Order {
    /// Waits until clients are to be asked.
    pub async fn closing(&self) {
        tokio::time::sleep_until(self.closing).await;
    }
}

/// The drain of a process. Clones are the same.
#[derive(Debug, Clone)]
pub struct Drain {
    order: Arc<watch::Sender<Option<Order>>>,
    shutdown: Shutdown,
    tracker: Tracker,
    /// Sockets that were open when the drain began.
    begun_with: Arc<watch::Sender<usize>>,
}

/// How far a process is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is not.
    Running,
    /// Not ready any more; load balancers take the address out.
    Leaving,
    /// Clients are asked to leave.
    Closing,
    /// Nobody is left. Whoever comes is asked to leave at once.
    Drained,
    /// The process itself goes down.
    Stopping,
}

/// What is told of a drain.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How far it is.
    pub state: State,
    /// Open sockets of the service's listener, idle ones too.
    pub connections: usize,
    /// How many there were when the drain began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begun_with: Option<usize>,
    /// The window that was ordered, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<f64>,
    /// For how long it has been draining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_seconds: Option<f64>,
}

impl Drain {
    /// The drain of a process that goes down by `shutdown` and whose sockets `tracker` counts.
    #[must_use]
    pub fn new(shutdown: Shutdown, tracker: Tracker) -> Self {
        Self {
            order: Arc::new(watch::Sender::new(None)),
            shutdown,
            tracker,
            begun_with: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Begins, or goes on at another pace.
    pub fn begin(&self, window: Option<Duration>) {
        let now = Instant::now();
        self.order.send_modify(|order| {
            let (begun, closing) = match *order {
                Some(Order { begun, closing, .. }) => (begun, closing),
                None => {
                    self.begun_with.send_replace(self.tracker.count());
                    (now, now + self.shutdown.removal())
                }
            };
            *order = Some(Order { window, begun, closing });
        });
    }

    /// Takes it back: the process is ready again. Who was asked to leave leaves.
    pub fn cancel(&self) {
        self.order.send_replace(None);
    }

    /// Whether the process is to be empty.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.order.borrow().is_some()
    }

    /// What is ordered, as it changes.
    #[must_use]
    pub fn orders(&self) -> watch::Receiver<Option<Order>> {
        self.order.subscribe()
    }

    /// How far it is.
    #[must_use]
    pub fn report(&self) -> Report {
        let (order, connections) = (*self.order.borrow(), self.tracker.count());
        let state = match (self.shutdown.phase(), order) {
            (Phase::Leaving | Phase::Draining, _) => State::Stopping,
            (Phase::Running, None) => State::Running,
            (Phase::Running, Some(order)) if Instant::now() < order.closing => State::Leaving,
            (Phase::Running, Some(_)) if connections > 0 => State::Closing,
            (Phase::Running, Some(_)) => State::Drained,
        };
        Report {
            state,
            connections,
            begun_with: order.map(|_| *self.begun_with.borrow()),
            window_seconds: order.and_then(|order| order.window).map(|window| window.as_secs_f64()),
            elapsed_seconds: order.map(|order| order.begun.elapsed().as_secs_f64()),
        }
    }
}

impl Default for Drain {
    /// One that nobody orders.
    fn default() -> Self {
        Self::new(Shutdown::new(), Tracker::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_load_balancers_is_paced_anew_and_taken_back() {
        let (removal, tracker) = (Duration::from_secs(5), Tracker::new());
        let shutdown = Shutdown::with_removal_wait(removal);
        let drain = Drain::new(shutdown.clone(), tracker.clone());
        let open = tracker.guard();
        assert_eq!((drain.report().state, drain.report().connections), (State::Running, 1));

        let begun = Instant::now();
        drain.begin(None);
        assert_eq!(drain.report().state, State::Leaving);
        let order = (*drain.orders().borrow()).unwrap();
        order.closing().await;
        assert_eq!(begun.elapsed(), removal);
        assert_eq!(
            (drain.report().state, drain.report().begun_with),
            (State::Closing, Some(1))
        );

        drain.begin(Some(Duration::from_secs(60)));
        let paced = (*drain.orders().borrow()).unwrap();
        assert_eq!(
            (paced.closing, paced.window),
            (order.closing, Some(Duration::from_secs(60)))
        );
        drop(open);
        assert_eq!(drain.report().state, State::Drained);
        assert_eq!(drain.report().window_seconds, Some(60.0));

        drain.cancel();
        assert_eq!((drain.report().state, drain.is_ordered()), (State::Running, false));
        shutdown.begin();
        assert_eq!(drain.report().state, State::Stopping);
    }
}
