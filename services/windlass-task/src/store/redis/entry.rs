//! An entry as the fields of a hash: the JSON that is read, and beside it what an operator wants to see.

use windlass_redis::{Value, from_redis_value};

use crate::epoch::Generation;
use crate::id::TaskKey;
use crate::record::RECORD_VERSION;
use crate::store::{Entry, Error};
use crate::time::UnixMillis;

/// How many ids of commits [`super::scripts::COMMIT`] keeps.
const REMEMBERED: u64 = 4;

/// What [`super::scripts::READ`] answers.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) now: UnixMillis,
    pub(super) generation: Generation,
    pub(super) entry: Option<Entry>,
    /// The revision as it is stored; empty when there is no task.
    pub(super) revision: String,
    /// The ids of the last commits, one after the other.
    commits: String,
}

type Fields = (
    u64,
    u64,
    Option<u64>,
    Option<u64>,
    Option<String>,
    Option<String>,
    Option<String>,
);

impl Reading {
    /// Reads the answer; `None` when the partition has no generation, for the data set was emptied.
    pub(super) fn of(key: &TaskKey, value: Value) -> Result<Option<Self>, Error> {
        let unreadable = |_| Error::UseRedis {
            operation: "read a task",
            source: windlass_redis::Error::Read,
        };
        let (seconds, micros, generation, v, text, revision, commits): Fields =
            from_redis_value(value).map_err(unreadable)?;
        let Some(generation) = generation else { return Ok(None) };
        let entry = match (v, text) {
            // Readers take this version and the one before it; there is none before the first.
            (Some(v), _) if v != u64::from(RECORD_VERSION) => {
                return Err(Error::ReadVersion { key: key.clone(), v });
            }
            (Some(_), Some(text)) => Some(serde_json::from_str(&text).map_err(|source| Error::ReadEntry {
                key: key.clone(),
                source,
            })?),
            (None, _) | (_, None) => None,
        };
        Ok(Some(Self {
            now: UnixMillis(seconds * 1_000 + micros / 1_000),
            generation: Generation(generation),
            entry,
            revision: revision.unwrap_or_default(),
            commits: commits.unwrap_or_default(),
        }))
    }

    /// The entry's revision; 0 when there is no task.
    pub(super) fn revision(&self) -> u64 {
        self.entry.as_ref().map_or(0, Entry::revision)
    }

    /// Whether a commit on this revision would still be among the last ones, however many followed.
    pub(super) fn remembers(&self, base: u64) -> bool {
        self.revision() <= base + REMEMBERED
    }

    /// Whether the commit with this id is among the last ones.
    pub(super) fn has(&self, commit: &str) -> bool {
        self.commits
            .as_bytes()
            .chunks(commit.len())
            .any(|id| id == commit.as_bytes())
    }
}

/// The fields and values of an entry's hash, by turns.
pub(super) fn fields(entry: &Entry) -> Result<Vec<String>, Error> {
    let text = serde_json::to_string(entry).map_err(|source| Error::EncodeEntry { source })?;
    let (status, offset, total, uploaded) = match entry {
        Entry::Live(record) => (
            record.status.as_str(),
            record.offset(),
            record.total_chunks(),
            Some(record.uploaded_chunks()),
        ),
        Entry::Gone(tombstone) => ("gone", tombstone.offset, None, None),
    };
    let shown = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    let fields = [
        ("v", RECORD_VERSION.to_string()),
        ("entry", text),
        ("revision", entry.revision().to_string()),
        ("status", status.to_owned()),
        ("offset", offset.to_string()),
        ("total_chunks", shown(total)),
        ("uploaded_chunks", shown(uploaded)),
        ("expire_at", shown(entry.due().map(|due| due.0))),
    ];
    Ok(fields
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect())
}
