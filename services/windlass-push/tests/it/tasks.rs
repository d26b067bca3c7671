//! `/tasks` and `/events` over real sockets and a real store.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::server::{DEADLINE, Server, principal, token};

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One request on a connection of its own.
pub(crate) async fn request(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let mut reading = Reading::send(address, method, path, headers).await;
    timeout(DEADLINE, reading.head()).await.expect("no answer in time");
    let status = reading.status();
    let head = std::mem::take(&mut reading.head);
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0);
    timeout(DEADLINE, async {
        while reading.body.len() < length && reading.more().await {}
    })
    .await
    .expect("no body");
    Answer {
        status,
        head,
        body: reading.body,
    }
}

/// An answer that is still coming.
pub(crate) struct Reading {
    stream: TcpStream,
    head: String,
    body: String,
}

impl Reading {
    async fn send(address: SocketAddr, method: &str, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self {
            stream,
            head: String::new(),
            body: String::new(),
        }
    }

    pub(crate) async fn open(address: SocketAddr, path: &str, headers: &str) -> Self {
        let mut reading = Self::send(address, "GET", path, headers).await;
        timeout(DEADLINE, reading.head()).await.expect("no answer in time");
        assert_eq!(reading.status(), 200, "{}", reading.head);
        reading
    }

    fn status(&self) -> u16 {
        self.head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status")
    }

    async fn head(&mut self) {
        while !self.body.contains("\r\n\r\n") {
            assert!(self.more().await, "the connection ended");
        }
        let (head, body) = self.body.split_once("\r\n\r\n").unwrap();
        (self.head, self.body) = (head.to_owned(), body.to_owned());
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.body.push_str(&String::from_utf8_lossy(&buffer[..count]));
        count > 0
    }

    /// Reads until the body contains `text`.
    pub(crate) async fn until(&mut self, text: &str) {
        let read = async { while !self.body.contains(text) && self.more().await {} };
        timeout(DEADLINE, read).await.expect("it did not come in time");
        assert!(self.body.contains(text), "{}", self.body);
    }

    /// Whether the body ends properly: with the last chunk, of length 0.
    pub(crate) async fn is_at_its_end(&mut self) -> bool {
        let read = async { while !self.body.ends_with("0\r\n\r\n") && self.more().await {} };
        timeout(DEADLINE, read).await.expect("no end in time");
        self.body.ends_with("0\r\n\r\n")
    }
}

#[tokio::test]
async fn a_task_is_shown_and_the_tag_changes_with_what_is_shown() {
    let server = Server::start().await;
    let task = server.task().await;
    let path = format!("/tasks/{}", task.id());
    let first = request(server.address, "GET", &path, "").await;
    assert_eq!(first.status, 200);
    let json = first.json();
    assert_eq!(
        (json["taskId"].as_str(), json["status"].as_str()),
        (Some(task.id().as_str()), Some("pending"))
    );
    let tag = first.header("etag").unwrap();
    for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
        let same = request(server.address, "GET", &path, &format!("If-None-Match: {known}\r\n")).await;
        assert_eq!((same.status, same.body.as_str()), (304, ""), "{known}");
    }
    task.advance(50).await;
    let next = request(server.address, "GET", &path, &format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!((next.status, next.json()["progress"].as_u64()), (200, Some(50)));
}

#[tokio::test]
async fn a_long_poll_answers_when_something_changes_and_at_its_end() {
    let server = Server::start().await;
    let task = server.task().await;
    let path = format!("/tasks/{}", task.id());
    let tag = request(server.address, "GET", &path, "")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let known = format!("If-None-Match: {tag}\r\n");
    let over = request(server.address, "GET", &format!("{path}?wait=1"), &known).await;
    assert_eq!(over.status, 304);
    let (address, waiting) = (server.address, format!("{path}?wait=60"));
    let poll = tokio::spawn({
        let known = known.clone();
        async move { request(address, "GET", &waiting, &known).await }
    });
    while server.push.connection_count() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    task.advance(10).await;
    let answer = poll.await.unwrap();
    assert_eq!((answer.status, answer.json()["progress"].as_u64()), (200, Some(10)));
    let terminated = tokio::spawn(async move {
        let tag = answer.header("etag").unwrap().to_owned();
        request(
            address,
            "GET",
            &format!("{path}?wait=60"),
            &format!("If-None-Match: {tag}\r\n"),
        )
        .await
    });
    while server.push.connection_count() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    task.terminate().await;
    let answer = terminated.await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (410, "task_gone"));
}

#[tokio::test]
async fn wrong_questions_get_their_codes() {
    let server = Server::start().await;
    let (task, gone) = (server.task().await, server.task().await);
    gone.terminate().await;
    let (id, gone) = (task.id(), gone.id());
    let table = [
        ("GET", "/tasks/x".into(), 404, "task_not_found"),
        ("GET", "/tasks/%ff".into(), 404, "task_not_found"),
        ("GET", "/tasks/..%2f..%2fetc".into(), 404, "task_not_found"),
        (
            "GET",
            format!("/tasks/{}", id.replace("local", "other")),
            404,
            "task_not_found",
        ),
        ("GET", format!("/tasks/{gone}"), 410, "task_gone"),
        ("GET", format!("/events/{gone}"), 410, "task_gone"),
        ("GET", "/events/x".into(), 404, "task_not_found"),
        ("POST", format!("/tasks/{gone}/pause"), 410, "task_gone"),
        ("POST", format!("/tasks/{id}/pause"), 409, "illegal_transition"),
        ("POST", "/tasks/x/resume".into(), 404, "task_not_found"),
        ("GET", format!("/tasks/{id}?wait=61"), 400, "invalid_query"),
        ("GET", format!("/tasks/{id}?wait=-1"), 400, "invalid_query"),
        ("GET", format!("/tasks/{id}?wait=x"), 400, "invalid_query"),
        ("GET", "/tasks?limit=0".into(), 400, "invalid_query"),
        ("GET", "/tasks?limit=x".into(), 400, "invalid_query"),
        ("GET", "/tasks?after=x".into(), 400, "invalid_query"),
    ];
    for (method, path, status, code) in table {
        let answer = request(server.address, method, &path, "").await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{method} {path}"
        );
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
}

#[tokio::test]
async fn without_a_view_there_are_no_tasks() {
    let server = Server::with(|plan| plan.view = false).await;
    let id = "local-018f0000-0000-7000-8000-000000000000";
    for (method, path) in [
        ("GET", "/tasks".to_owned()),
        ("GET", format!("/tasks/{id}")),
        ("GET", format!("/events/{id}")),
        ("POST", format!("/tasks/{id}/pause")),
    ] {
        let answer = request(server.address, method, &path, "").await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "no_task_view"),
            "{method} {path}"
        );
    }
    let mut client = super::socket::Client::open(server.address, "/ws").await;
    client.send(&format!(r#"{{"type":"join","fileId":"{id}"}}"#)).await;
    assert!(client.text().await.contains("no_task_view"));
    let mut client = super::socket::Client::open(server.address, "/connection/websocket").await;
    client
        .send(&format!(
            "{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"task:{id}\"}}}}"
        ))
        .await;
    let mut heard = String::new();
    while !heard.contains(r#""id":2"#) {
        heard.push_str(&client.text().await);
    }
    assert!(heard.contains(r#"{"id":2,"error":{"code":102"#), "{heard}");
}

#[tokio::test]
async fn events_begin_with_the_present_and_end_with_the_last() {
    let server = Server::start().await;
    let task = server.task().await;
    let path = format!("/events/{}", task.id());
    let mut stream = Reading::open(server.address, &path, "").await;
    stream.until(r#""progress":0"#).await;
    task.advance(60).await;
    stream.until(r#""progress":60"#).await;
    task.complete().await;
    stream.until("event: completed").await;
    assert!(stream.is_at_its_end().await);
    assert!(
        stream
            .head
            .to_ascii_lowercase()
            .contains("content-type: text/event-stream"),
        "{}",
        stream.head
    );
    // An EventSource comes back by itself; 204 tells it not to.
    let last = stream
        .body
        .rsplit_once("id: ")
        .unwrap()
        .1
        .split('\n')
        .next()
        .unwrap()
        .to_owned();
    let again = request(server.address, "GET", &path, &format!("Last-Event-ID: {last}\r\n")).await;
    assert_eq!(again.status, 204);

    for harm in ["fail", "terminate"] {
        let task = server.task().await;
        let mut stream = Reading::open(server.address, &format!("/events/{}", task.id()), "").await;
        stream.until("event: progress").await;
        if harm == "fail" {
            task.fail().await
        } else {
            task.terminate().await
        }
        stream.until("event: failed").await;
        assert!(stream.is_at_its_end().await);
    }
}

#[tokio::test]
async fn a_silent_stream_has_a_heartbeat() {
    let server = Server::with(|plan| plan.settings.rhythm.interval = std::time::Duration::from_millis(50)).await;
    let task = server.task().await;
    let mut stream = Reading::open(server.address, &format!("/events/{}", task.id()), "").await;
    stream.until(":\n\n").await;
}

#[tokio::test]
async fn another_owners_task_looks_like_none() {
    let server = Server::with(|plan| plan.auth = true).await;
    let task = server.task_of(&principal("red", "ann")).await;
    let path = format!("/tasks/{}", task.id());
    let bearer = |tenant, owner| format!("Authorization: Bearer {}\r\n", token(tenant, owner, 60));
    for (tenant, owner, status) in [("red", "ann", 200), ("red", "eve", 404), ("blue", "ann", 404)] {
        let headers = bearer(tenant, owner);
        assert_eq!(
            request(server.address, "GET", &path, &headers).await.status,
            status,
            "{tenant} {owner}"
        );
        let list = request(server.address, "GET", "/tasks", &headers).await.json();
        assert_eq!(
            list["tasks"].as_array().unwrap().len(),
            0,
            "the catalogue is fed by somebody else"
        );
        let pause = request(server.address, "POST", &format!("{path}/pause"), &headers)
            .await
            .status;
        assert_eq!(pause, if status == 200 { 409 } else { 404 });
    }
    assert_eq!(request(server.address, "GET", &path, "").await.status, 401);
    assert!(task.generation().0 > 0);
}
