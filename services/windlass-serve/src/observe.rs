//! The root span and the count of each request.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tracing::{Instrument as _, Span};

use crate::metrics::Metrics;
use crate::trace;

/// What a path that matches no route is called in logs and metrics.
const NO_ROUTE: &str = "none";

/// The span that a request has in the log, for what is learnt of it later.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpan(pub(crate) Span);

/// Puts the span and the count round every route and fallback that `router` has by now. To be the outermost layer.
pub(crate) fn layer(router: Router, metrics: Metrics) -> Router {
    router.layer(middleware::from_fn_with_state(metrics, run))
}

async fn run(State(metrics): State<Metrics>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    // The template, never the path: `/files/<tenant>/<id>/<key>` holds the right to write.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let span = tracing::info_span!("request", %method, route, tenant = tracing::field::Empty);
    let trace = span.in_scope(|| trace::of_request(&method, route, request.headers()));
    request.extensions_mut().insert(RequestSpan(span.clone()));
    let received = trace::received(request.headers());
    let handling = trace::within(trace.clone(), received, next.run(request));
    let response = handling.instrument(span.clone()).await;
    let status = response.status();
    trace::answered(&trace, status);
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
