//! What is published, on a connection of its own. Redis keeps nothing for who is away: each time the subscriptions stand
//! anew, the receiver is told that it may have missed something.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::keeper::{Keeper, Making};
use crate::session::{ANSWER_WITHIN, Session};

/// How many channels one command names: a command of some 100 KiB.
const CHUNK: usize = 1_000;
/// How long somebody waits for a subscription to stand.
const STAND_WITHIN: Duration = Duration::from_secs(2);

/// Who takes what is published. Both are called from the connection's task and must not wait.
pub trait Receiver: Send + Sync + 'static {
    /// A message came.
    fn message(&self, channel: &str, payload: &[u8]);

    /// All subscriptions stand, after a connection was made: what was published before may have been missed.
    fn stands(&self);
}

/// A set of subscribed channels.
#[derive(Debug)]
pub struct Subscriptions {
    wanted: Arc<Wanted>,
    working: JoinHandle<()>,
}

#[derive(Debug)]
struct Wanted {
    channels: Mutex<HashSet<String>>,
    /// Counts the changes of `channels`.
    changed: watch::Sender<u64>,
    /// Up to which change all of them stand; `None` while there is no connection.
    standing: watch::Sender<Option<u64>>,
}

impl Subscriptions {
    pub(crate) fn start(client: redis::Client, receiver: Arc<dyn Receiver>) -> Self {
        let wanted = Arc::new(Wanted {
            channels: Mutex::default(),
            changed: watch::Sender::new(0),
            standing: watch::Sender::new(None),
        });
        let keeper = Keeper::start(Making {
            client,
            answer_within: ANSWER_WITHIN,
            prepare: None,
            receiver: Some(Arc::clone(&receiver)),
            purpose: "subscriptions",
        });
        let working = tokio::spawn(work(keeper, Arc::clone(&wanted), receiver));
        Self { wanted, working }
    }

    /// Wants a channel from now on.
    pub fn want(&self, channel: &str) {
        self.change(|channels| channels.insert(channel.to_owned()));
    }

    /// Wants several channels from now on.
    pub fn want_all(&self, more: impl IntoIterator<Item = String>) {
        self.change(|channels| {
            let before = channels.len();
            channels.extend(more);
            channels.len() > before
        });
    }

    /// Wants a channel no more.
    pub fn leave(&self, channel: &str) {
        self.change(|channels| channels.remove(channel));
    }

    /// Waits until everything that is wanted now stands: what is published after it will come, or [`Receiver::stands`].
    ///
    /// # Errors
    /// [`Error::Reach`] when it does not stand soon.
    pub async fn stand(&self) -> Result<(), Error> {
        let now = *self.wanted.changed.borrow();
        let mut standing = self.wanted.standing.subscribe();
        let stands = standing.wait_for(|stands| stands.is_some_and(|stands| stands >= now));
        match tokio::time::timeout(STAND_WITHIN, stands).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::Reach),
        }
    }

    fn change(&self, change: impl FnOnce(&mut HashSet<String>) -> bool) {
        let mut channels = lock(&self.wanted.channels);
        if change(&mut channels) {
            self.wanted.changed.send_modify(|count| *count += 1);
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.working.abort();
    }
}

async fn work(keeper: Keeper, wanted: Arc<Wanted>, receiver: Arc<dyn Receiver>) {
    let mut sessions = keeper.watch();
    loop {
        let Ok(session) = sessions.wait_for(Option::is_some).await.map(|session| session.clone()) else {
            return;
        };
        if let Some(session) = session {
            // It ends when the connection is of no more use.
            let Err(error) = serve(&session, &wanted, &*receiver).await;
            tracing::debug!(error = &error as &dyn std::error::Error, "subscriptions are made anew");
            wanted.standing.send_replace(None);
            session.leave();
        }
        let _ = sessions.wait_for(Option::is_none).await;
    }
}

/// Keeps what stands on this connection as what is wanted.
async fn serve(session: &Session, wanted: &Wanted, receiver: &dyn Receiver) -> Result<std::convert::Infallible, Error> {
    let mut changes = wanted.changed.subscribe();
    let mut standing = HashSet::new();
    let mut fresh = true;
    loop {
        let (count, target) = {
            let channels = lock(&wanted.channels);
            (*changes.borrow_and_update(), channels.clone())
        };
        let (more, fewer): (Vec<_>, Vec<_>) = (
            target.difference(&standing).collect(),
            standing.difference(&target).collect(),
        );
        for chunk in more.chunks(CHUNK) {
            session.subscribe(chunk).await?;
        }
        for chunk in fewer.chunks(CHUNK) {
            session.unsubscribe(chunk).await?;
        }
        standing = target;
        wanted.standing.send_replace(Some(count));
        if std::mem::take(&mut fresh) {
            receiver.stands();
        }
        tokio::select! {
            () = session.broken() => return Err(Error::Reach),
            changed = changes.changed() => changed.map_err(|_| Error::Reach)?,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
