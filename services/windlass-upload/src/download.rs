//! Finished uploads on their way out: whole or one range (RFC 9110 section 14), never as a page that runs.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use windlass_task::{Record, Status};

use crate::error::Error;
use crate::range::{self, Range};
use crate::service::Upload;

/// Answers with the bytes of a finished upload.
pub(crate) async fn answer(upload: &Upload, record: &Record, request: &HeaderMap) -> Result<Response, Error> {
    let (Status::Completed, Some(length)) = (record.status, record.length) else {
        return Err(Error::Download);
    };
    let etag = etag(record);
    let mut headers = describe(record, &etag);
    if matches(request.get(header::IF_NONE_MATCH), &etag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
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
    Ok((status, headers, Body::from_stream(bytes)).into_response())
}

/// Uploads never change once finished, so the id is the validator.
fn etag(record: &Record) -> String {
    format!("\"{}\"", record.key.id)
}

fn describe(record: &Record, etag: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let media_type = record
        .metadata
        .content_type()
        .and_then(|text| HeaderValue::from_str(text).ok());
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, media_type.unwrap_or(octets));
    headers.insert(header::CONTENT_DISPOSITION, disposition(record.metadata.filename()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A browser that shows the file all the same gives it no scripts and no origin.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-transform"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::ETAG, etag.try_into().expect("an id is ASCII"));
    headers
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

fn matches(condition: Option<&HeaderValue>, etag: &str) -> bool {
    let Some(text) = condition.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    text.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == etag)
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
}
