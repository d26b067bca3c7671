//! What time does to uploads: the unfinished expire, bytes of the dead are removed, tombstones are forgotten.

use std::sync::Arc;
use std::time::Duration;

use windlass_task::change::Change;
use windlass_task::store::{Cause, Tombstone};
use windlass_task::{Commit, Entry, Outcome, TaskKey};

use crate::error::Error;
use crate::service::Upload;

/// The longest time between two rounds; shorter lifetimes are looked after more often.
const ROUND_MAX: Duration = Duration::from_secs(30);
/// How many tasks one round looks at before it lets others have the store.
const BATCH: usize = 100;

/// Looks after what is due, until it is cancelled.
pub(crate) async fn run(upload: &Arc<Upload>) {
    let pause = (upload.config.lifetime / 4).clamp(Duration::from_millis(100), ROUND_MAX);
    loop {
        match round(upload).await {
            Ok(BATCH..) => {}
            Ok(_) => tokio::time::sleep(pause).await,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "upkeep is held up");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// One round; answers how many tasks it moved on.
async fn round(upload: &Arc<Upload>) -> Result<usize, Error> {
    let mut done = 0;
    for key in upload.store().due(BATCH).await? {
        match look_after(upload, &key).await {
            Ok(moved) => done += usize::from(moved),
            Err(error) => {
                tracing::warn!(task = %key.id, error = &error as &dyn std::error::Error, "a task's upkeep failed");
            }
        }
    }
    Ok(done)
}

async fn look_after(upload: &Arc<Upload>, key: &TaskKey) -> Result<bool, Error> {
    // Whoever is writing keeps it alive.
    let Some(_hold) = upload.holders.try_hold(key) else {
        return Ok(false);
    };
    let entry = match upload.entry(key).await {
        // Nothing of it is stored: it can expire as it is known.
        Err(Error::ReachUpload { cause: Cause::Lost }) => upload.store().load(key).await?,
        entry => entry?,
    };
    match entry {
        Some(Entry::Live(_)) => {
            let commit = Commit::present(key.clone(), vec![Change::Expire]);
            match upload.store().commit(commit).await? {
                Outcome::Committed(Entry::Gone(tombstone)) => remove_bytes(upload, &tombstone).await,
                // A byte came in time after all.
                Outcome::Committed(Entry::Live(_)) | Outcome::Conflict(_) | Outcome::Refused(..) | Outcome::Unknown => {
                    Ok(false)
                }
            }
        }
        Some(Entry::Gone(tombstone)) if tombstone.stored => remove_bytes(upload, &tombstone).await,
        Some(Entry::Gone(_)) => {
            upload.store().forget(key).await?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Removes what is stored of a task that is gone, and records that nothing is left; whether it could be done now.
pub(crate) async fn remove_bytes(upload: &Upload, tombstone: &Tombstone) -> Result<bool, Error> {
    crate::concat::disown(upload, &tombstone.key.tenant, &tombstone.key.id, &tombstone.adopted).await?;
    if !tombstone.adopted_by.is_empty() {
        // Final uploads list these bytes; the last of them to go removes them.
        return Ok(false);
    }
    if !upload.rebuild().is_whole(&tombstone.key).await? {
        // A final upload that the store has forgotten may list them.
        return Ok(false);
    }
    upload
        .storage()
        .remove(&tombstone.key, &tombstone.segments, tombstone.epoch)
        .await?;
    let forget = Commit::present(tombstone.key.clone(), vec![Change::ForgetBytes]);
    upload.store().commit(forget).await?;
    Ok(true)
}
