//! `post-create`, `post-finish`, `post-terminate`: told from the outbox, so that none is lost with this process.

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue};
use tracing::Instrument as _;
use windlass_serve::{step, trace};
use windlass_task::outbox::{self, Bounds, Lanes, Subscriber};
use windlass_task::{Entry, Event, EventType, Record, SegmentKind};

use super::{Asked, Hooks, Kind, uri_of, wire};
use crate::service::Upload;

/// The group of the outbox.
const GROUP: &str = "hooks";
/// Uploads that may be held back at once before nothing new is read; a few hundred bytes each.
const LANES_MAX: usize = 10_000;

/// Tells the receiver of durable events.
pub(crate) struct Delivery {
    upload: Arc<Upload>,
    hooks: Arc<Hooks>,
}

impl Delivery {
    /// Delivers until it is cancelled. Without a receiver, events are kept for none.
    pub(crate) async fn run(upload: &Arc<Upload>) {
        let outbox = Arc::clone(&upload.parts.outbox);
        let Some(hooks) = upload.hooks.clone() else {
            if let Err(error) = outbox.leave(GROUP).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot leave the outbox");
            }
            return;
        };
        let bounds = Bounds {
            deliveries: hooks.settings.concurrency,
            lanes: LANES_MAX,
            give_up_after: hooks.settings.give_up_after.0,
        };
        let delivery = Self {
            upload: Arc::clone(upload),
            hooks,
        };
        outbox::run_lanes(outbox, Arc::new(delivery), bounds).await;
    }

    /// What the receiver is told of an event, if it wants to hear of it.
    fn kind(&self, event: &Event) -> Option<Kind> {
        let kind = match event.kind {
            EventType::Created => Kind::PostCreate,
            EventType::Completed => Kind::PostFinish,
            EventType::Terminated => Kind::PostTerminate,
            // tusd knows neither.
            EventType::Released | EventType::Failed | EventType::Expired | EventType::Progress => return None,
        };
        Some(kind).filter(|kind| self.hooks.wants(*kind))
    }
}

#[async_trait]
impl Subscriber for Delivery {
    fn group(&self) -> &'static str {
        GROUP
    }

    async fn deliver(&self, event: &Event) -> Result<(), String> {
        let Some(kind) = self.kind(event) else { return Ok(()) };
        let loaded = self.upload.store().load(&event.key()).await;
        let loaded = loaded.map_err(|error| error.to_string())?;
        let aliases = loaded
            .as_ref()
            .map(|entry| entry.aliases().to_vec())
            .unwrap_or_default();
        let record = match loaded {
            Some(Entry::Live(record)) => Some(record),
            Some(Entry::Gone(_)) | None => None,
        };
        if record
            .as_deref()
            .is_some_and(|record| was_told_elsewhere(event, record))
        {
            return Ok(());
        }
        let upload = match &record {
            Some(record) => wire::Upload {
                size: event.data.length.unwrap_or(0),
                size_is_deferred: event.data.length.is_none(),
                offset: event.data.offset,
                ..wire::Upload::of(record, self.upload.storage())
            },
            None => wire::Upload {
                id: wire::id_of(&event.key(), &aliases),
                size: event.data.length.unwrap_or(0),
                size_is_deferred: event.data.length.is_none(),
                offset: event.data.offset,
                meta_data: wire::pairs(&event.data.metadata),
                is_partial: event.data.partial,
                ..wire::Upload::default()
            },
        };
        // The request's headers are not kept: they may hold secrets.
        let request = wire::HttpRequest {
            method: match kind {
                Kind::PreCreate | Kind::PostCreate => "POST",
                Kind::PostReceive | Kind::PreFinish | Kind::PostFinish => "PATCH",
                Kind::PreTerminate | Kind::PostTerminate => "DELETE",
            }
            .to_owned(),
            ..wire::HttpRequest::of(&Asked::default(), uri_of(&event.key()))
        };
        let request = wire::Request {
            r#type: kind.as_str(),
            event: wire::Event { upload, request },
        };
        let body = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        let span = step!("hook", otel.kind = "client", otel.name = kind.as_str());
        trace::follow(&span, event.traceparent.as_deref());
        let mut headers = HeaderMap::new();
        trace::hand_on(&span, event.traceparent.as_deref(), &mut headers);
        if event.gap {
            headers.insert("windlass-gap", HeaderValue::from_static("true"));
        }
        let asked = Asked::default();
        let calling = self.hooks.try_once(&event.id, body, &asked, headers);
        let called = calling.instrument(span).await;
        self.hooks.metrics.hook_called(kind.as_str(), called.is_ok());
        called.map(drop).map_err(|error| error.to_string())
    }
}

impl Lanes for Delivery {
    fn given_up(&self, event: &Event, error: &str) {
        self.hooks.metrics.hook_given_up();
        tracing::error!(task = %event.subject, call = event.id, error, "a hook was given up");
    }

    fn holding(&self, events: usize) {
        self.hooks.metrics.hooks_held(events);
    }
}

/// Whether the event happened at the server that the upload was taken over from.
fn was_told_elsewhere(event: &Event, record: &Record) -> bool {
    let foreign = |record: &Record| {
        record
            .segments
            .iter()
            .all(|segment| segment.kind == SegmentKind::Object)
    };
    match event.kind {
        EventType::Created => !record.aliases.is_empty(),
        EventType::Completed => !record.aliases.is_empty() && foreign(record),
        EventType::Released | EventType::Failed | EventType::Terminated | EventType::Expired | EventType::Progress => {
            false
        }
    }
}
