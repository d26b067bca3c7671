//! `post-receive`: how far a running append has come, at most once a second, and the word that stops it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use windlass_serve::trace;
use windlass_task::{Answer, Record};

use super::{Asked, Hooks, Kind, uri_of, wire};
use crate::service::Upload;

/// tusd's interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is to be done now.
pub(crate) enum Turn {
    /// The receiver may be told where the upload stands.
    Tell,
    /// It wants the upload to be stopped.
    Stop(Box<Answer>),
}

/// The telling of one append. Without a receiver it is always pending.
pub(crate) struct Receiving {
    hooks: Option<Arc<Hooks>>,
    next: Instant,
    told: u64,
    running: Option<JoinHandle<Option<Box<Answer>>>>,
}

impl Receiving {
    pub(crate) fn new(upload: &Upload, from: u64) -> Self {
        Self {
            hooks: upload.hooks.clone().filter(|hooks| hooks.wants(Kind::PostReceive)),
            next: Instant::now() + INTERVAL,
            told: from,
            running: None,
        }
    }

    /// Waits until there is something to do.
    pub(crate) async fn turn(&mut self) -> Turn {
        if self.hooks.is_none() {
            return std::future::pending().await;
        }
        loop {
            let Some(running) = &mut self.running else {
                tokio::time::sleep_until(self.next).await;
                self.next = Instant::now() + INTERVAL;
                return Turn::Tell;
            };
            let stop = running.await;
            self.running = None;
            if let Ok(Some(answer)) = stop {
                return Turn::Stop(answer);
            }
        }
    }

    /// Tells where the upload stands, if that has changed. A call that fails is not repeated: the next one says more.
    pub(crate) fn tell(&mut self, upload: &Upload, record: &Record, asked: &Asked) {
        let Some(hooks) = &self.hooks else { return };
        if record.received == self.told {
            return;
        }
        self.told = record.received;
        let event = wire::Event {
            upload: wire::Upload::of(record, upload.storage()),
            request: wire::HttpRequest::of(asked, uri_of(&record.key)),
        };
        let request = wire::Request {
            r#type: Kind::PostReceive.as_str(),
            event,
        };
        let Ok(body) = serde_json::to_vec(&request) else { return };
        let id = format!("{}/receive/{}", record.key.id, record.received);
        let (hooks, asked) = (Arc::clone(hooks), asked.clone());
        self.running = Some(tokio::spawn(trace::carry(async move {
            let called = hooks.try_traced(Kind::PostReceive, &id, body, &asked).await;
            hooks.metrics.hook_called(Kind::PostReceive.as_str(), called.is_ok());
            match called {
                Ok(mut response) => response.stop_upload.then(|| Box::new(response.answer())),
                Err(error) => {
                    tracing::warn!(
                        call = id,
                        error = &error as &dyn std::error::Error,
                        "post-receive failed"
                    );
                    None
                }
            }
        })));
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}
