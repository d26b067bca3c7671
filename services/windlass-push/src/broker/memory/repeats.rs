//! What was published under an idempotency key, for a while.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::broker::IDEMPOTENCY;
use crate::channel::ChannelKey;
use crate::position::StreamPosition;

/// How many keys are remembered at a time, about 300 bytes each; at the bound the oldest goes before its time.
const KEYS_MAX: usize = 100_000;

/// The keys and what came of them, oldest first.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: HashMap<(ChannelKey, String), Option<StreamPosition>>,
    order: VecDeque<(Instant, (ChannelKey, String))>,
}

impl Repeats {
    /// What `publish` gave under this key, now or before.
    pub(super) fn once(
        &mut self,
        channel: &ChannelKey,
        key: String,
        now: Instant,
        publish: impl FnOnce() -> Option<StreamPosition>,
    ) -> Option<StreamPosition> {
        self.forget(now);
        let key = (channel.clone(), key);
        if let Some(position) = self.known.get(&key) {
            return *position;
        }
        let position = publish();
        self.known.insert(key.clone(), position);
        self.order.push_back((now + IDEMPOTENCY, key));
        position
    }

    fn forget(&mut self, now: Instant) {
        while let Some((forgets, _)) = self.order.front()
            && (now >= *forgets || self.order.len() >= KEYS_MAX)
        {
            if let Some((_, key)) = self.order.pop_front() {
                self.known.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_task::Tenant;

    #[test]
    fn a_key_publishes_once_a_channel_and_again_after_its_time() {
        let mut repeats = Repeats::default();
        let now = Instant::now();
        let channel = |name| ChannelKey::new(&Tenant::default_tenant(), name);
        let mut count = 0;
        for (name, key, at, expected) in [
            ("a", "k", now, 1),
            ("a", "k", now, 1),
            ("b", "k", now, 2),
            ("a", "l", now, 3),
            ("a", "k", now + IDEMPOTENCY, 4),
        ] {
            repeats.once(&channel(name), key.into(), at, || {
                count += 1;
                None
            });
            assert_eq!(count, expected, "{name} {key}");
        }
    }

    #[test]
    fn keys_do_not_grow_without_bound() {
        let mut repeats = Repeats::default();
        let channel = ChannelKey::new(&Tenant::default_tenant(), "a");
        for number in 0..KEYS_MAX + 10 {
            repeats.once(&channel, number.to_string(), Instant::now(), || None);
        }
        assert!(repeats.known.len() <= KEYS_MAX && repeats.order.len() == repeats.known.len());
    }
}
