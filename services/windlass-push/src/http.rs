//! The routes of the push service. Handlers are thin: they find out who asks for what, and leave the rest to the
//! sessions and the view.

mod error;
mod events;
mod extract;
mod tasks;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::push::Push;

/// `/tasks`, `/events`, `/ws`, `/connection/websocket`.
pub fn router(push: Arc<Push>) -> Router {
    Router::new()
        .route("/tasks", get(tasks::list))
        .route("/tasks/{id}", get(tasks::show))
        .route("/tasks/{id}/pause", post(tasks::pause))
        .route("/tasks/{id}/resume", post(tasks::resume))
        .route("/events/{id}", get(events::stream))
        .route("/ws", get(websocket::plain))
        .route("/connection/websocket", get(websocket::centrifuge))
        .with_state(push)
}
