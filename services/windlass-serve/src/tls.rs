//! TLS (RFC 8446) by rustls with ring: who the server is, how a connection is secured, and which HTTP it speaks then.
//!
//! [`Tls`] is built from the [`Settings`] before a port is bound, so that a wrong certificate is a wrong configuration.
//! Its certificate is looked at again while it serves ([`Tls::start`]): a new pair that fits takes the place of the
//! old one for the connections that come, and one that does not changes nothing but a metric and the log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Time;
use crate::metrics::Metrics;
use crate::socket::Wire;

mod certificate;
mod expiry;
mod reload;

use certificate::{Current, Pair};

/// The names of the protocols in ALPN (RFC 7301 section 6, RFC 9113 section 3.2).
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// Makes ring the one TLS provider of the process. Called by whoever makes a client, for a second call changes nothing; with
/// none, or with two to choose from, rustls panics at the first connection.
pub fn install_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Lost to another thread, it is installed all the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// The `listener.tls` section of a configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The certificate and what leads from it to an authority, PEM, the server's own first.
    pub certificate_file: PathBuf,
    /// Its private key, PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key_file: PathBuf,
    /// How often the files are looked at.
    #[serde(default = "reload")]
    pub reload: Time,
    /// How long a handshake may take, with the wait for its turn.
    #[serde(default = "handshake_timeout")]
    pub handshake_timeout: Time,
    /// Handshakes at once: each costs a signature, and one that is never finished some KiB. Others wait their turn.
    #[serde(default = "handshakes_max")]
    pub handshakes_max: usize,
}

/// Kubernetes renews a mounted secret within about a minute, so this adds little; it costs two small reads.
fn reload() -> Time {
    Time(Duration::from_secs(5))
}

/// A handshake takes two round trips; this is some lost packets on a bad network, as nginx and Envoy (both 60 s, 15 s)
/// would allow.
fn handshake_timeout() -> Time {
    Time(Duration::from_secs(10))
}

/// One core signs some thousand times a second with P-256, some hundred times with RSA: what is beyond would only wait
/// inside instead.
fn handshakes_max() -> usize {
    256
}

/// A configuration that gives no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {key} {}", path.display())]
    ReadFile {
        /// The key of the configuration file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds not what it should.
    #[error("{key} {}: {reason}", path.display())]
    ParseFile {
        /// The key of the configuration file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// Certificate and key do not belong together, or the key is of a kind that cannot be used.
    #[error("listener.tls.certificateFile and listener.tls.keyFile give no identity")]
    UsePair(#[source] rustls::Error),
    /// A number or time is zero.
    #[error("listener.tls.{name} must not be 0")]
    RequirePositive {
        /// Which.
        name: &'static str,
    },
    /// rustls has no protocol version for its provider.
    #[error("cannot make a TLS configuration")]
    Configure(#[source] rustls::Error),
}

/// Why a connection was not secured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the handshake took too long")]
    TakeTooLong,
    #[error("the handshake failed")]
    Fail(#[source] io::Error),
}

/// Which HTTP a secured connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    Http1,
    Http2,
}

/// How the connections of a listener are secured. Clones are the same.
#[derive(Debug, Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    current: Arc<Current>,
    /// What was loaded at the start, for the watcher to compare with.
    first: Pair,
    both: Arc<ServerConfig>,
    http1_only: Arc<ServerConfig>,
    turns: Semaphore,
    metrics: Metrics,
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When they cannot be used: see [`Error`].
    pub fn new(settings: &Settings, metrics: Metrics) -> Result<Self, Error> {
        for (name, is_zero) in [
            ("reload", settings.reload.0.is_zero()),
            ("handshakeTimeout", settings.handshake_timeout.0.is_zero()),
            ("handshakesMax", settings.handshakes_max == 0),
        ] {
            if is_zero {
                return Err(Error::RequirePositive { name });
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let first = Pair::read(settings)?;
        let identity = first.identity(settings, &provider)?;
        metrics.certificate(identity.not_after);
        let current = Arc::new(Current::new(provider.clone(), identity));
        let config = |protocols: &[&[u8]]| -> Result<Arc<ServerConfig>, Error> {
            let mut config = ServerConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(Error::Configure)?
                .with_no_client_auth()
                .with_cert_resolver(current.clone());
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Self {
            inner: Arc::new(Inner {
                both: config(&[HTTP2, HTTP1])?,
                http1_only: config(&[HTTP1])?,
                turns: Semaphore::new(settings.handshakes_max),
                settings: settings.clone(),
                current,
                first,
                metrics,
            }),
        })
    }

    /// Begins to look at the files, every so often and at SIGHUP. Must run inside a tokio runtime.
    pub fn start(&self) {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { reload::watch(&inner).await });
    }

    /// Secures a connection. With `http2` the client may choose it.
    pub(crate) async fn accept(&self, wire: Wire, http2: bool) -> Result<(TlsStream<Wire>, Chosen), HandshakeError> {
        let inner = &self.inner;
        let deadline = Instant::now() + inner.settings.handshake_timeout.0;
        let handshake = async {
            let _turn = inner.turns.acquire().await.expect("the semaphore is never closed");
            let config = if http2 { &inner.both } else { &inner.http1_only };
            TlsAcceptor::from(Arc::clone(config)).accept(wire).await
        };
        let accepted = match tokio::time::timeout_at(deadline, handshake).await {
            Ok(accepted) => accepted.map_err(HandshakeError::Fail),
            Err(_) => Err(HandshakeError::TakeTooLong),
        };
        inner.metrics.handshake(match &accepted {
            Ok(_) => "ok",
            Err(HandshakeError::TakeTooLong) => "timeout",
            Err(HandshakeError::Fail(_)) => "failed",
        });
        let stream = accepted?;
        // A client without ALPN speaks HTTP/1.1, as all of them once did.
        let chosen = match stream.get_ref().1.alpn_protocol() {
            Some(HTTP2) => Chosen::Http2,
            _ => Chosen::Http1,
        };
        Ok((stream, chosen))
    }
}

#[cfg(test)]
mod tests;
