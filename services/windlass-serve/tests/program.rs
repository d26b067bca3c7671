//! A whole program's listener: guard, CORS, auth, fallbacks, probes and metrics together, over real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not count as tests"
)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use clap::Parser as _;
use http::StatusCode;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use windlass_serve::auth::Settings;
use windlass_serve::{Caller, Flags, Program, Shutdown, listener};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const KEY: &str = "do-not-log-this-key";

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
}

fn flags(more: &[&str]) -> Flags {
    let base = [
        "test",
        "--listen",
        "127.0.0.1:0",
        "--allow-origin",
        "https://app.example",
    ];
    Arguments::parse_from(base.iter().chain(more)).flags
}

async fn start(auth: Option<&Settings>) -> Running {
    start_with(flags(&[]), auth).await
}

async fn start_with(flags: Flags, auth: Option<&Settings>) -> Running {
    let program = Program::new(flags, auth, &listener::Settings::default()).unwrap();
    let api = Router::new()
        .route("/files", any(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/files/{tenant}/{id}/{key}",
            get(|| async { StatusCode::INTERNAL_SERVER_ERROR }),
        )
        .route("/ws", get(who))
        .route("/tasks/{id}", get(who));
    let app = program.authenticated(api).route("/", get(|| async { "page" }));
    let shutdown = program.shutdown();
    let bound = program.bind().await.unwrap();
    let address = bound.address();
    tokio::spawn(bound.run(app));
    Running { address, shutdown }
}

async fn who(caller: Caller) -> String {
    caller.principal().map_or("nobody".to_owned(), |principal| {
        format!("{}/{}", principal.tenant, principal.owner)
    })
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.head
        );
        let body: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status);
        body["code"].as_str().unwrap().to_owned()
    }
}

impl Running {
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut text))
            .await
            .unwrap()
            .unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

fn token(claims: &Value) -> String {
    format!(
        "Bearer {}",
        encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).unwrap()
    )
}

#[tokio::test]
async fn on_loopback_everybody_is_local_and_foreign_pages_are_kept_out() {
    let server = start(None).await;
    assert_eq!(server.ask("GET", "/tasks/x", &[]).await.body, "default/local");
    let own = format!("http://{}", server.address);
    assert_eq!(server.ask("GET", "/ws", &[("Origin", &own)]).await.status, 200);
    let rebound = server.ask("GET", "/", &[("Host", "evil.example")]).await;
    assert_eq!((rebound.status, rebound.code().as_str()), (403, "host_not_allowed"));
    for path in ["/", "/ws", "/files", "/metrics", "/nowhere"] {
        let foreign = server.ask("GET", path, &[("Origin", "https://evil.example")]).await;
        assert_eq!(
            (foreign.status, foreign.code().as_str()),
            (403, "origin_not_allowed"),
            "{path}"
        );
        assert_eq!(foreign.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn only_a_preflight_is_answered_by_cors_and_allowed_pages_may_read() {
    let server = start(None).await;
    let origin = ("Origin", "https://app.example");
    let preflight = server
        .ask(
            "OPTIONS",
            "/files",
            &[
                origin,
                ("Access-Control-Request-Method", "PATCH"),
                ("Access-Control-Request-Private-Network", "true"),
            ],
        )
        .await;
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert!(
        preflight
            .header("access-control-allow-methods")
            .unwrap()
            .contains("PATCH")
    );
    assert!(
        preflight
            .header("access-control-allow-headers")
            .unwrap()
            .contains("Upload-Offset")
    );
    assert_eq!(preflight.header("access-control-max-age"), Some("7200"));
    assert_eq!(preflight.header("access-control-allow-private-network"), Some("true"));
    let options = server.ask("OPTIONS", "/files", &[origin]).await;
    assert_eq!(
        (options.status, options.header("access-control-allow-methods")),
        (204, None),
        "the route answers"
    );
    assert!(
        options
            .header("access-control-expose-headers")
            .unwrap()
            .contains("Location")
    );
    assert_eq!(options.header("vary"), Some("Origin"));
    let foreign = [
        ("Origin", "https://evil.example"),
        ("Access-Control-Request-Method", "PATCH"),
    ];
    assert_eq!(server.ask("OPTIONS", "/files", &foreign).await.status, 403);
    let missing = server.ask("GET", "/nowhere", &[origin]).await;
    assert_eq!((missing.status, missing.code().as_str()), (404, "route_not_found"));
    assert_eq!(
        missing.header("access-control-allow-origin"),
        Some("https://app.example"),
        "errors are readable"
    );
    let method = server.ask("DELETE", "/tasks/x", &[]).await;
    assert_eq!((method.status, method.code().as_str()), (405, "method_not_allowed"));
    assert_eq!(method.header("allow"), Some("GET,HEAD"));
}

/// What tus-js-client, Uppy and clients of the IETF drafts send and read, by their sources and the drafts' texts.
#[tokio::test]
async fn pages_may_send_and_read_every_header_of_both_protocols() {
    let server = start(None).await;
    let preflight = server
        .ask(
            "OPTIONS",
            "/files",
            &[
                ("Origin", "https://app.example"),
                ("Access-Control-Request-Method", "PUT"),
            ],
        )
        .await;
    let listed = |name: &str| -> Vec<String> {
        let values = preflight.header(name).unwrap().split(',');
        values.map(|value| value.trim().to_ascii_lowercase()).collect()
    };
    let methods = listed("access-control-allow-methods");
    for method in ["post", "put", "patch", "head", "delete", "get"] {
        assert!(methods.contains(&method.to_owned()), "{method}");
    }
    let sent = "authorization content-type content-disposition tus-resumable upload-length upload-offset upload-metadata \
        upload-defer-length upload-concat upload-checksum upload-complete upload-incomplete upload-draft-interop-version \
        x-http-method-override x-request-id x-requested-with repr-digest content-digest want-repr-digest";
    let allowed = listed("access-control-allow-headers");
    for header in sent.split_whitespace() {
        assert!(allowed.contains(&header.to_owned()), "{header} may not be sent");
    }
    let read = "location upload-offset upload-length upload-metadata upload-expires upload-defer-length upload-concat \
        upload-complete upload-incomplete upload-draft-interop-version upload-limit tus-resumable tus-version \
        tus-extension tus-max-size tus-checksum-algorithm retry-after etag repr-digest content-digest \
        content-disposition content-range";
    let exposed = listed("access-control-expose-headers");
    for header in read.split_whitespace() {
        assert!(exposed.contains(&header.to_owned()), "{header} may not be read");
    }
    assert_eq!(
        preflight.header("access-control-allow-credentials"),
        None,
        "no cookies here"
    );
}

#[tokio::test]
async fn with_a_secret_every_api_path_asks_for_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, SECRET).unwrap();
    let server = start(Some(&Settings::hs256(path))).await;
    let missing = server.ask("POST", "/files", &[("Origin", "https://app.example")]).await;
    assert_eq!((missing.status, missing.code().as_str()), (401, "token_missing"));
    assert!(missing.header("www-authenticate").unwrap().starts_with("Bearer"));
    assert_eq!(
        missing.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    let now = get_current_timestamp();
    let good = token(&json!({"sub": "ann", "tenant": "acme", "exp": now + 60}));
    assert_eq!(
        server.ask("GET", "/tasks/x", &[("Authorization", &good)]).await.body,
        "acme/ann"
    );
    assert_eq!(
        server.ask("GET", "/ws", &[("Authorization", &good)]).await.body,
        "acme/ann"
    );
    assert_eq!(server.ask("GET", "/ws", &[]).await.body, "nobody");
    let old = token(&json!({"sub": "ann", "exp": now - 60}));
    assert_eq!(
        server.ask("GET", "/ws", &[("Authorization", &old)]).await.code(),
        "token_expired"
    );
    assert_eq!(
        server
            .ask("GET", "/tasks/x", &[("Authorization", "Bearer x")])
            .await
            .code(),
        "token_invalid"
    );
    assert_eq!(server.ask("GET", "/", &[]).await.body, "page");
    let network = server
        .ask("GET", "/", &[("Host", "up.example"), ("Origin", "https://up.example")])
        .await;
    assert_eq!(network.status, 200, "behind a proxy that ends TLS");
    let metrics = server.ask("GET", "/metrics", &[]).await.body;
    assert!(
        metrics.contains(r#"windlass_auth_failures_total{code="token_missing"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn metrics_name_the_route_and_never_the_path() {
    let server = start(None).await;
    assert_eq!(
        server.ask("GET", &format!("/files/default/x/{KEY}"), &[]).await.status,
        500
    );
    server.ask("BREW", "/files", &[]).await;
    server.ask("GET", &format!("/no/{KEY}"), &[]).await;
    let answer = server.ask("GET", "/metrics", &[]).await;
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let metrics = answer.body;
    for line in [
        r#"windlass_http_requests_total{method="GET",route="/files/{tenant}/{id}/{key}",status="5xx"} 1"#,
        r#"windlass_http_requests_total{method="other",route="/files",status="2xx"} 1"#,
        r#"windlass_http_requests_total{method="GET",route="none",status="4xx"} 1"#,
        "windlass_connections 1",
        "windlass_connections_accepted_total 4",
    ] {
        assert!(metrics.contains(line), "{line} not in\n{metrics}");
    }
    assert!(!metrics.contains(KEY));
    assert!(metrics.ends_with("# EOF\n"));
}

#[tokio::test]
async fn readiness_goes_off_on_the_admin_listener_while_the_main_one_drains() {
    let program = Program::new(
        flags(&["--admin-listen", "localhost:0"]),
        None,
        &listener::Settings::default(),
    )
    .unwrap();
    let (started, running) = tokio::sync::oneshot::channel();
    let (finish, gate) = tokio::sync::oneshot::channel::<()>();
    let hold = std::sync::Arc::new(std::sync::Mutex::new(Some((started, gate))));
    let app = Router::new().route(
        "/slow",
        get(move || async move {
            let (started, gate) = hold.lock().unwrap().take().unwrap();
            started.send(()).unwrap();
            gate.await.unwrap();
            "finished"
        }),
    );
    let shutdown = program.shutdown();
    let bound = program.bind().await.unwrap();
    let main = Running {
        address: bound.address(),
        shutdown: shutdown.clone(),
    };
    let admin = Running {
        address: bound.admin_address().unwrap(),
        shutdown,
    };
    let run = tokio::spawn(bound.run(app));
    assert_eq!(
        main.ask("GET", "/readyz", &[]).await.status,
        404,
        "probes are on the admin listener only"
    );
    let ready = admin.ask("GET", "/readyz", &[]).await;
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (200, r#"{"faults":{},"status":"ready"}"#)
    );
    assert_eq!(admin.ask("GET", "/healthz", &[]).await.status, 200);
    let slow = async { main.ask("GET", "/slow", &[]).await };
    let drain = async {
        running.await.unwrap();
        main.shutdown.begin();
        let ready = admin.ask("GET", "/readyz", &[]).await;
        assert_eq!(
            (ready.status, ready.body.as_str()),
            (503, r#"{"faults":{},"status":"draining"}"#)
        );
        finish.send(()).unwrap();
    };
    let (answer, ()) = tokio::join!(slow, drain);
    assert_eq!(answer.body, "finished");
    let outcome = tokio::time::timeout(Duration::from_secs(10), run)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(outcome, windlass_serve::server::Drained::Clean);
}

#[tokio::test]
async fn who_shows_the_admin_key_drains_the_process_paces_that_and_takes_it_back() {
    const KEY: &str = "0123456789abcdef";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let server = start_with(flags(&["--admin-key-file", file.to_str().unwrap()]), None).await;
    let path = "/admin/drain";
    for headers in [&[][..], &[("Authorization", "Bearer 0123456789abcdeF")]] {
        for method in ["GET", "POST", "DELETE"] {
            let refused = server.ask(method, path, headers).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (401, "admin_key_wrong"),
                "{method}"
            );
        }
    }
    let authorization = format!("Bearer {KEY}");
    let shown = [("Authorization", authorization.as_str())];
    let report = async |method| {
        let answer = server.ask(method, path, &shown).await;
        let report: Value = serde_json::from_str(&answer.body).unwrap();
        (answer.status, report["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(report("GET").await, (200, "running".to_owned()));
    assert_eq!(
        report("POST").await,
        (202, "closing".to_owned()),
        "the request has a socket itself"
    );
    let ready = server.ask("GET", "/readyz", &[]).await;
    assert_eq!((ready.status, ready.body.contains("draining")), (503, true));
    assert_eq!(
        server.ask("GET", "/tasks/x", &[]).await.status,
        200,
        "it goes on running"
    );
    assert_eq!(report("DELETE").await, (200, "running".to_owned()));
    assert_eq!(server.ask("GET", "/readyz", &[]).await.status, 200);

    let locked = start(None).await;
    let refused = locked.ask("POST", path, &shown).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "admin_key_missing"));
    std::fs::write(&file, "short").unwrap();
    let short = flags(&["--admin-key-file", file.to_str().unwrap()]);
    let error = Program::new(short, None, &listener::Settings::default()).unwrap_err();
    assert!(error.to_string().contains("--admin-key-file"), "{error}");
}
