//! CORS for allowed origins.
//!
//! Not tower-http's layer: it answers every OPTIONS itself, and tus clients ask for capabilities by OPTIONS. Here only
//! a request with `Access-Control-Request-Method` is a preflight. No credentials: callers show a bearer token or hold a
//! key in the URL, never a cookie.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::Origin;

const METHODS: &str = "POST, PUT, HEAD, PATCH, DELETE, GET, OPTIONS";

/// Request headers that a page may send: tus 1.0.0 with all extensions, the IETF draft, digests, what the SDKs add.
const REQUEST_HEADERS: &str = "Accept, Authorization, Cache-Control, Content-Digest, Content-Disposition, \
    Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, Incremental, Last-Event-ID, Prefer, Range, \
    Repr-Digest, Traceparent, Tracestate, Tus-Resumable, Upload-Checksum, Upload-Complete, Upload-Concat, \
    Upload-Defer-Length, Upload-Draft-Interop-Version, Upload-Expires, Upload-Incomplete, Upload-Length, \
    Upload-Metadata, Upload-Offset, Want-Content-Digest, Want-Repr-Digest, X-HTTP-Method-Override, X-Request-ID, \
    X-Requested-With";

/// Response headers that a page may read.
const RESPONSE_HEADERS: &str = "Accept-Ranges, Allow, Content-Digest, Content-Disposition, Content-Length, Content-Range, \
    ETag, Location, Repr-Digest, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, \
    Upload-Complete, Upload-Concat, Upload-Defer-Length, Upload-Draft-Interop-Version, Upload-Expires, \
    Upload-Incomplete, Upload-Length, Upload-Limit, Upload-Metadata, Upload-Offset, WWW-Authenticate, X-Request-ID";

/// How long a browser may keep the preflight's answer, seconds. Chromium's own cap.
const MAX_AGE: &str = "7200";

const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The answer to a preflight from an allowed origin; [`mark`] adds the rest.
pub(super) fn preflight(request: &Request) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(REQUEST_HEADERS),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    if request.headers().contains_key(REQUEST_PRIVATE_NETWORK) {
        // Chromium asks when a public page reaches for a loopback address; the allow-list has answered that.
        headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    response
}

/// Says who may read a response. Every response varies by `Origin`, or a cache would give one origin's to another.
pub(super) fn mark(response: &mut Response, allowed: Option<&Origin>) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = allowed else { return };
    let origin = HeaderValue::try_from(origin.to_string()).expect("an origin is visible ASCII");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(RESPONSE_HEADERS),
    );
}
