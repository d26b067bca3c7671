//! Reading a request's head.

use http::{HeaderMap, HeaderName, Method, header};
use windlass_task::Metadata;

use super::{
    Append, CONTENT_TYPE, Command, Create, Digests, Rejection, Row, UPLOAD_COMPLETE, UPLOAD_INCOMPLETE, fields,
};

/// The part of a request that the engine reads.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// Whether the path names an upload, and not the place where uploads are created.
    pub names_upload: bool,
}

const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");

/// Reads what a request asks for, by its version's row. `max_size` is the largest upload in bytes that is taken.
///
/// # Errors
/// The [`Rejection`] to answer with; the request has changed nothing.
pub fn parse(head: Head<'_>, row: &Row, max_size: Option<u64>) -> Result<Command, Rejection> {
    match (head.method, head.names_upload) {
        (&Method::HEAD | &Method::GET, true) => Ok(Command::Retrieve),
        (&Method::PATCH, true) => append(head.headers, row).map(Command::Append),
        (&Method::DELETE, true) => Ok(Command::Cancel),
        // Any method that has content (section 4.2).
        (&Method::POST | &Method::PUT | &Method::PATCH, false) => {
            create(head.headers, row, max_size).map(Command::Create)
        }
        _ => Err(Rejection::Method),
    }
}

fn create(headers: &HeaderMap, row: &Row, max_size: Option<u64>) -> Result<Create, Rejection> {
    let complete = is_complete(headers, row)?.ok_or(incomplete_field(row))?;
    let content_length = content_length(headers)?;
    let by_body = content_length.filter(|_| complete);
    let length = fields::integer(headers, &UPLOAD_LENGTH);
    let contradicted = match (length, content_length) {
        (Some(length), Some(body)) => body > length || complete && body != length,
        _ => false,
    };
    if contradicted {
        return Err(Rejection::Length);
    }
    let length = length.or(by_body);
    if let Some(limit) = max_size
        && length.max(content_length).is_some_and(|size| size > limit)
    {
        return Err(Rejection::MaxSize { limit });
    }
    Ok(Create {
        complete,
        length,
        metadata: metadata(headers)?,
        digests: digests(headers)?,
    })
}

fn append(headers: &HeaderMap, row: &Row) -> Result<Append, Rejection> {
    if row.typed_append {
        let value = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        let essence = value.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case(CONTENT_TYPE) {
            return Err(Rejection::ContentType);
        }
    }
    let offset = fields::integer(headers, &UPLOAD_OFFSET);
    let complete = match is_complete(headers, row)? {
        Some(complete) => complete,
        None if row.explicit_append => return Err(incomplete_field(row)),
        None => true,
    };
    Ok(Append {
        offset: offset.ok_or(Rejection::Field {
            name: "Upload-Offset",
            grammar: "a whole number",
        })?,
        complete,
        length: fields::integer(headers, &UPLOAD_LENGTH),
        content_length: content_length(headers)?,
        digests: digests(headers)?,
    })
}

/// Whether the request says that its body ends the upload. A field that cannot be read is as none.
fn is_complete(headers: &HeaderMap, row: &Row) -> Result<Option<bool>, Rejection> {
    if row.inverted {
        return Ok(fields::boolean(headers, &UPLOAD_INCOMPLETE).map(|incomplete| !incomplete));
    }
    Ok(fields::boolean(headers, &UPLOAD_COMPLETE))
}

fn incomplete_field(row: &Row) -> Rejection {
    let name = if row.inverted {
        "Upload-Incomplete"
    } else {
        "Upload-Complete"
    };
    Rejection::Field {
        name,
        grammar: "?0 or ?1",
    }
}

/// hyper has refused what is no number or stands twice with two values.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Rejection> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or(Rejection::Field {
        name: "Content-Length",
        grammar: "a whole number",
    })
}

fn metadata(headers: &HeaderMap) -> Result<Metadata, Rejection> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
    };
    let name = text(header::CONTENT_DISPOSITION).and_then(fields::filename);
    let media_type = text(header::CONTENT_TYPE);
    let mut pairs = Vec::new();
    pairs.extend(name.as_deref().map(|name| ("filename", name.as_bytes())));
    pairs.extend(media_type.map(|media_type| ("filetype", media_type.as_bytes())));
    Metadata::from_pairs(pairs).map_err(Rejection::Metadata)
}

fn digests(headers: &HeaderMap) -> Result<Digests, Rejection> {
    let grammar = "a dictionary of digests, each a byte sequence of its algorithm's size";
    let content = match fields::text(headers, &CONTENT_DIGEST) {
        Some(text) => fields::digests(text.as_bytes()).ok_or(Rejection::Field {
            name: "Content-Digest",
            grammar,
        })?,
        None => Vec::new(),
    };
    let representation = fields::text(headers, &REPR_DIGEST);
    if let Some(text) = &representation {
        fields::digests(text.as_bytes()).ok_or(Rejection::Field {
            name: "Repr-Digest",
            grammar,
        })?;
    }
    Ok(Digests {
        content,
        representation,
        wanted: fields::wants_sha256(headers, &WANT_REPR_DIGEST),
    })
}
