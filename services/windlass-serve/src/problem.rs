//! Errors as `application/problem+json` (RFC 9457), with a stable code that a program can match on.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

/// One error as a client sees it. `code` is stable and listed in `docs/errors.md`; `title` and `detail` are for people.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable name of the error, `lower_snake_case`.
    pub code: &'static str,
    /// What kind of error it is; the same text for every occurrence.
    pub title: Cow<'static, str>,
    /// What is wrong with this very request. Never a secret, never a payload.
    pub detail: Cow<'static, str>,
    kind: Cow<'static, str>,
    members: Vec<(&'static str, u64)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(flatten, serialize_with = "members")]
    members: &'a [(&'static str, u64)],
}

fn members<S: serde::Serializer>(members: &&[(&'static str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(members.iter().copied())
}

impl Problem {
    /// A problem whose title is the status's own phrase.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            title: Cow::Borrowed(status.canonical_reason().unwrap_or("Error")),
            detail: detail.into(),
            kind: Cow::Borrowed("about:blank"),
            members: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// The same problem of a registered type (RFC 9457 section 3.1.1), a URI.
    #[must_use]
    pub fn of_type(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.kind = uri.into();
        self
    }

    /// The same problem with one more member that its type defines.
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: u64) -> Self {
        self.members.push((name, value));
        self
    }

    /// The same problem under another title.
    #[must_use]
    pub fn titled(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = title.into();
        self
    }

    /// The same problem with one more response header, such as `Retry-After` or `WWW-Authenticate`.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The JSON text of the body, for protocols that are not HTTP responses.
    #[must_use]
    pub fn to_json(&self) -> String {
        let body = Body {
            r#type: &self.kind,
            title: &self.title,
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            members: &self.members,
        };
        serde_json::to_string(&body).expect("strings and a number always serialise")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.extend(self.headers);
        response
    }
}

/// The answer to a path that no route matches.
pub(crate) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "route_not_found", "no such path here")
}

/// The answer to a method that the path does not have; the router adds `Allow`.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path does not take this method",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_is_json_of_the_documented_shape() {
        let problem = Problem::new(StatusCode::CONFLICT, "paused", "the task is \"paused\"")
            .titled("Task paused")
            .with_header(HeaderName::from_static("upload-offset"), HeaderValue::from_static("7"));
        let response = problem.into_response();
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["upload-offset"], "7");
        let bytes = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"type": "about:blank", "title": "Task paused", "status": 409, "code": "paused",
                "detail": "the task is \"paused\""})
        );
    }
}
