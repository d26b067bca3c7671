//! The agent's routes: orders and sight for who has the token; health and metrics for anybody.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use prometheus_client::registry::Registry;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use windlass_election::{Order, Role};
use windlass_redis_wire::Link;
use windlass_redis_wire::order::{BODY_MAX, DEADLINE, ORDERS, SIGHT};

use crate::agent::Handle;
use crate::settings::{Certificates, Secret, Settings};
use crate::tls::TlsListener;

/// The media type that prometheus-client writes (OpenMetrics 1.0.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// An agent that has not come round for so long stands still for good: longer than any disk should take, shorter than
/// anybody wants to wait for a pod.
const ALIVE_WITHIN: Duration = Duration::from_secs(60);

struct Shared {
    handle: Handle,
    registry: Registry,
}

/// Binds the agent's port, on the address that was said, or on all: those of IPv6 with those of IPv4, where the machine has
/// IPv6.
///
/// # Errors
/// It cannot be bound.
pub async fn listen(settings: &Settings) -> io::Result<TcpListener> {
    let port = settings.own().agent_port;
    if let Some(address) = settings.listen {
        return TcpListener::bind((address, port)).await;
    }
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    }
}

/// Serves for ever, with these certificates by TLS.
///
/// # Errors
/// The certificates cannot be used now.
pub async fn serve(listener: TcpListener, router: Router, certificates: Option<Certificates>) -> io::Result<()> {
    match certificates {
        None => axum::serve(listener, router).await,
        Some(certificates) => {
            let listener = TlsListener::new(listener, certificates).map_err(io::Error::other)?;
            axum::serve(listener, router).await
        }
    }
}

/// All routes.
pub fn router(handle: Handle, registry: Registry) -> Router {
    let shared = Shared { handle, registry };
    Router::new()
        .route(ORDERS, post(order))
        .route(SIGHT, get(sight))
        .route("/healthz/live", get(live))
        .route("/healthz/ready", get(ready))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(Arc::new(shared))
}

async fn order(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_known(&shared.handle.settings().token, &headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(order) = serde_json::from_slice::<Order>(&body) else {
        return (StatusCode::BAD_REQUEST, "this is no order\n").into_response();
    };
    match tokio::time::timeout(DEADLINE, shared.handle.order(order)).await {
        Ok(Some(answer)) => Json(answer).into_response(),
        Ok(None) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not known yet\n").into_response(),
    }
}

async fn sight(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    match is_known(&shared.handle.settings().token, &headers) {
        true => Json(shared.handle.view().sight).into_response(),
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn live(State(shared): State<Arc<Shared>>) -> Response {
    match shared.handle.view().at.elapsed() < ALIVE_WITHIN {
        true => (StatusCode::OK, "alive\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "it stands still\n").into_response(),
    }
}

/// Its Redis does what its role says: a primary takes writes, a replica gets them and has all of before.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let sight = shared.handle.view().sight;
    let is_ready = match sight.role {
        Role::Primary | Role::Yielding { .. } => sight.is_open,
        Role::Following { .. } | Role::Succeeding { .. } => sight.link == Some(Link::Up) && sight.is_in_step,
        Role::Detached | Role::Deposed => false,
    };
    match is_ready {
        true => (StatusCode::OK, "ready\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not what it should be\n").into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shared.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be written\n").into_response(),
    }
}

/// `Authorization: Bearer <token>` (RFC 6750 section 2.1), compared in the same time whatever it is.
fn is_known(token: &Secret, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
    let given = given
        .and_then(|value| value.strip_prefix(b"Bearer "))
        .unwrap_or_default();
    given.ct_eq(token.expose().as_bytes()).into()
}
