//! Every connection of this process, so that orders reach them and they can be counted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::codes::Disconnect;
use crate::metrics::{Metrics, Transport};
use crate::outbox::Outbox;
use crate::queue::Order;

/// The longest pause between two that are asked to leave: a few connections need not wait for the window, and fifty newcomers
/// a second are no storm to anybody.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// How much of its greatest age a connection lives at least: those that came together do not go together.
const AGE_MIN: f64 = 0.6;

/// The connections.
#[derive(Debug, Default)]
pub struct Connections {
    open: Mutex<Open>,
    /// The greatest age of one, if there is one.
    max_age: Option<Duration>,
}

#[derive(Debug, Default)]
struct Open {
    list: Slab<Listed>,
    /// The grace of the drain that has begun: who comes now is asked to leave at once.
    leaving: Option<Duration>,
}

#[derive(Debug)]
struct Listed {
    outbox: Arc<Outbox>,
    /// Whether it was asked to leave.
    asked: bool,
    /// When it is to be asked because of its age.
    ages_at: Option<Instant>,
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
    /// No connections yet, each of which is asked to leave at a random age of at most `max_age`.
    #[must_use]
    pub fn aging(max_age: Option<Duration>) -> Self {
        Self {
            open: Mutex::default(),
            max_age,
        }
    }

    /// Adds a connection.
    #[must_use]
    pub fn add(self: &Arc<Self>, outbox: &Arc<Outbox>, transport: Transport, metrics: &Metrics) -> Place {
        let mut open = self.lock();
        let leaving = open.leaving;
        let index = open.list.insert(Listed {
            outbox: Arc::clone(outbox),
            asked: leaving.is_some(),
            ages_at: self.max_age.map(|age| Instant::now() + age.mul_f64(random(AGE_MIN))),
        });
        if let Some(grace) = leaving {
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
        self.lock().list.iter().map(|(_, listed)| listed.outbox.bytes()).sum()
    }

    /// The bytes that wait for the one of them that is furthest behind.
    #[must_use]
    pub fn longest_queue_bytes(&self) -> usize {
        let open = self.lock();
        let bytes = open.list.iter().map(|(_, listed)| listed.outbox.bytes());
        bytes.max().unwrap_or(0)
    }

    /// Asks everybody to leave, once and one after the other, evenly over at most `window`; who comes from now on is
    /// asked at once. Who can move without a gap has `grace` for it, and `farewell` to take its leave; who is still here
    /// then is cut. When it is dropped, another goes on with who was not asked yet.
    pub async fn drain(&self, window: Duration, grace: Duration, farewell: Duration) {
        let left: Vec<usize> = {
            let mut open = self.lock();
            open.leaving = Some(grace);
            let unasked = open.list.iter().filter(|(_, listed)| !listed.asked);
            unasked.map(|(index, _)| index).collect()
        };
        let count = u32::try_from(left.len()).unwrap_or(u32::MAX).max(1);
        let pause = (window / count).min(PAUSE_MAX);
        let start = Instant::now();
        for (number, index) in (0..).zip(left) {
            // By the time that has passed and not by the pauses: many short ones would add up to more.
            tokio::time::sleep_until(start + pause.saturating_mul(number)).await;
            // Who came in another's place has been asked.
            self.lock().ask(index, grace);
        }
        // Who takes nothing has not even seen that it was asked.
        tokio::time::sleep(grace + farewell).await;
        for (_, listed) in self.lock().list.iter() {
            listed.outbox.order(Order::Disconnect(Disconnect::Shutdown));
        }
    }

    /// Lets those stay that were not asked to leave yet, and who comes.
    pub fn stay(&self) {
        self.lock().leaving = None;
    }

    /// Asks those to leave that are old enough.
    pub fn ask_aged(&self, grace: Duration) {
        let (mut open, now) = (self.lock(), Instant::now());
        let is_old = |listed: &Listed| listed.ages_at.is_some_and(|at| at <= now) && !listed.asked;
        let old: Vec<usize> = open
            .list
            .iter()
            .filter(|(_, listed)| is_old(listed))
            .map(|(index, _)| index)
            .collect();
        for index in old {
            open.ask(index, grace);
        }
    }

    /// Whether connections have a greatest age.
    #[must_use]
    pub fn are_aging(&self) -> bool {
        self.max_age.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Asks a connection to leave, unless it was asked or has gone.
    fn ask(&mut self, index: usize, grace: Duration) {
        if let Some(listed) = self.list.get_mut(index)
            && !std::mem::replace(&mut listed.asked, true)
        {
            listed.outbox.order(Order::Leave(grace));
        }
    }
}

/// Evenly from `least` to 1.
fn random(least: f64) -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the system's random source answers once the system has started");
    least + (1.0 - least) * f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
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
        let draining = {
            // The rest at another pace.
            draining.abort();
            let connections = Arc::clone(&connections);
            tokio::spawn(async move { connections.drain(window / 2, grace, Duration::ZERO).await })
        };
        tokio::task::yield_now().await;
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
    async fn connections_of_one_moment_leave_at_different_ages_and_none_is_older() {
        let max_age = Duration::from_secs(100);
        let connections = Arc::new(Connections::aging(Some(max_age)));
        let outboxes: Vec<_> = (0..100).map(|_| Arc::new(Outbox::new(1_000))).collect();
        let _places: Vec<_> = outboxes
            .iter()
            .map(|outbox| connections.add(outbox, Transport::Plain, &Metrics::default()))
            .collect();
        let mut asked = Vec::new();
        for _ in 0..=100 {
            connections.ask_aged(Duration::ZERO);
            asked.push(outboxes.iter().filter(|outbox| outbox.bytes() > 0).count());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!((asked[59], asked[100]), (0, 100), "none too early, and all in time");
        assert!(
            asked.windows(2).all(|two| two[1] - two[0] < 20),
            "not at once: {asked:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_not_asked_when_a_drain_is_taken_back_stays() {
        let connections = Arc::new(Connections::default());
        let outboxes: Vec<_> = (0..100).map(|_| Arc::new(Outbox::new(1_000))).collect();
        let _places: Vec<_> = outboxes
            .iter()
            .map(|outbox| connections.add(outbox, Transport::Plain, &Metrics::default()))
            .collect();
        let window = Duration::from_secs(1);
        let drain = connections.drain(window, Duration::ZERO, Duration::ZERO);
        assert!(tokio::time::timeout(window / 2, drain).await.is_err());
        connections.stay();
        let asked = outboxes.iter().filter(|outbox| outbox.bytes() > 0).count();
        assert!((40..60).contains(&asked), "{asked}");
        let new = Arc::new(Outbox::new(1_000));
        let _new = connections.add(&new, Transport::Plain, &Metrics::default());
        assert_eq!(new.take(), None);
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
        assert!(begin.elapsed() < Duration::from_millis(100));
    }
}
