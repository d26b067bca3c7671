//! Every connection of this process, so that orders reach them and they can be counted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;

use crate::metrics::{Metrics, Transport};
use crate::outbox::Outbox;
use crate::queue::Order;

/// When few connections are left, this is the pause between two: everybody is gone soon, and still not all at once.
const PAUSE: Duration = Duration::from_millis(5);

/// The connections.
#[derive(Debug, Default)]
pub struct Connections {
    open: Mutex<Slab<Arc<Outbox>>>,
}

/// One connection's place; dropping it takes the connection off the list.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    index: usize,
    metrics: Metrics,
    transport: Transport,
}

impl Connections {
    /// Adds a connection.
    #[must_use]
    pub fn add(self: &Arc<Self>, outbox: &Arc<Outbox>, transport: Transport, metrics: &Metrics) -> Place {
        let index = self.lock().insert(Arc::clone(outbox));
        metrics.connected(transport);
        Place {
            connections: Arc::clone(self),
            index,
            metrics: metrics.clone(),
            transport,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The bytes that wait for all of them.
    #[must_use]
    pub fn queue_bytes(&self) -> usize {
        self.lock().iter().map(|(_, outbox)| outbox.bytes()).sum()
    }

    /// Asks everybody to leave, one after the other, evenly over at most `window`; who comes meanwhile is asked too.
    /// Who can move without a gap has `grace` for it.
    pub async fn drain(&self, window: Duration, grace: Duration) {
        let everybody: Vec<Arc<Outbox>> = self.lock().iter().map(|(_, outbox)| Arc::clone(outbox)).collect();
        let count = u32::try_from(everybody.len()).unwrap_or(u32::MAX).max(1);
        let pause = (window / count).min(PAUSE);
        let start = tokio::time::Instant::now();
        for (number, outbox) in everybody.into_iter().enumerate() {
            // By the time that has passed and not by the pauses: many short ones would add up to more.
            let due = start + pause.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
            tokio::time::sleep_until(due).await;
            outbox.order(Order::Leave(grace));
        }
        // Those who came after the list was made.
        for (_, outbox) in self.lock().iter() {
            outbox.order(Order::Leave(grace));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<Outbox>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(self.index);
        self.metrics.disconnected(self.transport);
    }
}
