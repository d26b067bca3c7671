//! The agent's port by TLS. The files are read at each handshake, which are few, so that a new certificate is used as soon as it
//! is there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::settings::Certificates;

/// Handshakes at once: the operator, the kubelet, a scraper and some members come, each seldom. Others wait to be accepted.
const HANDSHAKES: usize = 32;
/// How long a handshake may take: some round trips.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// The pause after an accept that failed, for want of descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The chain or its key.
    #[error("cannot read the certificate or its key")]
    Read(#[source] pem::Error),
    /// They do not fit.
    #[error("cannot use the certificate with its key")]
    Use(#[source] rustls::Error),
}

/// Takes connections, and gives those whose handshake is done.
#[derive(Debug)]
pub struct TlsListener {
    secured: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl TlsListener {
    /// Takes connections from this one.
    ///
    /// # Errors
    /// The certificate cannot be used now.
    pub fn new(listener: TcpListener, certificates: Certificates) -> Result<Self, Error> {
        acceptor(&certificates)?;
        let address = listener.local_addr().unwrap_or(SocketAddr::from(([0; 4], 0)));
        let (done, secured) = mpsc::channel(HANDSHAKES);
        Ok(Self {
            secured,
            address,
            accepting: tokio::spawn(accept(listener, certificates, done)),
        })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.secured.recv().await {
            Some(secured) => secured,
            // The task ends with this.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    certificates: Certificates,
    done: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.len() >= HANDSHAKES {
            handshakes.join_next().await;
        }
        while handshakes.try_join_next().is_some() {}
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection was accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (certificates, done) = (certificates.clone(), done.clone());
        handshakes.spawn(async move {
            let acceptor = match acceptor(&certificates) {
                Ok(acceptor) => acceptor,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no handshake");
                    return;
                }
            };
            if let Ok(Ok(secured)) = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
                let _ = done.send((secured, address)).await;
            }
        });
    }
}

/// Of the files as they are now: some KiB.
fn acceptor(certificates: &Certificates) -> Result<TlsAcceptor, Error> {
    let chain = CertificateDer::pem_file_iter(&certificates.chain).map_err(Error::Read)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(Error::Read)?;
    let key = PrivateKeyDer::from_pem_file(&certificates.key).map_err(Error::Read)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(Error::Use)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
