//! What the push service counts.

mod proxy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::broker::Sight;
use crate::codes::Disconnect;
use crate::connections::Connections;
use crate::figures::{Ended, Figures};
use crate::hub::Fanout;
use crate::limits::Closed;
use crate::proxy::Kind;
use crate::session::Note;

pub(crate) use proxy::Outcome;

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// The Centrifuge protocol over WebSocket.
    Centrifuge,
    /// The Centrifuge protocol in the body of a response.
    HttpStream,
    /// The Centrifuge protocol as server-sent events.
    Sse,
    /// The plain protocol over WebSocket.
    Plain,
    /// A task as server-sent events.
    Events,
    /// A long poll.
    Poll,
}

impl Transport {
    /// All of them.
    const ALL: [Self; 6] = [
        Self::Centrifuge,
        Self::HttpStream,
        Self::Sse,
        Self::Plain,
        Self::Events,
        Self::Poll,
    ];

    /// The transport as the API names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Centrifuge | Self::Plain => "websocket",
            Self::HttpStream => "http_stream",
            Self::Sse | Self::Events => "sse",
            Self::Poll => "http",
        }
    }

    /// Whether what is spoken is the Centrifuge protocol.
    pub(crate) fn speaks_centrifuge(self) -> bool {
        match self {
            Self::Centrifuge | Self::HttpStream | Self::Sse => true,
            Self::Plain | Self::Events | Self::Poll => false,
        }
    }

    fn label(self) -> TransportLabel {
        let transport = match self {
            Self::Centrifuge => "centrifuge",
            Self::HttpStream => "http_stream",
            Self::Sse => "sse",
            Self::Plain => "plain",
            Self::Events => "events",
            Self::Poll => "poll",
        };
        TransportLabel { transport }
    }
}

/// The counters; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    connections: Family<TransportLabel, Gauge>,
    subscriptions: Gauge,
    publications: Counter,
    deliveries: Counter,
    conflated: Counter,
    overflowed: Counter,
    recovered: Family<RecoveredLabel, Counter>,
    disconnects: Family<CodeLabel, Counter>,
    turned_away: Family<BoundLabel, Counter>,
    /// The same, for who asks for all of them.
    closed: Mutex<BTreeMap<u16, Ended>>,
    dead_nodes: Counter,
    dead_entries: Counter,
    lag: Lag,
    proxies: proxy::Calls,
}

/// Seconds from queue to write.
#[derive(Debug, Clone)]
struct Lag(Histogram);

impl Default for Lag {
    /// From what a write costs to where a reader is called slow.
    fn default() -> Self {
        Self(Histogram::new([
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
        ]))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabel {
    transport: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RecoveredLabel {
    recovered: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BoundLabel {
    bound: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: u16,
}

impl Metrics {
    /// Registers everything in `registry`; the queues of `connections` are looked at when they are asked for.
    pub fn register(&self, registry: &mut Registry, connections: &Arc<Connections>, sight: &Arc<Sight>) {
        let registry = registry.sub_registry_with_prefix("push");
        let inner = &self.0;
        registry.register("connections", "Open push connections", inner.connections.clone());
        registry.register(
            "subscriptions",
            "Subscriptions of open connections",
            inner.subscriptions.clone(),
        );
        registry.register(
            "publications",
            "Publications brought to this node",
            inner.publications.clone(),
        );
        registry.register(
            "deliveries",
            "Publications put into connections' queues",
            inner.deliveries.clone(),
        );
        registry.register(
            "conflated",
            "Deliveries that took the place of an older value that still waited",
            inner.conflated.clone(),
        );
        registry.register(
            "overflow_unsubscribes",
            "Subscriptions ended because a queue was full; the clients subscribe again and recover",
            inner.overflowed.clone(),
        );
        registry.register(
            "recoveries",
            "Attempts of clients to recover what they missed",
            inner.recovered.clone(),
        );
        registry.register(
            "disconnects",
            "Closed WebSockets by close code",
            inner.disconnects.clone(),
        );
        registry.register(
            "turned_away",
            "Handshakes that were answered 503 by the bound of push.limits that was reached",
            inner.turned_away.clone(),
        );
        registry.register(
            "delivery_lag_seconds",
            "From a publication's coming into a connection's queue to its being written, one for each write; of a client that \
             is behind, from the write before",
            inner.lag.0.clone(),
        );
        registry.register(
            "dead_nodes",
            "Nodes that died and whose connections this one has taken out of their channels",
            inner.dead_nodes.clone(),
        );
        registry.register(
            "dead_entries",
            "What it took out: for each connection its channels with presence or announcements, and its user",
            inner.dead_entries.clone(),
        );
        inner.proxies.register(registry);
        registry.register_collector(Box::new(QueueBytes(Arc::downgrade(connections))));
        registry.register_collector(Box::new(ProbeAge(Arc::downgrade(sight))));
    }

    /// Registers how many connections were lost and may be back.
    pub(crate) fn register_away(&self, registry: &mut Registry, away: Gauge) {
        let registry = registry.sub_registry_with_prefix("push");
        registry.register(
            "away",
            "Connections that were lost and whose leaving is held back, one for each channel that announces it",
            away,
        );
    }

    /// A node died, and so much of what it had said was taken back.
    pub(crate) fn buried(&self, entries: usize) {
        self.0.dead_nodes.inc();
        self.0.dead_entries.inc_by(u64::try_from(entries).unwrap_or(u64::MAX));
    }

    pub(crate) fn connected(&self, transport: Transport) {
        self.0.connections.get_or_create(&transport.label()).inc();
    }

    pub(crate) fn disconnected(&self, transport: Transport) {
        self.0.connections.get_or_create(&transport.label()).dec();
    }

    pub(crate) fn subscribed(&self) {
        self.0.subscriptions.inc();
    }

    pub(crate) fn unsubscribed(&self) {
        self.0.subscriptions.dec();
    }

    pub(crate) fn fanned_out(&self, fanout: Fanout) {
        self.0.publications.inc();
        self.0.deliveries.inc_by(fanout.deliveries);
        self.0.conflated.inc_by(fanout.conflated);
        self.0.overflowed.inc_by(fanout.overflowed);
    }

    pub(crate) fn written_after(&self, lag: Duration) {
        self.0.lag.0.observe(lag.as_secs_f64());
    }

    pub(crate) fn note(&self, note: Note) {
        match note {
            Note::Recovered(recovered) => {
                let recovered = if recovered { "yes" } else { "no" };
                self.0.recovered.get_or_create(&RecoveredLabel { recovered }).inc();
            }
        }
    }

    /// A call to a backend begins.
    pub(crate) fn proxy_call(&self, kind: Kind) -> proxy::Call {
        self.0.proxies.begin(kind)
    }

    pub(crate) fn turned_away(&self, closed: Closed) {
        let bound = match closed {
            Closed::Full => "connections",
            Closed::Rush => "handshakes",
        };
        self.0.turned_away.get_or_create(&BoundLabel { bound }).inc();
    }

    /// Adds what is counted here to `figures`.
    pub(crate) fn describe(&self, figures: &mut Figures) {
        let inner = &self.0;
        for transport in Transport::ALL {
            let label = transport.label();
            if let Some(count) = inner.connections.get(&label).map(|gauge| gauge.get()) {
                figures.connections.insert(label.transport.to_owned(), count);
            }
        }
        let recoveries = |recovered| {
            inner
                .recovered
                .get(&RecoveredLabel { recovered })
                .map_or(0, |count| count.get())
        };
        figures.subscriptions = inner.subscriptions.get();
        figures.publications = inner.publications.get();
        figures.deliveries = inner.deliveries.get();
        figures.conflated = inner.conflated.get();
        figures.overflowed = inner.overflowed.get();
        figures.recovered = recoveries("yes");
        figures.unrecovered = recoveries("no");
        figures
            .closed
            .clone_from(&inner.closed.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn closed(&self, disconnect: &Disconnect) {
        let (code, reason) = disconnect.parts();
        let mut closed = self.0.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = closed.entry(code).or_insert_with(|| Ended {
            count: 0,
            reason: reason.to_owned(),
        });
        entry.count += 1;
        drop(closed);
        self.0
            .disconnects
            .get_or_create(&CodeLabel {
                code: disconnect.parts().0,
            })
            .inc();
    }
}

/// The bytes that wait for all connections, added up when somebody looks: a gauge that every delivery had to move
/// would be one cache line for all cores.
#[derive(Debug)]
struct QueueBytes(Weak<Connections>);

impl Collector for QueueBytes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bytes = self.0.upgrade().map_or(0, |connections| connections.queue_bytes());
        let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
        let encoder =
            encoder.encode_descriptor("queue_bytes", "Bytes that wait for clients", None, gauge.metric_type())?;
        gauge.encode(encoder)
    }
}

/// How long ago this node got what it published to itself.
#[derive(Debug)]
struct ProbeAge(Weak<Sight>);

impl Collector for ProbeAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(age) = self.0.upgrade().and_then(|sight| sight.age()) else {
            return Ok(());
        };
        let gauge = ConstGauge::new(age.as_secs_f64());
        let help = "How long ago a publication of this node's to itself came through Redis";
        let encoder = encoder.encode_descriptor("probe_age_seconds", help, None, gauge.metric_type())?;
        gauge.encode(encoder)
    }
}
