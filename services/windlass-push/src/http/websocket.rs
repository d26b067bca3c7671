//! The two WebSocket endpoints.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Request;
use tokio::time::Instant;
use windlass_serve::auth::Verified;

use super::error::Error;
use crate::centrifuge::codec::Codec;
use crate::centrifuge::session::Centrifuge;
use crate::client::ClientId;
use crate::desk::Desk;
use crate::driver::Driver;
use crate::metrics::Transport;
use crate::outbox::Outbox;
use crate::plain::Plain;
use crate::push::Push;
use crate::session::Session;
use crate::socket::handshake::{self, Opening};

/// What clients of the Centrifuge protocol may ask for as a subprotocol; without one it is JSON.
const CENTRIFUGE_PROTOCOLS: [&str; 1] = ["centrifuge-json"];

/// `GET /connection/websocket`.
pub(super) async fn centrifuge(
    State(push): State<Arc<Push>>,
    shown: Option<Extension<Verified>>,
    request: Request<Body>,
) -> Result<Response, Error> {
    let (response, opening) = handshake::accept(request, &CENTRIFUGE_PROTOCOLS)?;
    let client = ClientId::random();
    let settings = Arc::clone(push.settings());
    let session = Centrifuge::new(client, Codec::Json, settings, Instant::now().into_std(), jitter());
    converse(push, opening, session, client, shown, Transport::Centrifuge);
    Ok(response)
}

/// `GET /ws`.
pub(super) async fn plain(
    State(push): State<Arc<Push>>,
    shown: Option<Extension<Verified>>,
    request: Request<Body>,
) -> Result<Response, Error> {
    let (response, opening) = handshake::accept(request, &[])?;
    let session = Plain::new(Arc::clone(push.settings()), Instant::now().into_std(), jitter());
    converse(push, opening, session, ClientId::random(), shown, Transport::Plain);
    Ok(response)
}

fn converse<S: Session + 'static>(
    push: Arc<Push>,
    opening: Opening,
    session: S,
    client: ClientId,
    shown: Option<Extension<Verified>>,
    transport: Transport,
) {
    tokio::spawn(async move {
        let socket = match opening.finish(push.settings().message_bytes_max).await {
            Ok(socket) => socket,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                return tracing::debug!(error, "connection lost before it was a websocket");
            }
        };
        let outbox = Arc::new(Outbox::new(push.settings().queue_bytes_max));
        let _place = push.connections().add(&outbox, transport, push.metrics());
        let desk = Desk::new(
            Arc::clone(&push),
            Arc::clone(&outbox),
            client,
            shown.map(|Extension(shown)| shown),
        );
        Box::pin(Driver::new(push, socket, session, desk, outbox).run()).await;
    });
}

/// A number from 0 to 1.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the system's random source answers once the system has started");
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
