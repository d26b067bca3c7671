//! The bus of latest values inside one process: each commit that changes what is shown of a task is told to every
//! listener, each on its own.
//!
//! A listener never sees an older value after a newer one and always sees the last; what comes faster than five a
//! second for a task is conflated. A listener holds at most one waiting value for each task that moves, so its
//! memory is bounded by the number of running uploads, and one that is slow delays nobody.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::id::{Owner, TaskKey};
use crate::status::Status;
use crate::store::{Cause, Entry, Error};
use crate::time::UnixMillis;

/// The shortest time between two values of one task that is merely moving (DESIGN section 3: five a second).
pub const INTERVAL: Duration = Duration::from_millis(200);

/// Beyond this many remembered tasks a listener forgets those that are idle, so that it does not grow with history.
const REMEMBERED_MAX: usize = 4_096;

/// What a task is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// A task in this state.
    Live(Status),
    /// A tombstone.
    Gone(Cause),
}

impl Standing {
    /// Whether nothing will follow.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Live(status) => status.is_final(),
            Self::Gone(_) => true,
        }
    }
}

/// The latest value of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskUpdate {
    /// The task.
    pub key: TaskKey,
    /// Who created it.
    pub owner: Owner,
    /// What it is now.
    pub standing: Standing,
    /// Whole percent.
    pub progress: u8,
    /// The acknowledged offset in bytes.
    pub offset: u64,
    /// The length in bytes, if known.
    pub length: Option<u64>,
    /// Its position: greater for what came later.
    pub revision: u64,
    /// When it was so, by the store's clock.
    pub at: UnixMillis,
    /// The trace that changed it (W3C Trace Context), if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl TaskUpdate {
    /// The latest value that `entry` gives, as of `at`.
    #[must_use]
    pub fn of(entry: &Entry, at: UnixMillis) -> Self {
        let (standing, progress, offset, length) = match entry {
            Entry::Live(record) => (
                Standing::Live(record.status),
                record.progress(),
                record.offset(),
                record.length,
            ),
            Entry::Gone(tombstone) => (
                Standing::Gone(tombstone.cause),
                tombstone.progress,
                tombstone.offset,
                tombstone.length,
            ),
        };
        Self {
            key: entry.key().clone(),
            owner: entry.owner().clone(),
            standing,
            progress,
            offset,
            length,
            revision: entry.revision(),
            at,
            traceparent: None,
        }
    }
}

/// Sees that the feed tells of a task whoever commits to it. A feed tells of its own process's commits in any case.
#[async_trait]
pub trait Follow: Send + Sync + 'static {
    /// Follows a task: what is committed after this has returned is told. Idempotent.
    ///
    /// # Errors
    /// [`Error`] when it cannot be seen to now; asking again is safe.
    async fn follow(&self, key: &TaskKey) -> Result<(), Error>;

    /// Follows it no more.
    fn leave(&self, key: &TaskKey);
}

/// Where commits tell their latest values and listeners hear of them.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    listeners: Arc<Mutex<Vec<Arc<Shared>>>>,
}

impl Feed {
    /// A feed without listeners.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A listener of everything that is told from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        let shared = Arc::new(Shared::default());
        lock(&self.listeners).push(Arc::clone(&shared));
        Listener { shared }
    }

    /// Tells every listener; never waits.
    pub fn tell(&self, update: &TaskUpdate) {
        lock(&self.listeners).retain(|shared| {
            let wanted = Arc::strong_count(shared) > 1;
            if wanted {
                lock(&shared.waiting).offer(update, Instant::now());
                shared.wake.notify_one();
            }
            wanted
        });
    }
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

/// One listener of a [`Feed`]; dropping it ends the listening.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
}

impl Listener {
    /// The next value, as soon as its task may be told again.
    pub async fn next(&mut self) -> TaskUpdate {
        loop {
            let next = lock(&self.shared.waiting).take(Instant::now());
            match next {
                Take::Ready(update) => return *update,
                Take::At(instant) => tokio::select! {
                    () = self.shared.wake.notified() => {}
                    () = tokio::time::sleep_until(instant) => {}
                },
                Take::Nothing => self.shared.wake.notified().await,
            }
        }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    slots: HashMap<TaskKey, Slot>,
    due: BTreeSet<(Instant, TaskKey)>,
}

#[derive(Debug, Default)]
struct Slot {
    told: Option<(Instant, Standing)>,
    revision: u64,
    pending: Option<(Instant, TaskUpdate)>,
}

#[derive(Debug)]
enum Take {
    Ready(Box<TaskUpdate>),
    At(Instant),
    Nothing,
}

impl Waiting {
    fn offer(&mut self, update: &TaskUpdate, now: Instant) {
        let slot = self.slots.entry(update.key.clone()).or_default();
        if update.revision <= slot.revision {
            return;
        }
        slot.revision = update.revision;
        // A change of state is told at once; a mere advance keeps its distance to the last one told.
        let mut due = match slot.told {
            Some((told, standing)) if standing == update.standing => now.max(told + INTERVAL),
            _ => now,
        };
        if let Some((waiting, _)) = slot.pending.take() {
            self.due.remove(&(waiting, update.key.clone()));
            due = due.min(waiting);
        }
        slot.pending = Some((due, update.clone()));
        self.due.insert((due, update.key.clone()));
    }

    fn take(&mut self, now: Instant) -> Take {
        match self.due.first() {
            None => return Take::Nothing,
            Some((due, _)) if *due > now => return Take::At(*due),
            Some(_) => {}
        }
        let Some((_, key)) = self.due.pop_first() else {
            return Take::Nothing;
        };
        let Some(slot) = self.slots.get_mut(&key) else {
            return Take::Nothing;
        };
        let Some((_, update)) = slot.pending.take() else {
            return Take::Nothing;
        };
        slot.told = Some((now, update.standing));
        if self.slots.len() > REMEMBERED_MAX {
            // What has been quiet for an interval may be told at once anyway, and revisions only grow.
            self.slots
                .retain(|_, slot| slot.pending.is_some() || slot.told.is_some_and(|(told, _)| told + INTERVAL > now));
        }
        Take::Ready(Box::new(update))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Origin, TaskId, Tenant};

    fn update(key: &TaskKey, revision: u64, status: Status) -> TaskUpdate {
        TaskUpdate {
            key: key.clone(),
            owner: Owner::local(),
            standing: Standing::Live(status),
            progress: 0,
            offset: revision,
            length: None,
            revision,
            at: UnixMillis(0),
            traceparent: None,
        }
    }

    fn key() -> TaskKey {
        TaskKey {
            tenant: Tenant::default_tenant(),
            id: TaskId::generate(&Origin::local()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_moving_task_is_told_at_most_five_times_a_second_and_its_last_value_always() {
        let feed = Feed::new();
        let mut listener = feed.listen();
        let key = key();
        let begin = Instant::now();
        let teller = tokio::spawn({
            let (feed, key) = (feed.clone(), key.clone());
            async move {
                for revision in 1..=1_000 {
                    feed.tell(&update(&key, revision, Status::Uploading));
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                feed.tell(&update(&key, 1_001, Status::Completed));
            }
        });
        let mut seen = Vec::new();
        while seen.last() != Some(&1_001) {
            seen.push(listener.next().await.revision);
        }
        teller.await.unwrap();
        assert!(seen.is_sorted());
        assert!(seen.len() <= 7, "{} values in a second", seen.len());
        assert!(
            begin.elapsed() < Duration::from_millis(1_100),
            "the last value waited {:?}",
            begin.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_does_not_wait_for_another_and_an_older_value_never_follows() {
        let feed = Feed::new();
        let mut listener = feed.listen();
        let (a, b) = (key(), key());
        feed.tell(&update(&a, 5, Status::Uploading));
        feed.tell(&update(&a, 4, Status::Uploading));
        assert_eq!(listener.next().await.revision, 5);
        feed.tell(&update(&a, 6, Status::Uploading));
        feed.tell(&update(&b, 1, Status::Uploading));
        let begin = Instant::now();
        assert_eq!(listener.next().await.key, b);
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(listener.next().await.revision, 6);
    }
}
