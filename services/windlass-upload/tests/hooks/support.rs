//! The receiver of hooks and the real server, as each test starts them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the receiver does with a kind of hook.
#[derive(Clone)]
pub(crate) enum Manner {
    Say(Value),
    Fail(u16),
    Hang,
    /// Decided for each call.
    Decide(Arc<dyn Fn(&Value) -> Manner + Send + Sync>),
}

#[derive(Clone, Default)]
pub(crate) struct Receiver {
    pub(crate) manners: Arc<Mutex<HashMap<&'static str, Manner>>>,
    pub(crate) calls: Arc<Mutex<Vec<(Value, HeaderMap)>>>,
}

impl Receiver {
    pub(crate) async fn start() -> (Self, String) {
        let receiver = Self::default();
        let app = axum::Router::new().fallback(answer).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/secret-path", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, url)
    }

    pub(crate) fn set(&self, kind: &'static str, manner: Manner) {
        self.manners.lock().unwrap().insert(kind, manner);
    }

    pub(crate) fn calls(&self, kind: &str) -> Vec<(Value, HeaderMap)> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(call, _)| call["Type"] == kind).cloned().collect()
    }

    pub(crate) async fn called(&self, kind: &str, times: usize) -> Vec<(Value, HeaderMap)> {
        eventually(kind, || Some(self.calls(kind)).filter(|calls| calls.len() >= times)).await
    }
}

async fn answer(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> Response {
    let call: Value = serde_json::from_str(&body).unwrap();
    let kind = call["Type"].as_str().unwrap().to_owned();
    let manner = receiver.manners.lock().unwrap().get(&*kind).cloned();
    let manner = match manner.unwrap_or(Manner::Say(json!({}))) {
        Manner::Decide(decide) => decide(&call),
        manner => manner,
    };
    receiver.calls.lock().unwrap().push((call, headers));
    match manner {
        Manner::Decide(_) => unreachable!("it has been decided"),
        Manner::Say(words) => axum::Json(words).into_response(),
        Manner::Fail(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Manner::Hang => std::future::pending().await,
    }
}

pub(crate) async fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) folder: TempDir,
    pub(crate) config: String,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

impl Server {
    pub(crate) fn start(hook: &str, more: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let events = "[pre-create, post-create, post-receive, pre-finish, post-finish, pre-terminate, post-terminate]";
        let config = format!(
            "upload:\n  hold: 1s\n  checkpoint: 50ms\n  hooks:\n    url: {hook}\n    events: {events}\n    retries: 0\n{more}"
        );
        let folder = TempDir::new().unwrap();
        let (child, url) = spawn(&folder, &config);
        Self {
            child,
            folder,
            config,
            url,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        (self.child, self.url) = spawn(&self.folder, &self.config);
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn tus(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if !headers.iter().any(|(name, _)| name.starts_with("upload-complete")) {
            request = request.header("tus-resumable", "1.0.0");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    pub(crate) async fn create(&self, headers: &[(&str, &str)]) -> String {
        let created = self.tus("POST", "/files/", headers).send().await.unwrap();
        assert_eq!(created.status(), 201, "{:?}", created.text().await);
        created.headers()["location"].to_str().unwrap().to_owned()
    }

    pub(crate) fn patch(&self, path: &str, offset: u64, body: &'static str) -> reqwest::RequestBuilder {
        let offset = offset.to_string();
        let headers = [
            ("upload-offset", &*offset),
            ("content-type", "application/offset+octet-stream"),
        ];
        self.tus("PATCH", path, &headers).body(body)
    }

    pub(crate) async fn offset(&self, path: &str) -> u64 {
        let head = self.tus("HEAD", path, &[]).send().await.unwrap();
        assert_eq!(head.status(), 200);
        head.headers()["upload-offset"].to_str().unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn spawn(folder: &TempDir, config: &str) -> (Child, String) {
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, config).unwrap();
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.path().join("log"))
        .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_windlass-upload"))
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .arg("--config")
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let url = line
        .trim()
        .strip_prefix("ready on ")
        .expect("the ready line")
        .to_owned();
    (child, url)
}
