//! Interim responses on the wire: whatever is sent when, what a client reads is any number of them and then the answer.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not count as tests"
)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request};
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use windlass_serve::interim::NotSent;
use windlass_serve::{Informational, Options, Shutdown, Tracker, serve};

/// How long any one wait of a test may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start(router: Router, interim: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = Options {
        interim,
        ..Options::default()
    };
    tokio::spawn(serve(listener, router, options, Shutdown::new(), Tracker::new()));
    address
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("took too long")
}

fn numbered(number: usize, padding: usize) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert("upload-offset", number.into());
    fields.insert("x-padding", HeaderValue::try_from("a".repeat(padding)).unwrap());
    fields
}

fn upload_resumption() -> StatusCode {
    StatusCode::from_u16(104).unwrap()
}

/// A stream of numbers that a seed decides (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}

/// What a client reads: the statuses of the interim responses with their numbers, then the final one and its body.
#[derive(Debug, Default)]
struct Exchange {
    interim: Vec<(u16, usize)>,
    status: u16,
    body: Vec<u8>,
}

/// Reads one message's head, strictly.
async fn head(stream: &mut TcpStream) -> (u16, Vec<(String, String)>) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(within(stream.read_u8()).await.unwrap());
        assert!(text.len() < 64 * 1024, "a head has no end");
    }
    let text = String::from_utf8(text).unwrap();
    let mut lines = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
    let line = lines.next().unwrap();
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .unwrap_or_else(|| panic!("no status line: {line:?}"));
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
        (name.to_ascii_lowercase(), value.to_owned())
    });
    (status[..3].parse().unwrap(), fields.collect())
}

async fn exchange(stream: &mut TcpStream) -> Exchange {
    let mut read = Exchange::default();
    loop {
        let (status, fields) = head(stream).await;
        let field = |wanted: &str| {
            fields
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
        };
        if status < 200 {
            let number = field("upload-offset").map_or(0, |number| number.parse().unwrap());
            read.interim.push((status, number));
            continue;
        }
        read.status = status;
        read.body = vec![0; field("content-length").unwrap().parse().unwrap()];
        within(stream.read_exact(&mut read.body)).await.unwrap();
        return read;
    }
}

#[tokio::test]
async fn whatever_is_sent_when_the_wire_has_interim_responses_in_order_and_then_the_answer() {
    let router = Router::new().route(
        "/{seed}",
        post(
            |axum::extract::Path(seed): axum::extract::Path<u64>,
             Extension(informational): Extension<Informational>,
             request: Request| async move {
                let mut random = Random(seed);
                let mut sent = 0;
                let mut body = request.into_body();
                loop {
                    for _ in 0..random.below(4) {
                        let padding = random.below(900) as usize;
                        match informational.send(upload_resumption(), &numbered(sent + 1, padding)) {
                            Ok(()) => sent += 1,
                            Err(error) => assert_eq!(error, NotSent::Full),
                        }
                    }
                    if random.below(2) == 0 {
                        tokio::task::yield_now().await;
                    }
                    let mut body = std::pin::pin!(&mut body);
                    let frame = std::future::poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await;
                    if frame.is_none() || random.below(12) == 0 {
                        break;
                    }
                }
                let size = random.below(3) * random.below(200_000);
                let mut answer = format!("{sent} ").into_bytes();
                answer.resize(answer.len() + size as usize, b'.');
                answer
            },
        ),
    );
    let address = start(router, true).await;
    let (mut interims, mut answers) = (0, 0);
    for seed in 0..100 {
        let mut random = Random(seed ^ 0xabcd);
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..=random.below(3) {
            let continues = random.below(3) == 0;
            let size = random.below(100_000) as usize;
            let expect = if continues { "Expect: 100-continue\r\n" } else { "" };
            let request = format!("POST /{seed} HTTP/1.1\r\nHost: localhost\r\n{expect}Content-Length: {size}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let (reader, mut writer) = stream.into_split();
            // Sends and reads at once, in pieces; a server that has answered early may close.
            let mut left = size;
            let mut pieces = Random(seed);
            let sending = tokio::spawn(async move {
                while left > 0 {
                    let piece = (pieces.below(20_000) as usize + 1).min(left);
                    if writer.write_all(&vec![1; piece]).await.is_err() {
                        break;
                    }
                    left -= piece;
                    tokio::task::yield_now().await;
                }
                writer
            });
            let _ = within(reader.readable()).await;
            let writer = within(sending).await.unwrap();
            stream = reader.reunite(writer).unwrap();
            let read = exchange(&mut stream).await;
            assert_eq!(read.status, 200, "seed {seed}");
            let numbers: Vec<_> = read.interim.iter().filter(|(status, _)| *status == 104).collect();
            let text = String::from_utf8_lossy(&read.body);
            let sent: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(
                numbers.len(),
                sent,
                "seed {seed}: all that were sent came, before the answer"
            );
            assert!(
                numbers.iter().enumerate().all(|(at, (_, number))| *number == at + 1),
                "seed {seed}"
            );
            interims += sent;
            answers += 1;
            // An answer before the body's end may close the connection.
            let mut byte = [0];
            if matches!(
                tokio::time::timeout(Duration::from_millis(1), stream.peek(&mut byte)).await,
                Ok(Ok(0) | Err(_))
            ) {
                break;
            }
        }
    }
    println!("{interims} interim responses before {answers} answers");
    assert!(interims > 300, "too few to say anything");
}

#[tokio::test]
async fn they_are_written_while_the_handler_waits_and_none_after_the_answer() {
    let (late, mut told) = tokio::sync::mpsc::channel(1);
    let router = Router::new().route(
        "/",
        post(
            move |Extension(informational): Extension<Informational>, request: Request| async move {
                assert_eq!(
                    informational.send(StatusCode::CONTINUE, &HeaderMap::new()),
                    Err(NotSent::Status)
                );
                informational.send(upload_resumption(), &numbered(7, 0)).unwrap();
                let body = axum::body::to_bytes(request.into_body(), 100).await.unwrap();
                tokio::spawn(async move {
                    while informational.send(upload_resumption(), &numbered(8, 3_000)) != Err(NotSent::TooLate) {
                        tokio::task::yield_now().await;
                    }
                    late.send(()).await.unwrap();
                });
                body
            },
        ),
    );
    let address = start(router, true).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let (status, fields) = head(&mut stream).await;
    assert_eq!(status, 104, "though the body has not come");
    assert!(fields.contains(&("upload-offset".to_owned(), "7".to_owned())));
    stream.write_all(b"ok").await.unwrap();
    let read = exchange(&mut stream).await;
    assert_eq!((read.status, read.body.as_slice()), (200, &b"ok"[..]));
    within(told.recv()).await.unwrap();
}

#[tokio::test]
async fn a_listener_that_does_not_permit_them_and_a_client_of_http_1_0_get_none() {
    let router = || {
        Router::new().route(
            "/",
            post(|informational: Option<Extension<Informational>>| async move { informational.is_some().to_string() }),
        )
    };
    for (interim, version, expected) in [(true, "1.1", "true"), (false, "1.1", "false"), (true, "1.0", "false")] {
        let mut stream = TcpStream::connect(start(router(), interim).await).await.unwrap();
        let request = format!("POST / HTTP/{version}\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = vec![0; 4096];
        let count = within(stream.read(&mut text)).await.unwrap();
        let text = String::from_utf8_lossy(&text[..count]).into_owned();
        assert!(text.ends_with(expected), "{interim} {version}: {text}");
    }
}
