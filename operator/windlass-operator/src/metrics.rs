//! What the operator counts. Labels are bounded: kinds, verbs and outcomes, never names.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The metrics of this process. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    passes: Family<PassLabels, Counter>,
    seconds: Histogram,
    writes: Family<WriteLabels, Counter>,
    leading: Gauge,
    waiting: Family<KindLabels, Gauge<f64, AtomicU64>>,
    watch: Gauge<f64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    kind: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    verb: &'static str,
    outcome: &'static str,
}

impl Metrics {
    /// Metrics that `registry` will show.
    pub fn register(registry: &mut Registry) -> Self {
        let inner = Inner {
            passes: Family::default(),
            // From a pass that only reads, 5 ms, to one that waits for a slow API server, 20 s.
            seconds: Histogram::new(exponential_buckets(0.005, 2.0, 13)),
            writes: Family::default(),
            leading: Gauge::default(),
            waiting: Family::default(),
            watch: Gauge::default(),
        };
        registry.register(
            "operator_passes",
            "Passes over a resource, by its kind and outcome",
            inner.passes.clone(),
        );
        registry.register("operator_pass_seconds", "How long a pass took", inner.seconds.clone());
        registry.register(
            "operator_writes",
            "Requests that change something, by verb and outcome",
            inner.writes.clone(),
        );
        registry.register("operator_leading", "1 in the process that leads", inner.leading.clone());
        registry.register(
            "operator_queue_age_seconds",
            "How long the resource that has waited longest is overdue, by kind",
            inner.waiting.clone(),
        );
        registry.register(
            "operator_watch_age_seconds",
            "How long ago the most silent watch was heard of; it is told something at least every few minutes",
            inner.watch.clone(),
        );
        Self(Arc::new(inner))
    }

    /// A pass over a resource of this kind ended.
    pub fn passed(&self, kind: &str, outcome: &'static str, took: Duration) {
        let kind = kind.to_owned();
        self.0.passes.get_or_create(&PassLabels { kind, outcome }).inc();
        self.0.seconds.observe(took.as_secs_f64());
    }

    /// A write was answered.
    pub fn wrote(&self, verb: &'static str, succeeded: bool) {
        let outcome = if succeeded { "ok" } else { "failed" };
        self.0.writes.get_or_create(&WriteLabels { verb, outcome }).inc();
    }

    /// This process leads.
    pub fn leads(&self) {
        self.0.leading.set(1);
    }

    /// How long work on this kind has waited, and how old the oldest watch is.
    pub fn ages(&self, kind: &str, waiting: Duration, watch: Duration) {
        let kind = kind.to_owned();
        self.0
            .waiting
            .get_or_create(&KindLabels { kind })
            .set(waiting.as_secs_f64());
        self.0.watch.set(watch.as_secs_f64());
    }
}
