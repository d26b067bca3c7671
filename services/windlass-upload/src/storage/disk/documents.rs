//! The documents of an upload, lines of JSON in one file: its manifest, later its completion.
//!
//! Lines are only added. One that does not end was being written when the process died or the disk was full: it does not
//! count, and the next writer writes over it. So no draft is needed that is renamed or linked: each draft would be a file
//! more to make and to remove, and ext4 gives no inode away again within minutes of its removal but looks past each.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Disk, create, failed};
use crate::storage::{Completion, Error, Manifest};

/// One line.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Document<'a> {
    Manifest(&'a Manifest),
    Completion(&'a Completion),
}

/// A line as it is read: what is not looked for is not understood either.
#[derive(Deserialize)]
struct Line {
    completion: Option<Completion>,
}

/// How a line with a completion begins.
const COMPLETION: &[u8] = br#"{"completion":"#;

/// Writes the manifest of a new upload.
pub(super) fn write_manifest(disk: &Disk, path: &Path, manifest: &Manifest) -> Result<(), Error> {
    let line = encode(&Document::Manifest(manifest))?;
    let file = create(path)?;
    let there = read(&file, path)?;
    match whole_lines(&there) {
        [] => add(disk, &file, path, &there, &line)?,
        whole if whole.starts_with(&line) => disk.sync(&file, path)?,
        _ => return Err(Error::CreateDocument { path: path.to_owned() }),
    }
    disk.sync_parent(path)
}

/// Writes a completion, unless there is one.
pub(super) fn write_completion(disk: &Disk, path: &Path, completion: &Completion) -> Result<(), Error> {
    let line = encode(&Document::Completion(completion))?;
    let file = create(path)?;
    // Until the file is closed: of two that ask at once one is first, and the other reads what it wrote.
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|errno| failed("lock", path, errno.into()))?;
    let there = read(&file, path)?;
    match find_completion(&there) {
        None => add(disk, &file, path, &there, &line),
        Some(same) if same == line.trim_ascii_end() => disk.sync(&file, path),
        Some(_) => Err(Error::CreateDocument { path: path.to_owned() }),
    }
}

/// Reads the completion, if there is one.
pub(super) fn read_completion(path: &Path) -> Result<Option<Completion>, Error> {
    let there = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        there => there.map_err(|source| failed("read", path, source))?,
    };
    let Some(line) = find_completion(&there) else {
        return Ok(None);
    };
    let line: Line = serde_json::from_slice(line).map_err(|source| Error::ReadDocument {
        path: path.to_owned(),
        source,
    })?;
    Ok(line.completion)
}

fn encode(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    let mut line = serde_json::to_vec(document).map_err(|source| Error::EncodeDocument { source })?;
    line.push(b'\n');
    Ok(line)
}

fn read(mut file: &File, path: &Path) -> Result<Vec<u8>, Error> {
    let mut there = Vec::new();
    file.read_to_end(&mut there)
        .map_err(|source| failed("read", path, source))?;
    Ok(there)
}

/// Adds a line behind those that have an end.
fn add(disk: &Disk, file: &File, path: &Path, there: &[u8], line: &[u8]) -> Result<(), Error> {
    let end = whole_lines(there).len();
    let shorten = |length: usize| file.set_len(length as u64);
    let written =
        if end < there.len() { shorten(end) } else { Ok(()) }.and_then(|()| file.write_all_at(line, end as u64));
    if let Err(source) = written {
        // A full disk is not to be filled further with what nobody will read.
        let _ = shorten(end);
        return Err(failed("write", path, source));
    }
    disk.sync(file, path)
}

fn whole_lines(there: &[u8]) -> &[u8] {
    let end = there.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    there.get(..end).unwrap_or_default()
}

fn find_completion(there: &[u8]) -> Option<&[u8]> {
    whole_lines(there)
        .split(|byte| *byte == b'\n')
        .find(|line| line.starts_with(COMPLETION))
}
