//! Reading a request's head.

use http::{HeaderMap, HeaderName, Method, header};
use windlass_task::Metadata;

use super::concat::{self, Concatenation};
use super::{Append, CONTENT_TYPE, Command, Create, Rejection, VERSION, checksum};

/// The part of a request that the engine reads.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// Whether the path names an upload, and not the place where uploads are created.
    pub names_upload: bool,
    /// Whether a body follows, by the HTTP framing.
    pub has_body: bool,
}

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// The largest number that a size header may have: sizes are kept as signed 64-bit integers by some stores.
const SIZE_MAX: u64 = i64::MAX as u64;

/// The method that a request means: tus 1.0.0 has it in `X-HTTP-Method-Override` where a browser, a proxy or a firewall
/// lets only some methods through.
///
/// # Errors
/// The [`Rejection`] to answer with.
pub fn meant_method(sent: &Method, headers: &HeaderMap) -> Result<Method, Rejection> {
    match text(headers, &METHOD_OVERRIDE, "X-HTTP-Method-Override")? {
        None => Ok(sent.clone()),
        Some(name) => name.parse().map_err(|_| Rejection::Method),
    }
}

/// Reads what a request asks for. `max_size` is the largest upload in bytes that is taken.
///
/// # Errors
/// The [`Rejection`] to answer with; the request has changed nothing.
pub fn parse(head: Head<'_>, max_size: Option<u64>) -> Result<Command, Rejection> {
    if *head.method == Method::OPTIONS {
        return Ok(Command::Describe);
    }
    if text(head.headers, &TUS_RESUMABLE, "Tus-Resumable")?.map(str::trim) != Some(VERSION) {
        return Err(Rejection::Version);
    }
    match (head.method, head.names_upload) {
        (&Method::POST, false) => create(head, max_size).map(Command::Create),
        (&Method::HEAD, true) => Ok(Command::Retrieve),
        (&Method::PATCH, true) => append(head).map(Command::Append),
        (&Method::DELETE, true) => Ok(Command::Terminate),
        _ => Err(Rejection::Method),
    }
}

fn create(head: Head<'_>, max_size: Option<u64>) -> Result<Create, Rejection> {
    let concat = concat::read(head.headers)?;
    let length = size(head.headers, &UPLOAD_LENGTH, "Upload-Length")?;
    let deferred = match text(head.headers, &UPLOAD_DEFER_LENGTH, "Upload-Defer-Length")? {
        None => false,
        Some("1") => true,
        Some(_) => {
            return Err(Rejection::Malformed {
                name: "Upload-Defer-Length",
                grammar: "1",
            });
        }
    };
    if let Some(Concatenation::Final { .. }) = concat {
        // Its length is the sum of its parts'.
        if length.is_some() || deferred || head.has_body {
            return Err(Rejection::LengthChoice);
        }
    } else if length.is_some() == deferred {
        return Err(Rejection::LengthChoice);
    }
    if let (Some(length), Some(limit)) = (length, max_size)
        && length > limit
    {
        return Err(Rejection::MaxSize { limit });
    }
    let metadata = text(head.headers, &UPLOAD_METADATA, "Upload-Metadata")?.unwrap_or("");
    let metadata = Metadata::parse(metadata).map_err(Rejection::Metadata)?;
    if head.has_body && !is_upload_bytes(head.headers)? {
        return Err(Rejection::ContentType);
    }
    if let (Some(body), Some(length)) = (content_length(head.headers)?, length)
        && head.has_body
        && body > length
    {
        return Err(Rejection::BeyondLength { length });
    }
    let checksum = if head.has_body {
        checksum::read(head.headers)?
    } else {
        None
    };
    Ok(Create {
        length,
        metadata,
        with_body: head.has_body,
        checksum,
        concat,
    })
}

fn append(head: Head<'_>) -> Result<Append, Rejection> {
    if !is_upload_bytes(head.headers)? {
        return Err(Rejection::ContentType);
    }
    let offset = size(head.headers, &UPLOAD_OFFSET, "Upload-Offset")?;
    Ok(Append {
        offset: offset.ok_or(Rejection::Missing { name: "Upload-Offset" })?,
        length: size(head.headers, &UPLOAD_LENGTH, "Upload-Length")?,
        content_length: content_length(head.headers)?,
        checksum: checksum::read(head.headers)?,
    })
}

fn is_upload_bytes(headers: &HeaderMap) -> Result<bool, Rejection> {
    let value = text(headers, &header::CONTENT_TYPE, "Content-Type")?;
    let essence = value.map(|value| value.split(';').next().unwrap_or("").trim());
    Ok(essence.is_some_and(|essence| essence.eq_ignore_ascii_case(CONTENT_TYPE)))
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Rejection> {
    size(headers, &header::CONTENT_LENGTH, "Content-Length")
}

/// A decimal integer without sign, as every size and offset of tus is.
fn size(headers: &HeaderMap, header: &HeaderName, name: &'static str) -> Result<Option<u64>, Rejection> {
    let Some(value) = text(headers, header, name)? else {
        return Ok(None);
    };
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    match value.parse::<u64>() {
        Ok(number) if digits && number <= SIZE_MAX => Ok(Some(number)),
        Ok(_) | Err(_) => Err(Rejection::Malformed {
            name,
            grammar: "a whole number from 0 to 9223372036854775807",
        }),
    }
}

/// The value of a header that may stand once: two that differ would let two readers see two requests.
pub(super) fn text<'a>(
    headers: &'a HeaderMap,
    header: &HeaderName,
    name: &'static str,
) -> Result<Option<&'a str>, Rejection> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Rejection::Repeated { name });
    }
    value.to_str().map(Some).map_err(|_| Rejection::Malformed {
        name,
        grammar: "visible ASCII",
    })
}
