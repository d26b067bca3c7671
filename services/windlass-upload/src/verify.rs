//! Checking that what the store says of uploads and what the storage has are the same uploads (`windlass verify`).
//!
//! Two walks, in pages, whatever the number of uploads: over the records, each compared with what is stored of it, and over
//! what is stored, for what no record knows. The world goes on meanwhile. So what is found is looked at a second time, on
//! both sides, and told only if it is the same then and the record has not moved in between: bytes are stored before a
//! commit speaks of them, and removed only after one that does so no more.
//!
//! Nothing is changed here but by [`apply`], a step at a time, and each only while what was seen still holds. The collector
//! of garbage (`garbage`) takes the same looks and applies the same steps, of those that are marked as its own.

mod apply;
mod digest;
mod finding;
mod judge;
mod look;
mod open;
mod plan;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use windlass_task::{Inventory, UnixMillis, store};

pub use self::apply::{Applied, apply};
use self::digest::Compared;
pub use self::finding::{Cost, Finding, Flaw, Shown, Step};
pub(crate) use self::look::Subject;
pub use self::open::{OpenError, open, open_to_apply};
pub use self::plan::{Plan, PlanError, Planned};
use crate::storage::{self, Cursor, Storage};

/// How many are asked for at once. More would save no round trip that counts, and hold more memory.
const PAGE: usize = 256;
/// How many looks are taken at once: over a network they are mostly waiting.
const LOOKS_AT_ONCE: usize = 8;
/// Between the first look at what seems wrong and the second: what moves has moved by then.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(250);
/// How often a look is taken again that a store or a storage did not answer.
const TRIES: usize = 4;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Asks again what was not answered.
macro_rules! retried {
    ($ask:expr) => {{
        let mut tries = 1;
        loop {
            match $ask.await {
                Err(error) if tries < TRIES => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a look is taken again");
                    tries += 1;
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                answered => break answered,
            }
        }
    }};
}

/// Why nobody can say how things are.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The records cannot be read.
    #[error("the records cannot be read")]
    ReadRecords(#[from] store::Error),
    /// The storage cannot be read.
    #[error("the storage cannot be read")]
    ReadStorage(#[from] storage::Error),
}

/// By what is judged.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// What was written since then may be about to be recorded: it is never garbage.
    pub safe_age: Duration,
    /// How long an unfinished upload lives.
    pub lifetime: Duration,
    /// Whether bytes are read and compared with their digests.
    pub digests: bool,
}

/// The machine's clock, or a test's.
pub(crate) type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Looks at everything.
pub struct Verifier {
    inventory: Arc<dyn Inventory>,
    storage: Arc<dyn Storage>,
    rules: Rules,
    clock: Clock,
    tally: Tally,
}

/// How far it has come.
#[derive(Debug, Default)]
struct Tally {
    records: AtomicU64,
    stored: AtomicU64,
    bytes: AtomicU64,
    compared: AtomicU64,
    without_digest: AtomicU64,
}

impl Tally {
    fn compared(&self, compared: Compared) {
        let count = match compared {
            Compared::Same | Compared::Other => &self.compared,
            Compared::WithoutDigest => &self.without_digest,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// How far it has come, in numbers that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Entries looked at.
    pub records: u64,
    /// Stored uploads looked at.
    pub uploads: u64,
    /// The room that these take, bytes.
    pub bytes: u64,
    /// Finished uploads whose bytes were compared with a digest.
    pub compared: u64,
    /// Finished uploads that have none.
    pub without_digest: u64,
}

/// What is told while it looks.
#[derive(Debug)]
pub enum Told {
    /// Something is wrong.
    Found(Finding),
    /// A page is done.
    Progress(Progress),
}

impl Verifier {
    /// Looks at these records and this storage.
    #[must_use]
    pub fn new(inventory: Arc<dyn Inventory>, storage: Arc<dyn Storage>, rules: Rules) -> Self {
        Self::with_clock(inventory, storage, rules, Arc::new(UnixMillis::now))
    }

    pub(crate) fn with_clock(
        inventory: Arc<dyn Inventory>,
        storage: Arc<dyn Storage>,
        rules: Rules,
        clock: Clock,
    ) -> Self {
        Self {
            inventory,
            storage,
            rules,
            clock,
            tally: Tally::default(),
        }
    }

    /// Looks at everything once and tells what is wrong, in no order that means anything.
    ///
    /// # Errors
    /// [`Error`]; what was told before is so.
    pub async fn run(&self, tell: &mut (dyn FnMut(Told) + Send)) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = retried!(self.inventory.keys(after.as_ref(), PAGE))?;
            let count = page.keys.len() as u64;
            let subjects = page.keys.into_iter().map(Subject::Recorded).collect();
            self.tell_of(subjects, tell).await?;
            self.tally.records.fetch_add(count, Ordering::Relaxed);
            tell(Told::Progress(self.progress()));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let mut after = None;
        loop {
            let (subjects, next) = self.stored(after.as_ref()).await?;
            self.tell_of(subjects, tell).await?;
            tell(Told::Progress(self.progress()));
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let mut after = None;
        loop {
            let (subjects, next) = self.unfinished(after.as_ref()).await?;
            self.tell_of(subjects, tell).await?;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let Tally {
            records,
            stored,
            bytes,
            compared,
            without_digest,
        } = &self.tally;
        let [records, uploads, bytes, compared, without_digest] =
            [records, stored, bytes, compared, without_digest].map(|count| count.load(Ordering::Relaxed));
        Progress {
            records,
            uploads,
            bytes,
            compared,
            without_digest,
        }
    }

    /// A page of what is stored.
    pub(crate) async fn stored(&self, after: Option<&Cursor>) -> Result<(Vec<Subject>, Option<Cursor>), Error> {
        let page = retried!(self.storage.list(after, PAGE))?;
        let bytes = page.uploads.iter().map(|stored| stored.bytes).sum();
        self.tally.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tally
            .stored
            .fetch_add(page.uploads.len() as u64, Ordering::Relaxed);
        let uploads = page.uploads.into_iter().map(Subject::Stored);
        let strays = page.strays.into_iter().map(Subject::Stray);
        Ok((uploads.chain(strays).collect(), page.next))
    }

    /// A page of the parts that became no object.
    pub(crate) async fn unfinished(&self, after: Option<&Cursor>) -> Result<(Vec<Subject>, Option<Cursor>), Error> {
        let page = retried!(self.storage.unfinished(after, PAGE))?;
        Ok((
            page.unfinished.into_iter().map(Subject::Unfinished).collect(),
            page.next,
        ))
    }

    async fn tell_of(&self, subjects: Vec<Subject>, tell: &mut (dyn FnMut(Told) + Send)) -> Result<(), Error> {
        let found = self.confirmed(subjects).await?;
        found.into_iter().for_each(|finding| tell(Told::Found(finding)));
        Ok(())
    }

    /// What is wrong with these, and still is at a second look.
    pub(crate) async fn confirmed(&self, subjects: Vec<Subject>) -> Result<Vec<Finding>, Error> {
        let mut suspects = self.look_at_all(subjects).await?;
        suspects.retain(|(_, findings)| !findings.is_empty());
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        tokio::time::sleep(SECOND_LOOK_AFTER).await;
        let (again, first): (Vec<_>, Vec<_>) = suspects.into_iter().unzip();
        let second = self.look_at_all(again).await?;
        let both = first.into_iter().zip(second).flat_map(|(first, (_, second))| {
            let holds = move |finding: &Finding| second.contains(finding);
            first.into_iter().filter(holds)
        });
        Ok(both.collect())
    }

    /// In the order of the subjects.
    async fn look_at_all(&self, subjects: Vec<Subject>) -> Result<Vec<(Subject, Vec<Finding>)>, Error> {
        stream::iter(subjects)
            .map(|subject| self.look_patiently(subject))
            .buffered(LOOKS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn look_patiently(&self, subject: Subject) -> Result<(Subject, Vec<Finding>), Error> {
        let findings = retried!(self.look(&subject))?;
        Ok((subject, findings))
    }
}

/// An error with everything that caused it, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    crate::tusd::with_causes(error)
}

#[cfg(test)]
pub(crate) mod tests;
