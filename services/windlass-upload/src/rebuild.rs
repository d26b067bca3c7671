//! Going through all that is stored, once in each generation of the store: what it has forgotten is known again before
//! anybody asks for it, and what final uploads list is theirs before any of it may be removed ([`windlass_task::rebuild`]).
//!
//! One process does it at a time; another goes on where it died. It does not hurry: it works for half of the time, and what
//! may have a living writer, who sees to his record himself, is left for later.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;
use windlass_task::job::{Ended, Job, Turn};
use windlass_task::rebuild::Walk;
use windlass_task::store::Cause;
use windlass_task::{Concat, Entry, TaskKey, UnixMillis};

use crate::concat;
use crate::error::Error;
use crate::reconcile::{self, CLOCK_SKEW_MAX};
use crate::service::Upload;
use crate::storage::{Cursor, Stored};

/// How often a process looks whether there is something to do, and tries again what came to no end.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a process has the turn without a word of it: what another waits after its death.
const TURN: Duration = Duration::from_secs(10);
/// How often the turn is kept: three tries fit into one.
const KEEP_EVERY: Duration = Duration::from_secs(3);
/// How many uploads are listed at once; what a process that dies leaves to be looked at again.
const PAGE: usize = 100;
/// How many uploads are looked at at once: with the pause after each page, two requests at a time to the storage.
const AT_ONCE: usize = 4;

/// Sees that the store is whole, until it is cancelled.
pub(crate) async fn run(upload: &Arc<Upload>) {
    loop {
        if let Err(error) = round(upload).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "making records again is held up"
            );
        }
        upload.metrics.rebuilding(false);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn round(upload: &Arc<Upload>) -> Result<(), Error> {
    let Some(walk) = upload.rebuild().unfinished().await? else {
        return Ok(());
    };
    let Some(turn) = upload.parts.jobs.take(Job::REBUILD, Duration::ZERO, TURN).await? else {
        return Ok(());
    };
    upload.metrics.rebuilding(true);
    let begun = Instant::now();
    let config = &upload.config;
    let settling = config.idle_timeout + upload.checkpoint() + config.hold;
    let walker = Walker {
        upload,
        turn,
        settling,
        left_until: begun + CLOCK_SKEW_MAX + settling,
    };
    let resumed = walk.after.is_some();
    tracing::info!(
        resumed,
        "what is stored is gone through, for what the store has forgotten"
    );
    let walked = walker.walk(walk).await;
    // What came to no end is begun again at once, by this process or another.
    upload.parts.jobs.end(&walker.turn, Ended::Undone).await?;
    match walked? {
        Some(seen) => tracing::info!(
            seen,
            seconds = begun.elapsed().as_secs(),
            "all that is stored is recorded"
        ),
        None => tracing::info!("going through what is stored is another's, or begins again"),
    }
    Ok(())
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Done,
    /// Somebody may be writing to it, or creating it.
    Left,
}

struct Walker<'a> {
    upload: &'a Arc<Upload>,
    turn: Turn,
    /// The longest that a living writer goes without a commit, and that a creation is without its record.
    settling: Duration,
    /// From when on nothing is left for later any more: what was begun when the generation began has come to its end.
    left_until: Instant,
}

impl Walker<'_> {
    /// Goes through everything from where the walk has come to; answers how many uploads were looked at, `None` where it
    /// lost its turn.
    async fn walk(&self, mut walk: Walk) -> Result<Option<u64>, Error> {
        let mut seen = 0;
        loop {
            let mut left = false;
            let mut after = walk.after.clone().map(Cursor::from);
            loop {
                let begun = Instant::now();
                let looking = async {
                    let page = self.upload.storage().list(after.as_ref(), PAGE).await?;
                    Ok::<_, Error>((page.uploads.len(), self.look_at(page.uploads).await?, page.next))
                };
                let Some(looked) = self.meanwhile(&walk, looking).await? else {
                    return Ok(None);
                };
                let (count, look, next) = looked?;
                seen += count as u64;
                self.upload.metrics.rebuild_saw(count as u64);
                left |= look == Look::Left;
                let Some(next) = next else { break };
                if !left {
                    // Whoever goes on after this process begins no later than at what was left.
                    walk.after = Some(next.as_str().to_owned());
                }
                after = Some(next);
                let pause = tokio::time::sleep(begun.elapsed());
                if !self.keep_on(&walk).await? || self.meanwhile(&walk, pause).await?.is_none() {
                    return Ok(None);
                }
            }
            if !left {
                self.upload.rebuild().finish(&walk).await?;
                return Ok(Some(seen));
            }
            let pause = tokio::time::sleep(self.settling / 4);
            if self.meanwhile(&walk, pause).await?.is_none() {
                return Ok(None);
            }
        }
    }

    /// Keeps the turn; whether it is still this process's, and the walk of the present generations.
    async fn keep_on(&self, walk: &Walk) -> Result<bool, Error> {
        Ok(self.upload.parts.jobs.keep(&self.turn).await? && self.upload.rebuild().note(walk).await?)
    }

    /// What came of `work`, for whose time the turn is kept; `None` when it was lost.
    async fn meanwhile<T>(&self, walk: &Walk, work: impl Future<Output = T>) -> Result<Option<T>, Error> {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(KEEP_EVERY, &mut work).await {
                Ok(done) => return Ok(Some(done)),
                Err(_) if self.keep_on(walk).await? => {}
                Err(_) => return Ok(None),
            }
        }
    }

    async fn look_at(&self, page: Vec<Stored>) -> Result<Look, Error> {
        let looks = page.into_iter().map(|stored| self.look_at_one(stored));
        let looks: Vec<Look> = stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await?;
        let left = looks.contains(&Look::Left);
        Ok(if left { Look::Left } else { Look::Done })
    }

    async fn look_at_one(&self, stored: Stored) -> Result<Look, Error> {
        let (store, key) = (self.upload.store(), &stored.key);
        let known = store.load(key).await?;
        let generation = store.generation(key).await?;
        let is_needed = reconcile::is_needed(key, known.as_ref(), generation);
        if is_needed && self.may_be_written(&stored) {
            return Ok(Look::Left);
        }
        match self.see_to(key, known.filter(|_| !is_needed)).await {
            Ok(()) | Err(Error::ReachUpload { cause: Cause::Lost }) => Ok(Look::Done),
            Err(error) => {
                // Is it this upload, or everything?
                self.upload.storage().list(None, 1).await?;
                store.load(key).await?;
                self.upload.metrics.rebuild_failed();
                tracing::error!(
                    task = %key.id,
                    tenant = %key.tenant,
                    error = &error as &dyn std::error::Error,
                    "an upload that the store may have forgotten cannot be recorded"
                );
                Ok(Look::Done)
            }
        }
    }

    /// Sees that an upload is recorded, and that its parts know of it when it is a final one: their part of the store may
    /// have forgotten more than its own.
    async fn see_to(&self, key: &TaskKey, known: Option<Entry>) -> Result<(), Error> {
        let entry = match known {
            Some(known) => Some(known),
            None => self.upload.entry(key).await?,
        };
        match entry {
            Some(Entry::Live(record)) if matches!(record.concat, Some(Concat::Final { .. })) => {
                Box::pin(concat::adopt_again(self.upload, *record)).await.map(drop)
            }
            Some(Entry::Live(_) | Entry::Gone(_)) | None => Ok(()),
        }
    }

    fn may_be_written(&self, stored: &Stored) -> bool {
        let moved = stored.newest.max(stored.key.id.born());
        let is_fresh = UnixMillis::now() < moved.after(self.settling);
        let is_held = || self.upload.holders.try_hold(&stored.key).is_none();
        Instant::now() < self.left_until && (is_fresh || is_held())
    }
}
