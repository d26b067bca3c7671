//! One accept loop, guarded: every bound of a listener and its connections is here.
//!
//! `axum::serve` is not used: it has no bound on connections or header time, hides the socket, and its graceful
//! shutdown does not wait for upgraded connections. hyper's connections are driven directly rather than by
//! hyper-util's `auto`, which waits for the first bytes without a limit and cannot bound the size of a header:
//! `connection` finds out what is spoken, `http1` and `http2` speak it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::socket::Wire;
use crate::tls::Tls;
use crate::tracker::Tracker;

mod again;
mod body;
mod connection;
mod http1;
mod http2;
mod windows;

pub use body::{BodyFault, Floor};
pub use connection::Connection;
pub use windows::Windows;

/// The bounds of one listener.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections open at once, upgraded ones included. At the bound nothing is accepted: the kernel's backlog holds
    /// newcomers until one closes. Needs as many file descriptors.
    pub max_connections: usize,
    /// How long a connection may say nothing at its beginning, and how long a request's header may take from the first
    /// moment it could be sent, which on a kept-alive connection is the end of the previous response; then the
    /// connection is closed. hyper's own default. On HTTP/2, how long a connection may have no request at all.
    pub header_timeout: Duration,
    /// Headers in one request of HTTP/1.1; more is answered 431. hyper's own default.
    pub max_headers: usize,
    /// Size of a request's line and headers, bytes; more is answered 431. Upload-Metadata is what makes them long.
    pub max_header_bytes: usize,
    /// How connections are secured; absent, they are not.
    pub tls: Option<Tls>,
    /// What all HTTP/2 connections together may have unread.
    pub http2: Windows,
    /// Requests at once on one HTTP/2 connection; the client holds back more. What browsers expect at least (RFC 9113
    /// section 6.5.2).
    pub http2_streams: u32,
    /// How long a request body may give nothing while the handler waits for it; then the handler sees it broken off.
    /// A net under handlers that have no such limit of their own, so longer than theirs.
    pub body_stall: Duration,
    /// The least that a request body must bring while the handler waits for it; then the handler sees it broken off.
    pub body_floor: Option<Floor>,
    /// Whether handlers may send interim responses on HTTP/1.1: some proxies take an unknown one for the final one.
    pub interim: bool,
    /// How long a client may take nothing of what is written to it; then the connection is closed.
    pub write_stall: Duration,
    /// How long a drain may take; what is open after it is cut.
    pub drain_deadline: Duration,
    /// Where this listener counts.
    pub metrics: Metrics,
}

impl Default for Options {
    fn default() -> Self {
        let metrics = Metrics::default();
        Self {
            max_connections: 10_000,
            header_timeout: Duration::from_secs(30),
            max_headers: 100,
            max_header_bytes: 32 * 1024,
            body_stall: Duration::from_secs(120),
            body_floor: None,
            interim: false,
            write_stall: Duration::from_secs(60),
            drain_deadline: Duration::from_secs(25),
            tls: None,
            http2: Windows::new(crate::listener::HTTP2_MEMORY_BYTES, metrics.clone()),
            http2_streams: crate::listener::HTTP2_STREAMS,
            metrics,
        }
    }
}

/// How a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything that was open has finished.
    Clean,
    /// The deadline came first, and this many guards of the tracker were left.
    Cut(usize),
}

/// What the connections of one listener share.
struct Listener {
    router: Router,
    options: Options,
    shutdown: Shutdown,
    tracker: Tracker,
}

/// Serves `router` on `listener` until `shutdown` drains, then finishes what runs until the deadline.
///
/// On drain the listener is closed, idle connections are closed, and running exchanges end with
/// `Connection: close`. Upgraded connections are for their handlers to end; the wait includes them through `tracker`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: Options,
    shutdown: Shutdown,
    tracker: Tracker,
) -> Drained {
    let cut = CancellationToken::new();
    let deadline = options.drain_deadline;
    let shared = Listener {
        router,
        options,
        shutdown,
        tracker: tracker.clone(),
    };
    accept(listener, Arc::new(shared), &cut).await;
    tracing::info!(open = tracker.count(), "draining");
    if tokio::time::timeout(deadline, tracker.idle()).await.is_ok() {
        return Drained::Clean;
    }
    let left = tracker.count();
    tracing::warn!(left, "drain deadline reached, cutting what is left");
    cut.cancel();
    Drained::Cut(left)
}

/// Accepts until the drain begins. Dropping the listener is what closes the port.
async fn accept(listener: TcpListener, shared: Arc<Listener>, cut: &CancellationToken) {
    let Listener {
        options,
        shutdown,
        tracker,
        ..
    } = &*shared;
    let slots = Arc::new(Semaphore::new(options.max_connections));
    let mut backoff = Backoff::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.draining() => return,
            accepted = accept_one(&listener, &slots, &options.metrics) => accepted,
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_peers(&error) => continue,
            Err(error) => {
                options.metrics.accept_failed();
                let pause = backoff.next();
                tracing::warn!(%error, pause_ms = pause.as_millis(), "accept failed, pausing");
                tokio::select! {
                    () = shutdown.draining() => return,
                    () = tokio::time::sleep(pause) => continue,
                }
            }
        };
        backoff = Backoff::default();
        options.metrics.accepted();
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay refused");
        }
        let wire = Wire::new(
            stream,
            peer,
            options.write_stall,
            options.metrics.clone(),
            tracker.guard(),
            permit,
        );
        let driven = connection::drive(wire, Arc::clone(&shared));
        let cut = cut.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                () = driven => {}
            }
        });
    }
}

/// Waits for a free slot first, so that a connection is never taken from the backlog only to be dropped.
async fn accept_one(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    metrics: &Metrics,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = match Arc::clone(slots).try_acquire_owned() {
        Ok(permit) => permit,
        Err(_) => {
            metrics.full();
            tracing::warn!("connection limit reached, not accepting");
            Arc::clone(slots)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed")
        }
    };
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

/// Errors that concern only the connection that was about to be accepted (accept(2)); the next may be fine.
fn is_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | HostUnreachable | Interrupted
    )
}

/// Pauses after accepts that fail for want of a resource (EMFILE, ENFILE, ENOBUFS, ENOMEM): the pending connection
/// stays ready, so without a pause the loop would spin.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LAST: Duration = Duration::from_secs(1);

    fn next(&mut self) -> Duration {
        let pause = Self::FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures += 1;
        pause.min(Self::LAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_pauses_grow_to_a_second_and_stay_there() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..40).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses[..4], [10, 20, 40, 80]);
        assert!(pauses[7..].iter().all(|pause| *pause == 1000));
    }

    #[test]
    fn want_of_descriptors_is_not_the_peers_fault() {
        let emfile = io::Error::from_raw_os_error(24);
        assert!(!is_peers(&emfile));
        assert!(is_peers(&io::Error::from(io::ErrorKind::ConnectionAborted)));
    }
}
