//! Which channels the broker brings to this node: those with subscribers here, and no others for long.
//!
//! The hub knows the subscribers and never waits; the broker has to be asked and may take its time. For each channel
//! one change is made at a time, so that a subscription is not answered before its channel is really brought, and so
//! that the last one's leaving and the next one's coming cannot overtake each other.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::broker::{Broker, Error};
use crate::channel::ChannelKey;
use crate::hub::{Hub, Subscription, Watcher};
use crate::view::View;

/// Who brings channels to this node: the broker, and of tasks' latest values the store that has the tasks.
#[derive(Debug, Clone, Copy)]
pub struct Bringer<'a> {
    broker: &'a dyn Broker,
    view: Option<&'a View>,
}

impl<'a> Bringer<'a> {
    /// Channels by this broker, latest values by this view.
    #[must_use]
    pub fn new(broker: &'a dyn Broker, view: Option<&'a View>) -> Self {
        Self { broker, view }
    }

    async fn bring(&self, channel: &ChannelKey) -> Result<(), Error> {
        if let (Some(view), Some(task)) = (self.view, channel.task()) {
            let followed = view.follow.follow(&task).await;
            followed.map_err(|_| Error::Unreachable)?;
        }
        self.broker.subscribe(channel).await
    }

    async fn leave(&self, channel: &ChannelKey) -> Result<(), Error> {
        self.broker.unsubscribe(channel).await?;
        if let (Some(view), Some(task)) = (self.view, channel.task()) {
            view.follow.leave(&task);
        }
        Ok(())
    }
}

/// The channels that are brought to this node.
#[derive(Debug, Default)]
pub struct Interest {
    /// For each channel, whether it is brought. The asynchronous lock is what makes changes of one channel wait for
    /// each other; no other channel waits for it.
    brought: Mutex<HashMap<ChannelKey, Arc<tokio::sync::Mutex<bool>>>>,
    left: Mutex<HashSet<ChannelKey>>,
    wake: Notify,
}

impl Interest {
    /// Subscribes in the hub by `subscribe` and sees that the channel is brought.
    ///
    /// # Errors
    /// The broker's; there is no subscription then.
    pub async fn join(
        &self,
        bringer: Bringer<'_>,
        channel: &ChannelKey,
        subscribe: impl FnOnce() -> Subscription,
    ) -> Result<Subscription, Error> {
        let brought = Arc::clone(lock(&self.brought).entry(channel.clone()).or_default());
        let mut brought = brought.lock().await;
        let subscription = subscribe();
        if !*brought {
            bringer.bring(channel).await?;
            *brought = true;
        }
        Ok(subscription)
    }

    /// Tells the broker of channels that nobody here wants any more. Never returns.
    pub async fn tidy(&self, hub: &Hub, bringer: Bringer<'_>) {
        loop {
            self.wake.notified().await;
            let left = std::mem::take(&mut *lock(&self.left));
            for channel in left {
                self.tidy_one(hub, bringer, &channel).await;
            }
        }
    }

    async fn tidy_one(&self, hub: &Hub, bringer: Bringer<'_>, channel: &ChannelKey) {
        let Some(entry) = lock(&self.brought).get(channel).cloned() else {
            return;
        };
        let mut brought = entry.lock().await;
        if hub.has(channel) {
            return;
        }
        if *brought && bringer.leave(channel).await.is_err() {
            // It goes on being brought, which costs something and harms nobody; the next to leave tries again.
            return;
        }
        *brought = false;
        let mut all = lock(&self.brought);
        // Whoever waits for the lock holds the entry too; then it stays.
        if Arc::strong_count(&entry) == 2 {
            all.remove(channel);
        }
    }
}

impl Watcher for Interest {
    fn left(&self, channel: &ChannelKey) {
        lock(&self.left).insert(channel.clone());
        self.wake.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
