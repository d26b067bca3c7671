//! What the object storage counts.

use std::ops::Deref;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::budget::Gauges;

/// The metrics of an object storage. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<OperationLabels, Histogram>,
    broken_readings: Family<OutcomeLabels, Counter>,
    /// The budget, and what of it is taken.
    pub(super) budget: Gauges,
    /// Bytes that went out a second time because the budget was spent.
    pub(super) spilled: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// From a small request to a part that goes out as slowly as is borne, seconds.
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

const RESUMED: &str = "resumed";
const GIVEN_UP: &str = "given_up";

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
            broken_readings: Family::default(),
            budget: Gauges::default(),
            spilled: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("upload_storage");
        registry.register(
            "requests",
            "Requests to the object store, each try: done, failed (tried again if there is time) or refused",
            metrics.requests.clone(),
        );
        registry.register_with_unit("request", "How long a try took", Unit::Seconds, metrics.seconds.clone());
        registry.register(
            "broken_readings",
            "Objects whose bytes stopped coming: resumed (gone on with where they stopped) or given_up",
            metrics.broken_readings.clone(),
        );
        for outcome in [RESUMED, GIVEN_UP] {
            // Shown from the start, so that the first one is an increase.
            drop(metrics.reading_broke(outcome));
        }
        registry.register_with_unit(
            "held",
            "Bytes in memory on their way to the object store",
            Unit::Bytes,
            metrics.budget.held.clone(),
        );
        registry.register_with_unit(
            "held_most",
            "The most bytes that were in memory at once on their way to the object store",
            Unit::Bytes,
            metrics.budget.held_most.clone(),
        );
        registry.register_with_unit(
            "budget",
            "How many bytes may be in memory on their way to the object store",
            Unit::Bytes,
            metrics.budget.total.clone(),
        );
        registry.register_with_unit(
            "spilled",
            "Bytes stored as tails before their time because the memory for them was spent",
            Unit::Bytes,
            metrics.spilled.clone(),
        );
        metrics
    }

    pub(super) fn reading_resumed(&self) {
        self.reading_broke(RESUMED).inc();
    }

    pub(super) fn reading_given_up(&self) {
        self.reading_broke(GIVEN_UP).inc();
    }

    fn reading_broke(&self, outcome: &'static str) -> impl Deref<Target = Counter> {
        self.broken_readings.get_or_create(&OutcomeLabels { outcome })
    }

    pub(super) fn requested(&self, operation: &'static str, outcome: &'static str, seconds: f64) {
        let labels = RequestLabels { operation, outcome };
        self.requests.get_or_create(&labels).inc();
        self.seconds
            .get_or_create(&OperationLabels { operation })
            .observe(seconds);
    }
}
