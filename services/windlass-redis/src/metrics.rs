//! What is counted of the connections. Labels are few and known: purposes of connections, causes, kinds of errors.

use std::sync::{Arc, Weak};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::error::{Error, Redirect};
use crate::topology::Topology;

/// Seconds: from a round trip on one machine to where a connection is given up.
const BUCKETS: [f64; 12] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0,
];

/// The counters; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    connections: Family<Purpose, Gauge>,
    lost: Family<Loss, Counter>,
    failed: Family<Purpose, Counter>,
    seconds: Seconds,
    in_flight: Gauge,
    errors: Family<Kind, Counter>,
    redirects: Family<Kind, Counter>,
    shortfalls: Counter,
}

/// From a call's being sent to its answer.
#[derive(Debug)]
struct Seconds(Histogram);

impl Default for Seconds {
    fn default() -> Self {
        Self(Histogram::new(BUCKETS))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Purpose {
    purpose: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Loss {
    purpose: &'static str,
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Why a connection was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It ended.
    Closed,
    /// No answer came in time.
    Silent,
    /// The server said that it is no primary, or will not speak to us.
    Refused,
    /// The server is another one, or in another life, than it was.
    Replaced,
    /// What it answered was no answer to what it was asked.
    Confused,
    /// Whoever used it wanted another: its data had gone, or its subscriptions did not stand.
    Left,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Refused => "refused",
            Self::Replaced => "replaced",
            Self::Confused => "confused",
            Self::Left => "left",
        }
    }
}

/// Calls on their way, timed until they are answered or given up.
pub(crate) struct Flight<'a> {
    inner: &'a Inner,
    calls: i64,
    sent: Instant,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.inner.in_flight.dec_by(self.calls);
        self.inner.seconds.0.observe(self.sent.elapsed().as_secs_f64());
    }
}

impl Metrics {
    /// Registers everything in `registry`; the topology is looked at when it is asked for.
    pub(crate) fn register(&self, registry: &mut Registry, topology: &Arc<Topology>) {
        let registry = registry.sub_registry_with_prefix("redis");
        let inner = &self.0;
        registry.register(
            "connections",
            "Connections to Redis that are open and ready, by what they are for",
            inner.connections.clone(),
        );
        registry.register(
            "connections_lost",
            "Connections that were left, by why",
            inner.lost.clone(),
        );
        registry.register(
            "connections_failed",
            "Tries to connect that came to nothing",
            inner.failed.clone(),
        );
        registry.register(
            "round_trip_seconds",
            "From commands' being sent together to their last answer",
            inner.seconds.0.clone(),
        );
        registry.register("commands_in_flight", "Commands on their way", inner.in_flight.clone());
        registry.register(
            "errors",
            "Commands that were not answered as they should be, by what their caller was told",
            inner.errors.clone(),
        );
        registry.register(
            "redirects",
            "Commands that a cluster sent elsewhere, or put off while a slot moves",
            inner.redirects.clone(),
        );
        registry.register(
            "unconfirmed_writes",
            "Writes that too few replicas confirmed in time (durability: strict)",
            inner.shortfalls.clone(),
        );
        registry.register_collector(Box::new(Primaries(Arc::downgrade(topology))));
    }

    pub(crate) fn connected(&self, purpose: &'static str) {
        self.0.connections.get_or_create(&Purpose { purpose }).inc();
    }

    pub(crate) fn disconnected(&self, purpose: &'static str) {
        self.0.connections.get_or_create(&Purpose { purpose }).dec();
    }

    pub(crate) fn lost(&self, purpose: &'static str, cause: Cause) {
        let cause = cause.name();
        self.0.lost.get_or_create(&Loss { purpose, cause }).inc();
    }

    pub(crate) fn failed(&self, purpose: &'static str) {
        self.0.failed.get_or_create(&Purpose { purpose }).inc();
    }

    /// Counts calls from now until what is returned is dropped.
    pub(crate) fn send(&self, calls: usize) -> Flight<'_> {
        let calls = i64::try_from(calls).unwrap_or(i64::MAX);
        self.0.in_flight.inc_by(calls);
        Flight {
            inner: &self.0,
            calls,
            sent: Instant::now(),
        }
    }

    /// Counts what a caller is told.
    pub(crate) fn told<T>(&self, answer: &Result<T, Error>) {
        let Err(error) = answer else { return };
        let kind = match error {
            Error::Reach => "away",
            Error::Connect(_) => "connect",
            Error::Refuse(_) => "refused",
            Error::Await(_) => "unanswered",
            Error::Confirm { .. } => "unconfirmed",
            Error::Read => "unreadable",
        };
        self.0.errors.get_or_create(&Kind { kind }).inc();
    }

    pub(crate) fn redirected(&self, redirect: &Redirect) {
        let kind = match redirect {
            Redirect::Moved(_) => "moved",
            Redirect::Ask(_) => "ask",
            Redirect::Later => "later",
        };
        self.0.redirects.get_or_create(&Kind { kind }).inc();
    }

    pub(crate) fn unconfirmed(&self, writes: usize) {
        self.0.shortfalls.inc_by(u64::try_from(writes).unwrap_or(u64::MAX));
    }
}

/// How many primaries with slots are known, and to how many of them there is no connection.
#[derive(Debug)]
struct Primaries(Weak<Topology>);

impl Collector for Primaries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (known, away) = self.0.upgrade().map_or((0, 0), |topology| {
            let map = topology.map();
            let serving = || map.nodes().iter().filter(|node| node.has_slots());
            (
                serving().count(),
                serving().filter(|node| node.main.present().is_none()).count(),
            )
        });
        for (name, help, count) in [
            ("primaries", "Primaries that have data", known),
            (
                "primaries_away",
                "Those of them without a connection for commands",
                away,
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
