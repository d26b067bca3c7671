//! The queue of one connection as others see it: they put in, the connection's task takes out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::codes::Disconnect;
use crate::queue::{Delivery, Item, Order, Put, Queue};

/// A connection's queue. Putting never waits; the connection's task is woken only when its queue was
/// empty, or when the connection is given up.
#[derive(Debug)]
pub struct Outbox {
    queue: Mutex<Queue>,
    owner: AtomicWaker,
}

impl Outbox {
    /// An outbox that holds about `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            queue: Mutex::new(Queue::new(bytes_max)),
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
        self.lock().bytes()
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
        self.lock().given_up().map_or(Poll::Pending, Poll::Ready)
    }

    /// Takes the next item if there is one.
    pub fn take(&self) -> Option<Item> {
        self.lock().take()
    }

    /// Wakes the connection's task without putting anything in: it has to look at the time.
    pub(crate) fn wake(&self) {
        self.owner.wake();
    }

    fn put(&self, put: impl FnOnce(&mut Queue) -> Put) -> Put {
        let (put, wake) = {
            let mut queue = self.lock();
            let was_empty = queue.is_empty();
            let put = put(&mut queue);
            (put, (was_empty && !queue.is_empty()) || put == Put::GivenUp)
        };
        if wake {
            self.owner.wake();
        }
        put
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
