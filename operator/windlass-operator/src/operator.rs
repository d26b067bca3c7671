//! The driver: stands for election, and once it leads, watches and passes over what is due.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::num::NonZeroUsize;
use std::time::Duration;

use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Resource as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_api::Platform;

use crate::effects::cluster::{Cluster, MANAGER};
use crate::election::lease::Leadership;
use crate::kind::Kind;
use crate::metrics::Metrics;
use crate::platform::{self, observe};
use crate::queue::{Outcome, Queue};
use crate::watch::{self, Ages, News, Reference, Subject};

/// Between two passes over a Platform to which nothing happens: how late a Secret that changed is noticed, for Secrets are
/// not watched.
const AGAIN: Duration = Duration::from_secs(60);
/// News that are not taken yet; beyond it the watches wait.
const NEWS_MAX: usize = 1_024;
/// The longest pass: requests have time limits of their own, this bounds their sum.
const PASS_MAX: Duration = Duration::from_secs(120);
/// How often ages are measured when nothing else happens.
const LOOK: Duration = Duration::from_secs(5);

/// What the driver works with.
pub struct Operator {
    /// How the API server is reached.
    pub client: Client,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// Whether it may write.
    pub leadership: Leadership,
    /// What it counts.
    pub metrics: Metrics,
    /// When its watches were heard of.
    pub ages: Ages,
    /// Passes at once.
    pub concurrency: NonZeroUsize,
}

impl Operator {
    /// Leads once it may, until `stop`; then ends what is under way.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            _ = self.leadership.begun() => {}
            () = stop.cancelled() => return,
        }
        self.metrics.leads();
        let (sender, mut news) = mpsc::channel(NEWS_MAX);
        let mut watches = self.watch(&sender);
        drop(sender);
        let mut queue = Queue::<Reference>::default();
        let mut passes = JoinSet::new();
        // Of each task: what it passes over, also when it does not live to say so.
        let mut subjects = HashMap::new();
        loop {
            let now = Instant::now().into_std();
            self.metrics.ages(queue.age(now), self.ages.oldest());
            while passes.len() < self.concurrency.get() {
                let Some(reference) = queue.take(now) else { break };
                let task = passes.spawn(self.pass(reference.clone())).id();
                subjects.insert(task, reference);
            }
            let next = queue.next_due().filter(|_| passes.len() < self.concurrency.get());
            let next = next.map_or(now + LOOK, |due| due.clamp(now, now + LOOK));
            tokio::select! {
                () = stop.cancelled() => break,
                Some(News { of, own }) = news.recv() => {
                    let now = Instant::now().into_std();
                    if own { queue.add_changed(of, now) } else { queue.add(of, now) }
                }
                Some(ended) = passes.join_next_with_id() => {
                    let (task, outcome) = ended.unwrap_or_else(|error| {
                        tracing::error!(error = chain(&error), "a pass broke off");
                        (error.id(), Outcome::Failed)
                    });
                    if let Some(reference) = subjects.remove(&task) {
                        queue.finish(reference, outcome, Instant::now().into_std(), chance());
                    }
                }
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
        watches.abort_all();
        while passes.join_next().await.is_some() {}
    }

    fn watch(&self, news: &mpsc::Sender<News>) -> JoinSet<()> {
        let owned = Kind::ALL.into_iter().map(|kind| Subject::Owned(kind.resource()));
        let subjects =
            std::iter::once(Subject::Platforms(kube::core::ApiResource::erase::<Platform>(&()))).chain(owned);
        let mut watches = JoinSet::new();
        for subject in subjects {
            let (client, namespace) = (self.client.clone(), self.namespace.clone());
            let (ages, news) = (self.ages.clone(), news.clone());
            watches.spawn(async move { watch::run(client, namespace.as_deref(), subject, ages, news).await });
        }
        watches
    }

    /// One pass, as a task of its own.
    fn pass(&self, of: Reference) -> impl Future<Output = Outcome> + Send + 'static {
        let (client, leadership, metrics) = (self.client.clone(), self.leadership.clone(), self.metrics.clone());
        async move {
            let began = Instant::now();
            let passed = tokio::time::timeout(PASS_MAX, reconcile(client, leadership, metrics.clone(), &of)).await;
            let (outcome, said) = match passed {
                Ok(Ok(Some(0))) => (Outcome::Done(AGAIN), "converged"),
                Ok(Ok(Some(writes))) => {
                    tracing::info!(namespace = of.namespace, platform = of.name, writes, "applied");
                    (Outcome::Done(AGAIN), "applied")
                }
                Ok(Ok(None)) => (Outcome::Gone, "gone"),
                Ok(Err(error)) => {
                    tracing::warn!(
                        namespace = of.namespace,
                        platform = of.name,
                        error = chain(&error),
                        "pass failed"
                    );
                    (Outcome::Failed, "failed")
                }
                Err(_) => {
                    tracing::warn!(namespace = of.namespace, platform = of.name, "pass took too long");
                    (Outcome::Failed, "timeout")
                }
            };
            metrics.passed(said, began.elapsed());
            outcome
        }
    }
}

/// Observes one Platform and passes over it; how much was written, or `None` if it is gone.
async fn reconcile(
    client: Client,
    leadership: Leadership,
    metrics: Metrics,
    of: &Reference,
) -> Result<Option<usize>, platform::Error> {
    let Some(observed) = observe::observe(&client, of).await? else {
        return Ok(None);
    };
    let effects = Cluster {
        recorder: Recorder::new(
            client.clone(),
            Reporter {
                controller: MANAGER.to_owned(),
                instance: None,
            },
        ),
        client,
        leadership,
        metrics,
        namespace: of.namespace.clone(),
        name: of.name.clone(),
        regarding: observed.platform.object_ref(&()),
    };
    Ok(Some(platform::pass(&observed, &effects).await?.writes))
}

/// A number from 0 to 1, for spreading only: each hasher of the standard library has keys of its own.
fn chance() -> f64 {
    let drawn = RandomState::new().build_hasher().finish();
    f64::from((drawn >> 32) as u32) / f64::from(u32::MAX)
}

/// An error and what it came from, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
