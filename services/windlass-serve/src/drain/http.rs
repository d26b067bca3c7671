//! `/admin/drain`: who runs the process starts, paces, reports and takes back its drain, and shows the admin key for it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, StatusCode, header};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::Drain;
use crate::config::Time;
use crate::problem::Problem;

/// 96 bits, if it was made at random of letters and digits: more than anybody can try.
const KEY_BYTES: usize = 16;

/// A key that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file.
    #[error("--admin-key-file: the file cannot be read")]
    ReadFile(#[source] std::io::Error),
    /// Its text.
    #[error("--admin-key-file: a key has at least 16 visible ASCII characters")]
    ReadKey,
}

/// The key of who may change what the process does.
#[derive(Clone)]
pub(crate) struct Key(String);

impl fmt::Debug for Key {
    /// Nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads it; a line feed at its end does not count.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(KeyError::ReadFile)?;
        let key = text.trim_end_matches(['\r', '\n']);
        if key.len() < KEY_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyError::ReadKey);
        }
        Ok(Self(key.to_owned()))
    }

    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = authorization.and_then(|value| value.split_once(' '));
        shown.is_some_and(|(scheme, key)| {
            scheme.eq_ignore_ascii_case("bearer") && bool::from(key.trim().as_bytes().ct_eq(self.0.as_bytes()))
        })
    }
}

#[derive(Debug)]
struct Desk {
    drain: Drain,
    key: Option<Key>,
}

/// What is asked of a drain.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Request {
    window: Option<Time>,
}

/// The route. Without a key nobody may use it.
pub(crate) fn router(drain: Drain, key: Option<Key>) -> Router {
    Router::new()
        .route("/admin/drain", get(report).post(begin).delete(cancel))
        .with_state(Arc::new(Desk { drain, key }))
}

async fn report(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    desk.permitted(&headers, || desk.tell(StatusCode::OK))
}

async fn begin(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    desk.permitted(&headers, || {
        let request = if body.trim_ascii().is_empty() {
            Ok(Request::default())
        } else {
            serde_json::from_slice(&body)
        };
        let Ok(Request { window }) = request else {
            let detail = "the body is {\"window\": \"30s\"}, or empty for the configured window";
            return Problem::new(StatusCode::BAD_REQUEST, "drain_malformed", detail).into_response();
        };
        let window: Option<Duration> = window.map(|time| time.0);
        tracing::info!(?window, "a drain was ordered");
        desk.drain.begin(window);
        desk.tell(StatusCode::ACCEPTED)
    })
}

async fn cancel(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    desk.permitted(&headers, || {
        tracing::info!("a drain was taken back");
        desk.drain.cancel();
        desk.tell(StatusCode::OK)
    })
}

impl Desk {
    /// What is answered to who shows the key.
    fn permitted(&self, headers: &HeaderMap, answer: impl FnOnce() -> Response) -> Response {
        let Some(key) = &self.key else {
            let detail = "the process was started without --admin-key-file";
            return Problem::new(StatusCode::FORBIDDEN, "admin_key_missing", detail).into_response();
        };
        if key.is_shown(headers) {
            return answer();
        }
        let detail = "show the admin key: Authorization: Bearer KEY";
        let challenge = ::http::HeaderValue::from_static("Bearer");
        Problem::new(StatusCode::UNAUTHORIZED, "admin_key_wrong", detail)
            .with_header(header::WWW_AUTHENTICATE, challenge)
            .into_response()
    }

    fn tell(&self, status: StatusCode) -> Response {
        let headers = [(header::CACHE_CONTROL, "no-store")];
        (status, headers, Json(self.drain.report())).into_response()
    }
}
