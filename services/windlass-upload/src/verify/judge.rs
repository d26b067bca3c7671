//! What is wrong with an upload, given what its record says and what is stored. Knows no clock and asks nobody.

use windlass_task::{Concat, Finish, Generation, Record, Segment, Status, TaskKey};

use super::finding::{Flaw, Step};
use crate::reconcile::may_be_forgotten;
use crate::storage::{Completion, Found, Manifest};

/// What the storage has of an upload.
#[derive(Debug, Clone)]
pub(super) struct Stores {
    /// Without the record; or why that cannot be told.
    pub(super) found: Result<Option<Found>, String>,
    /// How many bytes of each segment of the record are there.
    pub(super) measured: Vec<u64>,
}

/// A flaw and what to do about it.
pub(super) type Wrong = (Flaw, Option<Step>);

/// What is wrong with an upload that has a record of the present generation.
pub(super) fn recorded(record: &Record, stores: &Stores) -> Vec<Wrong> {
    let key = || record.key.clone();
    let revision = record.revision;
    let mut wrong: Vec<Wrong> = missing(record, &stores.measured).collect();
    let whole = wrong.is_empty();
    let found = match &stores.found {
        Ok(found) => found.as_ref(),
        Err(reason) => {
            let reason = reason.clone();
            wrong.push((Flaw::DocumentUnreadable { reason }, None));
            return wrong;
        }
    };
    let Some((found, manifest)) = found.and_then(|found| Some((found, found.manifest.as_ref()?))) else {
        let write = Step::WriteManifest { task: key(), revision };
        wrong.push((Flaw::ManifestMissing, Some(write)));
        return wrong;
    };
    if let Some(what) = differs(record, manifest) {
        wrong.push((Flaw::ManifestDiffers { what }, None));
    }
    if record.finish == Finish::Accepted {
        match &found.completion {
            Some(completion) if completion.accepted && completion.length == record.received => {}
            Some(_) => wrong.push((Flaw::CompletionDiffers, None)),
            None => {
                let write = Step::WriteCompletion { task: key(), revision };
                wrong.push((Flaw::CompletionMissing, Some(write)));
            }
        }
    }
    // What was refused may lose its bytes, and a final upload's are its parts'.
    if whole && record.status != Status::Failed && !is_final(record.concat.as_ref()) {
        let reason = match &found.damage {
            Some(damage) => Some(damage.to_string()),
            None if found.received() < record.received => {
                Some(format!("they end at {} of {}", found.received(), record.received))
            }
            None => None,
        };
        wrong.extend(reason.map(|reason| (Flaw::BytesUnplaced { reason }, None)));
    }
    wrong
}

/// What is wrong with an upload whose record is of an earlier generation: it counts for as much as what is stored.
pub(super) fn outlived(record: &Record, stores: &Stores) -> Vec<Wrong> {
    let received = match &stores.found {
        Err(reason) => {
            let reason = reason.clone();
            return vec![(Flaw::DocumentUnreadable { reason }, None)];
        }
        Ok(None) => 0,
        // Its bytes are its parts'.
        Ok(Some(_)) if is_final(record.concat.as_ref()) => record.received,
        Ok(Some(found)) => found.received(),
    };
    if record.status == Status::Failed || received >= record.received {
        return Vec::new();
    }
    // It is answered 410 as soon as it is asked for.
    let missing = Flaw::BytesMissing {
        key: record.key.to_string(),
        from: received,
        to: record.received,
    };
    vec![(missing, None)]
}

/// The first bytes that the record lists and that are not there, of each segment.
fn missing(record: &Record, measured: &[u64]) -> impl Iterator<Item = Wrong> {
    let counts = record.status != Status::Failed;
    let lost = |(segment, there): (&Segment, &u64)| {
        let from = segment.start + there;
        (from < segment.end).then(|| Flaw::BytesMissing {
            key: segment.key.clone(),
            from,
            to: segment.end,
        })
    };
    let lost = record.segments.iter().zip(measured).filter_map(lost);
    lost.filter(move |_| counts)
        .enumerate()
        .map(|(index, flaw)| (flaw, (index == 0).then(|| mark_lost(record))))
}

/// The end of an upload whose bytes are not those that were acknowledged.
pub(super) fn mark_lost(record: &Record) -> Step {
    Step::MarkLost {
        task: record.key.clone(),
        revision: record.revision,
        token: record.token,
    }
}

/// Of what the manifest says something else than the record. A length may have been declared after it, and parts are
/// adopted after it.
fn differs(record: &Record, manifest: &Manifest) -> Option<&'static str> {
    let lengths = manifest.length.is_none() || manifest.length == record.length;
    let concats = match (&manifest.concat, &record.concat) {
        (Some(Concat::Partial { .. }), Some(Concat::Partial { .. })) | (None, None) => true,
        (Some(Concat::Final { parts, .. }), Some(Concat::Final { parts: others, .. })) => parts == others,
        (Some(_) | None, Some(_)) | (Some(_), None) => false,
    };
    let same = [
        ("name", manifest.key == record.key),
        ("owner", manifest.owner == record.owner),
        ("protocol", manifest.protocol == record.protocol),
        ("length", lengths),
        ("metadata", manifest.metadata == record.metadata),
        ("part size", manifest.part_size == record.part_size),
        ("write key", manifest.write_key == record.write_key),
        ("concatenation", concats),
        ("other names", manifest.aliases == record.aliases),
    ];
    same.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}

/// What becomes of an upload that has no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Its record is forgotten: it is made again.
    Forgotten,
    /// It is finished, and its record should be there.
    Finished,
    /// It was never finished.
    Orphan,
    /// Nobody can tell whose it is.
    Undocumented {
        /// Whether no store can have known it.
        nobodys: bool,
    },
}

/// What an upload without an entry is.
pub(super) fn unknown(key: &TaskKey, found: &Found, generation: Generation) -> Unknown {
    let forgettable = may_be_forgotten(key.id.born(), generation);
    let is_accepted = |completion: &Completion| completion.accepted;
    match &found.manifest {
        None => Unknown::Undocumented {
            nobodys: !forgettable && found.completion.is_none(),
        },
        Some(manifest) if forgettable && may_be_forgotten(manifest.created_at, generation) => Unknown::Forgotten,
        // Never removed by anybody but its owner: rather a store was restored that is older than what is stored.
        Some(_) if found.completion.as_ref().is_some_and(is_accepted) => Unknown::Finished,
        Some(_) => Unknown::Orphan,
    }
}

pub(super) fn is_final(concat: Option<&Concat>) -> bool {
    matches!(concat, Some(Concat::Final { .. }))
}
