//! One HTTP/1.1 connection (RFC 9112): hyper's state machine over a [`Socket`], ended in order on drain.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tower::ServiceExt as _;

use super::Listener;
use super::body::Paced;
use super::connection::Connection;
use crate::interim::Interim;
use crate::socket::Socket;

/// How long idle connections stay open when the drain begins, for requests that are on their way: hyper closes what is
/// idle without looking, and behind a proxy that is a 502, which makes some tus clients start from zero.
pub(super) const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// The most that is read from a connection at once, bytes; hyper begins with 8 KiB and grows while reads fill it. Its own
/// bound is 408 KiB, of which each running upload pins several (docs/performance.md).
const READ_BYTES_MAX: usize = 128 * 1024;

/// Serves one connection until it ends, or is idle when the drain begins.
pub(super) async fn drive(mut socket: Socket, listener: &Arc<Listener>) {
    let peer = socket.peer();
    let options = &listener.options;
    let extension = Connection::new(peer, listener.tracker.clone());
    let router = listener.router.clone();
    let (body_stall, body_floor) = (options.body_stall, options.body_floor);
    let interim = options.interim.then(Interim::new);
    if let Some(interim) = &interim {
        socket.sends(Arc::clone(interim));
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(extension.clone());
        // RFC 9110 section 15.2: not to a client of HTTP/1.0.
        let interim = interim.as_ref().filter(|_| request.version() == Version::HTTP_11);
        let informational = interim.map(Interim::begin);
        if let Some(informational) = &informational {
            request.extensions_mut().insert(informational.clone());
        }
        let request = request.map(|body| Paced::new(body, body_stall, body_floor));
        let answer = router.clone().oneshot(request);
        async move {
            let answer = answer.await;
            if let Some(informational) = informational {
                informational.close().await;
            }
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(options.max_headers)
        .max_header_size(options.max_header_bytes)
        .max_buf_size(READ_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = listener.shutdown.draining() => tokio::select! {
            result = connection.as_mut() => result,
            () = tokio::time::sleep(ON_ITS_WAY) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        },
    };
    if let Err(error) = result {
        // Clients that go away, time out or speak garbage are everyday life, and hyper has answered what it could.
        tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
    }
}
