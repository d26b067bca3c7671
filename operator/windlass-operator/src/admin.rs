//! `/metrics`, `/healthz`, `/readyz`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use prometheus_client::registry::Registry;

use crate::watch::{Ages, SILENCE_MAX};

/// The media type that prometheus-client writes (OpenMetrics 1.0.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The three routes. A process is healthy while its watches are heard of; one that only waits to lead has none and is.
/// It is ready when it answers: a candidate is as ready as the leader, or a rollout of the operator could not end.
pub fn router(registry: Registry, ages: Ages) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(Arc::new(registry))
        .route("/healthz", get(healthy))
        .with_state(ages)
        .route("/readyz", get(|| async { "ready\n" }))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be written\n").into_response(),
    }
}

async fn healthy(State(ages): State<Ages>) -> Response {
    let silent = ages.oldest();
    if silent > SILENCE_MAX {
        let said = format!("a watch has been silent for {} s\n", silent.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, said).into_response();
    }
    (StatusCode::OK, "alive\n").into_response()
}
