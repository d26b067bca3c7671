//! The binary alone: it serves channels, sees no tasks, and refuses a wrong configuration before it binds anything.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::socket::{Client, publish, subscriber};
use super::tasks::request;

const BINARY: &str = env!("CARGO_BIN_EXE_windlass-push");

/// A process that does not outlive its test.
struct Process(Child);

impl Process {
    /// Waits until it serves.
    fn address(&mut self) -> SocketAddr {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("ready on http://");
        address.expect("the ready line").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn it_serves_channels_without_tasks_and_goes_when_it_is_told() {
    let mut process = Process(
        Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let address = process.address();
    let mut client = subscriber(address, "news").await;
    publish(&mut client, "news", "1").await;
    assert_eq!(request(address, "GET", "/tasks", "").await.code(), "no_task_view");
    let metrics = request(address, "GET", "/metrics", "").await.body;
    for line in [
        "windlass_push_connections{transport=\"centrifuge\"} 1",
        "windlass_push_subscriptions 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    Command::new("kill")
        .args(["-TERM", &process.0.id().to_string()])
        .status()
        .unwrap();
    assert_eq!(client.close_code().await, Some(3001));
    drop(client);
    let status = tokio::task::spawn_blocking(move || process.0.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_wrong_configuration_ends_it_with_code_2_and_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    for (config, sentence) in [
        ("push:\n  heartbeet: {}\n", "heartbeet"),
        ("push:\n  heartbeat: { interval: 15 }\n", "15s"),
        ("push:\n  heartbeat: { interval: 90s }\n", "push.heartbeat.readDeadline"),
        ("push:\n  channels: { history_size: 5 }\n", "history_ttl"),
    ] {
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(2), "{config}");
        assert!(told.contains(sentence), "{told}");
    }
}

const CENTRIFUGO: &str = r#"{
    "client": {
        "token": {"hmac_secret_key": "bbe7d157-a253-4094-9759-06a8236543f9"},
        "allowed_origins": ["https://app.example.org"]
    },
    "channel": {
        "namespaces": [{"name": "chat", "presence": true, "allow_subscribe_for_client": true, "history_meta_ttl": "24h"}]
    },
    "http_api": {"key": "0c1d2e3f-the-api-key"},
    "admin": {"enabled": true, "password": "p", "secret": "s"},
    "http_server": {"port": "8000"}
}"#;

#[tokio::test]
async fn it_takes_the_place_of_a_centrifugo_with_its_configuration_and_its_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let log = directory.path().join("log");
    std::fs::write(&file, CENTRIFUGO).unwrap();
    let mut process = Process(
        Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0", "--centrifugo-config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap(),
    );
    let address = process.address();
    // As an application signs them for Centrifugo: they need not end, and know of no rights.
    let secret = EncodingKey::from_secret(b"bbe7d157-a253-4094-9759-06a8236543f9");
    let token = encode(&Header::default(), &json!({"sub": "42"}), &secret).unwrap();
    let origin = "Origin: https://app.example.org\r\n";
    let mut client = Client::open_with(address, "/connection/websocket", origin, b"").await;
    client
        .send(&format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#))
        .await;
    let connected = client.text().await;
    assert!(
        connected.starts_with(r#"{"id":1,"connect""#) && !connected.contains("expires"),
        "{connected}"
    );
    for (command, answer) in [
        (
            r#"{"id":2,"subscribe":{"channel":"chat:index"}}"#,
            r#"{"id":2,"subscribe""#,
        ),
        (
            r#"{"id":3,"subscribe":{"channel":"news:index"}}"#,
            r#"{"id":3,"error":{"code":102"#,
        ),
        (
            r#"{"id":4,"subscribe":{"channel":"index"}}"#,
            r#"{"id":4,"error":{"code":103"#,
        ),
    ] {
        client.send(command).await;
        let heard = client.text().await;
        assert!(heard.starts_with(answer), "{heard}");
    }
    let published = ask(address, "X-API-Key: 0c1d2e3f-the-api-key\r\n").await;
    assert!(
        published.contains(r#"{"result":{}}"#) || published.contains(r#""offset""#),
        "{published}"
    );
    assert!(client.text().await.contains(r#""data":{"text":"hello"}"#));
    let refused = ask(address, "X-API-Key: another-key-of-somebody\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");

    let told = std::fs::read_to_string(&log).unwrap();
    for option in [
        "channel.namespaces[chat].history_meta_ttl",
        "admin.enabled",
        "admin.password",
        "admin.secret",
        "http_server.port",
    ] {
        assert!(told.contains(&format!("option=\"{option}\"")), "{option}: {told}");
    }
    assert!(
        !told.contains("bbe7d157") && !told.contains("0c1d2e3f"),
        "a secret is in the log"
    );
}

/// Publishes as a backend does; the whole answer.
async fn ask(address: SocketAddr, key: &str) -> String {
    let body = r#"{"channel":"chat:index","data":{"text":"hello"}}"#;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /api/publish HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {key}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn with_a_backend_that_says_who_connects_it_serves_any_address_without_keys() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    let start = |config: &str| {
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["--listen", "0.0.0.0:0", "--config"]).arg(&file);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    // Nobody is there; that is for the client to hear.
    let proxy = |enabled: bool| {
        format!(
            "push:\n  client: {{ proxy: {{ connect: {{ enabled: {enabled}, endpoint: \"http://127.0.0.1:1/\" }} }} }}\n"
        )
    };
    let mut process = Process(start(&proxy(true)));
    let address = SocketAddr::from(([127, 0, 0, 1], process.address().port()));
    let mut client = Client::open(address, "/connection/websocket").await;
    client.send(r#"{"id":1,"connect":{}}"#).await;
    assert!(client.text().await.contains(r#""code":100"#));
    let mut client = Client::open(address, "/connection/websocket").await;
    client.send(r#"{"id":1,"connect":{"token":"any"}}"#).await;
    assert_eq!(client.close_code().await, Some(3500));
    assert_eq!(request(address, "GET", "/tasks", "").await.code(), "token_missing");
    assert!(ask(address, "").await.contains("api_off"));

    let refused = start(&proxy(false)).wait().unwrap();
    assert_eq!(refused.code(), Some(2));
}

#[test]
fn a_centrifugo_configuration_that_is_open_to_everybody_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    std::fs::write(&file, "client:\n  insecure: true\n").unwrap();
    let run = Command::new(BINARY)
        .args(["--listen", "127.0.0.1:0", "--centrifugo-config"])
        .arg(&file)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{told}");
    assert!(told.contains("client.insecure: "), "{told}");
}
