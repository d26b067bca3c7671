//! Which object is looked at next: each once at a time, the earliest due first, the failing ones ever later.
//!
//! It holds at most one entry an object, so it is bounded by what exists. It knows no clock and no randomness: both are
//! arguments.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The first wait after a failure: what a conflict or a restarting API server takes.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait: how late an object that fails may notice that what it failed by is gone.
const LONGEST: Duration = Duration::from_secs(300);

/// How a pass over an object ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should; look again after this long.
    Done(Duration),
    /// Not to its end; look again, later each time.
    Failed,
    /// There is no such object any more.
    Gone,
}

/// Objects to look at.
#[derive(Debug)]
pub struct Queue<K> {
    due: BTreeMap<K, Instant>,
    /// What is being looked at, and when it is to be looked at again if something happened meanwhile.
    running: BTreeMap<K, Option<Instant>>,
    failures: BTreeMap<K, u32>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            due: BTreeMap::new(),
            running: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> Queue<K> {
    /// Something happened to `key`: it is looked at from `now` on, also if it failed before.
    pub fn add(&mut self, key: K, now: Instant) {
        if let Some(again) = self.running.get_mut(&key) {
            *again = Some(now);
        } else {
            // One that fails keeps its wait: events of its own half-made objects would shorten it to nothing.
            let due = self.due.entry(key.clone()).or_insert(now);
            if !self.failures.contains_key(&key) {
                *due = now.min(*due);
            }
        }
    }

    /// The resource itself was changed: a failure before says nothing of it any more.
    pub fn add_changed(&mut self, key: K, now: Instant) {
        self.failures.remove(&key);
        self.add(key, now);
    }

    /// What is due first, if it is; it is being looked at until [`Queue::finish`].
    pub fn take(&mut self, now: Instant) -> Option<K> {
        let (key, _) = self
            .due
            .iter()
            .filter(|(_, due)| **due <= now)
            .min_by_key(|(_, due)| **due)?;
        let key = key.clone();
        self.due.remove(&key);
        self.running.insert(key.clone(), None);
        Some(key)
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// How long the one that has waited longest is overdue.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        self.next_due()
            .map_or(Duration::ZERO, |due| now.saturating_duration_since(due))
    }

    /// How many are being looked at.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// A pass over `key` ended. `chance`, from 0 to 1, spreads those that wait equally long.
    pub fn finish(&mut self, key: K, outcome: Outcome, now: Instant, chance: f64) {
        let again = self.running.remove(&key).flatten();
        let wait = match outcome {
            Outcome::Done(wait) => {
                self.failures.remove(&key);
                wait
            }
            Outcome::Failed => {
                let failures = self.failures.entry(key.clone()).or_default();
                let wait = FIRST.saturating_mul(1 << (*failures).min(16)).min(LONGEST);
                *failures = failures.saturating_add(1);
                wait
            }
            Outcome::Gone => {
                self.failures.remove(&key);
                if again.is_none() {
                    return;
                }
                Duration::ZERO
            }
        };
        let due = now + wait.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
        let due = match (again, outcome) {
            (Some(again), Outcome::Done(_) | Outcome::Gone) => due.min(again),
            (Some(_), Outcome::Failed) | (None, _) => due,
        };
        self.due.insert(key, due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn an_object_is_looked_at_once_at_a_time_and_again_if_something_happened_meanwhile() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add("a", now);
        queue.add("a", now);
        assert_eq!(queue.take(now), Some("a"));
        assert_eq!(queue.take(now), None);
        queue.add("a", now);
        assert_eq!(queue.take(now), None);
        queue.finish("a", Outcome::Done(HOUR), now, 1.0);
        assert_eq!(queue.take(now), Some("a"));
        queue.finish("a", Outcome::Done(HOUR), now, 1.0);
        assert_eq!((queue.take(now), queue.next_due()), (None, Some(now + HOUR)));
    }

    #[test]
    fn one_that_fails_waits_longer_each_time_up_to_a_bound_and_success_or_a_change_resets_it() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add("a", now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(queue.take(now), Some("a"));
            queue.finish("a", Outcome::Failed, now, 1.0);
            // Events of its own objects do not hurry it.
            queue.add("a", now);
            let due = queue.next_due().expect("it is tried again");
            waits.push(due - now);
            now = due;
        }
        assert_eq!(waits[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(waits.last(), Some(&LONGEST));
        assert_eq!(queue.take(now), Some("a"));
        queue.finish("a", Outcome::Failed, now, 1.0);
        queue.add_changed("a", now);
        assert_eq!(
            queue.take(now),
            Some("a"),
            "a change of the resource is looked at, at once"
        );
        queue.finish("a", Outcome::Failed, now, 0.0);
        assert_eq!(
            queue.next_due(),
            Some(now + FIRST / 2),
            "and what failed before is forgotten"
        );
    }

    #[test]
    fn what_is_gone_leaves_nothing_behind() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add("a", now);
        queue.take(now);
        queue.finish("a", Outcome::Gone, now, 0.5);
        assert_eq!((queue.next_due(), queue.running(), queue.failures.len()), (None, 0, 0));
    }
}
