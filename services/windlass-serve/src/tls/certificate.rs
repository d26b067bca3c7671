//! Certificate and key: from two files to an identity that rustls shows.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Error, Settings, expiry};

/// The keys of the two files in the configuration.
const CERTIFICATE: &str = "listener.tls.certificateFile";
const KEY: &str = "listener.tls.keyFile";

/// What the two files hold, as bytes: compared to find out whether they have changed.
#[derive(PartialEq, Eq)]
pub(super) struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// What is shown to clients.
#[derive(Debug)]
pub(super) struct Identity {
    certified: Arc<CertifiedKey>,
    /// When the certificate ends, seconds since the Unix epoch; none when it does not say so in a known way.
    pub(super) not_after: Option<i64>,
}

/// The identity of now, which handshakes read and the watcher replaces.
#[derive(Debug)]
pub(super) struct Current {
    provider: Arc<CryptoProvider>,
    certified: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair { [redacted] }")
    }
}

impl Pair {
    pub(super) fn read(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            certificate: read(CERTIFICATE, &settings.certificate_file)?,
            key: read(KEY, &settings.key_file)?,
        })
    }

    pub(super) fn identity(&self, settings: &Settings, provider: &CryptoProvider) -> Result<Identity, Error> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let malformed = |key, path: &Path, reason| Error::ParseFile {
            key,
            path: path.into(),
            reason,
        };
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| {
            let reason = "holds no -----BEGIN CERTIFICATE-----, or a broken one";
            malformed(CERTIFICATE, &settings.certificate_file, reason)
        })?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            let reason = "holds no private key (PKCS #8, PKCS #1 or SEC 1) in PEM";
            malformed(KEY, &settings.key_file, reason)
        })?;
        let not_after = chain.first().and_then(|own| expiry::not_after(own));
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(Error::UsePair)?;
        Ok(Identity {
            certified: Arc::new(certified),
            not_after,
        })
    }
}

impl Current {
    pub(super) fn new(provider: Arc<CryptoProvider>, identity: Identity) -> Self {
        Self {
            provider,
            certified: RwLock::new(identity.certified),
        }
    }

    pub(super) fn provider(&self) -> &CryptoProvider {
        &self.provider
    }

    pub(super) fn replace(&self, identity: Identity) {
        *self.certified.write().unwrap_or_else(PoisonError::into_inner) = identity.certified;
    }
}

impl ResolvesServerCert for Current {
    /// One identity, whatever name a client asks for: which names are served is the proxy's or the certificate's concern.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::ReadFile {
        key,
        path: path.into(),
        source,
    })
}
