//! A record that the store may have forgotten, or knows less of than was acknowledged, is reconciled with the storage
//! before any offset of it is shown (DESIGN section 7).
//!
//! A store that loses what it acknowledged begins a new generation. A record of an earlier one, and an id without a record
//! that was born before it, are looked up in the storage: bytes were durable there before any commit spoke of them, so
//! what it has is never less than what was acknowledged. What it has not any more is answered 410, never by a smaller
//! offset. The new token fences whoever wrote in the earlier generation. What may be done is decided by
//! [`Change::Reconcile`]; the first of many that ask at once does it.

use std::sync::Arc;
use std::time::Duration;

use windlass_task::change::{Change, Reconciliation, Refusal, Verdict};
use windlass_task::record::Creation;
use windlass_task::store::Cause;
use windlass_task::{
    Commit, Concat, Entry, Generation, Outcome, Record, Segment, Status, TaskKey, Token, UnixMillis, WriterEpoch,
};

use crate::concat;
use crate::error::Error;
use crate::service::{Upload, failure, patiently};
use crate::storage::{Completion, Found, Manifest};

/// How far a process's clock, by which ids and manifests are dated, may be ahead of the store's, by which a generation
/// begins. Too little, and what a store forgot in that time is answered 404; too much, and a creation that died before its
/// record comes to be, which nobody asks for and which expires.
pub(crate) const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);
/// How often it is begun again when another process, or another generation, comes in between.
const TRIES: usize = 5;

/// Whether what the store says of `key` may be less than what was acknowledged.
pub(crate) fn is_needed(key: &TaskKey, entry: Option<&Entry>, generation: Generation) -> bool {
    match entry {
        Some(Entry::Live(record)) => record.token.generation < generation,
        // The end of a task is final in every generation.
        Some(Entry::Gone(_)) => false,
        None => may_be_forgotten(key.id.born(), generation),
    }
}

/// Whether something of that time may have been known to an earlier generation.
pub(crate) fn may_be_forgotten(born: UnixMillis, generation: Generation) -> bool {
    born < generation.began().after(CLOCK_SKEW_MAX)
}

/// The entry of `key` as it may be shown in the store's present generation.
///
/// # Errors
/// [`Error::ReachUpload`] with [`Cause::Lost`] where the storage has less than was acknowledged.
pub(crate) async fn entry(upload: &Arc<Upload>, key: &TaskKey) -> Result<Option<Entry>, Error> {
    reconcile(upload, key, Whether::Forgotten).await
}

/// The entry of `key`, made again from what is stored if there is none, whether or not the store can have forgotten it: for
/// who knows that it should be there.
///
/// # Errors
/// As [`entry`].
pub(crate) async fn recreate(upload: &Arc<Upload>, key: &TaskKey) -> Result<Option<Entry>, Error> {
    reconcile(upload, key, Whether::Stored).await
}

/// When a record is made that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whether {
    /// Where it may have been forgotten.
    Forgotten,
    /// Where anything is stored.
    Stored,
}

async fn reconcile(upload: &Arc<Upload>, key: &TaskKey, whether: Whether) -> Result<Option<Entry>, Error> {
    for _ in 0..TRIES {
        let known = patiently!(upload, upload.store().load(key))?;
        let generation = patiently!(upload, upload.store().generation(key))?;
        let wanted = whether == Whether::Stored && known.is_none();
        if !wanted && !is_needed(key, known.as_ref(), generation) {
            return Ok(known);
        }
        let Some(found) = patiently!(upload, upload.storage().find(key))? else {
            return if known.is_some() { Err(lost(key)) } else { Ok(None) };
        };
        let known = match &known {
            Some(Entry::Live(record)) => Some(&**record),
            Some(Entry::Gone(_)) | None => None,
        };
        let left = known.map_or(WriterEpoch(0), |record| record.token.epoch);
        let going_on = GoingOn {
            token: Token {
                generation,
                epoch: found.epoch.max(left).next(),
                holder: upload.holders.process(),
            },
            lifetime: upload.config.lifetime,
            quarantine: upload.config.quarantine,
            whether,
        };
        let found = if found.manifest.is_some() && found.damage.is_none() {
            let epoch = going_on.token.epoch;
            let storage = upload.storage();
            patiently!(upload, storage.secure(key, found.clone(), generation, epoch))?
        } else {
            found
        };
        match plan(known, found, &going_on) {
            Plan::Unknown => return Ok(None),
            Plan::Lost => return Err(lost(key)),
            Plan::Commit(commit) => match upload.commit(commit).await? {
                Outcome::Committed(entry) => return reconciled(upload, entry).await.map(Some),
                // Another process was first, or the generation is over; or nobody can say.
                Outcome::Conflict(_)
                | Outcome::Refused(Refusal::Token | Refusal::Generation | Refusal::Absent | Refusal::Gone, _)
                | Outcome::Unknown => {}
                other @ Outcome::Refused(..) => return Err(failure(other)),
            },
        }
    }
    Err(Error::ConfirmCheckpoint)
}

fn lost(key: &TaskKey) -> Error {
    tracing::error!(task = %key.id, tenant = %key.tenant, "an upload is recorded and its bytes are not there");
    Error::ReachUpload { cause: Cause::Lost }
}

/// What follows a reconciliation that was committed.
async fn reconciled(upload: &Arc<Upload>, entry: Entry) -> Result<Entry, Error> {
    upload.metrics.reconciled(&entry);
    match entry {
        Entry::Live(record) => {
            tracing::debug!(task = %record.key.id, received = record.received, "an upload was reconciled with the storage");
            match &record.concat {
                // Which parts it has adopted may be forgotten, and it may be joined already.
                Some(Concat::Final { .. }) => {
                    let joined = Box::pin(concat::adopt_again(upload, *record)).await?;
                    Ok(Entry::Live(Box::new(joined)))
                }
                Some(Concat::Partial { .. }) | None => Ok(Entry::Live(record)),
            }
        }
        Entry::Gone(tombstone) => {
            tracing::error!(task = %tombstone.key.id, "acknowledged bytes of an upload are gone");
            Ok(Entry::Gone(tombstone))
        }
    }
}

/// Who goes on, for how long, and whether what is finished waits for a release.
struct GoingOn {
    whether: Whether,
    quarantine: bool,
    token: Token,
    lifetime: Duration,
}

enum Plan {
    /// It never was an upload, or is none any more.
    Unknown,
    /// What was acknowledged is gone, and nothing may be made of what is left.
    Lost,
    Commit(Commit),
}

/// What is to be done with a record of an earlier generation, or with none, given what is stored.
fn plan(known: Option<&Record>, found: Found, going_on: &GoingOn) -> Plan {
    let Some(manifest) = &found.manifest else {
        // Without its manifest nothing here is this upload's storage: perhaps it is the wrong one.
        return if known.is_some() { Plan::Lost } else { Plan::Unknown };
    };
    let token = going_on.token;
    let (received, segments) = bytes(known, &found, manifest);
    let damaged = found.damage.is_some();
    match known {
        None if going_on.whether == Whether::Forgotten && !may_be_forgotten(manifest.created_at, token.generation) => {
            Plan::Unknown
        }
        None if damaged => Plan::Lost,
        Some(record) if record.status == Status::Completed && (damaged || received < record.received) => Plan::Lost,
        known => {
            let completion = found.completion.as_ref().filter(|_| owns_bytes(manifest));
            let judged = completion.filter(|completion| completion.length == received);
            // What was refused may have lost bytes since: it stays refused.
            let refused = completion.filter(|completion| !completion.accepted && judged.is_none());
            let stored = Reconciliation {
                token,
                received,
                segments,
                damaged,
                length: found
                    .completion
                    .as_ref()
                    .map(|completion| completion.length)
                    .or(found.length),
                verdict: judged.map(verdict),
                quarantined: going_on.quarantine,
                created: Some(manifest.created_at),
            };
            let mut commit = match known {
                Some(record) => Commit::present(record.key.clone(), Vec::new()),
                None => Commit::create(creation(manifest, token, going_on.lifetime)),
            };
            commit.changes.push(Change::Reconcile(Box::new(stored)));
            if known.is_none_or(|record| !record.status.is_final()) {
                let reason = refused.and_then(|refused| refused.reason.clone());
                commit.changes.extend(reason.map(|reason| Change::Fail { reason }));
            }
            Plan::Commit(commit)
        }
    }
}

/// A final upload's bytes are its parts': it is joined again from them.
fn owns_bytes(manifest: &Manifest) -> bool {
    !matches!(manifest.concat, Some(Concat::Final { .. }))
}

fn bytes(known: Option<&Record>, found: &Found, manifest: &Manifest) -> (u64, Vec<Segment>) {
    match known {
        Some(record) if !owns_bytes(manifest) => (record.received, record.segments.clone()),
        _ => (found.received(), found.segments.clone()),
    }
}

fn verdict(completion: &Completion) -> (Verdict, Option<Box<windlass_task::Answer>>) {
    (completion.verdict(), completion.answer.clone())
}

/// The creation that the manifest is of.
fn creation(manifest: &Manifest, token: Token, lifetime: Duration) -> Creation {
    let is_final = !owns_bytes(manifest);
    Creation {
        key: manifest.key.clone(),
        owner: manifest.owner.clone(),
        protocol: manifest.protocol,
        length: manifest.length,
        metadata: manifest.metadata.clone(),
        token,
        write_key: manifest.write_key.clone(),
        lifetime: if is_final {
            lifetime * concat::LIFETIMES
        } else {
            lifetime
        },
        concat: manifest.concat.clone(),
        digest: manifest.digest.clone(),
        aliases: manifest.aliases.clone(),
    }
}

#[cfg(test)]
mod tests;
