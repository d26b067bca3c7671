//! The two small documents beside an upload's bytes, from which a lost store can be rebuilt.

use serde::{Deserialize, Serialize};
use windlass_task::change::Verdict;
use windlass_task::record::Creation;
use windlass_task::{Alias, Answer, Concat, Metadata, Owner, Protocol, Record, TaskKey, UnixMillis, WriteKeyHash};

/// The version of the documents that this build writes.
const DOCUMENT_VERSION: u32 = 1;

/// What never changes of an upload, written before its URL leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The version.
    pub v: u32,
    /// The tenant and id.
    #[serde(flatten)]
    pub key: TaskKey,
    /// Who created it.
    pub owner: Owner,
    /// What created it.
    pub protocol: Protocol,
    /// The length in bytes, unless deferred.
    pub length: Option<u64>,
    /// What the client says of its file.
    pub metadata: Metadata,
    /// The size of a part in bytes.
    pub part_size: u64,
    /// What admits a writer without a token.
    pub write_key: Option<WriteKeyHash>,
    /// Other names under which it is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Its part in a concatenation, as it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concat: Option<Concat>,
    /// The digests that the whole must have, as a `Repr-Digest` field value (RFC 9530), where its creation said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When, by this machine's clock, in Unix milliseconds.
    pub created_at: UnixMillis,
}

impl Manifest {
    /// The manifest of a creation.
    #[must_use]
    pub fn of(creation: &Creation, now: UnixMillis) -> Self {
        Self {
            v: DOCUMENT_VERSION,
            key: creation.key.clone(),
            owner: creation.owner.clone(),
            protocol: creation.protocol,
            length: creation.length,
            metadata: creation.metadata.clone(),
            part_size: windlass_task::record::part_size(creation.length),
            write_key: creation.write_key.clone(),
            aliases: creation.aliases.clone(),
            concat: creation.concat.clone(),
            digest: creation.digest.clone(),
            created_at: now,
        }
    }

    /// The manifest of an upload that has lost it, as its record has it.
    #[must_use]
    pub fn of_record(record: &Record) -> Self {
        Self {
            v: DOCUMENT_VERSION,
            key: record.key.clone(),
            owner: record.owner.clone(),
            protocol: record.protocol,
            length: record.length,
            metadata: record.metadata.clone(),
            part_size: record.part_size,
            write_key: record.write_key.clone(),
            aliases: record.aliases.clone(),
            concat: record.concat.clone(),
            digest: record.digest.clone(),
            created_at: record.created,
        }
    }
}

/// How an upload ended: written once, before the verdict is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// The version.
    pub v: u32,
    /// The length in bytes.
    pub length: u64,
    /// Whether it was accepted.
    pub accepted: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The digest that was verified, as a `Repr-Digest` field value (RFC 9530), when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How the verdict is told, where somebody worded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<Answer>>,
}

impl Completion {
    /// The verdict that it tells.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.accepted {
            return Verdict::Accept;
        }
        let reason = self.reason.clone();
        Verdict::Refuse {
            reason: reason.unwrap_or_else(|| "the upload was refused".to_owned()),
        }
    }

    /// An accepted upload of this length.
    #[must_use]
    pub fn accepted(length: u64) -> Self {
        Self {
            v: DOCUMENT_VERSION,
            length,
            accepted: true,
            reason: None,
            digest: None,
            answer: None,
        }
    }

    /// A refused one.
    #[must_use]
    pub fn refused(length: u64, reason: String) -> Self {
        Self {
            v: DOCUMENT_VERSION,
            length,
            accepted: false,
            reason: Some(reason),
            digest: None,
            answer: None,
        }
    }
}
