//! The files of one upload, one by one.

use std::io;

use windlass_task::{Segment, TaskKey};

use super::list::{id_of, look, metadata, names};
use super::{Disk, STORE, failed};
use crate::storage::{Error, Piece};

/// How many bytes of each segment are there.
pub(super) fn measure(disk: &Disk, segments: &[Segment]) -> Result<Vec<u64>, Error> {
    let size = |segment: &Segment| {
        if segment.store != STORE {
            return Ok(0);
        }
        let there = metadata(&disk.path(&segment.key))?.filter(std::fs::Metadata::is_file);
        let size = there.map_or(0, |there| there.len());
        Ok(size.min(segment.end - segment.start))
    };
    segments.iter().map(size).collect()
}

/// All files of an upload, its documents last.
pub(super) fn pieces(disk: &Disk, key: &TaskKey) -> Result<Vec<Piece>, Error> {
    let documents = disk.documents(key);
    let Some(directory) = documents.parent() else {
        return Ok(Vec::new());
    };
    let folder = Disk::stem(key);
    let folder = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut pieces = Vec::new();
    for name in names(directory)? {
        if id_of(&name).as_ref() == Some(&key.id)
            && let Some(metadata) = metadata(&directory.join(&name))?
        {
            pieces.push(look(format!("{folder}/{name}"), &metadata));
        }
    }
    pieces.sort_by(|one, other| (one.document, &one.key).cmp(&(other.document, &other.key)));
    Ok(pieces)
}

/// Removes a file if it is still as it was seen.
pub(super) fn discard(disk: &Disk, key: &TaskKey, piece: &Piece) -> Result<bool, Error> {
    let stem = format!("{}.", Disk::stem(key));
    let own = piece.key.strip_prefix(&stem).is_some_and(|kind| !kind.contains('/'));
    let name = piece.key.rsplit('/').next().unwrap_or_default();
    if !own || id_of(name).as_ref() != Some(&key.id) {
        return Err(Error::FindSegment { key: piece.key.clone() });
    }
    let path = disk.path(&piece.key);
    let there = metadata(&path)?.filter(std::fs::Metadata::is_file);
    if there.is_none_or(|there| look(piece.key.clone(), &there) != *piece) {
        return Ok(false);
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true).map_err(|source| failed("remove", &path, source)),
    }
}
