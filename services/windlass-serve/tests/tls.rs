//! The accept loop over TLS, with clients as they are in the world: reqwest on rustls, and none that speak it badly.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not count as tests"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use http::Version;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use windlass_serve::listener::Settings;
use windlass_serve::metrics::Metrics;
use windlass_serve::server::Drained;
use windlass_serve::{Options, Shutdown, Tracker, serve};

/// How long any one wait of a test may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    folder: TempDir,
    certificate: String,
    address: SocketAddr,
    shutdown: Shutdown,
    tracker: Tracker,
    served: JoinHandle<Drained>,
}

/// Writes a certificate for `localhost` and its key; the certificate is its own authority.
fn issue(folder: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    std::fs::write(folder.join("tls.crt"), &certificate).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    certificate
}

impl Server {
    async fn start(router: Router, more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let certificate = issue(folder.path());
        let settings = format!(
            "{{ tls: {{ certificateFile: {0}/tls.crt, keyFile: {0}/tls.key, reload: 20ms, {more} }}",
            folder.path().display()
        );
        let settings: Settings = serde_yaml::from_str(&settings).unwrap();
        let options = settings.options(&Metrics::default()).unwrap();
        options.tls.as_ref().unwrap().start();
        Self::with(folder, certificate, router, options).await
    }

    async fn with(folder: TempDir, certificate: String, router: Router, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, tracker) = (Shutdown::new(), Tracker::new());
        let served = tokio::spawn(serve(listener, router, options, shutdown.clone(), tracker.clone()));
        Self {
            folder,
            certificate,
            address,
            shutdown,
            tracker,
            served,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// A client that trusts this certificate only.
    fn client(&self, certificate: &str) -> reqwest::ClientBuilder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .timeout(PATIENCE)
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("took too long")
}

fn echo() -> Router {
    Router::new()
        .route(
            "/",
            get(|request: Request| async move { format!("{:?}", request.version()) }),
        )
        .route("/echo", post(|body: axum::body::Bytes| async move { body }))
        .layer(axum::extract::DefaultBodyLimit::disable())
}

#[tokio::test]
async fn a_client_gets_the_version_that_it_wants() {
    let server = Server::start(echo(), "}").await;
    let client = server.client(&server.certificate).build().unwrap();
    let answer = client.get(server.url("/")).send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2, "what both prefer");
    assert_eq!(answer.text().await.unwrap(), "HTTP/2.0");
    let client = server.client(&server.certificate).http1_only().build().unwrap();
    assert_eq!(
        client.get(server.url("/")).send().await.unwrap().text().await.unwrap(),
        "HTTP/1.1"
    );
    let payload = vec![7_u8; 5 << 20];
    let back = client
        .post(server.url("/echo"))
        .body(payload.clone())
        .send()
        .await
        .unwrap();
    assert!(back.bytes().await.unwrap() == payload);
}

#[tokio::test]
async fn where_http2_has_no_memory_tls_clients_speak_http1_and_others_are_closed() {
    let server = Server::start(echo(), "}, http2: { memoryBytes: 262144 }").await;
    // 262144 bytes are two floors, and the other half for wider ones.
    let clients: Vec<_> = (0..3)
        .map(|_| server.client(&server.certificate).build().unwrap())
        .collect();
    let mut versions = Vec::new();
    for client in &clients {
        versions.push(client.get(server.url("/")).send().await.unwrap().version());
    }
    assert_eq!(versions, [Version::HTTP_2, Version::HTTP_2, Version::HTTP_11]);
    drop(clients);
    within(server.tracker.idle()).await;
    let client = server.client(&server.certificate).build().unwrap();
    let answer = client.get(server.url("/")).send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2, "what ended gave its window back");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_newcomers_and_running_uploads_go_on() {
    let server = Server::start(echo(), "}").await;
    let old = server.client(&server.certificate).build().unwrap();
    let (mut body, receiver) = tokio::io::duplex(1024);
    let stream = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(receiver));
    let upload = tokio::spawn(old.post(server.url("/echo")).body(stream).send());
    body.write_all(b"before").await.unwrap();
    let fresh = issue(server.folder.path());
    let begun = std::time::Instant::now();
    // A connection of its own each time: a kept one would show nothing.
    while server
        .client(&fresh)
        .build()
        .unwrap()
        .get(server.url("/"))
        .send()
        .await
        .is_err()
    {
        assert!(begun.elapsed() < PATIENCE, "the new certificate is never shown");
    }
    assert!(
        server
            .client(&server.certificate)
            .build()
            .unwrap()
            .get(server.url("/"))
            .send()
            .await
            .is_err(),
        "the old one is not shown any more"
    );
    body.write_all(b" and after").await.unwrap();
    drop(body);
    let answer = within(upload).await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), "before and after");
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_cut_off_and_others_wait_their_turn_only_so_long() {
    let server = Server::start(echo(), "handshakeTimeout: 300ms, handshakesMax: 1 }").await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    // The one turn is taken, so the next client's time runs out with the silent one's.
    let client = server.client(&server.certificate).build().unwrap();
    let mut answered = client.get(server.url("/")).send().await;
    assert_eq!(within(silent.read(&mut [0; 16])).await.unwrap(), 0, "closed");
    if answered.is_err() {
        answered = client.get(server.url("/")).send().await;
    }
    assert_eq!(answered.unwrap().status(), 200);
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        &[0x16, 3, 1, 0xff, 0xff],
        &[0; 64],
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        let _ = within(stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP"), "nothing is said in the open");
    }
    drop(client);
    within(server.tracker.idle()).await;
}

#[tokio::test]
async fn a_drain_sends_idle_connections_away_and_finishes_what_runs() {
    let server = Server::start(echo(), "}").await;
    let clients = [
        server.client(&server.certificate).build().unwrap(),
        server.client(&server.certificate).http1_only().build().unwrap(),
    ];
    let mut running = Vec::new();
    for client in &clients {
        let (mut body, receiver) = tokio::io::duplex(1024);
        let stream = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(receiver));
        let upload = tokio::spawn(client.post(server.url("/echo")).body(stream).send());
        body.write_all(b"first ").await.unwrap();
        running.push((body, upload));
    }
    while server.tracker.count() < 2 {
        tokio::task::yield_now().await;
    }
    server.shutdown.begin();
    for (mut body, upload) in running {
        body.write_all(b"last").await.unwrap();
        drop(body);
        assert_eq!(
            within(upload).await.unwrap().unwrap().text().await.unwrap(),
            "first last"
        );
    }
    assert_eq!(within(server.served).await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn an_upgraded_connection_goes_on_over_tls() {
    let router = Router::new().route(
        "/up",
        get(|mut request: Request| async move {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut socket, early) = windlass_serve::upgrade::into_socket(upgrade.await.unwrap()).expect("ours");
                socket.write_all(&early).await.unwrap();
                let mut buffer = [0; 64];
                while let Ok(count @ 1..) = socket.read(&mut buffer).await {
                    socket.write_all(&buffer[..count]).await.unwrap();
                    socket.flush().await.unwrap();
                }
            });
            let headers = [("connection", "upgrade"), ("upgrade", "echo")];
            (http::StatusCode::SWITCHING_PROTOCOLS, headers)
        }),
    );
    let server = Server::start(router, "}").await;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    let request = "GET /up HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.ends_with("early") {
        let mut buffer = [0; 256];
        let count = within(stream.read(&mut buffer)).await.unwrap();
        assert_ne!(count, 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    stream.write_all(b"more").await.unwrap();
    let mut buffer = [0; 4];
    within(stream.read_exact(&mut buffer)).await.unwrap();
    assert_eq!(&buffer, b"more");
}
