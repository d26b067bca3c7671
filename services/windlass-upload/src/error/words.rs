//! A hook's words on their way to the client: its status, text and fields, within what the protocols leave to it.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use windlass_serve::Problem;
use windlass_task::Answer;

use crate::ietf;

/// A refusal in the hook's words; where it has none, the problem says what happened.
pub(super) fn refuse(mut problem: Problem, answer: &Answer, ietf: Option<(&'static ietf::Row, bool)>) -> Response {
    let status = answer.status.filter(|status| (400..=599).contains(status));
    if let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) {
        problem.status = status;
    }
    let mut response = if answer.body.is_empty() {
        problem.into_response()
    } else {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        (problem.status, [(header::CONTENT_TYPE, text)], answer.body.clone()).into_response()
    };
    set_fields(&mut response, answer);
    if let Some((row, is_final)) = ietf {
        ietf::response::say_complete(response.headers_mut(), row, is_final);
        response.extensions_mut().insert(crate::http::OtherProtocol);
    }
    response
}

/// Adds a hook's words to a success. A text of its own takes the place of no content.
pub(crate) fn decorate(mut response: Response, answer: Option<&Answer>) -> Response {
    let Some(answer) = answer else { return response };
    if !answer.body.is_empty() {
        if response.status() == StatusCode::NO_CONTENT {
            *response.status_mut() = StatusCode::OK;
        }
        *response.body_mut() = Body::from(answer.body.clone());
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if let Some(status) = answer
        .status
        .filter(|status| (200..=299).contains(status) && *status != 204)
    {
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(response.status());
    }
    set_fields(&mut response, answer);
    response
}

fn set_fields(response: &mut Response, answer: &Answer) {
    for (name, value) in &answer.fields {
        let field = (name.parse::<HeaderName>(), HeaderValue::from_str(value));
        if let (Ok(name), Ok(value)) = field
            && is_left_to_hooks(&name)
        {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Framing is the server's, and what the protocols say is the record's.
fn is_left_to_hooks(name: &HeaderName) -> bool {
    let framing = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::LOCATION,
        header::DATE,
    ];
    let text = name.as_str();
    !framing.contains(name) && !text.starts_with("upload-") && !text.starts_with("tus-") && text != "keep-alive"
}
