//! Who listens to tasks on this side, each on its own: the log, the metrics, the catalogue, and the owner's word to
//! whoever writes.

use std::sync::Arc;

use async_trait::async_trait;
use windlass_task::feed::Standing;
use windlass_task::outbox::{self, Subscriber};
use windlass_task::{Catalogue, Entry, Event, EventType, Status};

use crate::announce::Announcer;
use crate::concat;
use crate::hooks::Delivery;
use crate::metrics::Metrics;
use crate::service::Upload;
use crate::tenants::Tenants;

/// Delivers durable events and progress to the listeners, until it is cancelled.
pub(crate) async fn run(upload: &Arc<Upload>) {
    let outbox = || Arc::clone(&upload.parts.outbox);
    tokio::join!(
        outbox::run(outbox(), Arc::new(LogListener)),
        outbox::run(outbox(), Arc::new(MetricsListener(upload.metrics.clone()))),
        outbox::run(
            outbox(),
            Arc::new(CatalogueListener(Arc::clone(&upload.parts.catalogue)))
        ),
        outbox::run(outbox(), Arc::new(JoinListener(Arc::clone(upload)))),
        outbox::run(outbox(), Arc::new(TenantsListener(Arc::clone(&upload.tenants)))),
        Delivery::run(upload),
        Announcer::run(upload),
        follow(upload),
    );
}

/// Follows the latest values: the log and the metrics hear of each, and a writer whose task was paused or ended by
/// somebody else is told to let go. One listener, for none of the three ever waits.
async fn follow(upload: &Upload) {
    let mut listener = upload.parts.feed.listen();
    loop {
        let update = listener.next().await;
        match update.standing {
            // The release signal of this process's store.
            Standing::Live(Status::Paused) | Standing::Gone(_) => upload.holders.withdraw(&update.key, update.revision),
            Standing::Live(Status::Pending | Status::Uploading | Status::Completed | Status::Failed) => {}
        }
        upload.metrics.progress();
        tracing::debug!(
            tenant = %update.key.tenant,
            task = %update.key.id,
            progress = update.progress,
            offset = update.offset,
            "task progress"
        );
    }
}

struct LogListener;

#[async_trait]
impl Subscriber for LogListener {
    fn group(&self) -> &'static str {
        "log"
    }

    async fn deliver(&self, event: &Event) -> Result<(), String> {
        tracing::info!(
            tenant = %event.tenant,
            task = %event.subject,
            event = event.kind.as_str(),
            sequence = event.sequence,
            length = event.data.length,
            reason = event.data.reason,
            "task event"
        );
        Ok(())
    }
}

struct MetricsListener(Metrics);

#[async_trait]
impl Subscriber for MetricsListener {
    fn group(&self) -> &'static str {
        "metrics"
    }

    async fn deliver(&self, event: &Event) -> Result<(), String> {
        self.0.event(event.kind);
        Ok(())
    }
}

/// Joins final uploads when the last of their parts has ended, whichever process took its last byte.
struct JoinListener(Arc<Upload>);

#[async_trait]
impl Subscriber for JoinListener {
    fn group(&self) -> &'static str {
        "concatenation"
    }

    async fn deliver(&self, event: &Event) -> Result<(), String> {
        let ended = matches!(event.kind, EventType::Completed | EventType::Failed);
        if !ended || !event.data.partial {
            return Ok(());
        }
        let entry = self.0.entry(&event.key()).await.map_err(|error| error.to_string())?;
        if let Some(Entry::Live(part)) = entry {
            concat::part_advanced(&self.0, &part).await;
        }
        Ok(())
    }
}

/// Counts uploads no more that have ended.
struct TenantsListener(Arc<Tenants>);

#[async_trait]
impl Subscriber for TenantsListener {
    fn group(&self) -> &'static str {
        "tenants"
    }

    async fn deliver(&self, event: &Event) -> Result<(), String> {
        match event.kind {
            EventType::Completed | EventType::Failed | EventType::Terminated | EventType::Expired => {
                self.0.close(&event.key()).await.map_err(|error| error.to_string())
            }
            EventType::Created | EventType::Released | EventType::Progress => Ok(()),
        }
    }
}

struct CatalogueListener(Arc<dyn Catalogue>);

#[async_trait]
impl Subscriber for CatalogueListener {
    fn group(&self) -> &'static str {
        "catalogue"
    }

    async fn deliver(&self, event: &Event) -> Result<(), String> {
        self.deliver_all(&[Arc::new(event.clone())]).await.1
    }

    async fn deliver_all(&self, events: &[Arc<Event>]) -> (usize, Result<(), String>) {
        match self.0.apply(events).await {
            Ok(()) => (events.len(), Ok(())),
            Err(error) => (0, Err(error.to_string())),
        }
    }
}
