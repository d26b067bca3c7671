//! The routes of the push service. Handlers are thin: they find out who asks for what, and leave the rest to the
//! sessions and the view.

mod admin;
mod api;
mod error;
mod events;
mod extract;
mod streaming;
mod tasks;
mod websocket;

pub use admin::admin_router;
pub use websocket::accept_websocket;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::push::Push;

/// `/tasks`, `/events`, `/ws`, `/connection/*`: the caller is who the token says.
pub fn router(push: Arc<Push>) -> Router {
    Router::new()
        .route("/tasks", get(tasks::list))
        .route("/tasks/{id}", get(tasks::show))
        .route("/tasks/{id}/pause", post(tasks::pause))
        .route("/tasks/{id}/resume", post(tasks::resume))
        .route("/events/{id}", get(events::stream))
        .route("/ws", get(websocket::plain))
        .route("/connection/websocket", get(websocket::centrifuge))
        .route("/connection/http_stream", post(streaming::http_stream))
        .route("/connection/sse", get(streaming::sse).post(streaming::sse_by_post))
        .with_state(push)
}

/// `/emulation` and `/api`: no token is asked for. What gives the right is in the request, or a key of its own.
pub fn open_router(push: Arc<Push>) -> Router {
    Router::new()
        .route("/emulation", post(streaming::emulation))
        .route("/api", post(api::call_by_body))
        .route("/api/{method}", post(api::call))
        .with_state(push)
}
