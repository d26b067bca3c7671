//! Every connection of this process, so that orders reach them and they can be counted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;

use crate::codes::Disconnect;
use crate::metrics::{Metrics, Transport};
use crate::outbox::Outbox;
use crate::queue::Order;

/// When few connections are left, this is the pause between two: everybody is gone soon, and still not all at once.
const PAUSE: Duration = Duration::from_millis(5);

/// The connections.
#[derive(Debug, Default)]
pub struct Connections(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    list: Slab<Arc<Outbox>>,
    /// The grace of the drain that has begun: who comes now is asked to leave at once.
    leaving: Option<Duration>,
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
        let mut open = self.lock();
        let index = open.list.insert(Arc::clone(outbox));
        if let Some(grace) = open.leaving {
            outbox.order(Order::Leave(grace));
        }
        drop(open);
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
        self.lock().list.len()
    }

    /// The bytes that wait for all of them.
    #[must_use]
    pub fn queue_bytes(&self) -> usize {
        self.lock().list.iter().map(|(_, outbox)| outbox.bytes()).sum()
    }

    /// The bytes that wait for the one of them that is furthest behind.
    #[must_use]
    pub fn longest_queue_bytes(&self) -> usize {
        let open = self.lock();
        open.list.iter().map(|(_, outbox)| outbox.bytes()).max().unwrap_or(0)
    }

    /// Asks everybody to leave, once and one after the other, evenly over at most `window`; who comes from now on is
    /// asked at once. Who can move without a gap has `grace` for it, and `farewell` to take its leave; who is still here
    /// then is cut.
    pub async fn drain(&self, window: Duration, grace: Duration, farewell: Duration) {
        let everybody: Vec<Arc<Outbox>> = {
            let mut open = self.lock();
            open.leaving = Some(grace);
            open.list.iter().map(|(_, outbox)| Arc::clone(outbox)).collect()
        };
        let count = u32::try_from(everybody.len()).unwrap_or(u32::MAX).max(1);
        let pause = (window / count).min(PAUSE);
        let start = tokio::time::Instant::now();
        for (number, outbox) in (0..).zip(everybody) {
            // By the time that has passed and not by the pauses: many short ones would add up to more.
            tokio::time::sleep_until(start + pause.saturating_mul(number)).await;
            outbox.order(Order::Leave(grace));
        }
        // Who takes nothing has not even seen that it was asked.
        tokio::time::sleep(grace + farewell).await;
        for (_, outbox) in self.lock().list.iter() {
            outbox.order(Order::Disconnect(Disconnect::Shutdown));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().list.remove(self.index);
        self.metrics.disconnected(self.transport);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Item;

    #[tokio::test(start_paused = true)]
    async fn everybody_is_asked_to_leave_once_and_spread_over_the_window() {
        let connections = Arc::new(Connections::default());
        let metrics = Metrics::default();
        let outboxes: Vec<_> = (0..1_000).map(|_| Arc::new(Outbox::new(1_000))).collect();
        let places: Vec<_> = outboxes
            .iter()
            .map(|outbox| connections.add(outbox, Transport::Plain, &metrics))
            .collect();
        let (window, grace) = (Duration::from_secs(2), Duration::from_secs(1));
        let begin = tokio::time::Instant::now();
        let draining = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.drain(window, grace, Duration::ZERO).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = outboxes.iter().filter(|outbox| outbox.bytes() > 0).count();
        assert!((400..600).contains(&asked), "{asked} asked after half of the window");
        let late = Arc::new(Outbox::new(1_000));
        let _late = connections.add(&late, Transport::Plain, &metrics);
        assert_eq!(late.take(), Some(Item::Order(Order::Leave(grace))));
        tokio::time::sleep_until(begin + window).await;
        let (stuck, willing) = outboxes.split_first().unwrap();
        for outbox in willing {
            assert_eq!(
                (outbox.take(), outbox.take()),
                (Some(Item::Order(Order::Leave(grace))), None)
            );
        }
        draining.await.unwrap();
        assert!(begin.elapsed() <= window + grace);
        assert_eq!(stuck.take(), Some(Item::Order(Order::Disconnect(Disconnect::Shutdown))));
        drop(places);
        assert_eq!(connections.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_connections_need_not_wait_for_the_window() {
        let connections = Arc::new(Connections::default());
        let outboxes: Vec<_> = (0..3).map(|_| Arc::new(Outbox::new(1_000))).collect();
        let _places: Vec<_> = outboxes
            .iter()
            .map(|outbox| connections.add(outbox, Transport::Plain, &Metrics::default()))
            .collect();
        let begin = tokio::time::Instant::now();
        connections
            .drain(Duration::from_secs(15), Duration::ZERO, Duration::ZERO)
            .await;
        assert!(begin.elapsed() < Duration::from_millis(50));
    }
}
