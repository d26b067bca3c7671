//! Watching a task by server-sent events and by `/ws`, with the same judgement as every other offset shown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::ledger::Ledger;
use crate::tus::{Client, SOON, Upload};
use crate::wait::eventually;
use crate::websocket::{Message, Socket};
use crate::wire::Request;

/// What a watcher has seen so far; it looks until it is dropped or the server ends the stream.
#[derive(Debug)]
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    values: Vec<Value>,
    ended: bool,
}

impl Watcher {
    /// Watches by `/events/<id>`. A value is `{"event", "data"}`.
    ///
    /// # Panics
    /// When the stream is not answered by 200.
    pub async fn events(client: &Client, upload: &Upload) -> Self {
        let mut wire = client.connect().await;
        let request = Request::new("GET", &format!("/events/{}", upload.task));
        wire.send(request.bytes()).await.expect("the request can be sent");
        let (status, mut lines) = wire.lines().await.expect("the stream is answered");
        assert_eq!(status, 200);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let judge = Judge::new(client, upload, "SSE");
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let (mut judge, mut event) = (judge, String::new());
                while let Some(line) = lines.next().await {
                    if let Some(name) = line.strip_prefix("event: ") {
                        name.clone_into(&mut event);
                    } else if let Some(data) = line.strip_prefix("data: ") {
                        let data: Value = serde_json::from_str(data).expect("an event's data is JSON");
                        judge.progress(&data["progress"]);
                        lock(&seen).values.push(json!({ "event": event, "data": data }));
                    }
                }
                lock(&seen).ended = true;
            }
        });
        Self { seen, task }
    }

    /// Watches by joining the task on `/ws`. A value is a message as it came.
    ///
    /// # Panics
    /// When there is no WebSocket.
    pub async fn plain(client: &Client, upload: &Upload) -> Self {
        let mut socket = Socket::open(client, "/ws").await;
        socket
            .send_json(&json!({ "type": "join", "fileId": upload.task }))
            .await;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let judge = Judge::new(client, upload, "/ws");
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut judge = judge;
                while let Some(message) = socket.next().await {
                    if let Message::Text(text) = message {
                        let value: Value = serde_json::from_str(&text).expect("a message is JSON");
                        if value.get("progress").is_some() {
                            judge.progress(&value["progress"]);
                        }
                        lock(&seen).values.push(value);
                    }
                }
                lock(&seen).ended = true;
            }
        });
        Self { seen, task }
    }

    /// Everything that it has seen.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        lock(&self.seen).values.clone()
    }

    /// Waits for a value.
    ///
    /// # Panics
    /// When it does not come, or the watcher has found a fault in what came.
    pub async fn sees(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(SOON, what, async || {
            let seen = lock(&self.seen);
            assert!(
                !self.task.is_finished() || seen.ended,
                "the watcher has failed; its panic is above"
            );
            seen.values.iter().find(|value| is_it(value)).cloned()
        })
        .await
    }

    /// Waits until the server ends the stream.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ends(&self) {
        eventually(SOON, "the stream's end", async || {
            assert!(
                !self.task.is_finished() || lock(&self.seen).ended,
                "the watcher has failed; its panic is above"
            );
            lock(&self.seen).ended.then_some(())
        })
        .await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Progress of one stream never decreases, and a percent is a promise about the offset.
struct Judge {
    ledger: Ledger,
    upload: Upload,
    source: &'static str,
    last: u64,
}

impl Judge {
    fn new(client: &Client, upload: &Upload, source: &'static str) -> Self {
        Self {
            ledger: client.ledger().clone(),
            upload: upload.clone(),
            source,
            last: 0,
        }
    }

    fn progress(&mut self, progress: &Value) {
        let progress = progress.as_u64().expect("progress is a whole number");
        assert!(
            progress >= self.last,
            "{} shows {progress} % after {} %",
            self.source,
            self.last
        );
        assert!(progress <= 100);
        self.last = progress;
        let offset = (self.upload.content.length * progress).div_ceil(100);
        self.ledger.at_least(&self.upload.task, offset, self.source);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
