//! `/api`: a method a path, the batch, and the old form with the method in the body.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use subtle::ConstantTimeEq as _;
use windlass_task::Tenant;

use super::error::Error;
use crate::api::{self, Api, ErrorDocument, Outcome};
use crate::push::Push;

/// The largest body, bytes: a batch of publications, each as large as a client's message may be.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// `{"result": …}` or `{"error": …}`, in the old form with the command's id.
#[derive(Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
}

/// A command of the old form.
#[derive(Deserialize)]
struct Command<'a> {
    id: Option<u32>,
    method: String,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

impl Answer {
    fn of(id: Option<u32>, outcome: Outcome) -> Self {
        let (result, error) = match outcome {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error.into())),
        };
        Self { id, error, result }
    }
}

/// `POST /api/<method>`: the body is the request, the answer its result or error, with status 200 for both.
pub(super) async fn call(
    State(push): State<Arc<Push>>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let api = Api::new(Arc::clone(&push), permit(&push, &headers)?);
    let body = read(body).await?;
    let params: &RawValue = if body.trim_ascii().is_empty() {
        RawValue::NULL
    } else {
        serde_json::from_slice(&body).map_err(|_| Error::Api)?
    };
    let params = if params.get() == "null" { empty() } else { params };
    match api.call(&method, params).await {
        Err(api::Error::Malformed) => Err(Error::Api),
        Err(api::Error::UnknownMethod) => Err(Error::UnknownMethod),
        // A batch is answered without anything round it, as Centrifugo does.
        Ok(result) if method == "batch" => Ok(json(result.get().to_owned())),
        outcome @ (Ok(_) | Err(api::Error::Refused(_))) => Ok(json(written(&Answer::of(None, outcome)))),
    }
}

/// `POST /api`: `{"method", "params"}`, several a body, one a line; as many answers, one a line.
pub(super) async fn call_by_body(
    State(push): State<Arc<Push>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let api = Api::new(Arc::clone(&push), permit(&push, &headers)?);
    let body = read(body).await?;
    let mut answers = Vec::new();
    for command in serde_json::Deserializer::from_slice(&body).into_iter::<Command<'_>>() {
        let Command { id, method, params } = command.map_err(|_| Error::Api)?;
        let outcome = api.call(&method, params.unwrap_or(empty())).await;
        answers.push(written(&Answer::of(id, outcome)));
    }
    if answers.is_empty() {
        return Err(Error::Api);
    }
    Ok(json(answers.join("\n")))
}

/// For which tenant the key is good.
fn permit(push: &Push, headers: &HeaderMap) -> Result<Tenant, Error> {
    let settings = push.settings();
    let Some(api) = &settings.api else {
        return if settings.verifies_tokens {
            Err(Error::ApiOff)
        } else {
            // Only this machine reaches the server, and nobody shows anything there.
            Ok(Tenant::default_tenant())
        };
    };
    let shown = shown(headers).ok_or(Error::ApiKey)?;
    if bool::from(shown.as_bytes().ct_eq(api.key.as_bytes())) {
        Ok(api.tenant.clone())
    } else {
        Err(Error::ApiKey)
    }
}

/// `X-API-Key: KEY`, or `Authorization: apikey KEY`.
fn shown(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().ok();
    }
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("apikey").then(|| key.trim())
}

async fn read(body: Body) -> Result<Bytes, Error> {
    axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Error::TooLarge)
}

fn empty() -> &'static RawValue {
    serde_json::from_str("{}").expect("an empty object is JSON")
}

fn written(answer: &Answer) -> String {
    serde_json::to_string(answer).expect("an answer is made of texts, numbers and JSON")
}

fn json(text: String) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}
