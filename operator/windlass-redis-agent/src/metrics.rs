//! What an agent counts. Labels are bounded: kinds and outcomes, never names.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use windlass_redis_wire::{Link, Sight};

/// The metrics of this agent. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    term: Gauge,
    open: Gauge,
    in_step: Gauge,
    linked: Gauge,
    offset: Gauge<i64>,
    used: Gauge,
    silence: Gauge<f64, AtomicU64>,
    orders: Family<Outcome, Counter>,
    claims: Family<Claim, Counter>,
    promises: Family<Outcome, Counter>,
    fences: Counter,
    ends: Family<Cause, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Claim {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

impl Metrics {
    /// Metrics that `registry` will show.
    pub fn register(registry: &mut Registry) -> Self {
        let it = Inner::default();
        registry.register(
            "redis_agent_term",
            "The greatest term it took an order of",
            it.term.clone(),
        );
        registry.register("redis_agent_open", "1 while its Redis takes writes", it.open.clone());
        registry.register(
            "redis_agent_in_step",
            "1 while its Redis has all that it ever acknowledged",
            it.in_step.clone(),
        );
        registry.register(
            "redis_agent_linked",
            "1 while its Redis gets a primary's writes as they come",
            it.linked.clone(),
        );
        registry.register(
            "redis_agent_offset_bytes",
            "How far its Redis is in its stream of writes",
            it.offset.clone(),
        );
        registry.register("redis_agent_used_bytes", "Memory that its Redis takes", it.used.clone());
        registry.register(
            "redis_agent_silence_seconds",
            "How long its Redis has not answered",
            it.silence.clone(),
        );
        registry.register("redis_agent_orders", "Orders, by what was answered", it.orders.clone());
        registry.register(
            "redis_agent_claims",
            "What was asked of the lease, by kind and outcome",
            it.claims.clone(),
        );
        registry.register(
            "redis_agent_promises",
            "Promises that were asked of other members, by outcome",
            it.promises.clone(),
        );
        registry.register("redis_agent_fences", "How often writes were stopped", it.fences.clone());
        registry.register(
            "redis_agent_ends",
            "How often its Redis ended, by cause: by itself, or killed since it was silent, did not obey, or was guarded",
            it.ends.clone(),
        );
        Self(Arc::new(it))
    }

    /// How it looks now, and for how long its Redis has been silent.
    pub fn seen(&self, sight: &Sight, silence: std::time::Duration) {
        let it = &self.0;
        it.term.set(i64::try_from(sight.term.number()).unwrap_or(i64::MAX));
        it.open.set(sight.is_open.into());
        it.in_step.set(sight.is_in_step.into());
        it.linked.set((sight.link == Some(Link::Up)).into());
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        it.offset
            .set(sight.position.map_or(0, |position| whole(position.offset)));
        it.used.set(sight.used_bytes.map_or(0, whole));
        it.silence.set(silence.as_secs_f64());
    }

    /// An order was answered.
    pub fn ordered(&self, outcome: &'static str) {
        self.0.orders.get_or_create(&Outcome { outcome }).inc();
    }

    /// A claim ended.
    pub fn claimed(&self, kind: &'static str, outcome: &'static str) {
        self.0.claims.get_or_create(&Claim { kind, outcome }).inc();
    }

    /// A promise was asked for.
    pub fn promised(&self, outcome: &'static str) {
        self.0.promises.get_or_create(&Outcome { outcome }).inc();
    }

    /// Writes were stopped.
    pub fn fenced(&self) {
        self.0.fences.inc();
    }

    /// Its Redis ended.
    pub fn ended(&self, cause: &'static str) {
        self.0.ends.get_or_create(&Cause { cause }).inc();
    }
}
