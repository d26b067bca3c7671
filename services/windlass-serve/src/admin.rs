//! `/metrics`, `/healthz`, `/readyz`.
//!
//! Readiness tells only of this process's own faults. A shared dependency that is down must not appear here: it would
//! take every replica out of the load balancer at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use prometheus_client::registry::Registry;
use serde_json::json;

use crate::drain::Drain;
use crate::problem::Problem;
use crate::shutdown::{Phase, Shutdown};

/// The media type that prometheus-client writes (OpenMetrics 1.0.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether this process wants new work. Clones are the same.
#[derive(Debug, Clone)]
pub struct Readiness {
    shutdown: Shutdown,
    drain: Drain,
    faults: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Readiness {
    /// Ready until `shutdown` begins, a `drain` is ordered or a fault is set.
    #[must_use]
    pub fn new(shutdown: Shutdown, drain: Drain) -> Self {
        Self {
            shutdown,
            drain,
            faults: Arc::default(),
        }
    }

    /// Sets a fault of this process's own, such as a full disk. `detail` is shown; no secrets.
    pub fn set_fault(&self, name: &'static str, detail: impl Into<String>) {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, detail.into());
    }

    /// Takes a fault back.
    pub fn clear_fault(&self, name: &'static str) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn report(&self) -> (StatusCode, serde_json::Value) {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let status = match self.shutdown.phase() {
            Phase::Running if self.drain.is_ordered() => "draining",
            Phase::Running if faults.is_empty() => "ready",
            Phase::Running => "faulty",
            Phase::Leaving | Phase::Draining => "draining",
        };
        let code = if status == "ready" {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        (code, json!({"status": status, "faults": *faults}))
    }
}

/// The three routes over everything that `registry` holds.
pub fn router(registry: Registry, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(Arc::new(registry))
        .route("/readyz", get(ready))
        .with_state(readiness)
        .route("/healthz", get(healthy))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS))], text).into_response(),
        Err(_) => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "metrics_failed",
            "a metric could not be written",
        )
        .into_response(),
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let (code, report) = readiness.report();
    json_text(code, &report)
}

/// Answering is the proof: the process accepts, schedules and routes.
async fn healthy() -> Response {
    json_text(StatusCode::OK, &json!({"status": "alive"}))
}

fn json_text(code: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (code, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_tells_of_own_faults_and_of_the_way_down() {
        let shutdown = Shutdown::new();
        let drain = Drain::default();
        let readiness = Readiness::new(shutdown.clone(), drain.clone());
        assert_eq!(
            readiness.report(),
            (StatusCode::OK, json!({"status": "ready", "faults": {}}))
        );
        readiness.set_fault("disk", "no space left");
        let faulty = json!({"status": "faulty", "faults": {"disk": "no space left"}});
        assert_eq!(readiness.report(), (StatusCode::SERVICE_UNAVAILABLE, faulty));
        readiness.clear_fault("disk");
        assert_eq!(readiness.report().0, StatusCode::OK);
        drain.begin(None);
        assert_eq!(readiness.report().0, StatusCode::SERVICE_UNAVAILABLE);
        drain.cancel();
        assert_eq!(readiness.report().0, StatusCode::OK);
        shutdown.begin();
        let draining = json!({"status": "draining", "faults": {}});
        assert_eq!(readiness.report(), (StatusCode::SERVICE_UNAVAILABLE, draining));
    }
}
