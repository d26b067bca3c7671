//! Doing one step of a plan, if what was seen still holds.

use std::sync::Arc;

use windlass_task::change::{Change, Refusal};
use windlass_task::{Commit, Entry, Finish, Outcome, Record, Segment, TaskKey};

use super::digest::{Compared, compare};
use super::finding::Step;
use super::look::names;
use crate::error::Error;
use crate::reconcile;
use crate::service::{Upload, failure};
use crate::storage::{Completion, Found, Manifest, Piece, Unfinished};

/// What came of a step.
#[derive(Debug)]
pub enum Applied {
    /// It is done.
    Done {
        /// The room that it made, bytes.
        freed: u64,
    },
    /// It is not as it was seen any more; nothing was done.
    Past {
        /// What is otherwise.
        because: &'static str,
    },
}

/// It is otherwise than it was seen.
const MOVED: Applied = Applied::Past {
    because: "its record has moved",
};

/// Does one step. Doing it twice is doing it once.
///
/// # Errors
/// [`Error`]; it may have been done in part, and can be tried again.
pub async fn apply(upload: &Arc<Upload>, step: &Step) -> Result<Applied, Error> {
    match step {
        Step::MarkLost { task, revision, token } => {
            let Some(record) = record(upload, task, *revision)
                .await?
                .filter(|record| record.token == *token)
            else {
                return Ok(MOVED);
            };
            mark_lost(upload, record).await
        }
        Step::Recreate { task, received } => recreate(upload, task, *received).await,
        Step::WriteManifest { task, revision } => match record(upload, task, *revision).await? {
            None => Ok(MOVED),
            Some(record) => write_manifest(upload, &record).await,
        },
        Step::WriteCompletion { task, revision } => match record(upload, task, *revision).await? {
            None => Ok(MOVED),
            Some(record) => write_completion(upload, &record).await,
        },
        Step::Remove { task, revision, pieces } => remove(upload, task, *revision, pieces).await,
        Step::Abandon { revision, unfinished } => abandon(upload, *revision, unfinished).await,
    }
}

/// The record, if it is the one that was seen.
async fn record(upload: &Upload, key: &TaskKey, revision: u64) -> Result<Option<Record>, Error> {
    Ok(match upload.store().load(key).await? {
        Some(Entry::Live(record)) if record.revision == revision => Some(*record),
        _ => None,
    })
}

async fn mark_lost(upload: &Arc<Upload>, record: Record) -> Result<Applied, Error> {
    if !is_lost(upload, &record).await? {
        return Ok(Applied::Past {
            because: "its bytes are there",
        });
    }
    let commit = Commit::held(record.key, record.token, record.received, vec![Change::Lose]);
    match upload.commit(commit).await? {
        // What is left of it is removed as that of any upload that is gone.
        Outcome::Committed(_) => Ok(Applied::Done { freed: 0 }),
        Outcome::Conflict(_) | Outcome::Refused(Refusal::Generation | Refusal::Gone, _) => Ok(MOVED),
        other => Err(failure(other)),
    }
}

async fn is_lost(upload: &Upload, record: &Record) -> Result<bool, Error> {
    let measured = upload.storage().measure(&record.segments).await?;
    let whole = |(segment, there): (&Segment, u64)| there >= segment.end - segment.start;
    if !record.segments.iter().zip(measured).all(whole) {
        return Ok(true);
    }
    let completion = upload.storage().read_completion(&record.key).await?;
    let compared = compare(upload.storage(), record, completion.as_ref()).await?;
    Ok(compared == Compared::Other)
}

async fn recreate(upload: &Arc<Upload>, key: &TaskKey, received: u64) -> Result<Applied, Error> {
    if upload.store().load(key).await?.is_some() {
        return Ok(Applied::Past {
            because: "it has a record",
        });
    }
    let found = upload.storage().find(key).await?;
    let same = |found: &Found| found.manifest.is_some() && found.received() == received;
    if !found.as_ref().is_some_and(same) {
        return Ok(Applied::Past {
            because: "something else is stored",
        });
    }
    match reconcile::recreate(upload, key).await? {
        Some(Entry::Live(_)) => Ok(Applied::Done { freed: 0 }),
        Some(Entry::Gone(_)) | None => Ok(Applied::Past {
            because: "something else is stored",
        }),
    }
}

async fn write_manifest(upload: &Upload, record: &Record) -> Result<Applied, Error> {
    let found = upload.storage().find(&record.key).await?;
    if found.is_some_and(|found| found.manifest.is_some()) {
        return Ok(Applied::Past { because: "it has one" });
    }
    upload.storage().write_manifest(&Manifest::of_record(record)).await?;
    Ok(Applied::Done { freed: 0 })
}

async fn write_completion(upload: &Upload, record: &Record) -> Result<Applied, Error> {
    if record.finish != Finish::Accepted || upload.storage().read_completion(&record.key).await?.is_some() {
        return Ok(Applied::Past { because: "it has one" });
    }
    let completion = Completion {
        digest: record.digest.clone(),
        answer: record.answer.clone(),
        ..Completion::accepted(record.received)
    };
    upload.storage().write_completion(&record.key, &completion).await?;
    Ok(Applied::Done { freed: 0 })
}

async fn remove(upload: &Upload, key: &TaskKey, revision: Option<u64>, pieces: &[Piece]) -> Result<Applied, Error> {
    // Whoever holds it may be about to record it.
    let Some(_hold) = upload.holders.try_hold(key) else {
        return Ok(Applied::Past {
            because: "somebody has it in hand",
        });
    };
    let entry = upload.store().load(key).await?;
    let needs = |piece: &Piece| match &entry {
        Some(Entry::Live(record)) => piece.is_of(record),
        Some(Entry::Gone(_)) | None => false,
    };
    if entry.as_ref().map(Entry::revision) != revision || pieces.iter().any(needs) {
        return Ok(MOVED);
    }
    let mut freed = None;
    for piece in pieces {
        if upload.storage().discard(key, piece).await? {
            freed = Some(freed.unwrap_or(0) + piece.bytes);
        }
    }
    Ok(freed.map_or(
        Applied::Past {
            because: "it is not there, or is another by now",
        },
        |freed| Applied::Done { freed },
    ))
}

async fn abandon(upload: &Upload, revision: Option<u64>, unfinished: &Unfinished) -> Result<Applied, Error> {
    let entry = upload.store().load(&unfinished.task).await?;
    let needed = matches!(&entry, Some(Entry::Live(record)) if names(record, unfinished));
    if entry.as_ref().map(Entry::revision) != revision || needed {
        return Ok(MOVED);
    }
    if upload.storage().abandon(unfinished).await? {
        Ok(Applied::Done { freed: 0 })
    } else {
        Ok(Applied::Past {
            because: "it is not there any more",
        })
    }
}
