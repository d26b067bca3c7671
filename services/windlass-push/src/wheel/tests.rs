use std::task::Poll;

use proptest::prelude::*;

use super::*;
use crate::queue::Order;

/// Waits as a connection's task does: looks at its deadline, then registers, then sets the alarm.
async fn wait(alarm: &mut Alarm, outbox: &Outbox, deadline: Instant) -> Instant {
    std::future::poll_fn(|cx| {
        let now = Instant::now();
        if now >= deadline {
            return Poll::Ready(now);
        }
        assert!(outbox.poll_take(cx).is_pending(), "nobody gives orders here");
        alarm.set(deadline);
        Poll::Pending
    })
    .await
}

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(1_000))
}

/// Runs `test` in virtual time beside a wheel that turns.
fn with_wheel<T>(test: impl AsyncFnOnce(Arc<Wheel>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        let wheel = Wheel::new();
        let turning = tokio::spawn({
            let wheel = Arc::clone(&wheel);
            async move { wheel.turn().await }
        });
        let result = test(wheel).await;
        turning.abort();
        result
    })
}

proptest! {
    #[test]
    fn every_deadline_is_met_once_it_is_over_and_at_most_two_ticks_late(
        rows in proptest::collection::vec((0..200_000_u64, proptest::collection::vec(0..200_000_u64, 1..4)), 1..20)
    ) {
        with_wheel(async |wheel| {
            let mut tasks = Vec::new();
            for (pause, times) in rows {
                let wheel = Arc::clone(&wheel);
                tasks.push(tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    let outbox = outbox();
                    let mut alarm = wheel.alarm(&outbox);
                    for time in times {
                        let deadline = Instant::now() + Duration::from_millis(time);
                        let met = wait(&mut alarm, &outbox, deadline).await;
                        assert!(met >= deadline && met <= deadline + 2 * TICK);
                    }
                }));
            }
            for task in tasks {
                task.await.expect("its deadlines are met");
            }
            assert!(wheel.lock().alarms.is_empty());
        });
    }
}

#[test]
fn a_deadline_that_comes_nearer_is_met_and_one_that_moves_on_costs_nothing() {
    with_wheel(async |wheel| {
        let outbox = outbox();
        let mut alarm = wheel.alarm(&outbox);
        let start = Instant::now();
        alarm.set(start + Duration::from_secs(60));
        for seconds in 60..600 {
            alarm.set(start + Duration::from_secs(seconds));
        }
        let waiting: usize = wheel.lock().places.iter().map(Vec::len).sum();
        assert_eq!(waiting, 1);
        let near = start + Duration::from_secs(3);
        assert!(wait(&mut alarm, &outbox, near).await <= near + 2 * TICK);
    });
}

#[test]
fn what_a_sleeping_process_missed_is_met_when_it_wakes() {
    with_wheel(async |wheel| {
        let outboxes: Vec<_> = (0..5).map(|_| outbox()).collect();
        let start = Instant::now();
        let mut alarms: Vec<_> = outboxes.iter().map(|outbox| wheel.alarm(outbox)).collect();
        for (alarm, seconds) in alarms.iter_mut().zip([1, 50, 102, 150, 1_000]) {
            alarm.set(start + Duration::from_secs(seconds));
        }
        // The machine stood still for many turns of the wheel.
        let now = wheel.tick_at(start + Duration::from_secs(900));
        assert_eq!(wheel.advance(now).len(), 4);
        assert_eq!(
            wheel.advance(wheel.tick_at(start + Duration::from_secs(1_001))).len(),
            1
        );
    });
}

#[test]
fn nothing_moves_without_alarms_and_who_has_left_is_not_woken() {
    with_wheel(async |wheel| {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(wheel.met.load(Ordering::Relaxed), 0);
        let outbox = outbox();
        let mut alarm = wheel.alarm(&outbox);
        alarm.set(Instant::now() + Duration::from_secs(1));
        drop(alarm);
        assert_eq!(Arc::strong_count(&outbox), 1);
        outbox.order(Order::Leave(Duration::ZERO));
        assert!(
            wheel
                .advance(wheel.tick_at(Instant::now() + Duration::from_secs(9)))
                .is_empty()
        );
    });
}
