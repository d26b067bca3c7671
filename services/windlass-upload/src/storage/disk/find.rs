//! Finding an upload on the disk without its record: the documents say where each epoch began, the files how far it came.

use std::io;
use std::path::Path;

use windlass_task::{Concat, Segment, SegmentKind, TaskKey, WriterEpoch};

use super::documents::{self, EpochStart};
use super::{Disk, STORE, failed};
use crate::storage::{Damage, Error, Found, Run, Runs, line_up};

/// How many epochs after the last one that a document names are looked for. An epoch's document comes before its file, so
/// only what an older build wrote is ever found.
const EPOCHS_LOOKED_FOR: u64 = 4;

/// A file of an upload's bytes.
struct Piece {
    key: String,
    epoch: WriterEpoch,
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
            epoch: WriterEpoch(0),
            kind: SegmentKind::Object,
            start: 0,
            size,
        });
    }
    let grounds = documents.grounds;
    let last = grounds.iter().map(|ground| ground.generation).max();
    let of_last = || grounds.iter().filter(|ground| Some(ground.generation) == last);
    // Each of several that reconcile at once takes a greater epoch than the one before, and any of them may have come first.
    let grounded = of_last().map(|ground| ground.epoch).min().unwrap_or(WriterEpoch(0));
    let ground = of_last().max_by_key(|ground| ground.end());
    let mut starts = documents.epochs;
    let first = WriterEpoch(1);
    if pieces.is_empty() && grounded < first && starts.iter().all(|begins| begins.epoch != first) {
        starts.push(EpochStart { epoch: first, start: 0 });
    }
    starts.sort_by_key(|begins| (begins.epoch, begins.start));
    let mut epoch = grounds
        .iter()
        .map(|ground| ground.epoch)
        .max()
        .unwrap_or(WriterEpoch(0));
    let unverified = |epoch: WriterEpoch| {
        let mut last = documents.unverified.iter().rev();
        last.find(|unverified| unverified.epoch == epoch)?.from
    };
    for EpochStart { epoch: named, start } in &starts {
        let key = format!("{stem}.{named}");
        let there = size(&key)?;
        if there.is_some() || *named != first {
            epoch = epoch.max(*named);
        }
        pieces.push(Piece {
            key,
            epoch: *named,
            kind: SegmentKind::Part,
            start: *start,
            size: unverified(*named)
                .map_or(u64::MAX, |from| from.saturating_sub(*start))
                .min(there.unwrap_or(0)),
        });
    }
    let mut damage = None;
    let last_named = starts.last().map_or(0, |begins| begins.epoch.0).max(epoch.0);
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
    // A final upload's bytes are its parts'.
    let owns_bytes = documents
        .manifest
        .as_ref()
        .is_none_or(|manifest| !matches!(manifest.concat, Some(Concat::Final { .. })));
    let completed = documents.completion.as_ref();
    let completed = completed.filter(|completion| completion.accepted && owns_bytes);
    let run = |piece: &Piece| run(piece, length.unwrap_or(u64::MAX));
    let (earlier, later): (Vec<&Piece>, Vec<&Piece>) = pieces.iter().partition(|piece| piece.epoch < grounded);
    let runs = Runs {
        earlier: earlier.into_iter().map(run).collect(),
        ground: ground.map(|ground| Run {
            start: 0,
            segments: ground.segments.clone(),
        }),
        later: later.into_iter().map(run).collect(),
    };
    let (segments, gap) = line_up(runs, completed.map(|completion| completion.length));
    Ok(Some(Found {
        manifest: documents.manifest,
        completion: documents.completion,
        length: documents.length,
        segments,
        epoch,
        damage: damage.or(gap),
    }))
}

/// A file's bytes as a run, no further than the upload's `length`.
fn run(piece: &Piece, length: u64) -> Run {
    let end = piece.start.saturating_add(piece.size).min(length);
    let segment = (end > piece.start).then(|| Segment {
        store: STORE.to_owned(),
        key: piece.key.clone(),
        start: piece.start,
        end,
        kind: piece.kind,
        parts: None,
    });
    Run {
        start: piece.start,
        segments: segment.into_iter().collect(),
    }
}

fn size_of(path: &Path) -> Result<Option<u64>, Error> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata
            .map(|metadata| Some(metadata.len()))
            .map_err(|source| failed("look at", path, source)),
    }
}
