//! One HTTP/2 connection (RFC 9113): hyper's state machine over a [`Socket`], with every bound that HTTP/1.1 has from
//! its one request at a time.
//!
//! A stream ends as a connection of HTTP/1.1 does: its body breaks off for whoever reads it, and its handler is dropped.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::Listener;
use super::body::Paced;
use super::connection::Connection;
use super::windows::Grant;
use crate::socket::Socket;

/// The largest frame that a client may send, bytes: four of the least size (16 KiB) cost four times as much to take as
/// one of this. Larger ones delay what else is on the connection.
const FRAME_BYTES: u32 = 64 * 1024;

/// What one stream's response may have waiting to be sent, bytes. hyper's default of 400 KiB would be 40 MB for each
/// connection of 100 streams that reads nothing.
const SEND_BYTES: usize = 64 * 1024;

/// Streams that a client has reset and that are not taken from the queue yet; beyond it the connection is ended
/// (CVE-2023-44487, "rapid reset"). h2's own default: honest clients cancel some requests at once, never dozens before
/// the first of them was seen.
const PENDING_RESETS: usize = 20;

/// Streams that this side has reset for errors of the client; beyond it the connection is ended (CVE-2025-8671). An
/// honest client makes none.
const ERROR_RESETS: usize = 64;

/// How often a silent peer is asked whether it is there, and how long it may take to say so: one that vanished without
/// a word would hold its uploads until the body's own limit and its connection for ever.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// How long a connection that was told to leave, and on which nothing runs, may take to close at most.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Serves one connection until it ends: by the peer, after a drain, or when nothing runs on it for as long as HTTP/1.1
/// waits for its next head.
pub(super) async fn drive(socket: Socket, listener: &Arc<Listener>, grant: Grant) {
    let peer = socket.peer();
    let options = &listener.options;
    let extension = Connection::new(peer, listener.tracker.clone());
    let router = listener.router.clone();
    let (body_stall, body_floor) = (options.body_stall, options.body_floor);
    let service = service_fn(move |mut request: Request<Incoming>| {
        name_host(&mut request);
        request.extensions_mut().insert(extension.clone());
        router
            .clone()
            .oneshot(request.map(|body| Paced::new(body, body_stall, body_floor)))
    });
    let streams = Streams::new();
    // Streams that are left end with the connection, as handlers of HTTP/1.1 do.
    let _end = streams.end.clone().drop_guard();
    let idle = streams.clone();
    let connection = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .initial_connection_window_size(grant.connection())
        .initial_stream_window_size(grant.stream())
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(options.http2_streams)
        .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = async {
            tokio::select! {
                () = listener.shutdown.draining() => {}
                () = idle.idle_for(options.header_timeout) => {}
            }
        } => {
            // GOAWAY; what is on its way by then is still answered, and what runs is finished.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection.as_mut() => result,
                () = idle.idle_for(LEAVE_WITHIN.min(options.header_timeout)) => Ok(()),
            }
        }
    };
    if let Err(error) = result {
        // Clients that go away, time out or speak garbage are everyday life, and h2 has answered what it could.
        tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
    }
    drop(grant);
}

/// HTTP/2 has its host in the target (RFC 9113 section 8.3.1); whatever asks for `Host` finds it there too.
fn name_host(request: &mut Request<Incoming>) {
    if request.headers().contains_key(header::HOST) {
        return;
    }
    let authority = request.uri().authority();
    if let Some(host) = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// Runs the streams of one connection, and knows how many there are. Clones are the same.
#[derive(Debug, Clone)]
struct Streams {
    running: watch::Sender<usize>,
    end: CancellationToken,
}

/// One stream, until this is dropped.
struct Running(watch::Sender<usize>);

impl Streams {
    fn new() -> Self {
        Self {
            running: watch::Sender::new(0),
            end: CancellationToken::new(),
        }
    }

    /// Waits until no stream has run for so long. A client that never finishes a head runs none.
    async fn idle_for(&self, time: Duration) {
        let mut running = self.running.subscribe();
        loop {
            // The sender lives in `self`, so no wait here can end by its being dropped.
            let _ = running.wait_for(|running| *running == 0).await;
            if tokio::time::timeout(time, running.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        self.running.send_modify(|running| *running += 1);
        let running = Running(self.running.clone());
        let end = self.end.clone();
        tokio::spawn(async move {
            let _running = running;
            tokio::select! {
                () = end.cancelled() => {}
                _ = stream => {}
            }
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}
