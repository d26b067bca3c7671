//! Latest values by publication: the feed of this process hears of its own commits, and of everybody's commits on the
//! tasks that it follows.
//!
//! Redis keeps no publication for who is away. When the subscriptions stand anew, every followed task is read, so the
//! last value always comes; an older one after a newer is dropped by the feed, which compares revisions.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use windlass_redis::{Call, Client, Receiver, Subscriptions};

use super::delivery::Delivery;
use super::entry::Reading;
use super::{RedisStore, failed, keys, scripts};
use crate::feed::{Feed, Follow, TaskUpdate};
use crate::id::TaskKey;
use crate::store::Error;

/// How many tasks are read at once when the subscriptions stand anew.
const BATCH: usize = 64;
/// The wait before they are read again when Redis went away meanwhile.
const RETRY_AFTER: Duration = Duration::from_millis(200);

pub(super) struct Updates {
    shared: Arc<Shared>,
    subscriptions: Arc<Subscriptions>,
    resyncing: JoinHandle<()>,
}

struct Shared {
    client: Client,
    feed: Feed,
    followed: Mutex<HashSet<TaskKey>>,
    delivery: Arc<Delivery>,
    stood: Notify,
}

impl Updates {
    pub(super) fn start(client: Client, delivery: &Arc<Delivery>) -> Self {
        let shared = Arc::new(Shared {
            client: client.clone(),
            feed: Feed::new(),
            followed: Mutex::default(),
            delivery: Arc::clone(delivery),
            stood: Notify::new(),
        });
        let subscriptions = Arc::new(client.subscriptions(shared.clone()));
        delivery.listen_by(&subscriptions);
        let resyncing = tokio::spawn(resync(Arc::clone(&shared)));
        Self {
            shared,
            subscriptions,
            resyncing,
        }
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.shared.feed
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.resyncing.abort();
    }
}

impl Receiver for Shared {
    fn message(&self, channel: &str, payload: &[u8]) {
        if let Some(partition) = keys::partition_of_outbox(channel) {
            self.delivery.ring(partition);
        } else if keys::task_of_update(channel).is_some() {
            match serde_json::from_slice::<TaskUpdate>(payload) {
                Ok(update) => self.feed.tell(&update),
                Err(error) => tracing::warn!(%error, "a latest value was not understood"),
            }
        }
    }

    fn stands(&self) {
        self.delivery.ring_all();
        self.stood.notify_one();
    }
}

async fn resync(shared: Arc<Shared>) {
    loop {
        shared.stood.notified().await;
        let followed: Vec<TaskKey> = lock(&shared.followed).iter().cloned().collect();
        for batch in followed.chunks(BATCH) {
            while let Err(error) = tell_present(&shared, batch).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "reading followed tasks again");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn tell_present(shared: &Shared, batch: &[TaskKey]) -> Result<(), Error> {
    let calls: Vec<Call> = batch
        .iter()
        .map(|key| scripts::READ.call(&[&keys::generation(key.id.partition()), &keys::task(key)]))
        .collect();
    let answers = shared.client.run_all(&calls).await;
    for (key, answer) in batch.iter().zip(answers.map_err(failed("read followed tasks"))?) {
        let answer = answer.map_err(failed("read followed tasks"))?;
        if let Some(reading) = Reading::of(key, answer)?
            && let Some(entry) = &reading.entry
        {
            shared.feed.tell(&TaskUpdate::of(entry, reading.now));
        }
    }
    Ok(())
}

#[async_trait]
impl Follow for RedisStore {
    async fn follow(&self, key: &TaskKey) -> Result<(), Error> {
        let updates = &self.inner.updates;
        lock(&updates.shared.followed).insert(key.clone());
        let channel = keys::update(key);
        updates.subscriptions.want(&channel);
        let stands = updates.subscriptions.stand_for(&channel).await;
        stands.map_err(failed("follow a task"))
    }

    fn leave(&self, key: &TaskKey) {
        let updates = &self.inner.updates;
        lock(&updates.shared.followed).remove(key);
        updates.subscriptions.leave(&keys::update(key));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
