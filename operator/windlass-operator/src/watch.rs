//! Watches that say which resource to look at, and nothing else: what changed is read by the pass.
//!
//! A watch is told something at least every few minutes (events, bookmarks, its own end), so one that is silent for longer
//! is broken, however healthy its connection looks. Its age is measured from the last that was heard.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use kube::api::{ListParams, WatchParams};
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta, WatchEvent};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The API server ends a watch after this long, seconds; client-go's bound is five minutes.
const TIMEOUT: u32 = 290;
/// Silence that proves a watch broken: two of its lives.
pub const SILENCE_MAX: Duration = Duration::from_secs(2 * TIMEOUT as u64);
/// Objects of one answer to a list.
const PAGE: u32 = 500;
/// Between two tries, at first and at most.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A resource of one kind, by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Something happened to a resource or to what it owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Which.
    pub of: Reference,
    /// Whether it happened to the resource itself.
    pub own: bool,
}

/// When each watch was heard of last. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Ages(Arc<Mutex<Vec<Instant>>>);

impl Ages {
    fn begin(&self) -> usize {
        let mut ages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ages.push(Instant::now());
        ages.len() - 1
    }

    fn heard(&self, watch: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[watch] = Instant::now();
    }

    /// How long the most silent watch has been silent.
    #[must_use]
    pub fn oldest(&self) -> Duration {
        let ages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ages.iter().map(Instant::elapsed).max().unwrap_or_default()
    }
}

/// What is watched.
#[derive(Debug, Clone)]
pub enum Subject {
    /// The resources themselves.
    Resources(ApiResource),
    /// Objects that carry the name of theirs in this label.
    Owned(ApiResource, &'static str),
}

/// Watches one kind in one namespace, or in all, until the receiver is gone.
pub async fn run(client: Client, namespace: Option<&str>, subject: Subject, ages: Ages, news: mpsc::Sender<News>) {
    let (resource, label) = match &subject {
        Subject::Resources(resource) => (resource, None),
        Subject::Owned(resource, label) => (resource, Some(*label)),
    };
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, resource),
        None => Api::all_with(client, resource),
    };
    let watch = Watch {
        api,
        label,
        number: ages.begin(),
        ages,
        news,
    };
    let mut wait = WAITS.0;
    while !watch.news.is_closed() {
        let began = Instant::now();
        if let Err(error) = watch.live().await {
            // A cluster without the kind answers 404; that is an answer.
            if matches!(&error, kube::Error::Api(status) if status.code == 404) {
                watch.ages.heard(watch.number);
            }
            tracing::debug!(
                kind = resource.kind,
                error = &error as &dyn std::error::Error,
                "watch ended"
            );
        }
        // Whoever lets no watch live is asked ever more slowly, however politely each of them ended.
        if began.elapsed() > WAITS.1 {
            wait = WAITS.0;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAITS.1);
    }
}

struct Watch {
    api: Api<DynamicObject>,
    /// The label with the name of the resource; none where the objects are the resources.
    label: Option<&'static str>,
    number: usize,
    ages: Ages,
    news: mpsc::Sender<News>,
}

impl Watch {
    /// A list, and what happens after it for as long as the API server tells. The next one begins with a list too: what a
    /// watch failed to tell is found at its end.
    async fn live(&self) -> Result<(), kube::Error> {
        let version = self.list().await?;
        let parameters = WatchParams {
            label_selector: self.label.map(str::to_owned),
            timeout: Some(TIMEOUT),
            bookmarks: true,
            ..WatchParams::default()
        };
        let mut events = self.api.watch_metadata(&parameters, &version).await?.boxed();
        while let Some(event) = events.try_next().await? {
            self.ages.heard(self.number);
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                    self.tell(&object).await;
                }
                // A sign of life, which it is there for.
                WatchEvent::Bookmark(_) => {}
                // The version is too old to go on from; the list that follows tells all.
                WatchEvent::Error(status) if status.code == 410 => return Ok(()),
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            }
        }
        self.ages.heard(self.number);
        Ok(())
    }

    async fn list(&self) -> Result<String, kube::Error> {
        let mut parameters = ListParams::default().limit(PAGE);
        parameters.label_selector = self.label.map(str::to_owned);
        loop {
            let page = self.api.list_metadata(&parameters).await?;
            self.ages.heard(self.number);
            for object in &page.items {
                self.tell(object).await;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(page.metadata.resource_version.unwrap_or_default()),
            }
        }
    }

    async fn tell(&self, object: &PartialObjectMeta<DynamicObject>) {
        let name = match self.label {
            None => object.metadata.name.as_ref(),
            Some(label) => object.labels().get(label),
        };
        if let (Some(namespace), Some(name)) = (object.namespace(), name) {
            let of = Reference {
                namespace,
                name: name.clone(),
            };
            // Full: whoever works is behind, and the API server keeps what is not read yet.
            let _ = self
                .news
                .send(News {
                    of,
                    own: self.label.is_none(),
                })
                .await;
        }
    }
}
