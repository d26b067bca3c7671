//! The tus 1.0.0 engine, without I/O: what a request head means, whether a record admits it, and what to answer.
//!
//! <https://tus.io/protocols/resumable-upload>, the core with every extension. The handlers call [`parse`], then [`admit_append`] on the record; the answers' headers
//! are made in `response`.

mod checksum;
mod concat;
mod request;
pub(crate) mod response;

use windlass_task::{Concat, Finish, Metadata, Record, Status};

pub use checksum::{Checksum, Verify};
pub use concat::Concatenation;
pub use request::{Head, meant_method, parse};

/// The one protocol version that is spoken.
pub const VERSION: &str = "1.0.0";
/// The extensions that are offered, as `Tus-Extension` lists them.
pub const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum,\
     checksum-trailer,concatenation,concatenation-unfinished";
/// The media type of a body of upload bytes.
pub const CONTENT_TYPE: &str = "application/offset+octet-stream";

/// What a valid request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What does the server speak?
    Describe,
    /// Create an upload.
    Create(Create),
    /// Where is the upload?
    Retrieve,
    /// Here are more bytes.
    Append(Append),
    /// End the upload.
    Terminate,
}

/// A creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// The length in bytes; `None` when it is deferred.
    pub length: Option<u64>,
    /// What the client says of its file.
    pub metadata: Metadata,
    /// Whether the request's body holds the first bytes (creation-with-upload).
    pub with_body: bool,
    /// What the body must have as its checksum.
    pub checksum: Option<Checksum>,
    /// Its part in a concatenation.
    pub concat: Option<Concatenation>,
}

/// An append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where its bytes begin.
    pub offset: u64,
    /// The length of an upload that had deferred it.
    pub length: Option<u64>,
    /// The size of the body, when the request says it.
    pub content_length: Option<u64>,
    /// What the body must have as its checksum.
    pub checksum: Option<Checksum>,
}

/// Why a request is not carried out; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The protocol version is missing or another.
    #[error("this server speaks tus {VERSION}: send the header Tus-Resumable: {VERSION}")]
    Version,
    /// The method has no meaning here.
    #[error("an upload is created by POST and read or changed by HEAD, PATCH, DELETE and GET")]
    Method,
    /// A header is missing.
    #[error("the header {name} is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A header cannot be read.
    #[error("the header {name} must be {grammar}")]
    Malformed {
        /// Its name.
        name: &'static str,
        /// What it must be.
        grammar: &'static str,
    },
    /// A header stands more than once.
    #[error("the header {name} stands more than once")]
    Repeated {
        /// Its name.
        name: &'static str,
    },
    /// The metadata is outside its grammar.
    #[error("the header Upload-Metadata cannot be read: {0}")]
    Metadata(#[source] windlass_task::metadata::Error),
    /// Neither or both of the two ways to state a length.
    #[error("a creation has exactly one of Upload-Length and Upload-Defer-Length: 1")]
    LengthChoice,
    /// A body of another type.
    #[error("a body of upload bytes has the Content-Type {CONTENT_TYPE}")]
    ContentType,
    /// More than the server takes.
    #[error("an upload has at most {limit} bytes here")]
    MaxSize {
        /// The limit.
        limit: u64,
    },
    /// The bytes begin elsewhere than the upload stands.
    #[error("the upload is at offset {expected}, not {provided}")]
    Offset {
        /// Where it stands.
        expected: u64,
        /// What the request said.
        provided: u64,
    },
    /// The length is known and another, or would be less than what is there.
    #[error("the upload's length is {}", known.map_or_else(|| "less than what has been uploaded".to_owned(), |length| format!("already {length}")))]
    Length {
        /// The known length.
        known: Option<u64>,
    },
    /// The body would pass the upload's length.
    #[error("the body goes beyond the upload's length of {length} bytes")]
    BeyondLength {
        /// The length.
        length: u64,
    },
    /// The upload was refused or has failed.
    #[error("{reason}")]
    Failed {
        /// The stored words.
        reason: String,
    },
    /// The checksum is by an algorithm that is not offered.
    #[error("the checksum algorithm is not one of Tus-Checksum-Algorithm")]
    ChecksumAlgorithm,
    /// The body does not have the checksum that the client computed.
    #[error("the body does not have this checksum; nothing of it was kept")]
    ChecksumMismatch,
    /// A final upload takes no bytes.
    #[error("a final upload takes no bytes: it is its parts")]
    FinalAppend,
    /// What is to be joined is no partial upload of this caller.
    #[error("part {position} of the concatenation is not a partial upload here that may be used with this URL")]
    ConcatPart {
        /// Counted from 1.
        position: usize,
    },
    /// Another protocol created the upload.
    #[error("this upload was not created by tus and does not speak it")]
    Protocol,
}

/// What an append may do to its upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// How many bytes at the body's start are stored already: the last byte, held back until the verdict.
    pub skip: u64,
    /// A length that the append makes known.
    pub declare: Option<u64>,
    /// How many bytes the body may have; `None` while the length stays deferred.
    pub room: Option<u64>,
}

/// Whether `record` takes `append`, decided before a byte of its body is read.
///
/// # Errors
/// The [`Rejection`] to answer with.
pub fn admit_append(record: &Record, append: &Append, max_size: Option<u64>) -> Result<Admission, Rejection> {
    if record.protocol != windlass_task::Protocol::Tus {
        return Err(Rejection::Protocol);
    }
    if let Some(Concat::Final { .. }) = record.concat {
        return Err(Rejection::FinalAppend);
    }
    if let (Status::Failed, Finish::Refused { reason }) = (record.status, &record.finish) {
        return Err(Rejection::Failed { reason: reason.clone() });
    }
    let declare = match (record.length, append.length) {
        (Some(known), Some(said)) if known != said => return Err(Rejection::Length { known: Some(known) }),
        (None, Some(said)) if said < record.received => return Err(Rejection::Length { known: None }),
        (None, Some(said)) => Some(said),
        (Some(_) | None, _) => None,
    };
    let held_back = u64::from(record.withholds_last_byte());
    if record.status == Status::Completed && append.offset.checked_add(held_back) == Some(record.received) {
        // The last byte was held back when the client asked; the verdict has come since.
        return Ok(Admission {
            skip: held_back,
            declare: None,
            room: Some(held_back),
        });
    }
    if append.offset != record.offset() {
        return Err(Rejection::Offset {
            expected: record.offset(),
            provided: append.offset,
        });
    }
    let length = record.length.or(declare);
    if let Some(limit) = max_size
        && length.unwrap_or(append.offset.saturating_add(append.content_length.unwrap_or(0))) > limit
    {
        return Err(Rejection::MaxSize { limit });
    }
    let room = length.or(max_size).map(|end| end.saturating_sub(append.offset));
    if let (Some(body), Some(room), Some(length)) = (append.content_length, room, length)
        && body > room
    {
        return Err(Rejection::BeyondLength { length });
    }
    Ok(Admission {
        skip: record.received - append.offset,
        declare,
        room,
    })
}

#[cfg(test)]
mod tests;
