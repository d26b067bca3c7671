//! Against a real Redis, and the harm that comes to one.

mod cluster;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use fixture_redis::{Proxy, Redis};
use tokio::time::Instant;
use windlass_redis::Durability;

use super::*;
use crate::change::Refusal;
use crate::epoch::HolderId;
use crate::event::Event;
use crate::feed::Follow;
use crate::fixture::creation;
use crate::job;
use crate::outbox::{Outbox, Position};
use crate::quota::{Claim, Grant, Quotas as _};
use crate::rebuild::Rebuild as _;
use crate::record::{Record, Segment, SegmentKind};
use crate::store::contract::{self, Backend, TestClock};

/// How long something may take that must come.
const WITHIN: Duration = Duration::from_secs(30);

fn store(url: String) -> RedisStore {
    RedisStore::open(&Settings::of(url)).unwrap()
}

#[tokio::test]
async fn the_redis_store_keeps_the_contract() {
    let servers = RefCell::new(Vec::new());
    contract::run(async || {
        let redis = Redis::start().await;
        let clock = TestClock::default();
        let shown = clock.clone();
        let store = RedisStore::with_clock(&Settings::of(redis.url()), Arc::new(move |_| shown.now())).unwrap();
        servers.borrow_mut().push(redis);
        let feed = store.feed().clone();
        Backend::of(store, feed, clock)
    })
    .await;
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WITHIN;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Creates a task, however long the store is away.
async fn create(store: &RedisStore, length: u64) -> Record {
    eventually("a created task", async || {
        let mut creation = creation(Some(length));
        creation.token.generation = store.generation(&creation.key).await.ok()?;
        match store.commit(Commit::create(creation)).await {
            Ok(Outcome::Committed(Entry::Live(record))) => Some(*record),
            Ok(other) => panic!("not created: {other:?}"),
            Err(_) => None,
        }
    })
    .await
}

fn advance_to(received: u64) -> Change {
    let segment = Segment {
        store: "disk".into(),
        key: "k".into(),
        start: 0,
        end: received,
        kind: SegmentKind::Part,
        parts: None,
    };
    Change::Advance {
        received,
        segments: vec![segment],
    }
}

fn advance(record: &Record, received: u64) -> Commit {
    Commit::held(
        record.key.clone(),
        record.token,
        record.received,
        vec![advance_to(received)],
    )
}

fn live(outcome: Outcome) -> Record {
    match outcome {
        Outcome::Committed(Entry::Live(record)) => *record,
        other => panic!("not committed: {other:?}"),
    }
}

async fn load(store: &RedisStore, key: &TaskKey) -> Record {
    let entry = eventually("an answer", async || store.load(key).await.ok()).await;
    match entry {
        Some(Entry::Live(record)) => *record,
        other => panic!("not there: {other:?}"),
    }
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_is_made_once_and_known_to_be() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let store = store(proxy.url());
    store.join("all").await.unwrap();
    let record = create(&store, 100).await;
    // The reading passes, the writing loses its reply: the server is slow enough for the proxy to change its mind.
    redis.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    for received in 1..=20 {
        let before = load(&store, &record.key).await;
        let losing = async {
            tokio::time::sleep(Duration::from_micros(100 * received)).await;
            proxy.lose_replies();
            tokio::time::sleep(Duration::from_millis(2)).await;
            proxy.pass();
        };
        let (outcome, ()) = tokio::join!(store.commit(advance(&before, received)), losing);
        let after = match outcome {
            Ok(outcome) => live(outcome),
            // It was the reading that was lost: nothing was done.
            Err(_) => {
                let unchanged = load(&store, &record.key).await;
                assert_eq!(unchanged.revision, before.revision);
                live(
                    eventually("the commit", async || {
                        store.commit(advance(&unchanged, received)).await.ok()
                    })
                    .await,
                )
            }
        };
        assert_eq!((after.received, after.revision), (received, before.revision + 1));
    }
    let events = eventually("the event", async || {
        let at = store.join("all").await.ok()?;
        store.read("all", at, 10).await.ok().filter(|events| !events.is_empty())
    })
    .await;
    assert_eq!(events.len(), 1, "{events:?}");
}

#[tokio::test]
async fn what_was_answered_survives_kill_nine_and_belongs_to_a_former_generation() {
    let mut redis = Redis::start().await;
    let store = store(redis.url());
    let record = create(&store, 100).await;
    let record = live(store.commit(advance(&record, 10)).await.unwrap());
    redis.kill();
    assert!(store.load(&record.key).await.is_err());
    redis.restart().await;
    assert_eq!(load(&store, &record.key).await, record);
    let generation = store.generation(&record.key).await.unwrap();
    assert!(generation > record.token.generation);
    assert!(matches!(
        store.commit(advance(&record, 20)).await.unwrap(),
        Outcome::Refused(Refusal::Generation, Some(_))
    ));
    let created = create(&store, 1).await;
    assert_eq!(created.token.generation, generation);
}

#[tokio::test]
async fn an_empty_redis_begins_a_greater_generation_than_all_that_was_given() {
    let mut redis = Redis::start().await;
    let store = store(redis.url());
    let record = create(&store, 100).await;
    redis.kill();
    redis.restart_empty().await;
    let entry = eventually("an answer", async || store.load(&record.key).await.ok()).await;
    assert_eq!(entry, None);
    assert!(store.generation(&record.key).await.unwrap() > record.token.generation);

    // Emptied under a living connection, it is noticed as well.
    let record = create(&store, 100).await;
    redis.command(&["FLUSHALL"]);
    let generation = eventually("a generation", async || store.generation(&record.key).await.ok()).await;
    assert!(generation > record.token.generation);
}

#[tokio::test]
async fn a_replica_that_lags_and_is_promoted_refuses_the_tokens_of_what_it_may_have_forgotten() {
    let primary = Redis::start().await;
    let link = Proxy::to(primary.address()).await;
    let mut replica = primary.replica_through(&link).await;
    let proxy = Proxy::to(primary.address()).await;
    let store = store(proxy.url());
    let record = create(&store, 100).await;
    eventually("the record on the replica", async || {
        (replica.command(&["EXISTS", &keys::task(&record.key)]) == Value::Int(1)).then_some(())
    })
    .await;
    link.hold();
    let shown = live(store.commit(advance(&record, 50)).await.unwrap());
    drop((primary, link));
    replica.promote();
    proxy.turn_to(replica.address());
    let survived = load(&store, &record.key).await;
    assert!(survived.received < shown.received, "the replica has not lagged");
    // What it has is of a former generation, which is how a reader knows that it may be too little.
    assert!(store.generation(&record.key).await.unwrap() > survived.token.generation);
    assert!(matches!(
        store.commit(advance(&survived, 20)).await.unwrap(),
        Outcome::Refused(Refusal::Generation, _)
    ));
}

/// The last writes of a primary that hands over to this process, as docs/redis.md tells those who run it.
fn heir_writes(process: &str, until: u64) -> Vec<Vec<String>> {
    keys::partitions()
        .map(keys::generation)
        .map(|generation| {
            let words = ["HSET", &generation, "heir", &format!("{process}:{until}")];
            words.map(str::to_owned).to_vec()
        })
        .collect()
}

#[tokio::test]
async fn a_planned_switchover_keeps_the_generation_if_the_heir_comes_in_time() {
    const FAR: u64 = 4_000_000_000_000;
    for (until, is_heir, keeps) in [(FAR, true, true), (1, true, false), (FAR, false, false)] {
        let mut primary = Redis::start().await;
        let mut replica = primary.replica().await;
        let proxy = Proxy::to(primary.address()).await;
        let store = store(proxy.url());
        let record = create(&store, 100).await;
        let shown = live(store.commit(advance(&record, 50)).await.unwrap());
        let heir = if is_heir { &replica } else { &primary };
        let process = heir.info("server", "run_id").unwrap();
        primary.hand_over(&mut replica, &heir_writes(&process, until)).await;
        proxy.turn_to(replica.address());
        let survived = load(&store, &record.key).await;
        assert_eq!(survived.received, shown.received);
        let generation = store.generation(&record.key).await.unwrap();
        assert_eq!(generation == record.token.generation, keeps, "{until} {is_heir}");
        // The field is used up: what is promoted later without a plan is no heir.
        let left = replica.command(&["HEXISTS", &keys::generation(record.key.id.partition()), "heir"]);
        assert_eq!(left, Value::Int(0));
        let committed = store.commit(advance(&survived, 60)).await.unwrap();
        assert_eq!(matches!(committed, Outcome::Committed(_)), keeps);
    }
}

#[tokio::test]
async fn a_strict_commit_that_no_replica_has_is_unknown() {
    let primary = Redis::start().await;
    let settings = Settings {
        durability: Durability::Strict,
        ..Settings::of(primary.url())
    };
    let store = RedisStore::open(&settings).unwrap();
    let replica = primary.replica().await;
    let record = create(&store, 100).await;
    let record = live(store.commit(advance(&record, 10)).await.unwrap());
    replica.pause();
    assert!(matches!(
        store.commit(advance(&record, 20)).await.unwrap(),
        Outcome::Unknown
    ));
    replica.resume();
    let record = load(&store, &record.key).await;
    assert_eq!(record.received, 20, "it was made, and nobody was told so");
    live(eventually("a commit", async || store.commit(advance(&record, 30)).await.ok()).await);
}

/// Two processes race for one task while its Redis, which forgets nothing, is cut, killed, hung and made to lose its
/// scripts. Whatever was acknowledged is there ever after, and each commit that was made was made once. (What a Redis
/// forgets is of a former generation: the tests of reconciliation.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_offset_decreases_and_no_commit_is_made_twice_whatever_is_done_to_redis() {
    const ROUNDS: u64 = 42;
    let mut redis = Redis::start().await;
    let proxies = [Proxy::to(redis.address()).await, Proxy::to(redis.address()).await];
    let stores = [store(proxies[0].url()), store(proxies[1].url())];
    let record = create(&stores[0], 1_000_000).await;
    let (acknowledged, made, unknown) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let harmed = AtomicBool::new(false);
    let racer = async |store: &RedisStore| {
        while !harmed.load(Ordering::SeqCst) {
            let floor = acknowledged.load(Ordering::SeqCst);
            let before = load(store, &record.key).await;
            assert!(
                before.received >= floor,
                "{} after {floor} was acknowledged",
                before.received
            );
            let commit = Commit::present(record.key.clone(), vec![advance_to(before.received + 1)]);
            match store.commit(commit).await {
                Ok(Outcome::Committed(Entry::Live(after))) => {
                    acknowledged.fetch_max(after.received, Ordering::SeqCst);
                    made.fetch_add(1, Ordering::SeqCst);
                }
                Ok(Outcome::Unknown) => drop(unknown.fetch_add(1, Ordering::SeqCst)),
                // The other was faster.
                Ok(Outcome::Refused(..)) | Err(_) => {}
                Ok(other) => panic!("{other:?}"),
            }
        }
    };
    let harm = async {
        for round in 0..ROUNDS {
            tokio::time::sleep(Duration::from_millis(15 + 7 * (round % 5))).await;
            let proxy = &proxies[(round % 2) as usize];
            match round % 7 {
                0 | 3 => proxy.lose_replies(),
                1 => proxy.cut(),
                2 => proxy.hold(),
                4 => drop(redis.try_command(&["SCRIPT", "FLUSH"])),
                5 => {
                    redis.kill();
                    redis.restart().await;
                }
                _ => {
                    redis.pause();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    redis.resume();
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            proxy.pass();
        }
        harmed.store(true, Ordering::SeqCst);
    };
    tokio::join!(racer(&stores[0]), racer(&stores[1]), harm);
    let record = load(&stores[0], &record.key).await;
    let (made, unknown) = (made.into_inner(), unknown.into_inner());
    println!(
        "{made} commits made, {unknown} unknown, {} connections",
        stores[0].client().connections()
    );
    assert!(record.received >= acknowledged.into_inner());
    let commits = record.revision - 1;
    // The one commit that created it was not counted.
    assert!(
        (made..=made + unknown).contains(&commits),
        "{commits} commits of {made} and {unknown} unknown"
    );
    assert!(made > ROUNDS);
}

#[tokio::test]
async fn what_another_process_commits_is_told_and_after_a_cut_the_last_value_comes() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let (writer, watcher) = (store(redis.url()), store(proxy.url()));
    let record = create(&writer, 100).await;
    let other = create(&writer, 100).await;
    let mut listener = watcher.feed().listen();
    watcher.follow(&record.key).await.unwrap();
    live(writer.commit(advance(&other, 1)).await.unwrap());
    let record = live(writer.commit(advance(&record, 1)).await.unwrap());
    let update = listener.next().await;
    assert_eq!(
        (&update.key, update.offset),
        (&record.key, 1),
        "who is not followed is told of"
    );

    proxy.cut();
    eventually("no connection", async || {
        (!watcher.client().is_connected()).then_some(())
    })
    .await;
    let mut record = record;
    for received in 2..=10 {
        record = live(writer.commit(advance(&record, received)).await.unwrap());
    }
    proxy.pass();
    let mut seen = update.revision;
    let last = tokio::time::timeout(WITHIN, async {
        loop {
            let update = listener.next().await;
            assert!(update.revision > seen, "an older value after a newer");
            seen = update.revision;
            if update.offset == 10 {
                return update;
            }
        }
    });
    assert_eq!(last.await.unwrap().revision, record.revision);
}

/// Takes everything that a store's process is given until it has `wanted` of a task each.
async fn take_all(store: &RedisStore, at: &mut Position, seen: &mut HashMap<TaskId, Vec<u64>>) -> bool {
    let events: Vec<(Position, Arc<Event>)> = match store.read("all", *at, 100).await {
        Ok(events) => events,
        Err(Error::MoveOutbox) => {
            *at = store.join("all").await.unwrap();
            return false;
        }
        Err(error) => panic!("{error}"),
    };
    for (position, event) in &events {
        seen.entry(event.subject.clone()).or_default().push(event.sequence);
        *at = *position;
    }
    store.acknowledge("all", *at).await.unwrap();
    !events.is_empty()
}

#[tokio::test]
async fn two_processes_share_the_outbox_and_one_goes_on_where_the_other_died() {
    let redis = Redis::start().await;
    let (first, second) = (store(redis.url()), store(redis.url()));
    let mut ats = [first.join("all").await.unwrap(), second.join("all").await.unwrap()];
    let mut seen = [HashMap::new(), HashMap::new()];
    let shares = async |store: &RedisStore| store.inner.delivery.lock().owned.len();
    eventually("an even share", async || {
        first.inner.delivery.hurry.notify_one();
        second.inner.delivery.hurry.notify_one();
        (shares(&first).await == 128 && shares(&second).await == 128).then_some(())
    })
    .await;
    let mut records = Vec::new();
    for _ in 0..40 {
        records.push(create(&first, 10).await);
    }
    eventually("each event at one of them", async || {
        take_all(&first, &mut ats[0], &mut seen[0]).await;
        take_all(&second, &mut ats[1], &mut seen[1]).await;
        (seen[0].len() + seen[1].len() == 40).then_some(())
    })
    .await;
    assert!(!seen[0].is_empty() && !seen[1].is_empty());

    // The first dies with its leases; what happens then is delivered by the second once they have ended.
    drop(first);
    for record in &records {
        let end = Commit::present(record.key.clone(), vec![Change::Terminate]);
        second.commit(end).await.unwrap();
    }
    eventually("each end at the second", async || {
        take_all(&second, &mut ats[1], &mut seen[1]).await;
        let ended = seen[1].values().filter(|sequences| sequences.contains(&2)).count();
        (ended == 40).then_some(())
    })
    .await;
    assert!(seen[1].values().all(|sequences| sequences.is_sorted()));
    eventually("an outbox without what everybody has", async || {
        let left =
            keys::partitions().any(|partition| redis.command(&["XLEN", &keys::outbox(partition)]) != Value::Int(0));
        (!left).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_held_back_is_found_by_whoever_delivers_next() {
    let redis = Redis::start().await;
    let first = store(redis.url());
    let at = first.join("hooks").await.unwrap();
    first.join("log").await.unwrap();
    let record = create(&first, 10).await;
    let events = first.read("hooks", at, 10).await.unwrap();
    let (position, _) = events[0];
    first.hold_back("hooks", position).await.unwrap();
    first.acknowledge("hooks", position).await.unwrap();
    first.acknowledge("log", position).await.unwrap();
    first.close().await;

    let second = store(redis.url());
    let at = second.join("hooks").await.unwrap();
    let held = eventually("what is held", async || {
        let held = second.held("hooks", 10).await.ok()?;
        (!held.is_empty()).then_some(held)
    })
    .await;
    assert_eq!(held[0].event.subject, record.key.id);
    assert!(!held[0].lost && held[0].since.0 > 0);
    assert!(
        second.read("hooks", at, 10).await.unwrap().is_empty(),
        "it is held and read"
    );
    second.let_go("hooks", held[0].position, true).await.unwrap();
    assert!(second.held("hooks", 10).await.unwrap()[0].lost);
    second.let_go("hooks", held[0].position, false).await.unwrap();
    assert!(second.held("hooks", 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn two_pods_count_a_tenant_together() {
    let redis = Redis::start().await;
    let (one, other) = (store(redis.url()), store(redis.url()));
    let tenant: Tenant = "acme".parse().unwrap();
    let key = || TaskKey {
        tenant: tenant.clone(),
        id: creation(None).key.id,
    };
    let hour = Duration::from_secs(3_600);
    let first = key();
    assert!(one.add_open(&first, 2, hour).await.unwrap());
    assert!(other.add_open(&key(), 2, hour).await.unwrap());
    assert!(!one.add_open(&key(), 2, hour).await.unwrap());
    assert!(other.add_open(&first, 2, hour).await.unwrap(), "it is one of the two");
    other.remove_open(&first).await.unwrap();
    assert!(one.add_open(&key(), 2, Duration::from_millis(1)).await.unwrap());
    eventually("the end of the short one", async || {
        other.add_open(&first, 2, hour).await.unwrap().then_some(())
    })
    .await;

    // A second's worth at once, whoever asks, and then nothing for a while.
    let mut granted = 0;
    let wait = loop {
        let store = if granted % 2 == 0 { &one } else { &other };
        match store.grant(&tenant, 80, 10).await.unwrap() {
            Grant::Given => granted += 1,
            Grant::After(wait) => break wait,
        }
    };
    // Eight are a second's worth; more only if asking took a part of one.
    assert!(granted >= 8, "{granted}");
    assert!(wait <= Duration::from_millis(125), "{wait:?}");
    let elsewhere: Tenant = "other".parse().unwrap();
    assert_eq!(one.grant(&elsewhere, 80, 10).await.unwrap(), Grant::Given);
}

#[tokio::test]
async fn two_pods_share_what_a_tenant_may_have_in_memory() {
    let redis = Redis::start().await;
    let pods = [store(redis.url()), store(redis.url())].map(|store| (store, HolderId::random()));
    let [one, other] = &pods;
    let tenant: Tenant = "acme".parse().unwrap();
    let lease = async |(store, process): &(RedisStore, HolderId), held, wanted, lasts| {
        let claim = Claim {
            process: *process,
            held,
            wanted,
        };
        store.lease(&tenant, 100, claim, lasts).await.unwrap()
    };
    assert_eq!(lease(one, 0, 1_000, WITHIN).await, 100);
    assert_eq!(lease(other, 0, 1_000, WITHIN).await, 0, "nothing is left over yet");
    assert_eq!(
        lease(one, 60, 1_000, WITHIN).await,
        60,
        "it comes down to what it holds"
    );
    assert_eq!(lease(other, 0, 1_000, WITHIN).await, 40);
    assert_eq!(lease(one, 10, 1_000, WITHIN).await, 50);
    assert_eq!(lease(other, 40, 1_000, WITHIN).await, 50);
    assert_eq!(lease(one, 10, 20, WITHIN).await, 20, "it wants no more");
    assert_eq!(lease(other, 50, 1_000, WITHIN).await, 80);
    assert_eq!(lease(one, 0, 0, WITHIN).await, 0);
    assert_eq!(lease(other, 0, 1_000, Duration::from_millis(1)).await, 100);
    eventually("the end of a lease that nobody renews", async || {
        (lease(one, 0, 1_000, WITHIN).await == 100).then_some(())
    })
    .await;
}

#[tokio::test]
async fn of_all_processes_one_has_the_turn_at_a_job() {
    let redis = Redis::start().await;
    let (first, second) = (store(redis.url()), store(redis.url()));
    job::contract::run(&first, &second).await;
}

#[tokio::test]
async fn a_walk_of_another_generation_makes_nothing_whole() {
    let mut redis = Redis::start().await;
    let (one, other) = (store(redis.url()), store(redis.url()));
    let unfinished = async |store: &RedisStore| {
        let walk = eventually("an answer", async || store.unfinished().await.ok()).await;
        walk.expect("nothing is whole")
    };
    let mut walk = unfinished(&one).await;
    walk.after = Some("here".to_owned());
    assert!(one.note(&walk).await.unwrap());
    redis.kill();
    redis.restart().await;
    let noted = eventually("an answer", async || one.note(&walk).await.ok()).await;
    assert!(!noted, "the walk goes on in another generation");
    one.finish(&walk).await.unwrap();
    let key = creation(None).key;
    assert!(!other.is_whole(&key).await.unwrap());
    let anew = unfinished(&other).await;
    assert!(other.note(&anew).await.unwrap());
    assert_eq!(unfinished(&one).await.after, None);
    other.finish(&anew).await.unwrap();
    assert!(one.is_whole(&key).await.unwrap());
}
