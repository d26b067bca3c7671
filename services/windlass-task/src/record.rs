//! The record of one upload and the figures that are derived from it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::epoch::{Generation, StreamEpoch, Token};
use crate::id::{Alias, Owner, TaskId, TaskKey};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::time::UnixMillis;
use crate::write_key::WriteKeyHash;

/// The version that this build writes. Readers take it and the one before; any other is refused untouched.
pub const RECORD_VERSION: u32 = 1;

/// The smallest part: below it an object store's per-request cost shows, and progress gets too fine to be useful.
const PART_SIZE_MIN: u64 = 8 * 1024 * 1024;
/// The part size of an upload whose length is not known yet: 16 MiB x 10,000 parts = 156 GiB.
const PART_SIZE_DEFERRED: u64 = 16 * 1024 * 1024;
/// Parts are whole MiB, so that every store's alignment rule is met.
const PART_SIZE_STEP: u64 = 1024 * 1024;
/// S3 allows 10,000 parts; the rest is room for tails and takeovers.
const PARTS_MAX: u64 = 9_000;

/// The protocol that created an upload, the only one that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// tus 1.0.0.
    Tus,
    /// `multipart/form-data`: it comes in one request and cannot be resumed.
    Form,
    /// Resumable Uploads for HTTP (IETF httpbis), any interop version.
    Ietf,
}

/// An upload's part in a concatenation (tus 1.0.0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Concat {
    /// It is made to be joined with others.
    Partial {
        /// The final uploads that list this one's segments: while there are any, its bytes stay, whatever becomes
        /// of itself.
        adopted_by: Vec<TaskId>,
    },
    /// It is others, joined: it lists their segments and owns no bytes.
    Final {
        /// The partial uploads in order; one may stand more than once.
        parts: Vec<TaskId>,
        /// The `Upload-Concat` header that created it, as it is echoed.
        header: String,
    },
}

/// How far finishing has come. It is stored, so that a refusal is repeated and not forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// Bytes are missing.
    Open,
    /// Every byte is stored; the verdict is not. Until it is, the offset is shown one byte short.
    VerdictPending,
    /// Accepted.
    Accepted,
    /// Refused or given up, with the words for the client.
    Refused {
        /// Why, as the client is told.
        reason: String,
    },
}

/// What kind of stored piece a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentKind {
    /// A full piece, or on a local disk what one writer epoch wrote.
    Part,
    /// A small remainder, never rewritten.
    Tail,
    /// A readable object.
    Object,
}

/// A run of an upload's bytes that is stored in one place and never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Which store has it, by its configured name.
    pub store: String,
    /// Its key there.
    pub key: String,
    /// The first byte's position in the upload.
    pub start: u64,
    /// The position after the last byte.
    pub end: u64,
    /// What it is.
    pub kind: SegmentKind,
    /// Which parts of a multipart upload it is, while that is open; of anything else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// Consecutive parts of an object store's multipart upload, all of one size, but for the upload's very last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// The store's id of the multipart upload.
    pub upload: String,
    /// The number of the first.
    pub first: PartNumber,
    /// The size of each in bytes.
    pub size: u64,
}

/// The number of a part in its multipart upload, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartNumber(pub u32);

/// The multipart upload that an upload's further parts go to, and the end of what is reserved in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multipart {
    /// The object that it becomes.
    pub key: String,
    /// The store's id of it.
    pub id: String,
    /// The generation of the task store that it belongs to; none is gone on with in another.
    pub generation: Generation,
    /// Numbers below this one are, or were, somebody's: a writer sends none that it did not reserve, so a part that
    /// arrives late overwrites nothing.
    pub next_part: PartNumber,
}

/// How somebody who was asked for the verdict wants the client to be told of it. Stored with the verdict, so that it
/// is told the same way each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status code of the client's protocol, if not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Further fields by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

impl Answer {
    /// Whether there is anything to tell.
    #[must_use]
    pub fn says(&self) -> bool {
        self.status.is_some() || !self.body.is_empty() || !self.fields.is_empty()
    }
}

/// The record of one upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_VERSION`] of its writer.
    pub v: u32,
    /// What finds it.
    #[serde(flatten)]
    pub key: TaskKey,
    /// Who created it.
    pub owner: Owner,
    /// What created it.
    pub protocol: Protocol,
    /// The state.
    pub status: Status,
    /// The length in bytes; `None` while it is deferred.
    pub length: Option<u64>,
    /// The contiguous durable bytes from the start. What may be shown of it is [`Record::offset`].
    pub received: u64,
    /// How many of the received bytes are not shown yet: 1 from the last byte to the verdict, otherwise 0.
    pub withheld: u64,
    /// The size of a part in bytes, fixed at creation.
    pub part_size: u64,
    /// Where the bytes `0..received` are, in order.
    pub segments: Vec<Segment>,
    /// Where further parts go, on an object store and from the first part on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipart: Option<Multipart>,
    /// The fencing token of the present or last writer.
    pub token: Token,
    /// What the client says of its file.
    pub metadata: Metadata,
    /// When it was created, by the store's clock.
    pub created: UnixMillis,
    /// When it expires unless a byte is acknowledged before; `None` once completed. What failed is remembered until then.
    pub expires: Option<UnixMillis>,
    /// How long after its last acknowledged byte it expires, in milliseconds.
    pub lifetime_millis: u64,
    /// Which life of the task's latest-value channel its revisions count in. A store that may have forgotten
    /// revisions gives the task a new one.
    pub stream_epoch: StreamEpoch,
    /// How far finishing has come.
    pub finish: Finish,
    /// How the verdict is told, where somebody worded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<Answer>>,
    /// What admits a writer without a token; `None` where a token is demanded.
    pub write_key: Option<WriteKeyHash>,
    /// Its part in a concatenation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concat: Option<Concat>,
    /// The digests that the whole must have, as a `Repr-Digest` field value (RFC 9530).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether it can be read only by who may release it; from its completion to its release.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quarantined: bool,
    /// Other names under which it is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Grows by one with each commit: the position of the task's latest value, and its ETag.
    pub revision: u64,
    /// The durable events so far: the `sequence` of the last one.
    pub sequence: u64,
}

/// What a creation says; the rest of the record follows from it.
#[derive(Debug, Clone)]
pub struct Creation {
    /// What finds it.
    pub key: TaskKey,
    /// Who creates it.
    pub owner: Owner,
    /// What creates it.
    pub protocol: Protocol,
    /// The length, if it is known.
    pub length: Option<u64>,
    /// What the client says of its file.
    pub metadata: Metadata,
    /// The first writer's token.
    pub token: Token,
    /// What admits a writer without a token.
    pub write_key: Option<WriteKeyHash>,
    /// How long after its last acknowledged byte it expires.
    pub lifetime: Duration,
    /// Its part in a concatenation.
    pub concat: Option<Concat>,
    /// The digests that the whole must have, as a `Repr-Digest` field value (RFC 9530).
    pub digest: Option<String>,
    /// Other names under which it is found.
    pub aliases: Vec<Alias>,
}

impl Record {
    /// The record of a new upload, by the store's clock.
    #[must_use]
    pub fn create(creation: Creation, now: UnixMillis) -> Self {
        Self {
            v: RECORD_VERSION,
            key: creation.key,
            owner: creation.owner,
            protocol: creation.protocol,
            status: Status::Pending,
            length: creation.length,
            received: 0,
            withheld: 0,
            part_size: part_size(creation.length),
            segments: Vec::new(),
            multipart: None,
            token: creation.token,
            metadata: creation.metadata,
            created: now,
            expires: Some(now.after(creation.lifetime)),
            lifetime_millis: u64::try_from(creation.lifetime.as_millis()).unwrap_or(u64::MAX),
            stream_epoch: StreamEpoch(now.0),
            finish: if creation.length == Some(0) {
                Finish::VerdictPending
            } else {
                Finish::Open
            },
            answer: None,
            write_key: creation.write_key,
            concat: creation.concat,
            digest: creation.digest,
            quarantined: false,
            aliases: creation.aliases,
            revision: 0,
            sequence: 0,
        }
    }

    /// The acknowledged offset: the contiguous durable prefix, one byte short of the length until the verdict is
    /// stored, so that a client whose last answer was lost sends that byte again and gets the verdict. Where no
    /// byte can be held back (an empty upload, a length declared after its last byte) nothing is.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.received - self.withheld
    }

    /// Whole percent of the acknowledged bytes: at most 99 until completed, 0 while the length is deferred.
    #[must_use]
    pub fn progress(&self) -> u8 {
        match (self.status, self.length) {
            (Status::Completed, _) => 100,
            (_, None | Some(0)) => 0,
            (_, Some(length)) => {
                let percent = u128::from(self.offset()) * 100 / u128::from(length);
                percent.min(99) as u8
            }
        }
    }

    /// How many chunks of a part's size the upload has; `None` while the length is deferred.
    #[must_use]
    pub fn total_chunks(&self) -> Option<u64> {
        self.length.map(|length| length.div_ceil(self.part_size))
    }

    /// How many chunks are acknowledged whole. The last, shorter one counts once everything is there.
    #[must_use]
    pub fn uploaded_chunks(&self) -> u64 {
        if self.length == Some(self.offset()) {
            self.offset().div_ceil(self.part_size)
        } else {
            self.offset() / self.part_size
        }
    }

    /// How many chunks are missing; `None` while the length is deferred.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.total_chunks()
            .map(|total| total.saturating_sub(self.uploaded_chunks()))
    }

    /// Whether the last byte is shown only with the verdict. The IETF protocol shows all bytes and says with
    /// `Upload-Complete` that the verdict is missing; a final upload's bytes have been shown by its parts.
    #[must_use]
    pub fn withholds_last_byte(&self) -> bool {
        self.protocol != Protocol::Ietf && !matches!(self.concat, Some(Concat::Final { .. }))
    }

    /// How long after its last acknowledged byte the upload expires.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        Duration::from_millis(self.lifetime_millis)
    }
}

/// The part size in bytes that an upload of this length gets: max(8 MiB, length / 9000 rounded up to 1 MiB), or
/// 16 MiB while the length is deferred.
#[must_use]
pub fn part_size(length: Option<u64>) -> u64 {
    match length {
        None => PART_SIZE_DEFERRED,
        Some(length) => {
            let needed = length
                .div_ceil(PARTS_MAX)
                .div_ceil(PART_SIZE_STEP)
                .saturating_mul(PART_SIZE_STEP);
            needed.max(PART_SIZE_MIN)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::creation;
    use proptest::prelude::*;

    #[test]
    fn part_sizes_are_those_of_the_design() {
        const MIB: u64 = 1024 * 1024;
        assert_eq!(part_size(None), 16 * MIB);
        assert_eq!(part_size(Some(0)), 8 * MIB);
        assert_eq!(part_size(Some(72_000 * MIB)), 8 * MIB);
        assert_eq!(part_size(Some(72_001 * MIB)), 9 * MIB);
        assert_eq!(part_size(Some(1 << 40)), 117 * MIB);
    }

    proptest! {
        #[test]
        fn derived_figures_agree(length in 1_u64..1 << 45, share in 0.0..=1.0_f64) {
            let mut record = Record::create(creation(Some(length)), UnixMillis(0));
            record.received = ((length as f64 * share) as u64).min(length - 1);
            record.status = Status::Uploading;
            let total = record.total_chunks().unwrap();
            prop_assert!(total <= PARTS_MAX);
            prop_assert_eq!(record.uploaded_chunks() + record.remaining().unwrap(), total);
            prop_assert!(record.progress() <= 99);
            record.received = length;
            record.withheld = 1;
            prop_assert_eq!(record.offset(), length - 1);
            prop_assert!(record.progress() <= 99);
            record.withheld = 0;
            record.status = Status::Completed;
            prop_assert_eq!((record.offset(), record.progress(), record.remaining()), (length, 100, Some(0)));
        }
    }

    #[test]
    fn a_record_without_an_answer_reads_as_before_there_were_any() {
        let record = Record::create(creation(Some(1)), UnixMillis(7));
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("answer"), "{text}");
    }

    #[test]
    fn a_record_of_this_version_reads_back_from_its_own_text() {
        let record = Record::create(creation(None), UnixMillis(7));
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
