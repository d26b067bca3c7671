//! Who may write to a task now: the newest request that has the right to (promise P2).
//!
//! A new request asks the present holder to let go; the holder stops reading its body, makes what it has durable and
//! releases. One that has not released within [`PATIENCE`] is overruled: its token is replaced by a commit, and
//! whatever it does later is refused by the store and lands in a file of its own. [`Holders`] is the lock of one process.
//! Between processes the record's token says whose task it is; that process is asked ([`Peers`](windlass_task::Peers)),
//! and judges by its own holder whether it lets go.

mod contention;
mod host;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use windlass_task::{HolderId, TaskKey, Token};

use self::contention::Contention;

/// How long a holder has to release before it is overruled (DESIGN P2).
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Why a holder is asked to let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// A newer request has the right to write.
    TakenOver,
    /// The owner paused the task, or ended it.
    Withdrawn {
        /// The record's revision by which it was so.
        revision: u64,
    },
}

/// Why a request does not get the right to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Two clients fight over the upload, and the one that moves keeps it.
    #[error("another client is sending this upload")]
    Contended { retry_after: Duration },
    /// While this request waited, a newer one came.
    #[error("a newer request has taken the upload over")]
    Superseded,
}

/// The holders of one process.
#[derive(Clone)]
pub(crate) struct Holders {
    inner: Arc<Inner>,
}

struct Inner {
    /// The name under which this process holds what it did not have to take by force.
    process: HolderId,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    tickets: u64,
    slots: HashMap<TaskKey, Slot>,
    /// The newest request that waits for each task; older ones give way to it.
    waiting: HashMap<TaskKey, u64>,
    contentions: HashMap<TaskKey, Contention>,
}

struct Slot {
    /// Requests are numbered as they come: the greater is the newer.
    ticket: u64,
    release: watch::Sender<Option<Release>>,
    /// When the holder's body last brought bytes.
    moved: Arc<Mutex<Option<Instant>>>,
}

/// The right to write to one task, until it is dropped.
pub(crate) struct Hold {
    inner: Arc<Inner>,
    key: TaskKey,
    ticket: u64,
    release: watch::Receiver<Option<Release>>,
    moved: Arc<Mutex<Option<Instant>>>,
    forced: bool,
    /// The record's revision from which this holder went on.
    known: u64,
}

impl Holders {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                process: HolderId::random(),
                table: Mutex::default(),
            }),
        }
    }

    /// The name that first writers of this process put into their token.
    pub(crate) fn process(&self) -> HolderId {
        self.inner.process
    }

    /// The hold on a task that nobody in this process holds, without waiting or disturbing anybody.
    pub(crate) fn try_hold(&self, key: &TaskKey) -> Option<Hold> {
        let mut table = self.inner.lock();
        if table.slots.contains_key(key) {
            return None;
        }
        let ticket = table.ticket();
        Some(self.occupy(&mut table, key, ticket, false))
    }

    /// The hold on a task, taken over from whoever has it. The caller has shown its right to write.
    pub(crate) async fn take_over(&self, key: &TaskKey) -> Result<Hold, Refusal> {
        let waiter = Waiter::new(&self.inner, key);
        let ticket = waiter.ticket;
        let deadline = Instant::now() + PATIENCE;
        let mut asked = false;
        loop {
            let released = {
                let mut table = self.inner.lock();
                if table.is_superseded(key, ticket) {
                    return Err(Refusal::Superseded);
                }
                let Some(slot) = table.slots.get(key) else {
                    return Ok(self.occupy(&mut table, key, ticket, false));
                };
                let release = slot.release.clone();
                if !asked {
                    let now = Instant::now();
                    let moved = *lock(&slot.moved);
                    table
                        .contend(key, now, moved)
                        .map_err(|retry_after| Refusal::Contended { retry_after })?;
                    asked = true;
                }
                release
            };
            ask(&released, Release::TakenOver);
            if tokio::time::timeout_at(deadline, released.closed()).await.is_err() {
                let mut table = self.inner.lock();
                if table.is_superseded(key, ticket) {
                    return Err(Refusal::Superseded);
                }
                let forced = table.slots.contains_key(key);
                return Ok(self.occupy(&mut table, key, ticket, forced));
            }
        }
    }

    /// Asks the holder of a task to let go, if there is one that went on before `revision`.
    pub(crate) fn withdraw(&self, key: &TaskKey, revision: u64) {
        if let Some(slot) = self.inner.lock().slots.get(key) {
            ask(&slot.release, Release::Withdrawn { revision });
        }
    }

    fn occupy(&self, table: &mut Table, key: &TaskKey, ticket: u64, forced: bool) -> Hold {
        let (sender, release) = watch::channel(None);
        let moved = Arc::new(Mutex::new(None));
        table.slots.insert(
            key.clone(),
            Slot {
                ticket,
                release: sender,
                moved: Arc::clone(&moved),
            },
        );
        Hold {
            inner: Arc::clone(&self.inner),
            key: key.clone(),
            ticket,
            release,
            moved,
            forced,
            known: 0,
        }
    }
}

/// Asks a holder; who takes over is heard whatever was asked before.
fn ask(release: &watch::Sender<Option<Release>>, reason: Release) {
    release.send_if_modified(|asked| {
        let heard = *asked != Some(Release::TakenOver);
        if heard {
            *asked = Some(reason);
        }
        heard
    });
}

impl Hold {
    /// The token that this hold must put in the place of `present` by a commit before it writes, or `None` when
    /// `present` is this process's own and its last holder released it.
    pub(crate) fn successor_of(&self, present: &Token) -> Option<Token> {
        if !self.forced && present.holder == self.inner.process {
            return None;
        }
        let holder = if self.forced {
            self.inner.process.sibling()
        } else {
            self.inner.process
        };
        Some(Token {
            generation: present.generation,
            epoch: present.epoch.next(),
            holder,
        })
    }

    /// Notes that the body brought bytes.
    pub(crate) fn moved(&self) {
        *lock(&self.moved) = Some(Instant::now());
    }

    /// Notes the record's revision from which this holder goes on: a pause up to it is over, however late the word of
    /// it comes.
    pub(crate) fn goes_on_from(&mut self, revision: u64) {
        self.known = revision;
    }

    /// Waits until somebody asks for the release. It does not borrow the hold, so it can be waited for all along.
    pub(crate) fn asked(&self) -> impl Future<Output = Release> + use<> {
        let (mut release, known) = (self.release.clone(), self.known);
        async move {
            let concerns = |asked: &Option<Release>| match asked {
                None => false,
                Some(Release::TakenOver) => true,
                Some(Release::Withdrawn { revision }) => *revision > known,
            };
            match release.wait_for(concerns).await.map(|reason| *reason) {
                Ok(Some(reason)) => reason,
                // The slot was replaced: this hold has been overruled.
                Ok(None) | Err(_) => Release::TakenOver,
            }
        }
    }

    /// Whether another process may be writing to the task.
    pub(crate) fn is_elsewhere(&self, present: &Token) -> bool {
        present.holder.process() != self.inner.process.process()
    }

    /// Whether it was taken from a holder that had not released.
    pub(crate) fn is_forced(&self) -> bool {
        self.forced
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut table = self.inner.lock();
        // An overruled holder must not remove its successor's slot.
        if table
            .slots
            .get(&self.key)
            .is_some_and(|slot| slot.ticket == self.ticket)
        {
            table.slots.remove(&self.key);
        }
        // The receiver goes with `self`: whoever waits for `closed` looks at the table again.
    }
}

/// A request that waits for a task, until it is dropped.
struct Waiter {
    inner: Arc<Inner>,
    key: TaskKey,
    ticket: u64,
}

impl Waiter {
    fn new(inner: &Arc<Inner>, key: &TaskKey) -> Self {
        let mut table = inner.lock();
        let ticket = table.ticket();
        table.waiting.insert(key.clone(), ticket);
        Self {
            inner: Arc::clone(inner),
            key: key.clone(),
            ticket,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut table = self.inner.lock();
        if table.waiting.get(&self.key) == Some(&self.ticket) {
            table.waiting.remove(&self.key);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

impl Table {
    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Whether a newer request than this one waits for the task or has it.
    fn is_superseded(&self, key: &TaskKey, ticket: u64) -> bool {
        self.waiting.get(key).is_some_and(|newest| *newest > ticket)
            || self.slots.get(key).is_some_and(|slot| slot.ticket > ticket)
    }

    /// Counts a takeover, or says how long the asker has to stay away.
    fn contend(&mut self, key: &TaskKey, now: Instant, moved: Option<Instant>) -> Result<(), Duration> {
        self.contentions.retain(|_, contention| !contention.is_over(now));
        self.contentions.entry(key.clone()).or_default().judge(now, moved)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
