//! Why a request is refused, and the one place that says with which status and code.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use windlass_serve::Problem;
use windlass_serve::auth::TokenError;
use windlass_task::Right;

use crate::limits::Closed;
use crate::session::Failure;
use crate::socket::handshake;

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Error {
    /// Its token gives no principal.
    Token(TokenError),
    /// Its token does not give this right.
    Forbidden(Right),
    /// Its query cannot be; says what must be.
    Query(&'static str),
    /// What it sends for a session has not the form that it must have; says what must be.
    Emulation(&'static str),
    /// What it asks of the API has not the documented form.
    Api,
    /// The API has no such method.
    UnknownMethod,
    /// It does not show the API's key.
    ApiKey,
    /// There is no key, so nobody may use the API.
    ApiOff,
    /// It names a session that is not there.
    UnknownSession,
    /// The session has not taken yet what it was sent before.
    SessionBusy,
    /// Its body is larger than a message may be.
    TooLarge,
    /// Nobody else is let in now.
    Closed(Closed),
    /// It is no handshake, or on a connection that cannot become a WebSocket.
    Handshake,
    /// What it asks for failed.
    Failure(Failure),
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Closed> for Error {
    fn from(closed: Closed) -> Self {
        Self::Closed(closed)
    }
}

impl From<handshake::Error> for Error {
    fn from(_: handshake::Error) -> Self {
        Self::Handshake
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        problem(self).into_response()
    }
}

fn problem(error: Error) -> Problem {
    let (status, code, detail) = match error {
        Error::Token(error) => return error.into(),
        Error::Forbidden(right) => (StatusCode::FORBIDDEN, "forbidden", lacking(right)),
        Error::Query(detail) => (StatusCode::BAD_REQUEST, "invalid_query", detail),
        Error::Emulation(detail) => (StatusCode::BAD_REQUEST, "emulation_malformed", detail),
        Error::Api => (
            StatusCode::BAD_REQUEST,
            "api_malformed",
            "the body has not the form of the method's request",
        ),
        Error::UnknownMethod => (StatusCode::NOT_FOUND, "method_not_found", "the API has no such method"),
        Error::ApiKey => (
            StatusCode::UNAUTHORIZED,
            "api_key_invalid",
            "X-API-Key must have the key of push.api.keyFile",
        ),
        Error::ApiOff => (
            StatusCode::FORBIDDEN,
            "api_off",
            "the API needs a key: set push.api.keyFile",
        ),
        Error::UnknownSession => (
            StatusCode::NOT_FOUND,
            "session_not_found",
            "there is no such session, or no longer: connect again",
        ),
        Error::SessionBusy => {
            let problem = Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "session_busy",
                "the session has not taken yet what it was sent before",
            );
            return later(problem);
        }
        Error::Closed(Closed::Full) => {
            return later(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "connection_limit",
                "as many are connected as push.limits.connections lets in",
            ));
        }
        Error::Closed(Closed::Rush) => {
            return later(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "handshake_rate",
                "more come at once than push.limits.handshakes lets in",
            ));
        }
        Error::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "message_too_large",
            "the body has more bytes than push.connection.messageBytes",
        ),
        // RFC 9110 section 15.5.22 and RFC 6455 section 4.4: the answer names what must be spoken.
        Error::Handshake => {
            let problem = Problem::new(
                StatusCode::UPGRADE_REQUIRED,
                "websocket_required",
                "this path speaks WebSocket (RFC 6455, version 13) only, over HTTP/1.1",
            );
            return problem
                .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
                .with_header(header::CONNECTION, HeaderValue::from_static("upgrade"))
                .with_header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        // Whether another owner has such a task is nobody's business.
        Error::Failure(Failure::UnknownTask | Failure::ForeignTask) => (
            StatusCode::NOT_FOUND,
            "task_not_found",
            "there is no such task of yours",
        ),
        Error::Failure(Failure::TaskGone) => (StatusCode::GONE, "task_gone", "the task was terminated or has expired"),
        Error::Failure(Failure::IllegalTransition) => (
            StatusCode::CONFLICT,
            "illegal_transition",
            "the task's state does not allow this",
        ),
        Error::Failure(Failure::NoTaskView) => (
            StatusCode::NOT_FOUND,
            "no_task_view",
            "this server sees no tasks: it runs apart from the uploads",
        ),
        Error::Failure(Failure::Unavailable) => {
            let problem = Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                "the task store does not answer, try again",
            );
            return later(problem);
        }
    };
    Problem::new(status, code, detail)
}

/// A problem that may be gone in a second.
fn later(problem: Problem) -> Problem {
    problem.with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

fn lacking(right: Right) -> &'static str {
    match right {
        Right::Upload => "the token does not give the right `upload`",
        Right::Watch => "the token does not give the right `watch`",
        Right::Publish => "the token does not give the right `publish`",
        Right::Release => "the token does not give the right `release`",
    }
}
