//! Sends every message back over the service's own framing and driver: what conformance suites of RFC 6455 talk to.
//! Prints `ready on http://ADDR` when it serves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::net::TcpListener;
use windlass_push::codes::Disconnect;
use windlass_push::queue::{Delivery, Slot};
use windlass_push::session::{Action, Completion, Instruction, Session};
use windlass_push::socket::Message;
use windlass_push::socket::deflate;
use windlass_push::socket::frame::{self, Opcode};
use windlass_push::{Config, Push, Settings};
use windlass_serve::{Authenticator, Options, Shutdown, Tracker};

/// The largest message that suites send, and room for it to go back.
const MESSAGE_BYTES: usize = 16 * 1024 * 1024;

struct Echo {
    actions: VecDeque<Action>,
    /// Whether the client takes compressed messages.
    compresses: bool,
}

impl Echo {
    fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let frame = if self.compresses {
            deflate::build(opcode, payload)
        } else {
            frame::build(opcode, payload)
        };
        self.actions.push_back(Action::Write(frame));
    }
}

impl Session for Echo {
    fn receive(&mut self, message: Message, _: Instant) {
        match message {
            Message::Text(text) => self.send(Opcode::Text, text.as_bytes()),
            Message::Binary(bytes) => self.send(Opcode::Binary, &bytes),
            // The driver answers these itself.
            Message::Ping(_) | Message::Pong | Message::Close(_) => {}
        }
    }

    fn farewell(&self, disconnect: &Disconnect) -> Bytes {
        let (code, reason) = disconnect.parts();
        frame::close(code, reason)
    }

    fn action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn is_receptive(&self) -> bool {
        true
    }

    // It has no channels, no effects and no time.
    fn complete(&mut self, _: Completion, _: Instant) {}
    fn deliver(&mut self, _: Delivery) {}
    fn overflow(&mut self, _: Slot) {}
    fn leave(&mut self, _: Duration, _: Instant) {}
    fn tick(&mut self, _: Instant) {}
    fn instruct(&mut self, _: Instruction, _: Instant) {}
}

async fn echo(State(push): State<Arc<Push>>, request: Request<Body>) -> Response {
    windlass_push::accept_websocket(push, request, |_, compresses| Echo {
        actions: VecDeque::new(),
        compresses,
    })
    .unwrap_or_else(|_| StatusCode::BAD_REQUEST.into_response())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut settings = Settings::validate(&Config::default(), true)?;
    settings.message_bytes_max = MESSAGE_BYTES;
    settings.compression = true;
    let push = Push::new(settings, Authenticator::Loopback, None);
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
    println!("ready on http://{}", listener.local_addr()?);
    let router = Router::new().route("/", get(echo)).with_state(Arc::clone(&push));
    let shutdown = Shutdown::new();
    let running = push.run(shutdown.clone());
    tokio::select! {
        () = running => {}
        _ = windlass_serve::serve(listener, router, Options::default(), shutdown.clone(), Tracker::new()) => {}
    }
    Ok(())
}
