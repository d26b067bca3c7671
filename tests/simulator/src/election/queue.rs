//! What happens when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

/// Items in the order of their time; of one time, in the order in which they were put in.
pub(super) struct Queue<T> {
    now: Duration,
    order: BinaryHeap<Reverse<(Duration, u64)>>,
    items: BTreeMap<u64, T>,
    next: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            now: Duration::ZERO,
            order: BinaryHeap::new(),
            items: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn put(&mut self, wait: Duration, item: T) {
        self.next += 1;
        self.order.push(Reverse((self.now + wait, self.next)));
        self.items.insert(self.next, item);
    }

    /// Goes on to the next item.
    pub(super) fn take(&mut self) -> Option<T> {
        let Reverse((at, number)) = self.order.pop()?;
        self.now = at;
        self.items.remove(&number)
    }
}
