//! The two WebSocket endpoints.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Request, header};
use tokio::time::Instant;
use windlass_serve::auth::Verified;

use super::error::Error;
use crate::centrifuge::codec::Codec;
use crate::centrifuge::dialect::{Carrier, Dialect};
use crate::centrifuge::peer::Peer;
use crate::centrifuge::session::Centrifuge;
use crate::client::ClientId;
use crate::config::Settings;
use crate::desk::{Desk, Shown};
use crate::driver::Driver;
use crate::metrics::Transport;
use crate::outbox::Outbox;
use crate::plain::Plain;
use crate::push::Push;
use crate::session::Session;
use crate::socket::handshake::{self, Opening};

/// What clients of the Centrifuge protocol may ask for as a subprotocol; without one it is JSON.
const CENTRIFUGE_PROTOCOLS: [&str; 2] = ["centrifuge-json", "centrifuge-protobuf"];

/// `GET /connection/websocket`.
pub(super) async fn centrifuge(
    State(push): State<Arc<Push>>,
    shown: Option<Extension<Verified>>,
    request: Request<Body>,
) -> Result<Response, Error> {
    let shown = show(&push, shown, request.headers())?;
    let asked = asks_for_protobuf(request.uri().query().unwrap_or_default());
    let compression = push.settings().compression;
    let (response, opening) = handshake::accept(request, &CENTRIFUGE_PROTOCOLS, compression)?;
    let agreed = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
    let codec = match agreed.map(HeaderValue::as_bytes) {
        Some(b"centrifuge-protobuf") => Codec::Protobuf,
        None if asked => Codec::Protobuf,
        Some(_) | None => Codec::Json,
    };
    let carrier = if opening.compresses() {
        Carrier::Deflated
    } else {
        Carrier::WebSocket
    };
    let dialect = Dialect { codec, carrier };
    let client = ClientId::random();
    let peer = Peer::new(client, dialect);
    let session = move |settings| Centrifuge::new(peer, settings, Instant::now().into_std(), jitter());
    converse(push, opening, session, client, shown, Transport::Centrifuge, codec);
    Ok(response)
}

/// `GET /ws`.
pub(super) async fn plain(
    State(push): State<Arc<Push>>,
    shown: Option<Extension<Verified>>,
    request: Request<Body>,
) -> Result<Response, Error> {
    let shown = show(&push, shown, request.headers())?;
    // What it carries is short.
    let (response, opening) = handshake::accept(request, &[], false)?;
    let session = |settings| Plain::new(settings, Instant::now().into_std(), jitter());
    converse(
        push,
        opening,
        session,
        ClientId::random(),
        shown,
        Transport::Plain,
        Codec::Json,
    );
    Ok(response)
}

/// Answers a handshake, and runs a `session` of the caller's on the connection once it is a WebSocket. The session
/// is told whether it may send compressed messages. Who asks is for the caller to know.
///
/// # Errors
/// When the request is no handshake.
pub fn accept_websocket<S: Session + 'static>(
    push: Arc<Push>,
    request: Request<Body>,
    session: impl FnOnce(Arc<Settings>, bool) -> S + Send + 'static,
) -> Result<Response, handshake::Error> {
    let (response, opening) = handshake::accept(request, &[], push.settings().compression)?;
    let compresses = opening.compresses();
    converse(
        push,
        opening,
        move |settings| session(settings, compresses),
        ClientId::random(),
        Shown::default(),
        Transport::Plain,
        Codec::Json,
    );
    Ok(response)
}

/// What a client that cannot offer a subprotocol says in the query.
fn asks_for_protobuf(query: &str) -> bool {
    query
        .split('&')
        .any(|pair| matches!(pair, "format=protobuf" | "cf_protocol=protobuf"))
}

fn converse<S: Session + 'static>(
    push: Arc<Push>,
    opening: Opening,
    session: impl FnOnce(Arc<Settings>) -> S + Send + 'static,
    client: ClientId,
    shown: Shown,
    transport: Transport,
    codec: Codec,
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
        let desk = Desk::new(Arc::clone(&push), Arc::clone(&outbox), client, shown, transport, codec);
        // Made only now: what is made before is kept by this task twice.
        let session = session(Arc::clone(push.settings()));
        Box::new(Driver::new(push, socket, session, desk, outbox)).run().await;
    });
}

/// What the request shows that opens a connection, if another one is let in.
pub(super) fn show(push: &Push, verified: Option<Extension<Verified>>, headers: &HeaderMap) -> Result<Shown, Error> {
    let ticket = push.admit()?;
    let verified = verified.map(|Extension(verified)| verified);
    Ok(Shown::new(verified, headers, ticket, push.settings()))
}

/// A number from 0 to 1.
pub(super) fn jitter() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the system's random source answers once the system has started");
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
