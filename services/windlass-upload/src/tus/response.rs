//! The headers of the answers.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use windlass_task::{Concat, Record, Status, UnixMillis};

use crate::digest::Algorithm;
use crate::ietf::Row;

use super::{EXTENSIONS, Rejection, VERSION};

pub(crate) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(crate) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(crate) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(crate) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(crate) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(crate) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(crate) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(crate) const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
pub(crate) const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(crate) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

/// `OPTIONS`: what the server speaks.
pub(crate) fn describe(max_size: Option<u64>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(TUS_VERSION, HeaderValue::from_static(VERSION));
    headers.insert(TUS_EXTENSION, HeaderValue::from_static(EXTENSIONS));
    let algorithms: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.tus_name()).collect();
    let algorithms = HeaderValue::try_from(algorithms.join(","));
    headers.insert(TUS_CHECKSUM_ALGORITHM, algorithms.expect("names are ASCII"));
    if let Some(max_size) = max_size {
        headers.insert(TUS_MAX_SIZE, max_size.into());
    }
    // The same to clients of the IETF protocol (section 4.1.4), who ask in the same way.
    crate::ietf::response::limit(&mut headers, Row::latest(), max_size, None);
    headers
}

/// `HEAD`: where the upload stands, and all that a client needs to go on.
pub(crate) fn retrieve(record: &Record) -> HeaderMap {
    let mut headers = progress(record);
    match record.length {
        Some(length) => headers.insert(UPLOAD_LENGTH, length.into()),
        None => headers.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    match &record.concat {
        None => {}
        Some(Concat::Partial { .. }) => {
            headers.insert(UPLOAD_CONCAT, HeaderValue::from_static("partial"));
        }
        Some(Concat::Final { header, .. }) => {
            headers.insert(UPLOAD_CONCAT, header.try_into().expect("it came in a header"));
            if record.status != Status::Completed {
                // Not joined yet: it has no offset of its own (tus 1.0.0, Concatenation).
                headers.remove(UPLOAD_OFFSET);
                headers.remove(UPLOAD_DEFER_LENGTH);
            }
        }
    }
    if !record.metadata.is_empty() {
        let text = record.metadata.to_header();
        headers.insert(
            UPLOAD_METADATA,
            text.try_into().expect("metadata is made of visible ASCII and spaces"),
        );
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
}

/// `PATCH` and creation-with-upload: the new offset, and until when the next byte may come.
pub(crate) fn progress(record: &Record) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(UPLOAD_OFFSET, record.offset().into());
    if let Some(expires) = record.expires {
        headers.insert(UPLOAD_EXPIRES, http_date(expires));
    }
    headers
}

/// An IMF-fixdate (RFC 9110 section 5.6.7), as `Upload-Expires` has it.
pub(crate) fn http_date(at: UnixMillis) -> HeaderValue {
    httpdate::fmt_http_date(at.into()).try_into().expect("a date is ASCII")
}

/// tus' own status for a body that does not have its checksum.
const CHECKSUM_MISMATCH: u16 = 460;

impl Rejection {
    /// The status and the stable code that it is answered with.
    #[must_use]
    pub fn status(&self) -> (StatusCode, &'static str) {
        let mismatch = || StatusCode::from_u16(CHECKSUM_MISMATCH).expect("a status has three digits");
        match self {
            Self::Version => (StatusCode::PRECONDITION_FAILED, "version_unsupported"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Missing { .. } => (StatusCode::BAD_REQUEST, "header_missing"),
            Self::Malformed { .. } => (StatusCode::BAD_REQUEST, "header_malformed"),
            Self::Repeated { .. } => (StatusCode::BAD_REQUEST, "header_repeated"),
            Self::Metadata(_) => (StatusCode::BAD_REQUEST, "metadata_malformed"),
            Self::LengthChoice => (StatusCode::BAD_REQUEST, "length_choice"),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type_unsupported"),
            Self::MaxSize { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "upload_too_large"),
            Self::Offset { .. } => (StatusCode::CONFLICT, "offset_mismatch"),
            Self::Length { .. } => (StatusCode::BAD_REQUEST, "length_mismatch"),
            Self::BeyondLength { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_beyond_length"),
            Self::Failed { .. } => (StatusCode::BAD_REQUEST, "upload_failed"),
            Self::ChecksumAlgorithm => (StatusCode::BAD_REQUEST, "checksum_algorithm_unsupported"),
            Self::ChecksumMismatch => (mismatch(), "checksum_mismatch"),
            Self::FinalAppend => (StatusCode::FORBIDDEN, "final_upload_closed"),
            Self::ConcatPart { .. } => (StatusCode::BAD_REQUEST, "concatenation_part_unusable"),
            Self::Protocol => (StatusCode::BAD_REQUEST, "protocol_mismatch"),
        }
    }
}
