//! Who may call, and where one request ends and the next begins: what proxies and servers must not read differently.

use end_to_end::content::Content;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, Upload};
use end_to_end::wire::Request;

async fn code_of(client: &Client, request: Request) -> (u16, String) {
    let response = client.answer(&request).await;
    (response.status, response.code())
}

fn refused(code: &str) -> (u16, String) {
    (403, code.to_owned())
}

#[tokio::test]
async fn a_host_that_is_not_loopback_is_refused_on_every_path_and_nothing_happens() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(1, 100)).await;
    let port = server.address().port();
    let task = format!("/tasks/{}", upload.task);
    let events = format!("/events/{}", upload.task);
    for host in [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example#localhost",
        "localhost@evil.example",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "",
        " ",
        "localhost:abc",
        "localhost:99999",
        "local host",
        "localhost,evil.example",
        "\u{ff4c}ocalhost",
    ] {
        for path in [
            "/",
            "/files/",
            &upload.location,
            &task,
            "/tasks",
            &events,
            "/ws",
            "/metrics",
            "/healthz",
            "/nowhere",
        ] {
            let request = Request::new("GET", path).replace("Host", host);
            let (status, code) = code_of(&client, request).await;
            // What is no host at all may be refused by the parser of HTTP already.
            assert!(
                (status, code.as_str()) == (403, "host_not_allowed") || status == 400,
                "{host:?} {path}: {status} {code}"
            );
        }
        let delete = Request::tus("DELETE", &upload.location).replace("Host", host);
        assert!(matches!(client.answer(&delete).await.status, 400 | 403), "{host:?}");
    }
    let missing = Request::tus("HEAD", &upload.location).without("Host");
    assert!(matches!(client.answer(&missing).await.status, 400 | 403));
    let twice = Request::new("GET", "/healthz").header("Host", "localhost");
    assert!(matches!(client.answer(&twice).await.status, 400 | 403));
    let absolute = Request::new("GET", "http://evil.example/healthz");
    assert!(matches!(client.answer(&absolute).await.status, 400 | 403));
    for host in [
        "localhost",
        "LOCALHOST",
        "localhost:1",
        "127.0.0.1",
        "127.9.8.7",
        "[::1]",
        &format!("127.0.0.1:{port}"),
    ] {
        let request = Request::new("GET", "/healthz").replace("Host", host);
        assert_eq!(client.answer(&request).await.status, 200, "{host}");
    }
    assert_eq!(client.head(&upload).await, 0);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_and_an_allowed_one_is_served() {
    let settings = Settings {
        flags: vec!["--allow-origin".to_owned(), "https://app.example".to_owned()],
        ..Settings::default()
    };
    let server = Server::with(settings).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(2, 100)).await;
    let port = server.address().port();
    let own = format!("http://localhost:{port}");
    let of = |origin: &str| {
        Request::tus("HEAD", &upload.location)
            .replace("Host", format!("localhost:{port}"))
            .header("Origin", origin)
    };
    for origin in [
        "http://evil.example",
        "https://evil.example",
        "null",
        "",
        "*",
        "http://localhost",
        "http://localhost:1",
        "https://localhost",
        "https://app.example.evil.example",
        "https://app.example:444",
        "http://app.example",
        "https://app.example/",
        "file://",
        "https://app.example, https://evil.example",
        &own.replace("http:", "https:"),
    ] {
        assert_eq!(client.answer(&of(origin)).await.status, 403, "{origin}");
        let host = format!("localhost:{port}");
        let get = Request::new("GET", "/tasks")
            .replace("Host", &host)
            .header("Origin", origin);
        assert_eq!(code_of(&client, get).await, refused("origin_not_allowed"), "{origin}");
        let socket = end_to_end::websocket::handshake("/ws")
            .replace("Host", &host)
            .header("Origin", origin);
        assert_eq!(
            code_of(&client, socket).await,
            refused("origin_not_allowed"),
            "{origin}"
        );
        let create = Request::tus("POST", "/files/")
            .replace("Host", &host)
            .header("Upload-Length", "1")
            .header("Origin", origin);
        assert_eq!(
            code_of(&client, create).await,
            refused("origin_not_allowed"),
            "{origin}"
        );
    }
    assert_eq!(client.answer(&of(&own)).await.status, 200);
    let allowed = client.answer(&of("https://app.example")).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(
        allowed.header("Access-Control-Allow-Origin"),
        Some("https://app.example")
    );
    let list = client.answer(&Request::new("GET", "/tasks")).await.json();
    assert_eq!(
        list["tasks"].as_array().map(Vec::len),
        Some(1),
        "a refused creation has created: {list}"
    );
}

/// What comes back for bytes on a connection of their own, until the server closes it.
async fn all_answers(client: &Client, bytes: &[u8]) -> String {
    let mut wire = client.connect().await;
    // The server may close before it has read everything.
    let _ = wire.send(bytes).await;
    let answers = wire.until_closed().await.expect("the server closes");
    String::from_utf8_lossy(&answers).into_owned()
}

/// A PATCH of an upload that stands at 0, up to its framing headers.
fn patch_with(upload: &Upload, framing: &str) -> String {
    format!(
        "PATCH {} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\n{framing}\r\n\r\n",
        upload.location
    )
}

/// A request that must never be read out of another one's body.
fn smuggled(upload: &Upload) -> String {
    format!(
        "DELETE {} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n\r\n",
        upload.location
    )
}

/// Sends it, and a last request that whoever reads on gets to, answers and closes after.
async fn answers_to(client: &Client, head: &str, body: &str) -> String {
    let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    all_answers(client, format!("{head}{body}{last}").as_bytes()).await
}

#[tokio::test]
async fn requests_whose_end_cannot_be_read_are_refused_and_the_connection_ends() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let big = "9".repeat(30);
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(100_000));
    let (plain, chunked) = ("{}", "{chunk}\r\n0\r\n\r\n");
    for (framing, body) in [
        ("Content-Length: 0\r\nContent-Length: 5", plain),
        ("Content-Length: 5\r\nContent-Length: 0", plain),
        ("Content-Length: 0, 5", plain),
        ("Content-Length: +0", plain),
        ("Content-Length: -1", plain),
        ("Content-Length: 0x10", plain),
        ("Content-Length: 1 0", plain),
        ("Content-Length: 5.0", plain),
        (&format!("Content-Length: {big}"), plain),
        ("Content-Length:", plain),
        ("Transfer-Encoding: identity", plain),
        ("Transfer-Encoding: chunked, identity", chunked),
        ("Transfer-Encoding: gzip", plain),
        ("Transfer-Encoding: xchunked", chunked),
        ("Transfer-Encoding: \"chunked\"", chunked),
        ("Transfer-Encoding : chunked", chunked),
        (" Transfer-Encoding: chunked", chunked),
        ("X: y\r\n Transfer-Encoding: chunked", chunked),
        ("Transfer-Encoding: chunked", &format!("{big}\r\n{{}}\r\n0\r\n\r\n")),
        ("Transfer-Encoding: chunked", "-1\r\n{}\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n{}"),
        ("Transfer-Encoding: chunked", "5\r\nhelloX0\r\n\r\n{}"),
        ("Transfer-Encoding: chunked", "\r\n{}"),
        ("Transfer-Encoding: chunked", &long_extension),
        ("X\0Y: z", plain),
        ("X: a\0b", plain),
        ("X: a\rb", plain),
    ] {
        let upload = client.create(Content::new(3, 1_000)).await;
        let smuggled = smuggled(&upload);
        let body = body
            .replace("{chunk}", &format!("{:x}\r\n{smuggled}", smuggled.len()))
            .replace("{}", &smuggled);
        let answers = answers_to(&client, &patch_with(&upload, framing), &body).await;
        let about = format!(
            "{framing:?} {:?}\n{answers:?}",
            body.chars().take(40).collect::<String>()
        );
        assert!(answers.starts_with("HTTP/1.1 400 "), "{about}");
        assert_eq!(
            answers.matches("HTTP/1.1 ").count(),
            1,
            "another request was read out of it: {about}"
        );
        // A chunk that was whole before the framing broke may count; the smuggled request has not happened.
        assert!(matches!(client.head(&upload).await, 0 | 5), "{about}");
    }
}

#[tokio::test]
async fn a_length_beside_a_chunked_coding_does_not_count_and_the_connection_ends() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4000\r\nTransfer-Encoding: chunked",
    ] {
        let upload = client.create(Content::new(4, 1_000)).await;
        let body = format!("5\r\nhello\r\n0\r\n\r\n{}", smuggled(&upload));
        let answers = answers_to(&client, &patch_with(&upload, framing), &body).await;
        // RFC 9112 section 6.3: refused, or read by the chunked coding alone and closed after.
        assert_eq!(
            answers.matches("HTTP/1.1 ").count(),
            1,
            "another request was read out of it: {framing:?}\n{answers}"
        );
        let offset = client.head(&upload).await;
        if answers.starts_with("HTTP/1.1 204 ") {
            assert_eq!(offset, 5, "{framing:?}\n{answers}");
        } else {
            assert!(answers.starts_with("HTTP/1.1 400 "), "{framing:?}\n{answers}");
            assert_eq!(offset, 0, "{framing:?}\n{answers}");
        }
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_the_server_goes_on() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(4, 100)).await;
    let long = "A".repeat(200_000);
    for garbage in [
        &b"\r\n\r\n\r\n"[..],
        b"\0\0\0\0\0\0\0\0",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1 extra\r\nHost: localhost\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"G\x7fT / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        long.as_bytes(),
    ] {
        let mut wire = client.connect().await;
        let _ = wire.send(garbage).await;
        let _ = wire.finish().await;
        let answers = wire.until_closed().await.expect("the server closes");
        let answers = String::from_utf8_lossy(&answers);
        let status = answers.get(9..12).unwrap_or_default();
        let shown = String::from_utf8_lossy(&garbage[..garbage.len().min(60)]).into_owned();
        assert!(
            answers.is_empty() || status.starts_with('4') || status.starts_with('5'),
            "{shown:?}: {answers}"
        );
        assert_eq!(client.head(&upload).await, 0, "{shown:?}");
    }
}
