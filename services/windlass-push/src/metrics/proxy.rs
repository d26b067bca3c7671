//! What is counted of calls to backends.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::proxy::Kind;

/// All calls; clones count together.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    ended: Family<OutcomeLabel, Counter>,
    in_flight: Family<KindLabel, Gauge>,
    seconds: Family<KindLabel, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    proxy: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    proxy: &'static str,
    outcome: &'static str,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The backend said yes, or was told.
    Done,
    /// The backend said no.
    Denied,
    /// Nobody said anything that counts.
    Failed,
}

/// A call that is under way.
#[derive(Debug)]
pub(crate) struct Call {
    calls: Calls,
    kind: Kind,
    begun: Instant,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            ended: Family::default(),
            in_flight: Family::default(),
            // From what a neighbour needs to the longest time that a call may take.
            seconds: Family::new_with_constructor(|| {
                Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0])
            }),
        }
    }
}

impl Calls {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "proxy_calls",
            "Calls to backends by what became of them",
            self.ended.clone(),
        );
        registry.register(
            "proxy_calls_in_flight",
            "Calls to backends that are under way or wait for others",
            self.in_flight.clone(),
        );
        registry.register(
            "proxy_call_seconds",
            "How long calls to backends take with all waiting",
            self.seconds.clone(),
        );
    }

    pub(super) fn begin(&self, kind: Kind) -> Call {
        let proxy = kind.as_str();
        self.in_flight.get_or_create(&KindLabel { proxy }).inc();
        Call {
            calls: self.clone(),
            kind,
            begun: Instant::now(),
        }
    }
}

impl Call {
    /// It is over.
    pub(crate) fn end(self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Denied => "denied",
            Outcome::Failed => "failed",
        };
        let proxy = self.kind.as_str();
        self.calls.ended.get_or_create(&OutcomeLabel { proxy, outcome }).inc();
        let seconds = self.begun.elapsed().as_secs_f64();
        self.calls.seconds.get_or_create(&KindLabel { proxy }).observe(seconds);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let proxy = self.kind.as_str();
        self.calls.in_flight.get_or_create(&KindLabel { proxy }).dec();
    }
}
