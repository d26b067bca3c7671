//! Finding an upload on the disk without its record: the documents say where each epoch began, the files how far it came.

use std::io;
use std::path::Path;

use windlass_task::{Concat, Segment, SegmentKind, TaskKey, WriterEpoch};

use super::documents::{self, EpochStart};
use super::{Disk, STORE, failed};
use crate::storage::{Damage, Error, Found};

/// How many epochs after the last one that a document names are looked for. An epoch's document comes before its file, so
/// only what an older build wrote is ever found.
const EPOCHS_LOOKED_FOR: u64 = 4;

/// A file of an upload's bytes.
struct Piece {
    key: String,
    kind: SegmentKind,
    start: u64,
    size: u64,
}

/// What is stored of `key`.
pub(super) fn find(disk: &Disk, key: &TaskKey) -> Result<Option<Found>, Error> {
    let stem = Disk::stem(key);
    let documents = documents::read_all(&disk.documents(key))?;
    let documented = documents.is_some();
    let documents = documents.unwrap_or_default();
    let size = |key: &str| size_of(&disk.path(key));

    let mut pieces = Vec::new();
    let object = format!("{stem}.object");
    if let Some(size) = size(&object)? {
        pieces.push(Piece {
            key: object,
            kind: SegmentKind::Object,
            start: 0,
            size,
        });
    }
    let mut starts = documents.epochs;
    let first = WriterEpoch(1);
    if pieces.is_empty() && starts.iter().all(|begins| begins.epoch != first) {
        starts.push(EpochStart { epoch: first, start: 0 });
    }
    starts.sort_by_key(|begins| (begins.epoch, begins.start));
    let mut epoch = WriterEpoch(0);
    for EpochStart { epoch: named, start } in &starts {
        let key = format!("{stem}.{named}");
        let there = size(&key)?;
        if there.is_some() || *named != first {
            epoch = epoch.max(*named);
        }
        pieces.push(Piece {
            key,
            kind: SegmentKind::Part,
            start: *start,
            size: there.unwrap_or(0),
        });
    }
    let mut damage = None;
    let last_named = starts.last().map_or(0, |begins| begins.epoch.0);
    for unnamed in last_named + 1..=last_named + EPOCHS_LOOKED_FOR {
        let key = format!("{stem}.{unnamed}");
        if size(&key)?.is_some() {
            epoch = WriterEpoch(unnamed);
            damage = Some(Damage::Unplaced { key });
        }
    }
    if !documented && damage.is_none() && pieces.iter().all(|piece| piece.size == 0) {
        return Ok(None);
    }

    let ends = documents.completion.as_ref().map(|completion| completion.length);
    let stated = documents.manifest.as_ref().and_then(|manifest| manifest.length);
    let length = ends.or(stated).or(documents.length);
    let (segments, gap) = line_up(&pieces, length.unwrap_or(u64::MAX));
    let received = segments.last().map_or(0, |last| last.end);
    // A final upload's bytes are its parts'; what was refused may have lost its own.
    let owns_bytes = documents
        .manifest
        .as_ref()
        .is_none_or(|manifest| !matches!(manifest.concat, Some(Concat::Final { .. })));
    let completed = documents.completion.as_ref().filter(|completion| completion.accepted);
    let cut = completed
        .filter(|completion| owns_bytes && completion.length > received)
        .map(|completion| Damage::Missing {
            from: received,
            to: completion.length,
        });
    Ok(Some(Found {
        manifest: documents.manifest,
        completion: documents.completion,
        length: documents.length,
        segments,
        epoch,
        damage: damage.or(gap).or(cut),
    }))
}

/// The pieces as segments, each up to where the next begins: what an epoch wrote behind that, nobody was told of.
fn line_up(pieces: &[Piece], length: u64) -> (Vec<Segment>, Option<Damage>) {
    let mut segments: Vec<Segment> = Vec::new();
    let mut covered = 0;
    for (index, piece) in pieces.iter().enumerate() {
        if piece.start > covered {
            let (from, to) = (covered, piece.start);
            return (segments, Some(Damage::Missing { from, to }));
        }
        if piece.start < covered {
            let key = piece.key.clone();
            return (segments, Some(Damage::Unplaced { key }));
        }
        let next = pieces.get(index + 1).map_or(u64::MAX, |next| next.start);
        let end = piece.start.saturating_add(piece.size).min(next).min(length);
        if end > piece.start {
            segments.push(Segment {
                store: STORE.to_owned(),
                key: piece.key.clone(),
                start: piece.start,
                end,
                kind: piece.kind,
                parts: None,
            });
            covered = end;
        }
    }
    (segments, None)
}

fn size_of(path: &Path) -> Result<Option<u64>, Error> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata
            .map(|metadata| Some(metadata.len()))
            .map_err(|source| failed("look at", path, source)),
    }
}
