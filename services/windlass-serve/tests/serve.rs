//! The accept loop with real sockets: bounds, garbage, drain, upgrades.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not count as tests"
)]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Extension, Request};
use axum::response::IntoResponse as _;
use axum::routing::{any, get, post};
use http::{StatusCode, header};
use http_body::Body as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use windlass_serve::server::{BodyFault, Drained, Floor};
use windlass_serve::{Connection, Options, Shutdown, Tracker, serve};

/// How long any one wait of a test may take.
const PATIENCE: Duration = Duration::from_secs(10);

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

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn drained(self) -> Drained {
        within(self.served).await.unwrap()
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

/// Everything until the server closes.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is as good an end as any here.
    let _ = within(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One response with Content-Length from a connection that stays open.
async fn read_response(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count = within(stream.read(&mut buffer)).await.unwrap();
        assert_ne!(count, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")
                        .map(str::to_owned)
                })
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
    }
}

async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_response(stream).await
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn a_kept_alive_connection_serves_one_request_after_another_and_knows_its_peer() {
    let router = Router::new().route(
        "/",
        get(|Extension(connection): Extension<Connection>| async move { connection.peer.to_string() }),
    );
    let server = Server::start(router, Options::default()).await;
    let mut stream = server.connect().await;
    let peer = stream.local_addr().unwrap().to_string();
    for _ in 0..3 {
        assert!(ask(&mut stream, GET).await.ends_with(&peer));
    }
    assert_eq!(server.tracker.count(), 1);
    drop(stream);
    within(server.tracker.idle()).await;
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_header_is_cut_off() {
    let options = Options {
        header_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let server = Server::start(hello(), options).await;
    for opening in ["", "P", "GET / HTTP/1.1\r\nHost: local"] {
        let mut stream = server.connect().await;
        let begun = Instant::now();
        stream.write_all(opening.as_bytes()).await.unwrap();
        assert_eq!(read_all(&mut stream).await, "", "after {opening:?}");
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
    // Bytes that trickle in do not extend the time.
    let mut stream = server.connect().await;
    let begun = Instant::now();
    let trickle = async {
        for byte in std::iter::repeat_n(b"X-A: b\r\n", 10_000).flatten() {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(trickle).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_answered_431() {
    let options = Options {
        max_headers: 10,
        max_header_bytes: 1000,
        ..Options::default()
    };
    let server = Server::start(hello(), options).await;
    let many = (0..20).map(|n| format!("X-{n}: a\r\n")).collect::<String>();
    let long = format!("X: {}\r\n", "a".repeat(2000));
    for headers in [many, long] {
        let mut stream = server.connect().await;
        stream
            .write_all(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes())
            .await
            .unwrap();
        assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 431 "));
    }
    // A header without an end is cut at the bound, not read for ever.
    let mut stream = server.connect().await;
    stream
        .write_all(format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(100_000)).as_bytes())
        .await
        .unwrap();
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn garbage_is_answered_400_or_closed_and_the_next_client_is_served() {
    let server = Server::start(hello(), Options::default()).await;
    let garbage: [&[u8]; 7] = [
        b"\x00\x01\x02\xff\xfe\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ];
    for bytes in garbage {
        let mut stream = server.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer:?} for {bytes:?}"
        );
    }
    assert!(ask(&mut server.connect().await, GET).await.ends_with("hello"));
}

#[tokio::test]
async fn at_the_connection_limit_newcomers_wait_in_the_backlog_until_one_leaves() {
    let mut registry = prometheus_client::registry::Registry::default();
    let metrics = windlass_serve::metrics::Metrics::register(&mut registry);
    let server = Server::start(
        hello(),
        Options {
            max_connections: 2,
            metrics,
            ..Options::default()
        },
    )
    .await;
    let count = |registry| {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    };
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    ask(&mut first, GET).await;
    ask(&mut second, GET).await;
    let mut third = server.connect().await;
    third.write_all(GET.as_bytes()).await.unwrap();
    eventually("the limit is noticed", || {
        count(&registry).contains("connections_full_total 1")
    })
    .await;
    let mut buffer = [0; 1];
    assert!(
        tokio::time::timeout(Duration::from_millis(200), third.read(&mut buffer))
            .await
            .is_err(),
        "served beyond the limit"
    );
    assert_eq!(server.tracker.count(), 2);
    drop(first);
    assert!(read_response(&mut third).await.ends_with("hello"));
    assert!(count(&registry).contains("connections_accepted_total 3"));
}

#[tokio::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let router = Router::new().route("/", post(|| async { StatusCode::PAYLOAD_TOO_LARGE }));
    let server = Server::start(router, Options::default()).await;
    for _ in 0..20 {
        let mut stream = server.connect().await;
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // Far more than the socket buffers hold, so the server must take some after its answer.
        let _ = within(stream.write_all(&vec![0; 8 << 20])).await;
        assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 413 "));
    }
}

#[tokio::test]
async fn a_body_that_stalls_breaks_off_and_one_that_nobody_reads_does_not() {
    let (broken, mut seen) = tokio::sync::mpsc::channel::<bool>(4);
    let release = Arc::new(Notify::new());
    let (sender, gate) = (broken.clone(), Arc::clone(&release));
    let router = Router::new()
        .route(
            "/reads",
            post(move |request: Request| async move {
                let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
                broken.send(body.is_err()).await.unwrap();
            }),
        )
        .route(
            "/pauses",
            post(move |request: Request| async move {
                gate.notified().await;
                let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
                sender.send(body.is_err()).await.unwrap();
            }),
        );
    let limit = Duration::from_millis(200);
    let server = Server::start(
        router,
        Options {
            body_stall: limit,
            ..Options::default()
        },
    )
    .await;
    let mut stalls = server.connect().await;
    let head = |path| format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
    stalls.write_all(head("/reads").as_bytes()).await.unwrap();
    assert!(within(seen.recv()).await.unwrap(), "the stalled body ended well");
    let mut paused = server.connect().await;
    paused.write_all(head("/pauses").as_bytes()).await.unwrap();
    tokio::time::sleep(limit * 2).await;
    paused.write_all(b"defghij").await.unwrap();
    release.notify_one();
    assert!(
        !within(seen.recv()).await.unwrap(),
        "the wait of the reader was held against the client"
    );
}

#[tokio::test]
async fn a_body_that_comes_in_drops_breaks_off_and_the_readers_own_time_does_not_count() {
    let (sender, mut seen) = tokio::sync::mpsc::channel::<Option<BodyFault>>(4);
    let slow = sender.clone();
    let router = Router::new()
        .route(
            "/reads",
            post(move |request: Request| async move {
                let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
                let fault = body.err().and_then(|error| BodyFault::of(&error));
                sender.send(fault).await.unwrap();
            }),
        )
        .route(
            "/dawdles",
            post(move |request: Request| async move {
                let mut body = request.into_body();
                let mut fault = None;
                // Reads a piece, then does something else for as long as the window.
                while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    fault = frame.err().and_then(|error| BodyFault::of(&error));
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                slow.send(fault).await.unwrap();
            }),
        );
    let floor = Floor {
        bytes_per_second: 1_000,
        window: Duration::from_millis(300),
    };
    let options = Options {
        body_floor: Some(floor),
        ..Options::default()
    };
    let server = Server::start(router, options).await;
    let head = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut drops = server.connect().await;
    drops.write_all(head("/reads", 1_000_000).as_bytes()).await.unwrap();
    let dripping = tokio::spawn(async move {
        while drops.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let fault = within(seen.recv()).await.unwrap();
    assert_eq!(
        fault,
        Some(BodyFault::TooSlow {
            bytes_per_second: 1_000
        })
    );
    dripping.abort();
    // Fast enough on average, though with pauses.
    let mut steady = server.connect().await;
    steady.write_all(head("/reads", 4_000).as_bytes()).await.unwrap();
    for _ in 0..4 {
        steady.write_all(&[1; 1_000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(within(seen.recv()).await.unwrap(), None);
    // Five bytes in as many windows, of which the reader waits for nothing: they were there when it looked again.
    let mut quick = server.connect().await;
    quick.write_all(head("/dawdles", 5).as_bytes()).await.unwrap();
    for _ in 0..5 {
        quick.write_all(b"x").await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(
        within(seen.recv()).await.unwrap(),
        None,
        "the reader's time was held against the client"
    );
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let router = Router::new().route("/", get(|| async { vec![0_u8; 64 << 20] }));
    let options = Options {
        write_stall: Duration::from_millis(200),
        ..Options::default()
    };
    let server = Server::start(router, options).await;
    let mut stream = server.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    eventually("the connection is open", || server.tracker.count() == 1).await;
    within(server.tracker.idle()).await;
}

#[tokio::test]
async fn a_drain_lets_a_running_request_finish_and_closes_idle_connections() {
    let (started, running) = oneshot::channel::<()>();
    let started = Arc::new(std::sync::Mutex::new(Some(started)));
    let finish = Arc::new(Notify::new());
    let gate = Arc::clone(&finish);
    let router = hello().route(
        "/slow",
        get(move || async move {
            let started = started.lock().unwrap().take().unwrap();
            started.send(()).unwrap();
            gate.notified().await;
            "finished"
        }),
    );
    let server = Server::start(router, Options::default()).await;
    let mut idle = server.connect().await;
    ask(&mut idle, GET).await;
    let fresh = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    within(running).await.unwrap();
    eventually("all are accepted", || server.tracker.count() == 3).await;
    server.shutdown.begin();
    assert_eq!(read_all(&mut idle).await, "", "an idle connection is closed");
    drop((idle, fresh));
    eventually("only the running one is left", || server.tracker.count() == 1).await;
    eventually("the port is closed", || {
        std::net::TcpStream::connect(server.address).is_err()
    })
    .await;
    assert!(!server.served.is_finished());
    finish.notify_one();
    let answer = read_all(&mut slow).await;
    assert!(answer.ends_with("finished"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    drop(slow);
    assert_eq!(server.drained().await, Drained::Clean);
}

#[tokio::test]
async fn a_request_that_crosses_the_beginning_of_a_drain_is_answered() {
    let server = Server::start(hello(), Options::default()).await;
    let (mut kept, mut fresh) = (server.connect().await, server.connect().await);
    ask(&mut kept, GET).await;
    eventually("both are accepted", || server.tracker.count() == 2).await;
    server.shutdown.begin();
    for stream in [&mut kept, &mut fresh] {
        assert!(ask(stream, GET).await.ends_with("hello"));
    }
    for mut stream in [kept, fresh] {
        assert_eq!(read_all(&mut stream).await, "", "closed after it");
    }
    assert_eq!(server.drained().await, Drained::Clean);
}

#[tokio::test]
async fn a_drain_cuts_what_is_left_at_its_deadline() {
    let router = Router::new().route("/", get(std::future::pending::<()>));
    let options = Options {
        drain_deadline: Duration::from_millis(200),
        ..Options::default()
    };
    let server = Server::start(router, options).await;
    let mut stream = server.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    eventually("the request runs", || server.tracker.count() == 1).await;
    server.shutdown.begin();
    let tracker = server.tracker.clone();
    assert_eq!(server.drained().await, Drained::Cut(1));
    assert_eq!(read_all(&mut stream).await, "");
    within(tracker.idle()).await;
}

/// Upgrades, then echoes on the raw socket until the peer closes or the server drains.
fn echo(shutdown: Shutdown) -> Router {
    Router::new().route(
        "/up",
        any(move |mut request: Request| async move {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut socket, early) =
                    windlass_serve::upgrade::into_socket(upgrade.await.unwrap()).expect("our own socket");
                socket.write_all(&early).await.unwrap();
                let mut buffer = [0; 64];
                loop {
                    tokio::select! {
                        () = shutdown.draining() => {
                            socket.write_all(b"bye").await.unwrap();
                            return;
                        }
                        count = socket.read(&mut buffer) => match count {
                            Ok(0) | Err(_) => return,
                            Ok(count) => socket.write_all(&buffer[..count]).await.unwrap(),
                        },
                    }
                }
            });
            let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "echo")];
            (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
        }),
    )
}

#[tokio::test]
async fn an_upgraded_connection_counts_until_its_socket_is_gone_and_the_drain_waits_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, tracker, told) = (Shutdown::new(), Tracker::new(), Shutdown::new());
    let options = Options {
        max_connections: 1,
        ..Options::default()
    };
    let served = tokio::spawn(serve(
        listener,
        echo(told.clone()),
        options,
        shutdown.clone(),
        tracker.clone(),
    ));
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The first bytes of the new protocol come with the request: nothing of them may get lost.
    let request = "GET /up HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.ends_with("early") {
        let mut buffer = [0; 256];
        let count = within(stream.read(&mut buffer)).await.unwrap();
        assert_ne!(count, 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(text.starts_with("HTTP/1.1 101 "));
    assert_eq!(tracker.count(), 1, "upgraded and still counted");
    shutdown.begin();
    eventually("the port is closed", || std::net::TcpStream::connect(address).is_err()).await;
    stream.write_all(b"still here").await.unwrap();
    let mut buffer = [0; 10];
    within(stream.read_exact(&mut buffer)).await.unwrap();
    assert_eq!(&buffer, b"still here");
    assert!(!served.is_finished(), "the drain did not wait");
    told.begin();
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"bye");
    assert_eq!(within(served).await.unwrap(), Drained::Clean);
}
