//! `Upload-Concat` (tus 1.0.0, Concatenation).

use http::{HeaderMap, HeaderName};

use super::Rejection;
use super::request::text;

const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
const NAME: &str = "Upload-Concat";

/// The most parts of one final upload: each is read and marked by a commit of its own.
const PARTS_MAX: usize = 1_000;

/// What a creation says of a concatenation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concatenation {
    /// The upload is made to be joined with others.
    Partial,
    /// The upload is others, joined.
    Final {
        /// Their URLs as the client wrote them, absolute or relative.
        urls: Vec<String>,
        /// The whole header, as it is echoed.
        header: String,
    },
}

pub(super) fn read(headers: &HeaderMap) -> Result<Option<Concatenation>, Rejection> {
    let malformed = Rejection::Malformed {
        name: NAME,
        grammar: "`partial`, or `final;` and 1 to 1000 URLs of this server",
    };
    let Some(value) = text(headers, &UPLOAD_CONCAT, NAME)? else {
        return Ok(None);
    };
    let value = value.trim();
    if value == "partial" {
        return Ok(Some(Concatenation::Partial));
    }
    let list = value.strip_prefix("final;").ok_or(malformed.clone())?;
    let urls: Vec<String> = list.split_ascii_whitespace().map(str::to_owned).collect();
    if urls.is_empty() || urls.len() > PARTS_MAX {
        return Err(malformed);
    }
    Ok(Some(Concatenation::Final {
        urls,
        header: value.to_owned(),
    }))
}
