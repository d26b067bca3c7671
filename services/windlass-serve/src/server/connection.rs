//! One connection from its first byte: secured where the listener says so, then driven in the version of HTTP that the
//! client has chosen.

use std::net::SocketAddr;
use std::sync::Arc;

use super::windows::Grant;
use super::{Listener, again, http1, http2};
use crate::socket::{Socket, Wire};
use crate::tls::{Chosen, Tls};
use crate::tracker::{Guard, Tracker};

/// What a handler can know of the connection its request came by: an extension of every request.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The peer's address, which is a proxy's when there is one.
    pub peer: SocketAddr,
    tracker: Tracker,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, tracker: Tracker) -> Self {
        Self { peer, tracker }
    }

    /// A guard for work that outlives the socket of this request: the drain waits for it. The socket itself counts
    /// anyway, also after an upgrade.
    pub fn guard(&self) -> Guard {
        self.tracker.guard()
    }
}

/// What is spoken on a connection.
enum Version {
    Http1,
    Http2(Grant),
}

/// Serves one connection until it ends.
pub(super) async fn drive(wire: Wire, listener: Arc<Listener>) {
    let draining = async {
        listener.shutdown.draining().await;
        tokio::time::sleep(http1::ON_ITS_WAY).await;
    };
    let greeted = tokio::select! {
        greeted = greet(wire, &listener) => greeted,
        () = draining => None,
    };
    match greeted {
        Some((socket, Version::Http1)) => again::in_place(http1::drive(socket, &listener)).await,
        Some((socket, Version::Http2(grant))) => http2::drive(socket, &listener, grant).await,
        None => {}
    }
}

/// Finds out what a client speaks; `None` when it does not say in time, or nothing that is spoken here.
async fn greet(wire: Wire, listener: &Listener) -> Option<(Socket, Version)> {
    match &listener.options.tls {
        Some(tls) => secured(wire, tls, listener).await,
        None => plain(wire, listener).await,
    }
}

async fn secured(wire: Wire, tls: &Tls, listener: &Listener) -> Option<(Socket, Version)> {
    let peer = wire.peer();
    // Where no window is left, the client is not offered HTTP/2.
    let grant = listener.options.http2.grant();
    match tls.accept(wire, grant.is_some()).await {
        Ok((stream, chosen)) => {
            let version = match (chosen, grant) {
                (Chosen::Http2, Some(grant)) => Version::Http2(grant.widen()),
                (Chosen::Http2 | Chosen::Http1, _) => Version::Http1,
            };
            Some((Socket::tls(stream), version))
        }
        Err(error) => {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection not secured");
            None
        }
    }
}

async fn plain(wire: Wire, listener: &Listener) -> Option<(Socket, Version)> {
    let mut socket = Socket::plain(wire);
    let begins = tokio::time::timeout(listener.options.header_timeout, socket.begins_with_http2()).await;
    match begins {
        Ok(Ok(false)) => Some((socket, Version::Http1)),
        // By prior knowledge there is nothing to choose from: without a window the connection is closed.
        Ok(Ok(true)) => {
            let grant = listener.options.http2.grant()?;
            Some((socket, Version::Http2(grant.widen())))
        }
        Ok(Err(_)) | Err(_) => None,
    }
}
