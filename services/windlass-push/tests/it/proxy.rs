//! Proxies to a real backend.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use windlass_push::{Config, Settings};

use super::server::{DEADLINE, Server};
use super::socket::Client;

const CENTRIFUGE: &str = "/connection/websocket";

/// A backend that answers by the path, and remembers what it was asked.
struct Backend {
    origin: String,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    calls: Mutex<Vec<Call>>,
    came: tokio::sync::Notify,
    /// How many calls on `/held` may be answered.
    released: Option<Semaphore>,
}

#[derive(Debug, Clone)]
struct Call {
    path: String,
    headers: HeaderMap,
    body: Value,
}

impl Backend {
    async fn start() -> Self {
        let heard = Arc::new(Heard {
            released: Some(Semaphore::new(0)),
            ..Heard::default()
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&heard));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, heard }
    }

    /// The proxy whose endpoint is `path` here.
    fn at(&self, path: &str) -> Value {
        json!({"enabled": true, "endpoint": format!("{}{path}", self.origin)})
    }

    /// Of a channel or of methods, which have no switch.
    fn plain(&self, path: &str) -> Value {
        json!({"endpoint": format!("{}{path}", self.origin), "timeout": "20s"})
    }

    fn calls(&self, path: &str) -> Vec<Call> {
        let calls = self.heard.calls.lock().unwrap();
        calls.iter().filter(|call| call.path == path).cloned().collect()
    }

    /// Waits for so many calls on a path.
    async fn called(&self, path: &str, count: usize) -> Vec<Call> {
        let waiting = async {
            loop {
                let came = self.heard.came.notified();
                let calls = self.calls(path);
                if calls.len() >= count {
                    return calls;
                }
                came.await;
            }
        };
        timeout(DEADLINE, waiting).await.expect("it is never called")
    }

    fn release(&self) {
        self.heard.released.as_ref().unwrap().add_permits(1);
    }
}

async fn answer(State(heard): State<Arc<Heard>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let path = uri.path().to_owned();
    heard.calls.lock().unwrap().push(Call {
        path: path.clone(),
        headers,
        body: body.clone(),
    });
    heard.came.notify_waiters();
    let json = |value: Value| value.to_string().into_response();
    match path.as_str() {
        "/connect" => json(json!({"result": {
            "user": "ann", "data": {"hello": true}, "meta": {"secret": 7}, "channels": ["news"],
        }})),
        "/held" => {
            heard.released.as_ref().unwrap().acquire().await.unwrap().forget();
            json(json!({"result": {"data": body["method"]}}))
        }
        "/rpc" => match body["method"].as_str() {
            Some("status") => StatusCode::NOT_FOUND.into_response(),
            Some("other") => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Some("away") => (StatusCode::FOUND, [("location", "/elsewhere")], "").into_response(),
            Some("large") => json(json!({"result": {"data": "x".repeat(70_000)}})),
            Some("garbage") => "no".into_response(),
            Some("never") => {
                Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()).into_response()
            }
            method => json(json!({"result": {"data": method}})),
        },
        _ => json(json!({"result": {}})),
    }
}

/// A server with this `push` section, where clients log in unless the section lets them.
async fn server(config: Value) -> Server {
    let config: Config = serde_json::from_value(config).unwrap();
    let settings = Settings::validate(&config, false).unwrap();
    Server::with(|plan| {
        plan.settings = settings;
        plan.auth = true;
    })
    .await
}

/// What `client` hears until this, a line a frame.
async fn until(client: &mut Client, last: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(last) {
        heard += &client.text().await;
        heard.push('\n');
    }
    heard
}

#[tokio::test]
async fn a_client_without_a_token_is_who_the_backend_says() {
    let backend = Backend::start().await;
    let mut connect = backend.at("/connect");
    connect["http_headers"] = json!(["Cookie", "X-Both"]);
    connect["emulated_headers"] = json!(["Authorization", "x-both"]);
    connect["http"] = json!({"static_headers": {"X-Key": "sesame", "X-Both": "static"}});
    let mut rpc = backend.plain("/rpc");
    rpc["include_connection_meta"] = json!(true);
    let server = server(json!({
        "client": {"proxy": {"connect": connect}},
        "rpc": {"proxy": rpc, "without_namespace": {"proxy_enabled": true}},
        "channels": {}
    }))
    .await;
    let headers = "Cookie: session=1\r\nX-Both: transport\r\nX-Private: p\r\n";
    let mut client = Client::open_with(server.address, CENTRIFUGE, headers, b"").await;
    client
        .send(concat!(
            r#"{"id":1,"connect":{"name":"js","data":{"a":1},"headers":{"Authorization":"Bearer x","x-both":"emulated","Host":"h"}}}"#,
            "\n",
            r#"{"id":2,"rpc":{"method":"echo"}}"#
        ))
        .await;
    let connected = client.text().await;
    assert!(
        connected.contains(r#""data":{"hello":true}"#) && connected.contains(r#""subs":{"news""#),
        "{connected}"
    );
    assert_eq!(client.text().await, r#"{"id":2,"rpc":{"data":"echo"}}"#);

    let call = &backend.calls("/connect")[0];
    assert_eq!(
        (&call.body["name"], &call.body["data"], &call.body["transport"]),
        (&json!("js"), &json!({"a": 1}), &json!("websocket"))
    );
    let of = |name: &str| {
        call.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        [
            of("cookie"),
            of("authorization"),
            of("x-key"),
            of("x-both"),
            of("x-private")
        ],
        [
            vec!["session=1"],
            vec!["Bearer x"],
            vec!["sesame"],
            vec!["transport"],
            vec![]
        ]
    );
    assert_eq!(of("content-type"), ["application/json"]);
    let call = &backend.calls("/rpc")[0];
    assert_eq!(
        (&call.body["user"], &call.body["meta"]),
        (&json!("ann"), &json!({"secret": 7}))
    );
    assert_eq!(call.body["client"], backend.calls("/connect")[0].body["client"]);
    assert_eq!(call.headers.get("cookie"), None, "this proxy wants no headers");
}

#[tokio::test]
async fn whatever_a_backend_does_wrong_its_client_is_told_and_nothing_else_happens() {
    let backend = Backend::start().await;
    let mut rpc = backend.plain("/rpc");
    rpc["timeout"] = json!("500ms");
    rpc["http"] =
        json!({"status_to_code_transforms": [{"status_code": 404, "to_error": {"code": 404, "message": "gone"}}]});
    let gone = json!({"name": "nobody", "endpoint": "http://127.0.0.1:1/", "timeout": "20s"});
    let server = server(json!({
        "anonymous": true,
        "rpc": {
            "proxy": rpc, "without_namespace": {"proxy_enabled": true},
            "namespaces": [{"name": "nobody", "proxy_enabled": true, "proxy_name": "nobody"}]
        },
        "proxies": [gone]
    }))
    .await;
    let mut client = Client::open(server.address, CENTRIFUGE).await;
    client.send(r#"{"id":1,"connect":{}}"#).await;
    client.text().await;
    let internal = r#""error":{"code":100,"message":"internal server error","temporary":true}"#;
    for (method, answer) in [
        ("status", r#""error":{"code":404,"message":"gone"}"#),
        ("other", internal),
        ("away", internal),
        ("large", internal),
        ("garbage", internal),
        ("never", internal),
        ("nobody:home", internal),
        ("echo", r#""rpc":{"data":"echo"}"#),
    ] {
        client
            .send(&format!(r#"{{"id":2,"rpc":{{"method":"{method}"}}}}"#))
            .await;
        assert_eq!(client.text().await, format!(r#"{{"id":2,{answer}}}"#), "{method}");
    }
    assert_eq!(backend.calls("/elsewhere").len(), 0, "a redirect is followed");
}

#[tokio::test]
async fn a_connection_waits_for_its_own_call_and_for_no_other() {
    let backend = Backend::start().await;
    let server = server(json!({
        "anonymous": true,
        "rpc": {"proxy": backend.plain("/held"), "without_namespace": {"proxy_enabled": true}}
    }))
    .await;
    let mut first = Client::open(server.address, CENTRIFUGE).await;
    let commands = [
        r#"{"id":1,"connect":{}}"#,
        r#"{"id":2,"rpc":{"method":"a"}}"#,
        r#"{"id":3,"unsubscribe":{"channel":"x"}}"#,
        r#"{"id":4,"rpc":{"method":"b"}}"#,
    ];
    first.send(&commands.join("\n")).await;
    assert!(first.text().await.contains("connect"));
    backend.called("/held", 1).await;

    let mut other = Client::open(server.address, CENTRIFUGE).await;
    other
        .send("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"unsubscribe\":{\"channel\":\"x\"}}")
        .await;
    until(&mut other, r#"{"id":2,"unsubscribe":{}}"#).await;

    assert_eq!(backend.calls("/held").len(), 1, "a command overtook the one before it");
    backend.release();
    let answers = until(&mut first, r#""id":3"#).await;
    assert_eq!(
        answers,
        "{\"id\":2,\"rpc\":{\"data\":\"a\"}}\n{\"id\":3,\"unsubscribe\":{}}\n"
    );
    backend.release();
    assert_eq!(first.text().await, r#"{"id":4,"rpc":{"data":"b"}}"#);
}

#[tokio::test]
async fn who_finds_all_calls_taken_is_told_to_come_again() {
    let backend = Backend::start().await;
    let mut rpc = backend.plain("/held");
    rpc["max_in_flight"] = json!(1);
    rpc["timeout"] = json!("10s");
    let server = server(json!({
        "anonymous": true,
        "rpc": {"proxy": rpc, "without_namespace": {"proxy_enabled": true}}
    }))
    .await;
    let mut first = Client::open(server.address, CENTRIFUGE).await;
    let call = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"rpc\":{\"method\":\"a\"}}";
    first.send(call).await;
    first.text().await;
    backend.called("/held", 1).await;
    let mut second = Client::open(server.address, CENTRIFUGE).await;
    second.send(call).await;
    second.text().await;
    assert_eq!(
        second.text().await,
        r#"{"id":2,"error":{"code":111,"message":"too many requests","temporary":true}}"#
    );
    backend.release();
    assert_eq!(first.text().await, r#"{"id":2,"rpc":{"data":"a"}}"#);
    assert_eq!(backend.calls("/held").len(), 1);
}

#[tokio::test]
async fn the_end_of_a_connection_and_of_its_subscriptions_is_told_once() {
    let backend = Backend::start().await;
    let server = server(json!({
        "client": {"proxy": {"connect": backend.at("/connect"), "disconnect": backend.at("/disconnect")}},
        "channel": {"proxy": {"unsubscribe": backend.plain("/unsubscribe")}},
        "channels": {"allow_subscribe_for_client": true},
        "namespaces": [{"name": "chat", "allow_subscribe_for_client": true, "unsubscribe_proxy_enabled": true}]
    }))
    .await;
    let mut client = Client::open(server.address, CENTRIFUGE).await;
    let subscribe = |id: u32, channel: &str| format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"}}}}"#);
    let commands = [
        r#"{"id":1,"connect":{}}"#.to_owned(),
        subscribe(2, "chat:a"),
        subscribe(3, "chat:b"),
        subscribe(4, "plain"),
    ];
    client.send(&commands.join("\n")).await;
    until(&mut client, r#""id":4"#).await;
    client.send(r#"{"id":5,"unsubscribe":{"channel":"chat:a"}}"#).await;
    assert_eq!(client.text().await, r#"{"id":5,"unsubscribe":{}}"#);
    let told = backend.called("/unsubscribe", 1).await;
    assert_eq!(
        (&told[0].body["channel"], &told[0].body["user"]),
        (&json!("chat:a"), &json!("ann"))
    );
    client.send("no command").await;
    assert_eq!(client.close_code().await, Some(3501));
    drop(client);
    let told = backend.called("/disconnect", 1).await;
    assert_eq!(
        (&told[0].body["code"], &told[0].body["reason"]),
        (&json!(3501), &json!("bad request"))
    );
    assert_eq!(told[0].body["user"], json!("ann"));
    let told = backend.called("/unsubscribe", 2).await;
    assert_eq!(told[1].body["channel"], json!("chat:b"));

    // Who just goes is told of too; who never said who it is is not.
    let nobody = Client::open(server.address, CENTRIFUGE).await;
    let mut gone = Client::open(server.address, CENTRIFUGE).await;
    gone.send(r#"{"id":1,"connect":{}}"#).await;
    gone.text().await;
    drop((nobody, gone));
    let told = backend.called("/disconnect", 2).await;
    assert_eq!(
        (&told[1].body["code"], &told[1].body["reason"]),
        (&json!(3000), &json!("connection closed"))
    );
    timeout(DEADLINE, async {
        while server.push.connection_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("connections stay");
    assert_eq!(
        (backend.calls("/disconnect").len(), backend.calls("/unsubscribe").len()),
        (2, 2)
    );
}

#[tokio::test]
async fn a_crowd_at_a_backend_that_hangs_is_all_answered_and_who_needs_no_backend_is_served_meanwhile() {
    const CROWD: usize = 300;
    let backend = Backend::start().await;
    let mut connect = backend.at("/held");
    connect["max_in_flight"] = json!(8);
    connect["timeout"] = json!("4s");
    let server = server(json!({
        "client": {"proxy": {"connect": connect}},
        "channels": {"allow_subscribe_for_client": true}
    }))
    .await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut client = Client::open(server.address, CENTRIFUGE).await;
        client.send(r#"{"id":1,"connect":{}}"#).await;
        crowd.push(client);
    }
    backend.called("/held", 8).await;
    let mut other = Client::open(server.address, CENTRIFUGE).await;
    let token = super::server::token("red", "ann", 600);
    let commands =
        format!("{{\"id\":1,\"connect\":{{\"token\":\"{token}\"}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"a\"}}}}");
    other.send(&commands).await;
    until(&mut other, r#"{"id":2,"subscribe""#).await;

    // Half of them go without a word while they are asked about.
    crowd.truncate(CROWD / 2);
    let (mut late, mut crowded) = (0, 0);
    for client in &mut crowd {
        match client.text().await {
            text if text.contains(r#""code":100,"#) => late += 1,
            text if text.contains(r#""code":111,"#) => crowded += 1,
            other => panic!("{other}"),
        }
    }
    println!("{late} were told that nobody answers, {crowded} that too many ask");
    assert_eq!(late + crowded, CROWD / 2);
    assert!(late > 0 && crowded > 0, "both happen");
    drop(crowd);
    let gone = async {
        while server.push.connection_count() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, gone).await.expect("connections stay");
}
