//! A task as it is shown to its watchers.

use serde::{Deserialize, Serialize};

use crate::id::TaskId;
use crate::record::Record;
use crate::status::Status;
use crate::time::UnixMillis;

/// The version of the shape that `/tasks` answers with.
pub const VIEW_VERSION: u32 = 1;

/// The JSON of `GET /tasks/<id>`: sizes in bytes, times in Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// The task.
    pub task_id: TaskId,
    /// The state.
    pub status: Status,
    /// Whole percent, 0 to 100.
    pub progress: u8,
    /// The acknowledged offset.
    pub offset: u64,
    /// The length; null while it is deferred.
    pub length: Option<u64>,
    /// The size of a chunk.
    pub part_size: u64,
    /// Chunks in all; null while the length is deferred.
    pub total_chunks: Option<u64>,
    /// Chunks acknowledged whole.
    pub uploaded_chunks: u64,
    /// Chunks missing; null while the length is deferred.
    pub remaining: Option<u64>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it expires; null once it is completed.
    pub expires_at: Option<UnixMillis>,
    /// [`VIEW_VERSION`].
    pub v: u32,
}

impl From<&Record> for TaskView {
    fn from(record: &Record) -> Self {
        Self {
            task_id: record.key.id.clone(),
            status: record.status,
            progress: record.progress(),
            offset: record.offset(),
            length: record.length,
            part_size: record.part_size,
            total_chunks: record.total_chunks(),
            uploaded_chunks: record.uploaded_chunks(),
            remaining: record.remaining(),
            created_at: record.created,
            expires_at: record.expires,
            v: VIEW_VERSION,
        }
    }
}
