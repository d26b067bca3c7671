//! What the upload service counts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::waits::{Wait, Waits};

/// The metrics of the upload service. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    acknowledged: Counter,
    checkpoints: Counter,
    appending: Gauge,
    takeovers: Family<TakeoverLabels, Counter>,
    takeover_seconds: Histogram,
    release_seconds: Histogram,
    events: Family<EventLabels, Counter>,
    progress: Counter,
    hook_calls: Family<HookLabels, Counter>,
    hooks_held: Gauge,
    hooks_given_up: Counter,
    tusd_uploads: Family<TusdLabels, Counter>,
    tenant_refusals: Counter,
    tenant_waits: Counter<f64, AtomicU64>,
    reconciled: Family<ReconciledLabels, Counter>,
    rebuilding: Gauge,
    rebuild_seen: Counter,
    rebuild_failures: Counter,
    garbage_rounds: Family<GarbageLabels, Counter>,
    garbage_found: Gauge,
    garbage_removed: Counter,
    garbage_freed: Counter,
    garbage_failures: Counter,
    garbage_collected: Gauge,
    waits: Waits,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GarbageLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconciledLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TusdLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabels {
    hook: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TakeoverLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    r#type: &'static str,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        // P2 promises 100 ms plus a store write in progress, and 2 s at the most.
        let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];
        let registry = registry.sub_registry_with_prefix("upload");
        let inner = Inner {
            waits: Waits::register(registry),
            acknowledged: Counter::default(),
            checkpoints: Counter::default(),
            appending: Gauge::default(),
            takeovers: Family::default(),
            takeover_seconds: Histogram::new(bounds),
            release_seconds: Histogram::new(bounds),
            events: Family::default(),
            progress: Counter::default(),
            hook_calls: Family::default(),
            hooks_held: Gauge::default(),
            hooks_given_up: Counter::default(),
            tusd_uploads: Family::default(),
            tenant_refusals: Counter::default(),
            tenant_waits: Counter::default(),
            reconciled: Family::default(),
            rebuilding: Gauge::default(),
            rebuild_seen: Counter::default(),
            rebuild_failures: Counter::default(),
            garbage_rounds: Family::default(),
            garbage_found: Gauge::default(),
            garbage_removed: Counter::default(),
            garbage_freed: Counter::default(),
            garbage_failures: Counter::default(),
            garbage_collected: Gauge::default(),
        };
        registry.register_with_unit(
            "acknowledged",
            "Bytes made durable and recorded",
            Unit::Bytes,
            inner.acknowledged.clone(),
        );
        registry.register("checkpoints", "Checkpoints recorded", inner.checkpoints.clone());
        registry.register(
            "appending",
            "Requests whose body is being taken now",
            inner.appending.clone(),
        );
        registry.register(
            "takeovers",
            "Uploads taken over from another request, by outcome",
            inner.takeovers.clone(),
        );
        registry.register_with_unit(
            "takeover_duration",
            "Time from a request's asking to its having the upload",
            Unit::Seconds,
            inner.takeover_seconds.clone(),
        );
        registry.register_with_unit(
            "release_duration",
            "Time for which a writer that was asked to let go still stored and recorded what it had: the write in progress",
            Unit::Seconds,
            inner.release_seconds.clone(),
        );
        registry.register(
            "task_events",
            "Durable events delivered to this listener, by type",
            inner.events.clone(),
        );
        registry.register(
            "progress_updates",
            "Progress values delivered to this listener",
            inner.progress.clone(),
        );
        registry.register(
            "hook_calls",
            "Calls of the hooks' receiver, by hook and outcome",
            inner.hook_calls.clone(),
        );
        registry.register(
            "hooks_held",
            "Hooks that failed and wait to be delivered again",
            inner.hooks_held.clone(),
        );
        registry.register(
            "hooks_given_up",
            "Hooks that were not delivered in time and never will be",
            inner.hooks_given_up.clone(),
        );
        registry.register(
            "tusd_uploads",
            "Uploads found in tusd's directory, by what became of them",
            inner.tusd_uploads.clone(),
        );
        registry.register(
            "tenant_refusals",
            "Creations refused because the tenant has as many uploads as it may",
            inner.tenant_refusals.clone(),
        );
        registry.register_with_unit(
            "tenant_waits",
            "Time that tenants waited for their rate",
            Unit::Seconds,
            inner.tenant_waits.clone(),
        );
        registry.register(
            "reconciled",
            "Uploads whose record was reconciled with the storage after the store began another generation, by outcome",
            inner.reconciled.clone(),
        );
        registry.register(
            "rebuilding",
            "Whether this process goes through what is stored, for what the store has forgotten",
            inner.rebuilding.clone(),
        );
        registry.register(
            "rebuild_seen",
            "Uploads that were looked at in going through what is stored",
            inner.rebuild_seen.clone(),
        );
        registry.register(
            "rebuild_failures",
            "Uploads that the store may have forgotten and that could not be recorded again",
            inner.rebuild_failures.clone(),
        );
        registry.register(
            "garbage_rounds",
            "Rounds of the collector of garbage in this process, by outcome",
            inner.garbage_rounds.clone(),
        );
        registry.register(
            "garbage_found",
            "What this process's last round found that no upload needs",
            inner.garbage_found.clone(),
        );
        registry.register(
            "garbage_removed",
            "What the collector has removed",
            inner.garbage_removed.clone(),
        );
        registry.register_with_unit(
            "garbage_freed",
            "The room that this made",
            Unit::Bytes,
            inner.garbage_freed.clone(),
        );
        registry.register(
            "garbage_failures",
            "What the collector could not remove",
            inner.garbage_failures.clone(),
        );
        registry.register_with_unit(
            "garbage_collected_timestamp",
            "When this process's last round ended, Unix time; 0 before the first",
            Unit::Seconds,
            inner.garbage_collected.clone(),
        );
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn checkpoint(&self, bytes: u64) {
        self.inner.acknowledged.inc_by(bytes);
        self.inner.checkpoints.inc();
    }

    pub(crate) fn append_began(&self) {
        self.inner.appending.inc();
    }

    pub(crate) fn append_ended(&self) {
        self.inner.appending.dec();
    }

    /// A request waits for the store or the storage, until what is returned is dropped.
    pub(crate) fn wait(&self) -> Wait {
        self.inner.waits.begin()
    }

    pub(crate) fn taken_over(&self, outcome: &'static str, seconds: f64) {
        self.inner.takeovers.get_or_create(&TakeoverLabels { outcome }).inc();
        self.inner.takeover_seconds.observe(seconds);
    }

    pub(crate) fn released(&self, after: Duration) {
        self.inner.release_seconds.observe(after.as_secs_f64());
    }

    pub(crate) fn event(&self, kind: windlass_task::EventType) {
        self.inner
            .events
            .get_or_create(&EventLabels { r#type: kind.as_str() })
            .inc();
    }

    pub(crate) fn hook_called(&self, hook: &'static str, well: bool) {
        let outcome = if well { "answered" } else { "failed" };
        self.inner.hook_calls.get_or_create(&HookLabels { hook, outcome }).inc();
    }

    pub(crate) fn hooks_held(&self, events: usize) {
        self.inner.hooks_held.set(i64::try_from(events).unwrap_or(i64::MAX));
    }

    pub(crate) fn hook_given_up(&self) {
        self.inner.hooks_given_up.inc();
    }

    pub(crate) fn tusd_upload(&self, outcome: &'static str) {
        self.inner.tusd_uploads.get_or_create(&TusdLabels { outcome }).inc();
    }

    pub(crate) fn tenant_refused(&self) {
        self.inner.tenant_refusals.inc();
    }

    pub(crate) fn tenant_paced(&self, seconds: f64) {
        self.inner.tenant_waits.inc_by(seconds);
    }

    pub(crate) fn reconciled(&self, entry: &windlass_task::Entry) {
        let outcome = match entry {
            windlass_task::Entry::Live(_) => "kept",
            windlass_task::Entry::Gone(_) => "lost",
        };
        self.inner.reconciled.get_or_create(&ReconciledLabels { outcome }).inc();
    }

    pub(crate) fn rebuilding(&self, now: bool) {
        self.inner.rebuilding.set(i64::from(now));
    }

    pub(crate) fn rebuild_saw(&self, uploads: u64) {
        self.inner.rebuild_seen.inc_by(uploads);
    }

    pub(crate) fn rebuild_failed(&self) {
        self.inner.rebuild_failures.inc();
    }

    pub(crate) fn garbage_collected(&self, round: &crate::garbage::Round) {
        let outcome = "done";
        self.inner
            .garbage_rounds
            .get_or_create(&GarbageLabels { outcome })
            .inc();
        self.inner
            .garbage_found
            .set(i64::try_from(round.found).unwrap_or(i64::MAX));
        self.inner.garbage_removed.inc_by(round.removed);
        self.inner.garbage_freed.inc_by(round.freed);
        self.inner.garbage_failures.inc_by(round.failed);
        let now = windlass_task::UnixMillis::now().0 / 1_000;
        self.inner.garbage_collected.set(i64::try_from(now).unwrap_or(i64::MAX));
    }

    pub(crate) fn garbage_given_up(&self) {
        let outcome = "given_up";
        self.inner
            .garbage_rounds
            .get_or_create(&GarbageLabels { outcome })
            .inc();
    }

    pub(crate) fn progress(&self) {
        self.inner.progress.inc();
    }
}
