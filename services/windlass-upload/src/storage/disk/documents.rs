//! The documents of an upload, lines of JSON in one file: its manifest, where each writer epoch after the first began, at
//! last its completion.
//!
//! Lines are only added. One that does not end was being written when the process died or the disk was full: it does not
//! count, and the next writer writes over it. So no draft is needed that is renamed or linked: each draft would be a file
//! more to make and to remove, and ext4 gives no inode away again within minutes of its removal but looks past each.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use windlass_task::{Generation, Segment, WriterEpoch};

use super::{Disk, create, failed};
use crate::storage::{Completion, Error, Manifest};

/// One line.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Document<'a> {
    Manifest(&'a Manifest),
    Length(u64),
    Epoch(&'a EpochStart),
    Ground(&'a Ground),
    Unverified(&'a Unverified),
    Completion(&'a Completion),
}

/// Where in the upload the file of a writer epoch begins; durable before its first byte. The first epoch begins at 0
/// unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EpochStart {
    pub(super) epoch: WriterEpoch,
    pub(super) start: u64,
}

/// What an epoch went on from when its record was reconciled: where all bytes before its own were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ground {
    pub(super) generation: Generation,
    pub(super) epoch: WriterEpoch,
    pub(super) segments: Vec<Segment>,
}

/// From where on an epoch's bytes are of a body that counts only as a whole; `None` once there is none that does not count.
/// The last one of an epoch counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unverified {
    pub(super) epoch: WriterEpoch,
    pub(super) from: Option<u64>,
}

impl Ground {
    pub(super) fn end(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.end)
    }
}

/// A line as it is read: what is not looked for is not understood either.
#[derive(Default, Deserialize)]
struct Line {
    manifest: Option<Manifest>,
    length: Option<u64>,
    epoch: Option<EpochStart>,
    ground: Option<Ground>,
    unverified: Option<Unverified>,
    completion: Option<Completion>,
}

/// All documents of an upload.
#[derive(Default)]
pub(super) struct Documents {
    pub(super) manifest: Option<Manifest>,
    /// The length, where it was declared after the creation.
    pub(super) length: Option<u64>,
    pub(super) epochs: Vec<EpochStart>,
    pub(super) grounds: Vec<Ground>,
    pub(super) unverified: Vec<Unverified>,
    pub(super) completion: Option<Completion>,
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

/// Writes where an epoch begins, unless that is written.
pub(super) fn write_epoch(disk: &Disk, path: &Path, start: &EpochStart) -> Result<(), Error> {
    say(disk, path, &Document::Epoch(start))
}

/// Writes what an epoch goes on from.
pub(super) fn write_ground(disk: &Disk, path: &Path, ground: &Ground) -> Result<(), Error> {
    say(disk, path, &Document::Ground(ground))
}

/// Writes from where on an epoch's bytes do not count, or that all of them do.
pub(super) fn write_unverified(disk: &Disk, path: &Path, unverified: &Unverified) -> Result<(), Error> {
    say(disk, path, &Document::Unverified(unverified))
}

/// Writes a length that was deferred.
pub(super) fn write_length(disk: &Disk, path: &Path, length: u64) -> Result<(), Error> {
    say(disk, path, &Document::Length(length))
}

/// Adds a line unless it is the last of its kind already: of each kind the last line counts.
fn say(disk: &Disk, path: &Path, document: &Document<'_>) -> Result<(), Error> {
    let line = encode(document)?;
    let file = create_locked(path)?;
    let there = read(&file, path)?;
    let kind = |line: &[u8]| line.split(|byte| *byte == b':').next().map(<[u8]>::to_vec);
    let lines = whole_lines(&there).split_inclusive(|byte| *byte == b'\n');
    let last = lines.rev().find(|there| kind(there) == kind(&line));
    if last == Some(&line[..]) {
        return disk.sync(&file, path);
    }
    add(disk, &file, path, &there, &line)
}

/// Writes a completion, unless there is one.
pub(super) fn write_completion(disk: &Disk, path: &Path, completion: &Completion) -> Result<(), Error> {
    let line = encode(&Document::Completion(completion))?;
    let file = create_locked(path)?;
    let there = read(&file, path)?;
    match find_completion(&there) {
        None => add(disk, &file, path, &there, &line),
        Some(same) if same == line.trim_ascii_end() => disk.sync(&file, path),
        Some(_) => Err(Error::CreateDocument { path: path.to_owned() }),
    }
}

/// Reads the completion, if there is one.
pub(super) fn read_completion(path: &Path) -> Result<Option<Completion>, Error> {
    let Some(there) = read_if_there(path)? else {
        return Ok(None);
    };
    let line = find_completion(&there).map(|line| parse(line, path)).transpose()?;
    Ok(line.and_then(|line| line.completion))
}

/// Reads all of them; `None` when there is no file of documents.
pub(super) fn read_all(path: &Path) -> Result<Option<Documents>, Error> {
    let Some(there) = read_if_there(path)? else {
        return Ok(None);
    };
    let mut documents = Documents::default();
    for line in whole_lines(&there)
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line = parse(line, path)?;
        documents.manifest = documents.manifest.or(line.manifest);
        documents.length = line.length.or(documents.length);
        documents.completion = documents.completion.or(line.completion);
        documents.epochs.extend(line.epoch);
        documents.grounds.extend(line.ground);
        documents.unverified.extend(line.unverified);
    }
    Ok(Some(documents))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        there => there.map(Some).map_err(|source| failed("read", path, source)),
    }
}

fn parse(line: &[u8], path: &Path) -> Result<Line, Error> {
    serde_json::from_slice(line).map_err(|source| Error::ReadDocument {
        path: path.to_owned(),
        source,
    })
}

/// Opens the file for one writer alone until it is closed: of two that ask at once one is first, and the other reads
/// what it wrote.
fn create_locked(path: &Path) -> Result<File, Error> {
    let file = create(path)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|errno| failed("lock", path, errno.into()))?;
    Ok(file)
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
