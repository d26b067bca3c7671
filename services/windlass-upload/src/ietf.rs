//! Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload), without I/O: interop versions 3 to 9 as rows of
//! one table, and the RFC mode of a request without the version header.
//!
//! What the drafts share is code; what they differ in is a [`Row`]. Section numbers are those of the editor's copy of
//! July 2026 (interop version 9).

pub mod fields;
mod interim;
mod request;
pub(crate) mod response;

use http::{HeaderMap, HeaderName, StatusCode};
use windlass_task::{Finish, Metadata, Protocol, Record, Status};

use crate::digest::Expected;
use crate::tus::Admission;

pub(crate) use interim::Interims;
pub use request::{Head, parse};

/// The media type of an append (section 4.4), demanded from version 6 on.
pub const CONTENT_TYPE: &str = "application/partial-upload";

pub(crate) const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
pub(crate) const UPLOAD_INCOMPLETE: HeaderName = HeaderName::from_static("upload-incomplete");
pub(crate) const INTEROP_VERSION: HeaderName = HeaderName::from_static("upload-draft-interop-version");

/// What one interop version does differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The value of `Upload-Draft-Interop-Version`; `None` is the RFC, which has no such field.
    pub interop: Option<u8>,
    /// Whether the field is `Upload-Incomplete`, which says the opposite of `Upload-Complete`.
    pub inverted: bool,
    /// Whether an append must be of the type [`CONTENT_TYPE`].
    pub typed_append: bool,
    /// Whether an append must say if it is the last.
    pub explicit_append: bool,
    /// The name of the lifetime in `Upload-Limit`; without one the version knows no `Upload-Limit`.
    pub lifetime_limit: Option<&'static str>,
    /// Whether lengths that contradict each other have a problem type of their own.
    pub length_problem: bool,
    /// Whether an append that is not the last is answered 201, as a creation.
    pub append_creates: bool,
    /// Whether 104 may also tell of offsets.
    pub progress: bool,
    /// Whether an upload whose stated length has come is whole, although its last request said that more would follow:
    /// tus-js-client says so of each stream that it reads, takes the answer as the end, and never comes back.
    pub length_ends: bool,
}

/// The table: one row a version, oldest first, the RFC last.
pub const ROWS: [Row; 8] = [
    Row {
        interop: Some(3),
        inverted: true,
        ..EARLY
    },
    Row {
        interop: Some(4),
        ..EARLY
    },
    Row {
        interop: Some(5),
        progress: true,
        ..EARLY
    },
    Row {
        interop: Some(6),
        lifetime_limit: Some("expires"),
        ..MIDDLE
    },
    Row {
        interop: Some(7),
        ..LATE
    },
    Row {
        interop: Some(8),
        ..LATE
    },
    Row {
        interop: Some(9),
        ..LATE
    },
    Row { interop: None, ..LATE },
];

/// Drafts 01 to 03.
const EARLY: Row = Row {
    interop: None,
    inverted: false,
    typed_append: false,
    explicit_append: false,
    lifetime_limit: None,
    length_problem: false,
    append_creates: true,
    progress: false,
    length_ends: true,
};
/// Drafts 04 and 05: the append's type, `Upload-Limit`, problem types.
const MIDDLE: Row = Row {
    typed_append: true,
    explicit_append: true,
    append_creates: false,
    progress: true,
    ..EARLY
};
/// Drafts 06 and later: `max-age`, inconsistent lengths.
const LATE: Row = Row {
    lifetime_limit: Some("max-age"),
    length_problem: true,
    length_ends: false,
    ..MIDDLE
};

impl Row {
    /// The row that a request asks for. A version that is not in the table is served as the RFC, without anything
    /// that only a known version may be sent.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> &'static Self {
        let version = fields::integer(headers, &INTEROP_VERSION);
        let known = ROWS
            .iter()
            .find(|row| row.interop.map(u64::from) == version && version.is_some());
        known.unwrap_or(Self::latest())
    }

    /// The RFC's.
    pub(crate) fn latest() -> &'static Self {
        &ROWS[ROWS.len() - 1]
    }
}

/// Whether a request speaks this protocol, by its fields alone.
#[must_use]
pub fn is_spoken(headers: &HeaderMap) -> bool {
    [UPLOAD_COMPLETE, UPLOAD_INCOMPLETE, INTEROP_VERSION]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// What a valid request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Create an upload; the body is its beginning.
    Create(Create),
    /// Where is the upload?
    Retrieve,
    /// Here are more bytes.
    Append(Append),
    /// End the upload.
    Cancel,
}

/// A creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Whether the body is the whole upload.
    pub complete: bool,
    /// The length in bytes, if the request says it.
    pub length: Option<u64>,
    /// What the request says of the file.
    pub metadata: Metadata,
    /// What it says of its digests.
    pub digests: Digests,
}

/// An append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where its bytes begin.
    pub offset: u64,
    /// Whether they are the last.
    pub complete: bool,
    /// The length in bytes, if the request says it.
    pub length: Option<u64>,
    /// The size of the body, if the request says it.
    pub content_length: Option<u64>,
    /// What it says of its digests.
    pub digests: Digests,
}

/// What a request says of digests (RFC 9530).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digests {
    /// The body's, as far as they are by algorithms that are computed here.
    pub content: Vec<Expected>,
    /// The whole upload's, as the field stands.
    pub representation: Option<String>,
    /// Whether the client wants the whole upload's SHA-256 with the final response.
    pub wanted: bool,
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The method has no meaning here.
    #[error("an upload resource takes HEAD, GET, PATCH and DELETE")]
    Method,
    /// A field is missing or cannot be read, which is the same (RFC 9651 section 2.2).
    #[error("the field {name} is missing or is not {grammar}")]
    Field {
        /// Its name.
        name: &'static str,
        /// What it must be.
        grammar: &'static str,
    },
    /// A body of another type.
    #[error("an append has the Content-Type {CONTENT_TYPE}")]
    ContentType,
    /// What the client says of its file cannot be kept.
    #[error("the file's name and type are too long: {0}")]
    Metadata(#[source] windlass_task::metadata::Error),
    /// The bytes begin elsewhere than the upload stands.
    #[error("the upload is at offset {expected}, not {provided}")]
    Offset {
        /// Where it stands.
        expected: u64,
        /// What the request said.
        provided: u64,
    },
    /// Two statements of the length contradict each other, or the body does.
    #[error("the upload's length is stated in ways that contradict each other")]
    Length,
    /// Another digest of the whole was stated before.
    #[error("another Repr-Digest was stated before")]
    ReprDigest,
    /// More than the server takes.
    #[error("an upload has at most {limit} bytes here")]
    MaxSize {
        /// The limit.
        limit: u64,
    },
    /// It is complete, and this is not a repetition of what completed it.
    #[error("the upload is complete already")]
    Completed,
    /// The body does not have its digest.
    #[error("the body does not have the digest that Content-Digest states; nothing of it was kept")]
    Digest,
    /// It was refused or has failed.
    #[error("{reason}")]
    Failed {
        /// The stored words.
        reason: String,
    },
    /// Another protocol created the upload.
    #[error("this upload was created by another protocol")]
    Protocol,
}

impl Rejection {
    /// The status and the stable code that it is answered with.
    #[must_use]
    pub fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Field { .. } => (StatusCode::BAD_REQUEST, "field_unusable"),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type_unsupported"),
            Self::Metadata(_) => (StatusCode::BAD_REQUEST, "metadata_malformed"),
            Self::Offset { .. } => (StatusCode::CONFLICT, "offset_mismatch"),
            Self::Length => (StatusCode::BAD_REQUEST, "length_inconsistent"),
            Self::ReprDigest => (StatusCode::BAD_REQUEST, "digest_restated"),
            Self::MaxSize { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "upload_too_large"),
            Self::Completed => (StatusCode::BAD_REQUEST, "upload_completed"),
            Self::Digest => (StatusCode::BAD_REQUEST, "digest_mismatch"),
            Self::Failed { .. } => (StatusCode::BAD_REQUEST, "upload_failed"),
            Self::Protocol => (StatusCode::BAD_REQUEST, "protocol_mismatch"),
        }
    }
}

/// What is to happen with an append that fits its upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// Its body is taken.
    Take(Admission),
    /// It repeats what completed the upload, whose response was lost: the response is repeated.
    Replay,
}

/// Whether `record` takes `append`, decided before a byte of its body is read.
///
/// # Errors
/// The [`Rejection`] to answer with.
pub fn admit_append(record: &Record, append: &Append, max_size: Option<u64>) -> Result<Admitted, Rejection> {
    if record.protocol != Protocol::Ietf {
        return Err(Rejection::Protocol);
    }
    if let Finish::Refused { reason } = &record.finish {
        return Err(Rejection::Failed { reason: reason.clone() });
    }
    if record.status == Status::Completed {
        let repeats =
            append.complete && append.offset == record.offset() && append.content_length.is_none_or(|size| size == 0);
        return if repeats {
            Ok(Admitted::Replay)
        } else {
            Err(Rejection::Completed)
        };
    }
    if append.offset != record.offset() {
        return Err(Rejection::Offset {
            expected: record.offset(),
            provided: append.offset,
        });
    }
    if record.digest.is_some()
        && append.digests.representation.is_some()
        && record.digest != append.digests.representation
    {
        return Err(Rejection::ReprDigest);
    }
    let end = append.content_length.map(|size| append.offset.saturating_add(size));
    let by_body = end.filter(|_| append.complete);
    let said = append.length.or(by_body);
    let contradicted =
        |length: u64| record.length.is_some_and(|known| known != length) || by_body.is_some_and(|end| end != length);
    if said.is_some_and(contradicted)
        || by_body.is_some_and(contradicted)
        || said < Some(record.received) && said.is_some()
    {
        return Err(Rejection::Length);
    }
    let length = record.length.or(said);
    if let Some(limit) = max_size
        && length.max(end).is_some_and(|size| size > limit)
    {
        return Err(Rejection::MaxSize { limit });
    }
    if let (Some(end), Some(length)) = (end, length)
        && end > length
    {
        return Err(Rejection::Length);
    }
    let declare = if record.length.is_none() { said } else { None };
    let room = length.or(max_size).map(|length| length.saturating_sub(append.offset));
    Ok(Admitted::Take(Admission { skip: 0, declare, room }))
}

#[cfg(test)]
mod tests;
