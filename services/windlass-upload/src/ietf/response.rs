//! The fields of the answers.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use windlass_task::{Finish, Record, UnixMillis};

use super::{Rejection, Row, UPLOAD_COMPLETE, UPLOAD_INCOMPLETE};
use crate::tus::response::{UPLOAD_LENGTH, UPLOAD_OFFSET};

const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");
pub(crate) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Where an upload stands: for a retrieval, and for the end of a creation or append.
pub(crate) fn standing(record: &Record, row: &Row, max_size: Option<u64>, now: UnixMillis) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(UPLOAD_OFFSET, record.offset().into());
    say_complete(&mut headers, row, has_final_response(record));
    if let Some(length) = record.length {
        headers.insert(UPLOAD_LENGTH, length.into());
    }
    limit(
        &mut headers,
        row,
        max_size,
        record.expires.map(|expires| expires.since(now).as_secs()),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
}

/// Whether the final response has been made (section 4.1.2): also when it was a refusal.
fn has_final_response(record: &Record) -> bool {
    match record.finish {
        Finish::Accepted | Finish::Refused { .. } => true,
        Finish::Open | Finish::VerdictPending => false,
    }
}

/// `Upload-Complete`, or its opposite in the version that has that.
pub(crate) fn say_complete(headers: &mut HeaderMap, row: &Row, complete: bool) {
    let (name, value) = if row.inverted {
        (UPLOAD_INCOMPLETE, !complete)
    } else {
        (UPLOAD_COMPLETE, complete)
    };
    headers.insert(name, HeaderValue::from_static(if value { "?1" } else { "?0" }));
}

/// `Upload-Limit`, in the versions that have it.
pub(crate) fn limit(headers: &mut HeaderMap, row: &Row, max_size: Option<u64>, seconds: Option<u64>) {
    let Some(lifetime) = row.lifetime_limit else { return };
    let mut text = match max_size {
        Some(max_size) => format!("max-size={max_size}"),
        None => "min-size=0".to_owned(),
    };
    if let Some(seconds) = seconds {
        text.push_str(&format!(", {lifetime}={seconds}"));
    }
    headers.insert(UPLOAD_LIMIT, text.try_into().expect("names and digits are ASCII"));
}

/// The registered problem types (section 7).
const PROBLEMS: &str = "https://iana.org/assignments/http-problem-types#";

impl Rejection {
    /// The URI of its problem type, where it has one.
    pub(crate) fn problem_type(&self) -> Option<String> {
        let name = match self {
            Self::Offset { .. } => "mismatching-upload-offset",
            Self::Length => "inconsistent-upload-length",
            Self::Completed => "completed-upload",
            Self::Digest => "digest-mismatching-values",
            Self::Method
            | Self::Field { .. }
            | Self::ContentType
            | Self::Metadata(_)
            | Self::MaxSize { .. }
            | Self::ReprDigest
            | Self::Failed { .. }
            | Self::Protocol => return None,
        };
        Some(format!("{PROBLEMS}{name}"))
    }
}
