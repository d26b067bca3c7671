//! The verdict over a whole upload: a step of its own that is stored, so that it is never given twice or forgotten.
//!
//! Nothing here refuses an upload yet, so the verdict is known as soon as the bytes are and rides with the commit of
//! the last of them. The document beside the data is durable before that commit: a store that is rebuilt from the
//! storage gives no other verdict than the one that was acknowledged.

use windlass_task::TaskKey;
use windlass_task::change::Verdict;

use crate::error::Error;
use crate::service::Upload;
use crate::storage::Completion;

/// Decides over an upload whose `length` bytes are all durable, and makes the verdict durable beside them.
pub(crate) async fn decide(upload: &Upload, key: &TaskKey, length: u64) -> Result<Verdict, Error> {
    upload
        .storage()
        .write_completion(key, &Completion::accepted(length))
        .await?;
    Ok(Verdict::Accept)
}
