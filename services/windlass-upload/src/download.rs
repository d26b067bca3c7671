//! Finished uploads on their way out: whole or one range (RFC 9110 section 14), never as a page that runs.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::timeout;
use windlass_task::{Record, Status, TaskKey};

use crate::error::Error;
use crate::range::{self, Range};
use crate::service::Upload;
use crate::storage::Bytestream;

/// Answers with the bytes of a finished upload.
pub(crate) async fn answer(upload: &Upload, record: &Record, request: &HeaderMap) -> Result<Response, Error> {
    let (Status::Completed, Some(length)) = (record.status, record.length) else {
        return Err(Error::Download);
    };
    let etag = etag(record);
    // Conditions in the order of RFC 9110 section 13.2.2; there is no date to compare.
    if request.contains_key(header::IF_MATCH) && !matches(request, &header::IF_MATCH, &etag, Comparison::Strong) {
        return Err(Error::MatchFile);
    }
    let mut headers = identify(&etag);
    if matches(request, &header::IF_NONE_MATCH, &etag, Comparison::Weak) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    describe(&mut headers, record);
    // A range is only meant for the very bytes it was made for.
    let range = match request.get(header::IF_RANGE) {
        Some(value) if value.as_bytes() != etag.as_bytes() => None,
        _ => request.get(header::RANGE).and_then(|value| value.to_str().ok()),
    };
    let (status, range) = match range.map(|range| range::parse(range, length)) {
        None | Some(Range::Ignored) => (StatusCode::OK, 0..length),
        Some(Range::Outside) => return Err(Error::SelectRange { length }),
        Some(Range::Inside(start, end)) => {
            let value = format!("bytes {start}-{}/{length}", end - 1);
            headers.insert(header::CONTENT_RANGE, value.try_into().expect("digits are ASCII"));
            (StatusCode::PARTIAL_CONTENT, start..end)
        }
    };
    headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    let bytes = upload.storage().read(&record.segments, range).await?;
    let begun = timeout(upload.config.hold, begin(record.key.clone(), bytes)).await;
    let bytes = begun.map_err(|_| Error::AwaitStorage)??;
    Ok((status, headers, Body::from_stream(bytes)).into_response())
}

/// The same bytes once the first of them are there: who asks while the storage is away is told to come again, and not that
/// the file comes, which would then break off.
async fn begin(key: TaskKey, mut bytes: Bytestream) -> Result<Bytestream, Error> {
    let first = bytes.try_next().await?;
    let whole = stream::iter(first.map(Ok)).chain(bytes);
    let watched = whole.inspect_err(move |error| {
        let error: &dyn std::error::Error = error;
        tracing::warn!(tenant = %key.tenant, task = %key.id, error, "a download is broken off");
    });
    Ok(watched.boxed())
}

/// Uploads never change once finished, so the id is the validator.
fn etag(record: &Record) -> String {
    format!("\"{}\"", record.key.id)
}

/// What every answer about the file says, also that it has not changed.
fn identify(etag: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-transform"));
    headers.insert(header::ETAG, etag.try_into().expect("an id is ASCII"));
    headers
}

fn describe(headers: &mut HeaderMap, record: &Record) {
    let stated = record.metadata.content_type();
    let media_type = stated.filter(|stated| is_inert(stated));
    let media_type = media_type.and_then(|text| HeaderValue::from_str(text).ok());
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, media_type.unwrap_or(octets));
    headers.insert(header::CONTENT_DISPOSITION, disposition(record.metadata.filename()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A browser that shows the file all the same gives it no scripts and no origin.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

/// Whether a browser cannot take content of this type, which its uploader states, for a page, a script or a style: those
/// are `application/octet-stream` here, so that no page of this origin can be made to load them as what they are.
fn is_inert(stated: &str) -> bool {
    const OTHERS: [&str; 8] = [
        "text/plain",
        "text/csv",
        "application/json",
        "application/pdf",
        "application/zip",
        "application/gzip",
        "application/x-tar",
        "application/x-7z-compressed",
    ];
    let essence = stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = essence.split_once('/').map(|(kind, _)| kind);
    match kind {
        // An SVG is a page with scripts.
        Some("image") => essence != "image/svg+xml",
        Some("audio" | "video" | "font") => true,
        Some(_) | None => OTHERS.contains(&&*essence),
    }
}

/// `attachment` with the name in both forms (RFC 6266): plain ASCII for old readers, UTF-8 for the others.
fn disposition(name: Option<&str>) -> HeaderValue {
    let Some(name) = name else {
        return HeaderValue::from_static("attachment");
    };
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/' | '%') || c == ' ' {
                c
            } else {
                '_'
            }
        })
        .collect();
    let mut extended = String::new();
    for byte in name.bytes() {
        // attr-char of RFC 8187.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            extended.push(char::from(byte));
        } else {
            extended.push_str(&format!("%{byte:02X}"));
        }
    }
    let value = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}");
    value.try_into().unwrap_or(HeaderValue::from_static("attachment"))
}

/// How entity tags are compared (RFC 9110 section 8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags, which may stand in several fields, has this one, or is a star.
fn matches(request: &HeaderMap, name: &header::HeaderName, etag: &str, comparison: Comparison) -> bool {
    let fields = request.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut tags = fields.flat_map(|text| text.split(',')).map(str::trim);
    tags.any(|tag| match comparison {
        Comparison::Strong => tag == "*" || tag == etag,
        Comparison::Weak => tag == "*" || tag.trim_start_matches("W/") == etag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_header() {
        let value = disposition(Some("a\"; filename=evil.html\r\nX: y/\u{e9}.txt"));
        let text = value.to_str().unwrap();
        assert!(text.starts_with("attachment; filename=\"a_; filename=evil.html__X: y__.txt\"; filename*=UTF-8''a%22"));
        assert!(text.ends_with("%C3%A9.txt"));
    }

    #[test]
    fn what_could_run_as_a_page_or_a_script_is_octets() {
        for inert in [
            "image/png",
            "IMAGE/JPEG",
            "video/mp4; codecs=avc1",
            "text/plain; charset=utf-8",
            "application/pdf",
        ] {
            assert!(is_inert(inert), "{inert}");
        }
        for active in [
            "text/html",
            "Text/HTML; charset=utf-8",
            "image/svg+xml",
            "image/SVG+xml ;a",
            "text/javascript",
            "application/javascript",
            "application/xhtml+xml",
            "text/css",
            "text/xml",
            "multipart/mixed",
            "",
            "image",
        ] {
            assert!(!is_inert(active), "{active}");
        }
    }

    #[test]
    fn entity_tags_are_found_in_any_field_of_a_list() {
        let mut request = HeaderMap::new();
        request.append(header::IF_MATCH, HeaderValue::from_static("\"a\", W/\"b\""));
        request.append(header::IF_MATCH, HeaderValue::from_static("\"c\""));
        let found = |etag, comparison| matches(&request, &header::IF_MATCH, etag, comparison);
        assert!(found("\"a\"", Comparison::Strong) && found("\"c\"", Comparison::Strong));
        assert!(found("\"b\"", Comparison::Weak) && !found("\"b\"", Comparison::Strong));
        assert!(!found("\"d\"", Comparison::Weak));
        assert!(!matches(&request, &header::IF_NONE_MATCH, "\"a\"", Comparison::Weak));
    }
}
