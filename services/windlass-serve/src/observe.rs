//! The root span and the count of each request.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tracing::Instrument as _;

use crate::metrics::Metrics;

/// What a path that matches no route is called in logs and metrics.
const NO_ROUTE: &str = "none";

/// Puts the span and the count round every route and fallback that `router` has by now. To be the outermost layer.
pub(crate) fn layer(router: Router, metrics: Metrics) -> Router {
    router.layer(middleware::from_fn_with_state(metrics, run))
}

async fn run(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    // The template, never the path: `/files/<tenant>/<id>/<key>` holds the right to write.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let span = tracing::info_span!("request", %method, route, tenant = tracing::field::Empty);
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    metrics.answered(&method, route, status);
    let status = status.as_u16();
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| {
        // 503 is how a busy or leaving server is meant to answer.
        if status >= 500 && status != 503 {
            tracing::warn!(status, elapsed_ms, "request failed");
        } else {
            tracing::debug!(status, elapsed_ms, "request answered");
        }
    });
    response
}
