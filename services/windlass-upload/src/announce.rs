//! Durable events for other services, above all for those who push them to watchers: added to a stream that these read, so
//! that nobody there need know where an upload process is, nor that there is one.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use windlass_task::Event;
use windlass_task::announce::Announce;
use windlass_task::outbox::{self, Subscriber};

use crate::config;
use crate::service::Upload;

/// The group of the outbox.
const GROUP: &str = "announce";

/// The `upload.announce` section of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The stream.
    pub stream: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stream: "push:events".to_owned(),
        }
    }
}

/// Announces what happens to uploads.
pub(crate) struct Announcer {
    stream: String,
    announce: Arc<dyn Announce>,
}

impl Announcer {
    /// Who announces by these settings and where, if anybody does.
    ///
    /// # Errors
    /// [`config::Error::AnnounceNowhere`] where only this process would see it.
    pub(crate) fn open(
        settings: Option<&Settings>,
        announce: Option<&Arc<dyn Announce>>,
    ) -> Result<Option<Self>, config::Error> {
        let Some(settings) = settings else { return Ok(None) };
        let announce = announce.ok_or(config::Error::AnnounceNowhere)?;
        Ok(Some(Self {
            stream: settings.stream.clone(),
            announce: Arc::clone(announce),
        }))
    }

    /// Announces until it is cancelled. Where nothing is announced, events are kept for none.
    pub(crate) async fn run(upload: &Arc<Upload>) {
        let outbox = Arc::clone(&upload.parts.outbox);
        match &upload.announcer {
            Some(announcer) => outbox::run(outbox, Arc::clone(announcer) as Arc<dyn Subscriber>).await,
            None => {
                if let Err(error) = outbox.leave(GROUP).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot leave the outbox");
                }
            }
        }
    }
}

#[async_trait]
impl Subscriber for Announcer {
    fn group(&self) -> &'static str {
        GROUP
    }

    async fn deliver(&self, event: &Event) -> Result<(), String> {
        let announced = self.announce.announce(&self.stream, &[event]).await;
        announced.map_err(|error| error.to_string())
    }

    async fn deliver_all(&self, events: &[Arc<Event>]) -> (usize, Result<(), String>) {
        let all: Vec<&Event> = events.iter().map(|event| &**event).collect();
        match self.announce.announce(&self.stream, &all).await {
            Ok(()) => (events.len(), Ok(())),
            Err(error) => (0, Err(error.to_string())),
        }
    }
}
