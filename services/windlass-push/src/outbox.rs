//! The queue of one connection as others see it: they put in, the connection's task takes out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::task::AtomicWaker;

use crate::codes::Disconnect;
use crate::queue::{Delivery, Item, Order, Put, Queue};

/// A connection's queue. Putting never waits; the connection's task is woken only when its queue was
/// empty, or when the connection is given up.
#[derive(Debug)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    owner: AtomicWaker,
}

#[derive(Debug)]
struct Waiting {
    queue: Queue,
    /// Since when the oldest thing in the queue waits; of a client that is behind, since its last write.
    since: Option<Instant>,
}

impl Outbox {
    /// An outbox that holds about `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                queue: Queue::new(bytes_max),
                since: None,
            }),
            owner: AtomicWaker::new(),
        }
    }

    /// Puts a publication in.
    pub fn deliver(&self, delivery: Delivery) -> Put {
        self.put(|queue| queue.deliver(delivery))
    }

    /// Puts an order in.
    pub fn order(&self, order: Order) -> Put {
        self.put(|queue| queue.order(order))
    }

    /// The bytes that wait.
    pub fn bytes(&self) -> usize {
        self.lock().queue.bytes()
    }

    /// Takes the next item. Pending while there is none; only the connection's one task may poll.
    pub fn poll_take(&self, cx: &Context<'_>) -> Poll<Item> {
        if let Some(item) = self.take() {
            return Poll::Ready(item);
        }
        // Registered before the second look, so that what is put in between wakes.
        self.owner.register(cx.waker());
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Ready when the connection has been given up: for its task while it cannot write and takes nothing.
    pub fn poll_given_up(&self, cx: &Context<'_>) -> Poll<Disconnect> {
        self.owner.register(cx.waker());
        self.lock().queue.given_up().map_or(Poll::Pending, Poll::Ready)
    }

    /// Takes the next item if there is one.
    pub fn take(&self) -> Option<Item> {
        self.lock().queue.take()
    }

    /// Wakes the connection's task without putting anything in: it has to look at the time.
    pub(crate) fn wake(&self) {
        self.owner.wake();
    }

    /// Says since when the oldest of what was taken had waited: for the task, after it took what one write carries.
    pub(crate) fn waited_since(&self, now: Instant) -> Option<Instant> {
        let mut waiting = self.lock();
        let next = (!waiting.queue.is_empty()).then_some(now);
        std::mem::replace(&mut waiting.since, next)
    }

    fn put(&self, put: impl FnOnce(&mut Queue) -> Put) -> Put {
        let (put, wake) = {
            let mut waiting = self.lock();
            let was_empty = waiting.queue.is_empty();
            let put = put(&mut waiting.queue);
            let is_first = was_empty && !waiting.queue.is_empty();
            if is_first {
                waiting.since = Some(Instant::now());
            }
            (put, is_first || put == Put::GivenUp)
        };
        if wake {
            self.owner.wake();
        }
        put
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
