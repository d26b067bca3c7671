//! The driver: stands for election, and once it leads, watches and passes over what is due. Each kind of resource has a
//! queue and passes of its own, so that none waits for another's.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::controller::{Controller, Passed, Tools};
use crate::queue::{Outcome, Queue};
use crate::watch::{self, Ages, News, Reference, Subject};

/// News that are not taken yet; beyond it the watches wait.
const NEWS_MAX: usize = 1_024;
/// The longest pass: requests have time limits of their own, this bounds their sum.
const PASS_MAX: Duration = Duration::from_secs(120);
/// How often ages are measured when nothing else happens.
const LOOK: Duration = Duration::from_secs(5);

/// What the driver works with. Clones are the same.
#[derive(Clone)]
pub struct Operator {
    /// What controllers work with.
    pub tools: Tools,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// When its watches were heard of.
    pub ages: Ages,
    /// Passes at once, of each kind of resource.
    pub concurrency: NonZeroUsize,
}

impl Operator {
    /// Leads once it may, until `stop`; then ends what is under way.
    pub async fn run<C: Controller>(mut self, controller: C, stop: CancellationToken) {
        tokio::select! {
            _ = self.tools.leadership.begun() => {}
            () = stop.cancelled() => return,
        }
        self.tools.metrics.leads();
        let resource = controller.resource();
        let (sender, mut news) = mpsc::channel(NEWS_MAX);
        let mut watches = self.watch(&controller, &sender);
        drop(sender);
        let mut queue = Queue::<Reference>::default();
        let mut passes = JoinSet::new();
        // Of each task: what it passes over, also when it does not live to say so.
        let mut subjects = HashMap::new();
        loop {
            let now = Instant::now().into_std();
            self.tools
                .metrics
                .ages(&resource.kind, queue.age(now), self.ages.oldest());
            while passes.len() < self.concurrency.get() {
                let Some(reference) = queue.take(now) else { break };
                let task = passes.spawn(self.pass(controller.clone(), reference.clone())).id();
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

    fn watch<C: Controller>(&self, controller: &C, news: &mpsc::Sender<News>) -> JoinSet<()> {
        let owned = C::WATCHED.iter().map(|kind| Subject::Owned(kind.resource(), C::LABEL));
        let subjects = std::iter::once(Subject::Resources(controller.resource())).chain(owned);
        let mut watches = JoinSet::new();
        for subject in subjects {
            let (client, namespace) = (self.tools.client.clone(), self.namespace.clone());
            let (ages, news) = (self.ages.clone(), news.clone());
            watches.spawn(async move { watch::run(client, namespace.as_deref(), subject, ages, news).await });
        }
        watches
    }

    /// One pass, as a task of its own.
    fn pass<C: Controller>(&self, controller: C, of: Reference) -> impl Future<Output = Outcome> + Send + 'static {
        let tools = self.tools.clone();
        async move {
            let began = Instant::now();
            let kind = controller.resource().kind;
            let passed = tokio::time::timeout(PASS_MAX, controller.pass(&tools, &of)).await;
            let (namespace, name) = (&of.namespace, &of.name);
            let (outcome, said) = match passed {
                Ok(Ok(Passed::Done { writes: 0, again })) => (Outcome::Done(again), "converged"),
                Ok(Ok(Passed::Done { writes, again })) => {
                    tracing::info!(kind, namespace, name, writes, "applied");
                    (Outcome::Done(again), "applied")
                }
                Ok(Ok(Passed::Gone)) => (Outcome::Gone, "gone"),
                Ok(Err(error)) => {
                    tracing::warn!(kind, namespace, name, error = chain(&error), "pass failed");
                    (Outcome::Failed, "failed")
                }
                Err(_) => {
                    tracing::warn!(kind, namespace, name, "pass took too long");
                    (Outcome::Failed, "timeout")
                }
            };
            tools.metrics.passed(&kind, said, began.elapsed());
            outcome
        }
    }
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
