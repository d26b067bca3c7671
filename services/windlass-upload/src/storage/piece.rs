//! What is stored, piece by piece: files or objects, for who checks them and for who removes what nobody needs.

use serde::{Deserialize, Serialize};
use windlass_task::{Record, TaskKey, UnixMillis};

use super::Cursor;

/// A file or an object, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Piece {
    /// Its key; of what is no upload's it may be the name of a directory.
    pub key: String,
    /// Its size in bytes; 0 for a directory.
    pub bytes: u64,
    /// When it was last written, or given another name, by the storage's clock.
    pub newest: UnixMillis,
    /// Whether it is one of the documents that stay as long as the upload.
    pub document: bool,
    /// The store's name of the parts that it is one of, where parts are objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
}

impl Piece {
    /// Whether a record counts on it.
    #[must_use]
    pub fn is_of(&self, record: &Record) -> bool {
        let open = record.multipart.iter().map(|open| &open.id);
        let listed = record.segments.iter().filter_map(|segment| segment.parts.as_ref());
        let mut parts = open.chain(listed.map(|parts| &parts.upload));
        record.segments.iter().any(|segment| segment.key == self.key)
            || self.part_of.as_ref().is_some_and(|of| parts.any(|id| id == of))
    }
}

/// Parts that were sent to an object store and have become no object: they take room, and no listing of objects has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unfinished {
    /// Whose they are.
    pub task: TaskKey,
    /// The object that they would become.
    pub key: String,
    /// The store's id of them.
    pub upload: String,
    /// When the first could be sent, by the store's clock.
    pub began: UnixMillis,
}

/// A page of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnfinishedPage {
    /// Those of this storage's uploads; what is somebody else's is left out.
    pub unfinished: Vec<Unfinished>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}
