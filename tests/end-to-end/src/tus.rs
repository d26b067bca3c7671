//! A small tus client that remembers every offset it was shown.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use serde_json::Value;

use crate::content::{Content, Digest};
use crate::ledger::{Ledger, Mark};
use crate::server::Server;
use crate::wait::eventually;
use crate::wire::{Body, Ending, Overhead, Request, Response, Sending, Wire};

/// The longest that a test waits for what takes milliseconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(20);

/// A client of one server. Clones share its ledger.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    ledger: Ledger,
    overhead: Overhead,
    token: Option<String>,
}

/// An upload as its creator knows it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The path from `Location`, which gives the right to write.
    pub location: String,
    /// The task's id.
    pub task: String,
    /// What it shall become.
    pub content: Content,
}

/// A PATCH under way.
#[derive(Debug)]
pub struct Patching {
    sending: Sending,
    mark: Mark,
    ledger: Ledger,
}

impl Client {
    /// A client without a token.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        Self {
            address: server.address(),
            ledger: Ledger::default(),
            overhead: Overhead::default(),
            token: None,
        }
    }

    /// The same client at another server, with the same ledger.
    #[must_use]
    pub fn at(&self, server: &Server) -> Self {
        Self {
            address: server.address(),
            ..self.clone()
        }
    }

    /// The same client with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// What it was shown.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What it has sent that was no body.
    #[must_use]
    pub fn overhead(&self) -> &Overhead {
        &self.overhead
    }

    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn connect(&self) -> Wire {
        let wire = Wire::counted(self.address, self.overhead.clone()).await;
        wire.expect("the server accepts connections")
    }

    /// One request on a connection of its own, with the token where there is one.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn exchange(&self, request: &Request) -> io::Result<Response> {
        let mut wire = Wire::counted(self.address, self.overhead.clone()).await?;
        wire.exchange(&self.authorised(request.clone())).await
    }

    /// As [`Client::exchange`], for a server that must answer.
    ///
    /// # Panics
    /// When it does not.
    pub async fn answer(&self, request: &Request) -> Response {
        let answer = self.exchange(request).await;
        answer.unwrap_or_else(|error| panic!("no answer to {:?}: {error}", String::from_utf8_lossy(&request.head())))
    }

    /// One request about an upload, whose answer's offset is entered.
    ///
    /// # Panics
    /// When there is no answer, or it breaks promise P1.
    pub async fn ask(&self, upload: &Upload, request: &Request) -> Response {
        let mark = self.ledger.mark(&upload.task);
        let response = self.answer(request).await;
        enter(&self.ledger, &mark, &response, request.method());
        response
    }

    /// A creation of a file of known length.
    ///
    /// # Panics
    /// When it is not answered by 201.
    pub async fn create(&self, content: Content) -> Upload {
        let request = Request::tus("POST", "/files/").header("Upload-Length", content.length.to_string());
        self.create_by(&request, content).await
    }

    /// A creation by any request.
    ///
    /// # Panics
    /// When it is not answered by 201 with a `Location`.
    pub async fn create_by(&self, request: &Request, content: Content) -> Upload {
        let response = self.answer(request).await;
        assert_eq!(response.status, 201, "{response:?}");
        let upload = Upload::at(response.header("Location").expect("a creation has a Location"), content);
        enter(&self.ledger, &self.ledger.mark(&upload.task), &response, "POST");
        upload
    }

    /// Where the upload stands.
    ///
    /// # Panics
    /// When HEAD is not answered by 200 with all that tus wants there.
    pub async fn head(&self, upload: &Upload) -> u64 {
        let response = self.ask(upload, &Request::tus("HEAD", &upload.location)).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.header("Cache-Control"), Some("no-store"));
        response.offset().expect("HEAD has Upload-Offset")
    }

    /// Sends a part of the upload's file in one PATCH.
    pub async fn patch(&self, upload: &Upload, range: std::ops::Range<u64>) -> Response {
        let request = Request::patch(&upload.location, range.start).body(upload.content.bytes(range));
        self.ask(upload, &request).await
    }

    /// Begins a PATCH at the body's place in the file.
    pub async fn begin(&self, upload: &Upload, body: Body) -> Patching {
        let request = Request::patch(&upload.location, body.range.start);
        self.begin_by(upload, request, body).await
    }

    /// Begins a PATCH by any request head.
    pub async fn begin_by(&self, upload: &Upload, request: Request, body: Body) -> Patching {
        let mark = self.ledger.mark(&upload.task);
        let sending = self.connect().await.start(self.authorised(request), body);
        Patching {
            sending,
            mark,
            ledger: self.ledger.clone(),
        }
    }

    /// Begins a PATCH by any request head and waits until the server has read `bytes` of its body: what the kernel
    /// alone has taken may be thrown away with the connection. This client is to be the server's only one meanwhile.
    ///
    /// # Panics
    /// When the server does not read them.
    pub async fn begin_read(&self, upload: &Upload, request: Request, body: Body, bytes: u64) -> Patching {
        let before = self.counter("windlass_received_bytes_total").await;
        let overhead = self.overhead().bytes();
        let patch = self.begin_by(upload, request, body).await;
        patch.has_sent(bytes).await;
        eventually(SOON, "the server to have read the body's bytes", async || {
            let heads = self.overhead().bytes() - overhead;
            (self.counter("windlass_received_bytes_total").await - before >= heads + bytes).then_some(())
        })
        .await;
        patch
    }

    /// Sends what is missing and proves that the whole file is there.
    ///
    /// # Panics
    /// When it is not.
    pub async fn complete(&self, upload: &Upload) {
        let offset = self.head(upload).await;
        if offset < upload.content.length {
            let body = Body::of(upload.content, offset..upload.content.length);
            let response = self.begin(upload, body).await.answer().await;
            assert_eq!(response.status, 204, "{response:?}");
            assert_eq!(response.offset(), Some(upload.content.length));
        }
        self.verify(upload).await;
    }

    /// Downloads the file and compares it with what was to be uploaded.
    ///
    /// # Panics
    /// When it is not the same.
    pub async fn verify(&self, upload: &Upload) {
        let response = self.answer(&Request::new("GET", &upload.location)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let mut digest = Digest::default();
        digest.update(&response.body);
        let expected = (upload.content.length, upload.content.digest());
        assert_eq!(digest.finish(), expected, "another file came out than went in");
    }

    /// The server's counter of this name, without labels.
    ///
    /// # Panics
    /// When there is none.
    pub async fn counter(&self, name: &str) -> u64 {
        let text = self.answer(&Request::new("GET", "/metrics")).await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no counter {name} in {text}"))
    }

    /// The task as `/tasks` shows it; its offset is entered.
    ///
    /// # Panics
    /// When it is not shown.
    pub async fn task(&self, upload: &Upload) -> Value {
        let mark = self.ledger.mark(&upload.task);
        let response = self
            .answer(&Request::new("GET", &format!("/tasks/{}", upload.task)))
            .await;
        assert_eq!(response.status, 200, "{response:?}");
        let task = response.json();
        self.ledger.shown(
            &mark,
            task["offset"].as_u64().expect("a task has an offset"),
            "GET /tasks",
        );
        task
    }

    /// Waits until `/tasks` shows the task in this state.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn task_becomes(&self, upload: &Upload, status: &str) -> Value {
        eventually(SOON, &format!("the task {status}"), async || {
            let task = self.task(upload).await;
            (task["status"] == status).then_some(task)
        })
        .await
    }

    fn authorised(&self, request: Request) -> Request {
        match &self.token {
            Some(token) => request.bearer(token),
            None => request,
        }
    }
}

impl Upload {
    /// The upload at a `Location`, path-absolute.
    ///
    /// # Panics
    /// When it is none of ours.
    #[must_use]
    pub fn at(location: &str, content: Content) -> Self {
        let task = location
            .split('/')
            .nth(3)
            .unwrap_or_else(|| panic!("no location: {location}"));
        assert!(location.starts_with("/files/"), "no path-absolute location: {location}");
        Self {
            location: location.to_owned(),
            task: task.to_owned(),
            content,
        }
    }
}

impl Patching {
    /// Waits for the answer or the break, and enters the answer's offset.
    pub async fn ending(self) -> Ending {
        let ending = self.sending.ending().await;
        if let Ending::Answered(response) = &ending {
            enter(&self.ledger, &self.mark, response, "PATCH");
        }
        ending
    }

    /// The answer.
    ///
    /// # Panics
    /// When the connection broke.
    pub async fn answer(self) -> Response {
        match self.ending().await {
            Ending::Answered(response) => response,
            Ending::Broken(error) => panic!("PATCH was not answered: {error}"),
        }
    }

    /// Waits until the kernel has taken `bytes` of the body.
    ///
    /// # Panics
    /// When it does not.
    pub async fn has_sent(&self, bytes: u64) {
        eventually(SOON, "the body's bytes to be taken", async || {
            (self.sending.sent() >= bytes).then_some(())
        })
        .await;
    }

    /// Cuts the connection where it is.
    pub fn cut(self) {
        self.sending.cut();
    }
}

impl Deref for Patching {
    type Target = Sending;

    fn deref(&self) -> &Sending {
        &self.sending
    }
}

fn enter(ledger: &Ledger, mark: &Mark, response: &Response, method: &str) {
    if let Some(offset) = response.offset() {
        ledger.shown(mark, offset, &format!("{method} answered {}", response.status));
    }
}
