//! What is found wrong, in words and as data.

use std::fmt;

use serde::{Deserialize, Serialize};
use windlass_task::{TaskKey, Token};

use crate::storage::{Piece, Unfinished};

/// What a flaw costs, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cost {
    /// Bytes that were acknowledged are gone.
    Lost,
    /// All bytes are there, and nobody can have them.
    Unusable,
    /// Nothing yet. Should the records be lost too, the upload could not be made again from the storage.
    Risk,
    /// Room.
    Garbage,
    /// Nothing.
    Cosmetic,
}

impl Cost {
    /// Every cost, the worst first.
    pub const ALL: [Self; 5] = [Self::Lost, Self::Unusable, Self::Risk, Self::Garbage, Self::Cosmetic];

    /// Its name in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unusable => "unusable",
            Self::Risk => "risk",
            Self::Garbage => "garbage",
            Self::Cosmetic => "cosmetic",
        }
    }
}

/// What is wrong. The text after each variant's name in [`Flaw::code`] stays the same from release to release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// The record lists bytes that are not there.
    BytesMissing {
        /// Where they should be.
        key: String,
        /// The position in the upload of the first that is not there.
        from: u64,
        /// The position after the last.
        to: u64,
    },
    /// The bytes do not have the digest that was verified when they were taken.
    BytesDiffer,
    /// The store has an entry that this build cannot read.
    RecordUnreadable {
        /// Why.
        reason: String,
    },
    /// A document beside the bytes makes no sense.
    DocumentUnreadable {
        /// Why.
        reason: String,
    },
    /// There is a record, and no manifest beside the bytes.
    ManifestMissing,
    /// The manifest says something else than the record.
    ManifestDiffers {
        /// Of what.
        what: &'static str,
    },
    /// The record is accepted, and nothing beside the bytes says so.
    CompletionMissing,
    /// The completion says something else than the record.
    CompletionDiffers,
    /// The record's bytes are there, and the documents do not lead to them.
    BytesUnplaced {
        /// What they say.
        reason: String,
    },
    /// A finished upload has no record, though the store has not forgotten any since before it began.
    Unrecorded {
        /// Its bytes.
        received: u64,
    },
    /// The store has forgotten an upload. It comes back when somebody asks for it.
    Forgotten {
        /// Its bytes.
        received: u64,
    },
    /// An upload that was never finished has no record.
    Orphan {
        /// What it takes.
        bytes: u64,
    },
    /// Pieces of an upload that has neither a record nor a manifest.
    Undocumented {
        /// What they take.
        bytes: u64,
    },
    /// Pieces of a finished upload, or of one that is gone, that it does not need.
    Leftover {
        /// What they take.
        bytes: u64,
    },
    /// Parts that became no object, and that no record names.
    PartsUnfinished {
        /// The object that they would have become.
        key: String,
    },
    /// Something that no upload has by its name.
    Stray {
        /// What it takes.
        bytes: u64,
    },
}

impl Flaw {
    /// What it costs.
    #[must_use]
    pub fn cost(&self) -> Cost {
        match self {
            Self::BytesMissing { .. } | Self::BytesDiffer => Cost::Lost,
            Self::RecordUnreadable { .. } | Self::Unrecorded { .. } => Cost::Unusable,
            Self::DocumentUnreadable { .. }
            | Self::ManifestMissing
            | Self::ManifestDiffers { .. }
            | Self::CompletionMissing
            | Self::CompletionDiffers
            | Self::BytesUnplaced { .. } => Cost::Risk,
            Self::Orphan { .. } | Self::Undocumented { .. } | Self::Leftover { .. } | Self::PartsUnfinished { .. } => {
                Cost::Garbage
            }
            Self::Forgotten { .. } | Self::Stray { .. } => Cost::Cosmetic,
        }
    }

    /// Its name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BytesMissing { .. } => "bytes_missing",
            Self::BytesDiffer => "bytes_differ",
            Self::RecordUnreadable { .. } => "record_unreadable",
            Self::DocumentUnreadable { .. } => "document_unreadable",
            Self::ManifestMissing => "manifest_missing",
            Self::ManifestDiffers { .. } => "manifest_differs",
            Self::CompletionMissing => "completion_missing",
            Self::CompletionDiffers => "completion_differs",
            Self::BytesUnplaced { .. } => "bytes_unplaced",
            Self::Unrecorded { .. } => "unrecorded",
            Self::Forgotten { .. } => "forgotten",
            Self::Orphan { .. } => "orphan",
            Self::Undocumented { .. } => "undocumented",
            Self::Leftover { .. } => "leftover",
            Self::PartsUnfinished { .. } => "parts_unfinished",
            Self::Stray { .. } => "stray",
        }
    }

    /// How many bytes it is about, where that is known.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::BytesMissing { from, to, .. } => Some(to - from),
            Self::Unrecorded { received } | Self::Forgotten { received } => Some(*received),
            Self::Orphan { bytes }
            | Self::Undocumented { bytes }
            | Self::Leftover { bytes }
            | Self::Stray { bytes } => Some(*bytes),
            Self::BytesDiffer
            | Self::RecordUnreadable { .. }
            | Self::DocumentUnreadable { .. }
            | Self::ManifestMissing
            | Self::ManifestDiffers { .. }
            | Self::CompletionMissing
            | Self::CompletionDiffers
            | Self::BytesUnplaced { .. }
            | Self::PartsUnfinished { .. } => None,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BytesMissing { key, from, to } => {
                write!(f, "bytes {from}..{to} are not there, which {key} should have")
            }
            Self::BytesDiffer => f.write_str("its bytes do not have the digest that they had when they were taken"),
            Self::RecordUnreadable { reason } => write!(f, "its record cannot be read: {reason}"),
            Self::DocumentUnreadable { reason } => write!(f, "a document beside its bytes cannot be read: {reason}"),
            Self::ManifestMissing => f.write_str("its manifest is missing"),
            Self::ManifestDiffers { what } => {
                write!(f, "its manifest says something else of its {what} than its record")
            }
            Self::CompletionMissing => f.write_str("it is finished, and nothing beside its bytes says so"),
            Self::CompletionDiffers => {
                f.write_str("what is beside its bytes says that it ended otherwise than its record")
            }
            Self::BytesUnplaced { reason } => write!(f, "its documents do not lead to its bytes: {reason}"),
            Self::Unrecorded { received } => write!(f, "it is finished with {received} bytes, and has no record"),
            Self::Forgotten { received } => {
                write!(
                    f,
                    "its record is forgotten; {received} bytes are there, and it comes back when it is asked for"
                )
            }
            Self::Orphan { bytes } => write!(f, "{bytes} bytes of an upload that was not finished and has no record"),
            Self::Undocumented { bytes } => write!(f, "{bytes} bytes with neither a record nor a manifest"),
            Self::Leftover { bytes } => write!(f, "{bytes} bytes that it does not need"),
            Self::PartsUnfinished { key } => write!(f, "parts of {key} that became no object and that no record names"),
            Self::Stray { bytes } => write!(f, "{bytes} bytes that are no upload's by their name"),
        }
    }
}

/// What a plan does about a flaw, and what must still be so then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Step {
    /// Ends an upload whose bytes are gone or are others: it is answered 410, and what is left of it is removed.
    MarkLost {
        /// Which.
        task: TaskKey,
        /// The record that was seen.
        revision: u64,
        /// Its token.
        token: Token,
    },
    /// Makes a record again from what is stored.
    Recreate {
        /// Which.
        task: TaskKey,
        /// The bytes that were there.
        received: u64,
    },
    /// Writes the manifest again as the record has it.
    WriteManifest {
        /// Whose.
        task: TaskKey,
        /// The record that was seen.
        revision: u64,
    },
    /// Writes down beside the bytes that they were accepted.
    WriteCompletion {
        /// Whose.
        task: TaskKey,
        /// The record that was seen.
        revision: u64,
    },
    /// Removes pieces that nobody needs.
    Remove {
        /// Whose they are.
        task: TaskKey,
        /// The entry that was seen, if there was one.
        revision: Option<u64>,
        /// In the order in which they go.
        pieces: Vec<Piece>,
    },
    /// Removes parts that became no object.
    Abandon {
        /// The entry that was seen, if there was one.
        revision: Option<u64>,
        /// Which.
        unfinished: Unfinished,
    },
}

impl Step {
    /// The task that it is about.
    #[must_use]
    pub fn task(&self) -> &TaskKey {
        match self {
            Self::MarkLost { task, .. }
            | Self::Recreate { task, .. }
            | Self::WriteManifest { task, .. }
            | Self::WriteCompletion { task, .. }
            | Self::Remove { task, .. } => task,
            Self::Abandon { unfinished, .. } => &unfinished.task,
        }
    }

    /// Its name for programs, as in a plan.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MarkLost { .. } => "markLost",
            Self::Recreate { .. } => "recreate",
            Self::WriteManifest { .. } => "writeManifest",
            Self::WriteCompletion { .. } => "writeCompletion",
            Self::Remove { .. } => "remove",
            Self::Abandon { .. } => "abandon",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MarkLost { .. } => "end it as lost (410), and remove what is left",
            Self::Recreate { .. } => "make its record again from what is stored",
            Self::WriteManifest { .. } => "write it again from the record",
            Self::WriteCompletion { .. } => "write it from the record",
            Self::Remove { .. } | Self::Abandon { .. } => "remove it",
        })
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The upload, as `<tenant>/<id>`, or the key of what is none's.
    pub subject: String,
    /// What.
    pub flaw: Flaw,
    /// What a plan does about it; nothing where only a person can say.
    pub step: Option<Step>,
    /// Whether the collector of garbage does it by itself.
    pub collected: bool,
    /// The revision of the entry that was seen.
    pub(super) revision: Option<u64>,
}

/// A finding as programs read it; fields may be added, none changes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown<'a> {
    subject: &'a str,
    flaw: &'static str,
    cost: Cost,
    bytes: Option<u64>,
    text: String,
    repair: Option<&'static str>,
    collected: bool,
}

impl Finding {
    /// The finding for programs.
    #[must_use]
    pub fn shown(&self) -> Shown<'_> {
        Shown {
            subject: &self.subject,
            flaw: self.flaw.code(),
            cost: self.flaw.cost(),
            bytes: self.flaw.bytes(),
            text: self.flaw.to_string(),
            repair: self.step.as_ref().map(Step::code),
            collected: self.collected,
        }
    }

    /// What findings are sorted by.
    #[must_use]
    pub fn order(&self) -> (&str, Cost, &'static str) {
        (&self.subject, self.flaw.cost(), self.flaw.code())
    }
}

/// In one line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, flaw, .. } = self;
        write!(f, "{subject}  {}: {flaw}", flaw.cost().as_str())?;
        match &self.step {
            Some(step) if self.collected => write!(f, "; the collector will {step}"),
            Some(step) => write!(f, "; the plan would {step}"),
            None => Ok(()),
        }
    }
}
