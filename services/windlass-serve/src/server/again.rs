//! Polls a connection again in place when it woke itself.
//!
//! hyper's HTTP/1.1 connection and the handler it drives are one task that hands the body over to itself, so each half
//! wakes the other while both are being polled. tokio takes a task that wakes itself for one that yields: it queues it
//! behind the others and wakes another worker to look after the queue, which is two futex calls and a switch of threads
//! for each request with a body and each piece of a long one. Nobody has waited meanwhile: a task that has used its
//! budget is not polled again here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::task::coop;

/// The future is being polled: whoever wakes it need not tell the runtime.
const POLLED: u8 = 1;
/// It was woken since it was last begun to be polled.
const WOKEN: u8 = 2;

/// Polls in a row at most: tokio's budget is spent by its own types only, and a future that wakes itself without any of
/// them would be polled for ever. A body of many pieces takes a few dozen before the socket is empty.
const IN_A_ROW: usize = 64;

/// Makes `future` one that is polled again in place when it wakes itself.
pub(super) fn in_place<F: Future>(future: F) -> InPlace<F> {
    let bell = Arc::new(Bell::default());
    InPlace {
        future: Box::pin(future),
        waker: Waker::from(Arc::clone(&bell)),
        bell,
    }
}

/// See [`in_place`].
pub(super) struct InPlace<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl<F: Future> Future for InPlace<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, bell, waker } = &mut *self;
        bell.task.register(cx.waker());
        for _ in 0..IN_A_ROW {
            bell.state.swap(POLLED, Ordering::AcqRel);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            if bell.state.load(Ordering::Acquire) & WOKEN == 0 || !coop::has_budget_remaining() {
                break;
            }
        }
        // From here on who rings reaches the runtime; who rang before and was not looked at is told on.
        if bell.state.fetch_and(!POLLED, Ordering::AcqRel) & WOKEN != 0 {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// What the future is woken by.
#[derive(Default)]
struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Always written, so that what the caller did before is seen by the poll that takes the mark away.
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) & POLLED == 0 {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    /// Counts how often the runtime would have been told.
    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Counter {
        fn poll<F: Future>(self: &Arc<Self>, future: &mut InPlace<F>) -> Poll<F::Output> {
            Pin::new(future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
        }

        fn told(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn what_wakes_itself_goes_on_at_once_and_the_runtime_is_not_told() {
        let counter = Arc::new(Counter::default());
        let mut polls = 0;
        let mut future = in_place(poll_fn(|cx| {
            polls += 1;
            if polls == 3 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        assert!(counter.poll(&mut future).is_ready());
        assert_eq!(counter.told(), 0);
    }

    #[test]
    fn what_wakes_itself_for_ever_lets_others_run() {
        let counter = Arc::new(Counter::default());
        let polls = AtomicUsize::new(0);
        let mut future = in_place(poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        assert!(counter.poll(&mut future).is_pending());
        assert_eq!(polls.load(Ordering::Relaxed), IN_A_ROW);
        assert_eq!(counter.told(), 1, "the rest is the runtime's");
    }

    #[test]
    fn what_is_woken_while_it_rests_tells_the_runtime_each_time() {
        let counter = Arc::new(Counter::default());
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let mut future = in_place(async move { while receiver.recv().await.is_some() {} });
        for told in 1..4 {
            assert!(counter.poll(&mut future).is_pending());
            sender.send(()).expect("the receiver waits");
            assert_eq!(counter.told(), told);
        }
        drop(sender);
        assert!(counter.poll(&mut future).is_ready());
    }

    /// Threads ring at any moment of a poll; a lost wake would leave the future waiting.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_is_lost_between_threads() {
        for round in 0_u64..200 {
            let (sender, mut receiver) = mpsc::channel(1);
            let sending = tokio::spawn(async move {
                for number in 0..200 {
                    sender.send(number).await.expect("the receiver counts to the end");
                }
            });
            let counting = in_place(async move {
                let mut next = 0;
                while let Some(number) = receiver.recv().await {
                    assert_eq!(number, next);
                    next += 1;
                }
                next
            });
            let counted = tokio::time::timeout(Duration::from_secs(30), counting).await;
            assert_eq!(counted.ok(), Some(200), "in round {round}");
            sending.await.expect("the sender ends");
        }
    }
}
