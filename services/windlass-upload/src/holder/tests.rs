use windlass_task::{Generation, Origin, TaskId, Tenant, WriterEpoch};

use super::*;

fn key() -> TaskKey {
    TaskKey {
        tenant: Tenant::default_tenant(),
        id: TaskId::generate(&Origin::local()),
    }
}

#[tokio::test]
async fn the_newest_request_gets_the_hold_as_soon_as_it_is_released() {
    let (holders, key) = (Holders::new(), key());
    let first = holders.try_hold(&key).unwrap();
    assert!(holders.try_hold(&key).is_none());
    let taking = tokio::spawn({
        let (holders, key) = (holders.clone(), key.clone());
        async move { holders.take_over(&key).await }
    });
    assert_eq!(first.asked().await, Release::TakenOver);
    assert!(!taking.is_finished());
    drop(first);
    let second = taking.await.unwrap().unwrap();
    assert!(!second.forced);
    drop(second);
    assert!(holders.try_hold(&key).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_does_not_answer_is_overruled_and_cannot_come_back() {
    let (holders, key) = (Holders::new(), key());
    let stuck = holders.try_hold(&key).unwrap();
    let begin = Instant::now();
    let taken = holders.take_over(&key).await.unwrap();
    assert_eq!(begin.elapsed(), PATIENCE);
    let present = Token {
        generation: Generation(1),
        epoch: WriterEpoch(1),
        holder: holders.process(),
    };
    let token = taken.successor_of(&present).unwrap();
    assert_eq!(token.epoch, WriterEpoch(2));
    assert_ne!(token.holder, present.holder);
    drop(stuck);
    assert!(
        holders.try_hold(&key).is_none(),
        "the stuck holder's end released its successor's hold"
    );
    drop(taken);
    // The next one in this process finds a token that is not the process's own.
    let next = holders.try_hold(&key).unwrap();
    assert_eq!(next.successor_of(&token).map(|token| token.epoch), Some(WriterEpoch(3)));
}

#[tokio::test]
async fn of_two_that_wait_the_older_gives_way() {
    let (holders, key) = (Holders::new(), key());
    let held = holders.try_hold(&key).unwrap();
    let wait = |holders: &Holders| {
        let (holders, key) = (holders.clone(), key.clone());
        tokio::spawn(async move { holders.take_over(&key).await })
    };
    let older = wait(&holders);
    tokio::task::yield_now().await;
    let newer = wait(&holders);
    tokio::task::yield_now().await;
    drop(held);
    assert_eq!(older.await.unwrap().err(), Some(Refusal::Superseded));
    assert_eq!(newer.await.unwrap().unwrap().ticket, 3);
}

#[tokio::test]
async fn a_pause_that_is_over_stops_nobody_and_a_takeover_is_always_heard() {
    let (holders, key) = (Holders::new(), key());
    let mut hold = holders.try_hold(&key).unwrap();
    hold.goes_on_from(7);
    // The word of a pause comes late: an append has resumed since.
    holders.withdraw(&key, 6);
    holders.withdraw(&key, 7);
    tokio::select! {
        biased;
        reason = hold.asked() => panic!("asked to let go: {reason:?}"),
        () = tokio::task::yield_now() => {}
    }
    holders.withdraw(&key, 8);
    assert_eq!(hold.asked().await, Release::Withdrawn { revision: 8 });
    let taking = tokio::spawn({
        let (holders, key) = (holders.clone(), key.clone());
        async move { holders.take_over(&key).await }
    });
    while hold.asked().await != Release::TakenOver {
        tokio::task::yield_now().await;
    }
    holders.withdraw(&key, 9);
    assert_eq!(hold.asked().await, Release::TakenOver);
    drop(hold);
    assert!(taking.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_dead_process_left_a_token_that_is_replaced_by_the_next_epoch() {
    let (holders, key) = (Holders::new(), key());
    let dead = Token {
        generation: Generation(1),
        epoch: WriterEpoch(4),
        holder: HolderId::from_u128(9),
    };
    let token = holders.try_hold(&key).unwrap().successor_of(&dead).unwrap();
    assert_eq!((token.epoch, token.holder), (WriterEpoch(5), holders.process()));
    assert_eq!(holders.try_hold(&key).unwrap().successor_of(&token), None);
}
