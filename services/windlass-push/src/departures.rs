//! Connections that were lost, whose clients are usually back within a moment, here or at another node: nobody needs to see
//! that they went. They leave their channels after a grace, unless another connection has taken their place by then. What a
//! process holds back when it ends is told by another one, when its lease has ended.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::Broker;
use crate::channel::ChannelKey;
use crate::client::ClientId;

/// How many are held back at most, a few hundred bytes each; beyond it the oldest leave before their time.
const HELD_MAX: usize = 100_000;
/// How many leave at once: a pipeline of some 100 KiB.
const BATCH: usize = 512;

/// A connection that was lost, of one channel, and when it leaves that.
#[derive(Debug)]
struct Departure {
    at: Instant,
    channel: ChannelKey,
    client: ClientId,
}

/// Those that are held back, oldest first: all for the same time.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    held: Mutex<VecDeque<Departure>>,
    more: Notify,
    count: Gauge,
}

impl Departures {
    /// How many are held back.
    pub(crate) fn count(&self) -> Gauge {
        self.count.clone()
    }

    pub(crate) fn hold(&self, channel: ChannelKey, client: ClientId, grace: Duration) {
        let at = Instant::now() + grace;
        self.lock().push_back(Departure { at, channel, client });
        self.count.inc();
        self.more.notify_one();
    }

    /// Takes them out of their channels when their time has come. Never returns.
    pub(crate) async fn keep(&self, broker: &dyn Broker) {
        loop {
            let due = self.due().await;
            let leaving = due
                .iter()
                .map(|departure| broker.leave(&departure.channel, departure.client));
            let failed = join_all(leaving).await.iter().filter(|left| left.is_err()).count();
            if failed > 0 {
                tracing::debug!(
                    failed,
                    "lost connections are still seen in channels, until the broker is back"
                );
            }
        }
    }

    /// The next whose time has come.
    async fn due(&self) -> Vec<Departure> {
        loop {
            let due = self.take();
            if !due.is_empty() {
                return due;
            }
            let next = self.lock().front().map(|departure| departure.at);
            let time = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = time => {}
                () = self.more.notified() => {}
            }
        }
    }

    fn take(&self) -> Vec<Departure> {
        let (mut held, now) = (self.lock(), Instant::now());
        let count = held
            .iter()
            .take(BATCH)
            .take_while(|departure| departure.at <= now)
            .count();
        let too_many = held.len().saturating_sub(HELD_MAX).min(BATCH);
        let due: Vec<Departure> = held.drain(..count.max(too_many)).collect();
        self.count.set(i64::try_from(held.len()).unwrap_or(i64::MAX));
        due
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Departure>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use windlass_task::Tenant;

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn channel(number: usize) -> ChannelKey {
        ChannelKey::new(&Tenant::default_tenant(), &number.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_lost_leaves_after_the_grace_and_in_order() {
        let departures = Departures::default();
        let begun = Instant::now();
        for number in 0..2 {
            departures.hold(channel(number), ClientId::random(), GRACE);
        }
        let due = departures.due().await;
        assert_eq!(begun.elapsed(), GRACE);
        assert_eq!(
            due.iter().map(|due| due.channel.clone()).collect::<Vec<_>>(),
            [channel(0), channel(1)]
        );
        assert_eq!(departures.count().get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_is_bounded_and_the_oldest_leave_first() {
        let departures = Departures::default();
        for number in 0..=HELD_MAX {
            departures.hold(channel(number), ClientId::random(), GRACE);
        }
        let due = departures.due().await;
        assert_eq!(
            due.iter().map(|due| due.channel.clone()).collect::<Vec<_>>(),
            [channel(0)]
        );
    }
}
