//! Servers over TLS with certificates that the test makes, and a stock client (reqwest) that trusts them.

use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use reqwest::{Body, Client, RequestBuilder, Response, Version};
use tokio::io::DuplexStream;
use tokio_util::io::ReaderStream;

use crate::server::{Server, Settings};

/// How long one request of a test may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes a certificate for `localhost`, which is its own authority, and its key into a folder; gives the certificate.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn issue(folder: &Path) -> String {
    let key = KeyPair::generate().expect("a key can be made");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("the name is one");
    let certificate = params.self_signed(&key).expect("a certificate can be made").pem();
    // The key first: only the certificate completes the pair.
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).expect("a file can be written");
    std::fs::write(folder.join("tls.crt"), &certificate).expect("a file can be written");
    certificate
}

/// The configuration of a listener that shows the certificate in a folder, and looks at it at a signal only.
#[must_use]
pub fn settings(folder: &Path) -> Settings {
    let folder = folder.display();
    Settings {
        config: format!(
            "listener:\n  tls: {{ certificateFile: {folder}/tls.crt, keyFile: {folder}/tls.key, reload: 1h }}\n"
        ),
        ..Settings::default()
    }
}

/// A client of one server that trusts this certificate only.
#[derive(Debug, Clone)]
pub struct Secure {
    client: Client,
    base: String,
}

impl Secure {
    /// A client that speaks the version that both prefer, or HTTP/1.1 only.
    ///
    /// # Panics
    /// When the certificate is none.
    #[must_use]
    pub fn of(server: &Server, certificate: &str, version: Version) -> Self {
        let authority = reqwest::Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
        let builder = builder(version).tls_certs_only([authority]);
        Self {
            client: builder.build().expect("a client can be made"),
            base: format!("https://localhost:{}", server.address().port()),
        }
    }

    /// A client without TLS, with HTTP/2 by prior knowledge.
    ///
    /// # Panics
    /// Never: nothing of it can be wrong.
    #[must_use]
    pub fn plain_http2(server: &Server) -> Self {
        let builder = builder(Version::HTTP_2).http2_prior_knowledge();
        Self {
            client: builder.build().expect("a client can be made"),
            base: format!("http://{}", server.address()),
        }
    }

    /// A request of tus.
    pub fn tus(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        self.client
            .request(method, format!("{}{path}", self.base))
            .header("Tus-Resumable", "1.0.0")
    }

    /// An append of tus at an offset.
    pub fn patch(&self, path: &str, offset: u64) -> RequestBuilder {
        self.tus("PATCH", path)
            .header("Upload-Offset", offset)
            .header("Content-Type", "application/offset+octet-stream")
    }

    /// Creates an upload of so many bytes; its path.
    ///
    /// # Panics
    /// When it is not created.
    pub async fn create(&self, length: u64) -> String {
        let response = self.tus("POST", "/files/").header("Upload-Length", length).send().await;
        let response = response.expect("a creation is answered");
        assert_eq!(response.status(), 201);
        field(&response, "location").expect("a creation has a Location")
    }

    /// Where an upload stands.
    ///
    /// # Panics
    /// When HEAD does not say.
    pub async fn head(&self, path: &str) -> u64 {
        let response = self.tus("HEAD", path).send().await.expect("HEAD is answered");
        assert_eq!(response.status(), 200);
        offset(&response).expect("HEAD has Upload-Offset")
    }
}

fn builder(version: Version) -> reqwest::ClientBuilder {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().no_proxy().timeout(PATIENCE);
    if version == Version::HTTP_11 {
        builder.http1_only()
    } else {
        builder
    }
}

/// A body that is sent as it is written, and cut when the request is dropped.
#[must_use]
pub fn streamed() -> (DuplexStream, Body) {
    let (writer, reader) = tokio::io::duplex(64 * 1024);
    (
        writer,
        Body::wrap_stream(ReaderStream::with_capacity(reader, 64 * 1024)),
    )
}

/// A field of an answer.
#[must_use]
pub fn field(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// The offset of an answer.
#[must_use]
pub fn offset(response: &Response) -> Option<u64> {
    field(response, "upload-offset")?.parse().ok()
}
