//! The opening handshake (RFC 6455 section 4.2) on a request that axum routed here.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Request, header};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use windlass_serve::upgrade;

use super::deflate::{self, Agreement};
use super::{Reader, Socket};

/// Why a request does not become a WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no WebSocket handshake, or a wrong one.
    #[error("not a websocket handshake")]
    Handshake(#[source] tokio_tungstenite::tungstenite::Error),
    /// The connection below cannot be taken over, as with HTTP/2.
    #[error("the connection cannot be upgraded")]
    NotUpgradable,
    /// The connection broke before the response was out.
    #[error("finish the handshake")]
    Finish(#[source] hyper::Error),
}

/// A connection that becomes a WebSocket as soon as the response has been sent.
pub struct Opening {
    upgrade: OnUpgrade,
    agreement: Option<Agreement>,
}

impl Opening {
    /// Waits for the response to go out, then hands the connection over.
    ///
    /// # Errors
    /// The connection broke before, or is of a kind that cannot be taken over.
    pub async fn finish(self, message_bytes_max: usize) -> Result<Socket<windlass_serve::Socket>, Error> {
        let upgraded = self.upgrade.await.map_err(Error::Finish)?;
        let (socket, received) = upgrade::into_socket(upgraded).map_err(|_| Error::NotUpgradable)?;
        let reader = Reader::new(message_bytes_max);
        let reader = if self.agreement.is_some() {
            reader.inflating()
        } else {
            reader
        };
        Ok(Socket::new(socket, &received, reader))
    }

    /// Whether the client takes compressed messages.
    #[must_use]
    pub fn compresses(&self) -> bool {
        self.agreement.as_ref().is_some_and(|agreement| agreement.both_ways)
    }
}

/// Answers a handshake: the response to send, and the connection to be.
///
/// Of the subprotocols that the client offers, the first that is in `known` is taken; a client that offers none
/// that is known gets none. Messages are compressed where the client offers it and `compression` is on.
///
/// # Errors
/// [`Error`] when there can be no WebSocket; nothing was taken from the request then.
pub fn accept(
    mut request: Request<Body>,
    known: &[&'static str],
    compression: bool,
) -> Result<(Response, Opening), Error> {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let request = request.map(|_| ());
    let mut response = create_response_with_body(&request, Body::empty).map_err(Error::Handshake)?;
    let upgrade = upgrade.ok_or(Error::NotUpgradable)?;
    if let Some(protocol) = choose(&request, known) {
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    let agreement = compression.then(|| deflate::agree(request.headers())).flatten();
    if let Some(agreement) = &agreement {
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, agreement.header.clone());
    }
    Ok((response, Opening { upgrade, agreement }))
}

fn choose(request: &Request<()>, known: &[&'static str]) -> Option<&'static str> {
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut names = offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    names.find_map(|name| {
        known
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name.trim()))
            .copied()
    })
}
