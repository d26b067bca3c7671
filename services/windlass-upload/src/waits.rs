//! How long requests wait for the store, and for what is small in the storage: what an operation was to those who uploaded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

/// From a round trip to the longest that requests are held by default, and twice that.
const BOUNDS: [f64; 13] = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

/// The waits of now, and a count of those that were. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    seconds: Histogram,
    present: Arc<Mutex<Present>>,
}

/// Since when each of them lasts, by a number of its own.
#[derive(Debug, Default)]
struct Present {
    since: BTreeMap<u64, Instant>,
    begun: u64,
}

/// One wait, until it is dropped.
pub(crate) struct Wait {
    waits: Waits,
    number: u64,
    since: Instant,
}

impl Waits {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let waits = Self {
            seconds: Histogram::new(BOUNDS),
            present: Arc::default(),
        };
        registry.register(
            "wait_seconds",
            "How long requests waited for the store, or for what is small in the storage",
            waits.seconds.clone(),
        );
        registry.register_collector(Box::new(Longest(waits.clone())));
        waits
    }

    /// Somebody waits from here on.
    pub(crate) fn begin(&self) -> Wait {
        let since = Instant::now();
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.begun += 1;
        let number = present.begun;
        present.since.insert(number, since);
        drop(present);
        Wait {
            waits: self.clone(),
            number,
            since,
        }
    }

    /// How long the first of those of now has lasted.
    fn longest(&self) -> Duration {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let since = present.since.first_key_value().map(|(_, since)| *since);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut present = self.waits.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.since.remove(&self.number);
        drop(present);
        self.waits.seconds.observe(self.since.elapsed().as_secs_f64());
    }
}

#[derive(Debug)]
struct Longest(Waits);

impl Collector for Longest {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauge = ConstGauge::new(self.0.longest().as_secs_f64());
        let help = "How long the request that waits longest has waited for the store or the storage";
        let encoder = encoder.encode_descriptor("waiting_seconds", help, None, gauge.metric_type())?;
        gauge.encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(registry: &Registry, metric: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{metric} in {text}")).parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_wait_of_now_is_shown_and_each_is_counted_at_its_end() {
        let mut registry = Registry::default();
        let waits = Waits::register(&mut registry);
        assert_eq!(shown(&registry, "waiting_seconds"), 0.0);
        let first = waits.begin();
        tokio::time::advance(Duration::from_secs(3)).await;
        let second = waits.begin();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(shown(&registry, "waiting_seconds"), 4.0);
        drop(first);
        assert_eq!(shown(&registry, "waiting_seconds"), 1.0);
        drop(second);
        assert_eq!(shown(&registry, "waiting_seconds"), 0.0);
        assert_eq!(shown(&registry, "wait_seconds_count"), 2.0);
        assert_eq!(shown(&registry, "wait_seconds_bucket{le=\"1.0\"}"), 1.0);
        assert_eq!(shown(&registry, "wait_seconds_bucket{le=\"4.0\"}"), 2.0);
    }
}
