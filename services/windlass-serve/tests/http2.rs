//! HTTP/2 by prior knowledge on the plain listener, by a client that can be made to misbehave stream by stream.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not count as tests"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http_body::Body as _;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use windlass_serve::metrics::Metrics;
use windlass_serve::server::{Drained, Windows};
use windlass_serve::{Options, Shutdown, Tracker, serve};

/// How long any one wait of a test may take.
const PATIENCE: Duration = Duration::from_secs(20);

const MIB: usize = 1024 * 1024;

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    tracker: Tracker,
    served: JoinHandle<Drained>,
}

impl Server {
    async fn start(router: Router, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, tracker) = (Shutdown::new(), Tracker::new());
        let served = tokio::spawn(serve(listener, router, options, shutdown.clone(), tracker.clone()));
        Self {
            address,
            shutdown,
            tracker,
            served,
        }
    }

    /// A connection, and how it ends.
    async fn connect(&self) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        (client, tokio::spawn(connection))
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("took too long")
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn begin(client: &SendRequest<Bytes>, path: &str, end: bool) -> (ResponseFuture, SendStream<Bytes>) {
    let method = if end { "GET" } else { "POST" };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .body(())
        .unwrap();
    let mut ready = within(client.clone().ready()).await.unwrap();
    ready.send_request(request, end).unwrap()
}

async fn text(response: ResponseFuture) -> (u16, String) {
    let (head, mut body) = within(response).await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(piece) = within(body.data()).await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        text.extend_from_slice(&piece);
    }
    (head.status.as_u16(), String::from_utf8(text).unwrap())
}

/// Sends as the windows let it, until `size` bytes are gone.
async fn send(stream: &mut SendStream<Bytes>, mut size: usize) {
    while size > 0 {
        stream.reserve_capacity(size);
        let capacity = within(std::future::poll_fn(|cx| stream.poll_capacity(cx))).await;
        let part = capacity.unwrap().unwrap().min(size);
        stream.send_data(Bytes::from(vec![1; part]), false).unwrap();
        size -= part;
    }
}

fn hello() -> Router {
    Router::new().route(
        "/",
        get(|request: Request| async move { format!("{:?}", request.headers().get("host").unwrap()) }),
    )
}

#[tokio::test]
async fn a_client_that_begins_with_the_preface_is_spoken_http2_to_and_others_are_not() {
    let server = Server::start(hello(), Options::default()).await;
    let (client, _) = server.connect().await;
    for _ in 0..3 {
        let (response, _) = begin(&client, "/", true).await;
        assert_eq!(text(response).await, (200, "\"localhost\"".to_owned()));
    }
    // In pieces, and wrongly.
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    for piece in [
        &b"P"[..],
        b"RI * HTTP/2.0\r\n",
        b"\r\nSM\r\n\r\n",
        b"\0\0\0\x04\0\0\0\0\0",
    ] {
        slow.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut frame = [0; 9];
    within(slow.read_exact(&mut frame)).await.unwrap();
    assert_eq!(frame[3], 4, "SETTINGS is the first frame");
    let mut other = TcpStream::connect(server.address).await.unwrap();
    other
        .write_all(b"PRI / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    within(other.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 405");
}

#[tokio::test]
async fn a_stream_that_is_reset_is_a_cut_for_its_handler_and_nothing_for_the_others() {
    let (ended, mut ends) = mpsc::channel::<bool>(4);
    let router = hello().route(
        "/reads",
        post(move |request: Request| async move {
            // As an upload does: what was begun ends although the handler is dropped.
            let reading = tokio::spawn(async move {
                let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
                ended.send(body.is_ok()).await.unwrap();
            });
            reading.await.unwrap();
        }),
    );
    let server = Server::start(router, Options::default()).await;
    let (client, _) = server.connect().await;
    let (one, mut first) = begin(&client, "/reads", false).await;
    let (two, mut second) = begin(&client, "/reads", false).await;
    send(&mut first, 100_000).await;
    send(&mut second, 100_000).await;
    first.send_reset(Reason::CANCEL);
    assert_eq!(within(ends.recv()).await, Some(false), "a reset is no end");
    second.send_data(Bytes::new(), true).unwrap();
    assert_eq!(within(ends.recv()).await, Some(true));
    assert_eq!(text(two).await.0, 200);
    drop((client, one, first, second));
    within(server.tracker.idle()).await;
}

#[tokio::test]
async fn a_client_can_have_no_more_unread_than_its_connections_window() {
    let release = Arc::new(Notify::new());
    let gate = Arc::clone(&release);
    let router = Router::new().route(
        "/",
        post(move |request: Request| async move {
            gate.notified().await;
            let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
            body.len().to_string()
        }),
    );
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let options = Options {
        http2: Windows::new(32 * MIB as u64, metrics.clone()),
        metrics,
        ..Options::default()
    };
    let server = Server::start(router, options).await;
    let (client, _) = server.connect().await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(begin(&client, "/", false).await);
    }
    // Everybody sends until nothing more goes.
    let mut sent = 0;
    for (_, stream) in &mut streams {
        stream.reserve_capacity(MIB);
        while let Ok(Some(Ok(capacity))) = tokio::time::timeout(
            Duration::from_millis(20),
            std::future::poll_fn(|cx| stream.poll_capacity(cx)),
        )
        .await
        {
            stream.send_data(Bytes::from(vec![1; capacity]), false).unwrap();
            sent += capacity;
            stream.reserve_capacity(MIB);
        }
    }
    let mut shown = String::new();
    prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
    let window = shown.lines().find_map(|line| line.strip_prefix("http2_window_bytes "));
    let window: usize = window.unwrap().parse().unwrap();
    assert!(window < 2 * MIB, "{window}");
    assert!(sent <= window, "{sent} bytes went out against a window of {window}");
    assert!(sent > window / 2, "{sent} of {window}");
    for _ in &streams {
        release.notify_one();
        tokio::task::yield_now().await;
    }
    let finish = Arc::clone(&release);
    let notifying = tokio::spawn(async move {
        loop {
            finish.notify_waiters();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut received = 0;
    for (response, mut stream) in streams {
        stream.send_data(Bytes::new(), true).unwrap();
        received += text(response).await.1.parse::<usize>().unwrap();
    }
    assert_eq!(received, sent, "all of it arrived once somebody read it");
    notifying.abort();
}

#[tokio::test]
async fn more_streams_than_allowed_wait_with_the_client() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let router = hello().route(
        "/busy",
        get(move || async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
        }),
    );
    let options = Options {
        http2_streams: 3,
        ..Options::default()
    };
    let server = Server::start(router, options).await;
    let (client, _) = server.connect().await;
    // The client knows the bound when the server's settings have come, which one answer proves.
    assert_eq!(text(begin(&client, "/", true).await.0).await.0, 200);
    let mut responses = Vec::new();
    for _ in 0..50 {
        responses.push(begin(&client, "/busy", true).await.0);
    }
    for response in responses {
        assert_eq!(text(response).await.0, 200);
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_client_that_resets_streams_as_fast_as_it_opens_them_is_sent_away() {
    let server = Server::start(hello(), Options::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    // HEADERS by the static table: GET, http, /; then RST_STREAM with CANCEL.
    let mut flood = Vec::new();
    for id in (1..=401_u32).step_by(2) {
        flood.extend([0, 0, 3, 1, 5]);
        flood.extend(id.to_be_bytes());
        flood.extend([0x82, 0x86, 0x84]);
        flood.extend([0, 0, 4, 3, 0]);
        flood.extend(id.to_be_bytes());
        flood.extend(8_u32.to_be_bytes());
    }
    let _ = stream.write_all(&flood).await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    // GOAWAY with ENHANCE_YOUR_CALM (11).
    let frames = frames(&answer);
    assert!(
        frames
            .iter()
            .any(|(kind, payload)| *kind == 7 && payload[4..8] == [0, 0, 0, 11]),
        "{frames:?}"
    );
    within(server.tracker.idle()).await;
}

#[tokio::test]
async fn headers_without_an_end_are_cut_at_the_bound() {
    let server = Server::start(hello(), Options::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    stream
        .write_all(&[0, 0, 3, 1, 0, 0, 0, 0, 1, 0x82, 0x86, 0x84])
        .await
        .unwrap();
    // CONTINUATION: a literal field, never indexed, one byte name and 125 bytes of value, again and again.
    let mut field = vec![0x10, 1, b'x', 125];
    field.extend([b'a'; 125]);
    let payload = field.repeat(100);
    let mut frame = vec![0, (payload.len() >> 8) as u8, payload.len() as u8, 9, 0, 0, 0, 0, 1];
    frame.extend(payload);
    let mut sent = 0;
    let flood = async {
        while stream.write_all(&frame).await.is_ok() {
            sent += frame.len();
            tokio::task::yield_now().await;
        }
    };
    within(flood).await;
    // What is taken after the connection was given up is thrown away, so that its last words arrive.
    assert!(sent < 64 * MIB, "{sent} bytes of one head were taken");
    within(server.tracker.idle()).await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_runs_is_sent_away_and_a_running_one_is_not() {
    let release = Arc::new(Notify::new());
    let gate = Arc::clone(&release);
    let router = hello().route(
        "/slow",
        get(move || async move {
            gate.notified().await;
            "done"
        }),
    );
    let options = Options {
        header_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let server = Server::start(router, options).await;
    let (client, ended) = server.connect().await;
    assert_eq!(text(begin(&client, "/", true).await.0).await.0, 200);
    assert!(within(ended).await.unwrap().is_ok(), "GOAWAY without an error");
    // One that says no more than the preface, or the half of a head.
    for opening in [&b""[..], &[0, 0, 3, 1, 0, 0, 0, 0, 1, 0x82, 0x86, 0x84]] {
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        silent
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        silent.write_all(opening).await.unwrap();
        let _ = within(silent.read_to_end(&mut Vec::new())).await;
    }
    let (client, _) = server.connect().await;
    let (slow, _) = begin(&client, "/slow", true).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    release.notify_one();
    assert_eq!(text(slow).await, (200, "done".to_owned()));
}

#[tokio::test]
async fn a_drain_says_goaway_finishes_what_runs_and_cuts_at_its_deadline() {
    let release = Arc::new(Notify::new());
    let gate = Arc::clone(&release);
    let router = Router::new()
        .route(
            "/slow",
            get(move || async move {
                gate.notified().await;
                "done"
            }),
        )
        .route("/never", get(std::future::pending::<()>));
    let options = || Options {
        drain_deadline: Duration::from_millis(300),
        ..Options::default()
    };
    let server = Server::start(router.clone(), options()).await;
    let (client, ended) = server.connect().await;
    let (slow, _) = begin(&client, "/slow", true).await;
    eventually("it is accepted", || server.tracker.count() == 1).await;
    tokio::task::yield_now().await;
    server.shutdown.begin();
    release.notify_one();
    assert_eq!(text(slow).await, (200, "done".to_owned()));
    assert!(within(ended).await.unwrap().is_ok());
    assert_eq!(within(server.served).await.unwrap(), Drained::Clean);
    let server = Server::start(router, options()).await;
    let (client, _) = server.connect().await;
    let (never, _) = begin(&client, "/never", true).await;
    eventually("it is accepted", || server.tracker.count() == 1).await;
    server.shutdown.begin();
    assert_eq!(within(server.served).await.unwrap(), Drained::Cut(1));
    assert!(within(never).await.is_err());
    within(server.tracker.idle()).await;
}

#[tokio::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let router = Router::new().route(
        "/",
        post(|| async { (http::StatusCode::PAYLOAD_TOO_LARGE, "too large") }),
    );
    let server = Server::start(router, Options::default()).await;
    let (client, _) = server.connect().await;
    for _ in 0..20 {
        let (response, mut stream) = begin(&client, "/", false).await;
        stream.reserve_capacity(MIB);
        let sending = tokio::spawn(async move {
            while let Some(Ok(capacity)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                if stream.send_data(Bytes::from(vec![1; capacity]), false).is_err() {
                    return;
                }
                stream.reserve_capacity(MIB);
            }
        });
        assert_eq!(text(response).await, (413, "too large".to_owned()));
        within(sending).await.unwrap();
    }
}

#[tokio::test]
async fn a_body_that_stalls_breaks_off_though_the_connection_lives() {
    let (seen, mut broken) = mpsc::channel::<bool>(1);
    let router = hello().route(
        "/reads",
        post(move |request: Request| async move {
            let mut body: Body = request.into_body();
            let mut failed = false;
            while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
                failed |= frame.is_err();
                if failed {
                    break;
                }
            }
            seen.send(failed).await.unwrap();
        }),
    );
    let options = Options {
        body_stall: Duration::from_millis(200),
        ..Options::default()
    };
    let server = Server::start(router, options).await;
    let (client, _) = server.connect().await;
    let (_response, mut stream) = begin(&client, "/reads", false).await;
    send(&mut stream, 1000).await;
    assert_eq!(within(broken.recv()).await, Some(true));
    assert_eq!(text(begin(&client, "/", true).await.0).await.0, 200);
}

/// The frames in what a server has sent: type and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, _flags, _, _, _, _, rest @ ..] = bytes {
        let length = (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c)).min(rest.len());
        frames.push((*kind, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    frames
}
