//! For whoever runs the service: a page that shows all nodes, and what it is made from.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;

use super::error::Error;
use crate::figures::Figures;
use crate::push::Push;

/// Scripts and styles of our own only, nothing inline, no form, no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// All nodes that answered.
#[derive(Debug, Serialize)]
struct Nodes {
    nodes: Vec<Figures>,
}

/// `/admin/push`. It shows the names of channels, and asks for no token: it belongs where only those who run the service
/// can reach it.
pub fn admin_router(push: Arc<Push>) -> Router {
    Router::new()
        .route("/admin/push", get(page))
        .route("/admin/push/style.css", get(style))
        .route("/admin/push/nodes.js", get(script))
        .route("/admin/push/nodes", get(nodes))
        .with_state(push)
}

/// What every node tells of itself; one that does not answer in time is not there.
async fn nodes(State(push): State<Arc<Push>>) -> Result<Response, Error> {
    let mut nodes = push.figures().await?;
    nodes.sort_by(|one, other| one.node.cmp(&other.node));
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Nodes { nodes })).into_response())
}

async fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("../../admin/index.html"))
}

async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../../admin/style.css"))
}

async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../../admin/nodes.js"))
}

fn file(media_type: &'static str, content: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        // Page and server are one binary: a stale page could speak to a newer server.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, content).into_response()
}
