//! The collector of garbage: what is stored and no upload needs is removed, by one process for all, now and then.
//!
//! It looks as `windlass verify` does, twice, and removes only what is marked as collected there: what was written longer
//! ago than anybody takes to record it, under an id that no store can have forgotten, and, of an upload that was begun, what
//! would have expired with a record. A piece goes only while it is as it was seen. So two that work at once, or one that
//! was given up and wakes late, do no harm, and one that dies in the middle leaves what the next one finds.
//!
//! It must not touch what is no upload's by its name.

pub mod settings;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use windlass_task::job::{Ended, Job, Turn};
use windlass_task::{UnixMillis, store};

pub use self::settings::Settings;
use crate::service::Upload;
use crate::verify::{self, Applied, Finding, Rules, Subject, Verifier, apply};

/// How long a turn lasts when its process has died: three of the leases by which processes are told from dead ones.
const TURN_LASTS: Duration = Duration::from_secs(30);
/// How often it is kept: three tries fit into one.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// How often is asked whether it is time, at most.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(60);
/// Between two pages: requests come first.
const PAGE_PAUSE: Duration = Duration::from_millis(100);

/// Why a round is given up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Things cannot be looked at.
    #[error("what is stored cannot be looked at")]
    Look(#[from] verify::Error),
    /// The store does not say whose turn it is.
    #[error("the store does not say whose turn it is")]
    KeepTurn(#[from] store::Error),
    /// Another process has it.
    #[error("the turn is another process's by now")]
    LoseTurn,
}

/// What a round has done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// What it found to be removed.
    pub found: u64,
    /// What it removed of that.
    pub removed: u64,
    /// The room that this made, bytes.
    pub freed: u64,
    /// What could not be removed; the next round finds it again.
    pub failed: u64,
}

/// Collects when it is time, until it is cancelled.
pub(crate) async fn run(upload: &Arc<Upload>) {
    let Some(settings) = upload.config.garbage else {
        return;
    };
    let pause = settings.every.min(LOOK_EVERY_MAX);
    loop {
        // Also at first: a process that has just started has better to do.
        sleep(pause).await;
        let jobs = &upload.parts.jobs;
        match jobs.take(Job::GARBAGE, settings.every, TURN_LASTS).await {
            Ok(None) => {}
            Ok(Some(turn)) => collect(upload, settings, &turn).await,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, "the store does not say whether garbage is to be collected");
            }
        }
    }
}

async fn collect(upload: &Arc<Upload>, settings: settings::Validated, turn: &Turn) {
    let collector = Collector::new(upload, settings);
    // However long one look or one removal takes, the turn is kept beside it.
    let round = tokio::select! {
        round = collector.round() => round,
        lost = keep(upload, turn) => Err(lost),
    };
    let how = match round {
        Ok(round) => {
            let Round {
                found,
                removed,
                freed,
                failed,
            } = round;
            tracing::info!(found, removed, freed, failed, "garbage was collected");
            upload.metrics.garbage_collected(&round);
            Ended::Done
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the collection of garbage is held up");
            upload.metrics.garbage_given_up();
            Ended::Undone
        }
    };
    if let Err(error) = upload.parts.jobs.end(turn, how).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "the turn was not ended, it ends by itself"
        );
    }
}

/// Keeps the turn until it is another's, or nobody can say.
async fn keep(upload: &Upload, turn: &Turn) -> Error {
    loop {
        sleep(KEEP_EVERY).await;
        match upload.parts.jobs.keep(turn).await {
            Ok(true) => {}
            Ok(false) => return Error::LoseTurn,
            Err(error) => return error.into(),
        }
    }
}

/// One round now, whoever's turn it is, of what is older than `safe_age` by this clock: for those who run the service in a
/// world of their own.
///
/// # Errors
/// [`Error`]; what was removed is.
pub async fn collect_once(
    upload: &Arc<Upload>,
    safe_age: Duration,
    clock: impl Fn() -> UnixMillis + Send + Sync + 'static,
) -> Result<Round, Error> {
    let settings = settings::Validated {
        safe_age,
        ..Settings::default().validated()
    };
    Collector::by_clock(upload, settings, Arc::new(clock)).round().await
}

/// Goes through all that is stored once.
struct Collector<'a> {
    upload: &'a Arc<Upload>,
    verifier: Verifier,
    /// Between two removals.
    pace: Duration,
}

impl<'a> Collector<'a> {
    fn new(upload: &'a Arc<Upload>, settings: settings::Validated) -> Self {
        Self::by_clock(upload, settings, Arc::new(UnixMillis::now))
    }

    fn by_clock(upload: &'a Arc<Upload>, settings: settings::Validated, clock: verify::Clock) -> Self {
        let rules = Rules {
            safe_age: settings.safe_age,
            lifetime: upload.config.lifetime,
            digests: false,
        };
        let (inventory, storage) = (Arc::clone(&upload.parts.inventory), Arc::clone(&upload.parts.storage));
        Self {
            upload,
            verifier: Verifier::with_clock(inventory, storage, rules, clock),
            pace: settings.pace,
        }
    }

    /// Looks at everything once.
    async fn round(&self) -> Result<Round, Error> {
        let mut round = Round::default();
        let mut after = None;
        loop {
            let (mut subjects, next) = self.verifier.stored(after.as_ref()).await?;
            subjects.retain(|subject| !matches!(subject, Subject::Stray(_)));
            self.collect(subjects, &mut round).await?;
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
            sleep(PAGE_PAUSE).await;
        }
        let mut after = None;
        loop {
            let (subjects, next) = self.verifier.unfinished(after.as_ref()).await?;
            self.collect(subjects, &mut round).await?;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(round),
            }
            sleep(PAGE_PAUSE).await;
        }
    }

    async fn collect(&self, subjects: Vec<Subject>, round: &mut Round) -> Result<(), Error> {
        let mut findings = self.verifier.confirmed(subjects).await?;
        findings.retain(|finding| finding.collected);
        for finding in findings {
            self.remove(&finding, round).await;
            sleep(self.pace).await;
        }
        Ok(())
    }

    async fn remove(&self, finding: &Finding, round: &mut Round) {
        let Some(step) = &finding.step else { return };
        round.found += 1;
        let subject = &finding.subject;
        match apply(self.upload, step).await {
            Ok(Applied::Done { freed }) => {
                round.removed += 1;
                round.freed += freed;
                tracing::info!(subject, flaw = finding.flaw.code(), freed, "garbage is removed");
            }
            Ok(Applied::Past { because }) => tracing::debug!(subject, because, "what seemed garbage is not removed"),
            Err(error) => {
                round.failed += 1;
                let error: &dyn std::error::Error = &error;
                tracing::warn!(subject, error, "garbage is not removed");
            }
        }
    }
}
