//! The Centrifuge protocol where there is no WebSocket: `/connection/http_stream`, `/connection/sse`, and `/emulation`
//! for what their clients say.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use tokio::time::Instant;
use windlass_serve::auth::Verified;

use super::error::Error;
use super::extract::Parameters;
use super::websocket::{jitter, show};
use crate::broker::{self, NodeId};
use crate::centrifuge::codec::{Codec, protobuf};
use crate::centrifuge::dialect::{Carrier, Dialect};
use crate::centrifuge::peer::{Peer, Route};
use crate::centrifuge::session::Centrifuge;
use crate::client::ClientId;
use crate::control::Control;
use crate::desk::{Desk, Shown};
use crate::driver::Driver;
use crate::emulation::{self, SessionId};
use crate::link::Link as _;
use crate::metrics::Transport;
use crate::outbox::Outbox;
use crate::push::Push;
use crate::socket::Message;

const BINARY: &[u8] = b"application/octet-stream";

#[derive(Deserialize)]
pub(super) struct Connect {
    cf_connect: Option<String>,
}

/// What `/emulation` is sent in JSON.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Emulation<'a> {
    node: &'a str,
    session: &'a str,
    data: String,
}

/// `POST /connection/http_stream`: the body is the first commands, the response has no end.
pub(super) async fn http_stream(
    State(push): State<Arc<Push>>,
    shown: Option<Extension<Verified>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let shown = show(&push, shown, &headers)?;
    let first = read(&push, body).await?;
    let (codec, media) = if is_binary(&headers) {
        (Codec::Protobuf, "application/octet-stream")
    } else {
        (Codec::Json, "application/json")
    };
    let dialect = Dialect {
        codec,
        carrier: Carrier::Stream,
    };
    let first = message(codec, first)?;
    Ok(converse(
        push,
        dialect,
        media,
        first,
        None,
        shown,
        Transport::HttpStream,
    ))
}

/// `GET /connection/sse?cf_connect=COMMANDS`: an `EventSource` cannot send a body.
pub(super) async fn sse(
    State(push): State<Arc<Push>>,
    shown: Option<Extension<Verified>>,
    headers: HeaderMap,
    Parameters(query): Parameters<Connect>,
) -> Result<Response, Error> {
    let first = query.cf_connect.filter(|commands| !commands.is_empty());
    let first = first.ok_or(Error::Query("cf_connect must have the first commands"))?;
    let shown = show(&push, shown, &headers)?;
    Ok(server_sent_events(push, shown, first))
}

/// `POST /connection/sse`, for what can read events from any request.
pub(super) async fn sse_by_post(
    State(push): State<Arc<Push>>,
    shown: Option<Extension<Verified>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let shown = show(&push, shown, &headers)?;
    let first = read(&push, body).await?;
    let first = String::from_utf8(first.into()).map_err(|_| Error::Emulation("the commands are not UTF-8"))?;
    Ok(server_sent_events(push, shown, first))
}

fn server_sent_events(push: Arc<Push>, shown: Shown, first: String) -> Response {
    let dialect = Dialect {
        codec: Codec::Json,
        carrier: Carrier::Events,
    };
    // Something to send at once: some proxies hold the head back until there is a body.
    let prelude = Some(Bytes::from_static(b"\r\n"));
    let media = "text/event-stream; charset=utf-8";
    converse(
        push,
        dialect,
        media,
        Message::Text(first),
        prelude,
        shown,
        Transport::Sse,
    )
}

fn converse(
    push: Arc<Push>,
    dialect: Dialect,
    media: &'static str,
    first: Message,
    prelude: Option<Bytes>,
    shown: Shown,
    transport: Transport,
) -> Response {
    let outbox = Arc::new(Outbox::new(push.settings().queue_bytes_max));
    let (session, mut link, body) = push.sessions().open(first, &outbox);
    if let Some(prelude) = prelude {
        link.enqueue(prelude);
    }
    let client = ClientId::random();
    let peer = Peer {
        client,
        dialect,
        route: Some(Box::new(Route {
            node: push.node(),
            session: session.id(),
        })),
    };
    let settings = Arc::clone(push.settings());
    let centrifuge = Centrifuge::new(peer, settings, Instant::now().into_std(), jitter());
    tokio::spawn(async move {
        let _session = session;
        let _place = push.connections().add(&outbox, transport, push.metrics());
        let desk = Desk::new(
            Arc::clone(&push),
            Arc::clone(&outbox),
            client,
            shown,
            transport,
            dialect.codec,
        );
        Box::new(Driver::new(push, link, centrifuge, desk, outbox)).run().await;
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would hold what comes back until its buffer is full.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, Body::from_stream(body.map(Ok::<_, std::convert::Infallible>))).into_response()
}

/// `POST /emulation`: commands for a session, whichever node has it. The session's id is what gives the right.
pub(super) async fn emulation(
    State(push): State<Arc<Push>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Error> {
    let body = read(&push, body).await?;
    let binary = is_binary(&headers);
    let (node, session, commands) = if binary {
        protobuf::decode_emulation(&body).map_err(|_| Error::Emulation(SHAPE))?
    } else {
        let request: Emulation<'_> = serde_json::from_slice(&body).map_err(|_| Error::Emulation(SHAPE))?;
        (
            request.node.to_owned(),
            request.session.to_owned(),
            request.data.into_bytes(),
        )
    };
    let node: NodeId = node.parse().map_err(|_| Error::UnknownSession)?;
    if node == push.node() {
        let session: SessionId = session.parse().map_err(|_| Error::UnknownSession)?;
        let codec = if binary { Codec::Protobuf } else { Codec::Json };
        let commands = message(codec, commands.into())?;
        push.sessions().deliver(session, commands).await?;
    } else {
        let control = Control::Commands {
            session,
            binary,
            commands,
        };
        push.broker().tell(node, control.encode()).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

const SHAPE: &str = "the body must be an object of node, session and data, all texts";

impl From<emulation::Error> for Error {
    fn from(error: emulation::Error) -> Self {
        match error {
            emulation::Error::UnknownSession => Self::UnknownSession,
            emulation::Error::Busy => Self::SessionBusy,
        }
    }
}

impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        match error {
            broker::Error::UnknownNode => Self::UnknownSession,
            broker::Error::Unreachable => Self::Failure(error.into()),
        }
    }
}

fn is_binary(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|media| media.as_bytes().eq_ignore_ascii_case(BINARY))
}

fn message(codec: Codec, bytes: Bytes) -> Result<Message, Error> {
    match codec {
        Codec::Json => String::from_utf8(bytes.into())
            .map(Message::Text)
            .map_err(|_| Error::Emulation("the commands are not UTF-8")),
        Codec::Protobuf => Ok(Message::Binary(bytes.into())),
    }
}

/// A whole body, within the bound of a message.
async fn read(push: &Push, body: Body) -> Result<Bytes, Error> {
    let most = push.settings().message_bytes_max;
    axum::body::to_bytes(body, most).await.map_err(|_| Error::TooLarge)
}
