//! The same on a cluster, and the harm that comes to one.

use fixture_redis::Cluster;
use windlass_redis::Slot;

use super::*;
use crate::epoch::Generation;

fn settings(cluster: &Cluster, durability: Durability) -> Settings {
    Settings {
        cluster: true,
        nodes: cluster.others(),
        durability,
        ..Settings::of(cluster.url())
    }
}

#[tokio::test]
async fn the_redis_store_keeps_the_contract_on_a_cluster() {
    let cluster = Cluster::start(3).await;
    contract::run(async || {
        for primary in cluster.primaries() {
            primary.command(&["FLUSHALL"]);
        }
        let clock = TestClock::default();
        let shown = clock.clone();
        let settings = settings(&cluster, Durability::Available);
        let store = RedisStore::with_clock(&settings, Arc::new(move |_| shown.now())).unwrap();
        eventually("all primaries", async || store.client().is_connected().then_some(())).await;
        let feed = store.feed().clone();
        Backend::of(store, feed, clock)
    })
    .await;
}

/// What two processes that race for one task saw of it.
#[derive(Default)]
struct Race {
    acknowledged: AtomicU64,
    made: AtomicU64,
    unknown: AtomicU64,
    ended: AtomicBool,
}

impl Race {
    async fn run(self: Arc<Self>, store: RedisStore, key: TaskKey) {
        while !self.ended.load(Ordering::SeqCst) {
            let floor = self.acknowledged.load(Ordering::SeqCst);
            let Ok(entry) = store.load(&key).await else { continue };
            let Some(Entry::Live(before)) = entry else {
                panic!("it is gone: {entry:?}");
            };
            assert!(
                before.received >= floor,
                "{} after {floor} was acknowledged",
                before.received
            );
            let commit = Commit::present(key.clone(), vec![advance_to(before.received + 1)]);
            match store.commit(commit).await {
                Ok(Outcome::Committed(Entry::Live(after))) => {
                    self.acknowledged.fetch_max(after.received, Ordering::SeqCst);
                    self.made.fetch_add(1, Ordering::SeqCst);
                }
                Ok(Outcome::Unknown) => drop(self.unknown.fetch_add(1, Ordering::SeqCst)),
                // The other was faster, or it is of another generation.
                Ok(Outcome::Refused(..) | Outcome::Conflict(_)) | Err(_) => {}
                Ok(other) => panic!("{other:?}"),
            }
        }
    }
}

async fn generation(store: &RedisStore, key: &TaskKey) -> Generation {
    eventually("a generation", async || store.generation(key).await.ok()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_offset_decreases_and_no_commit_is_made_twice_while_slots_move_and_a_primary_dies() {
    const MOVES: usize = 6;
    let mut cluster = Cluster::start(3).await;
    let strict = settings(&cluster, Durability::Strict);
    let stores = [RedisStore::open(&strict).unwrap(), RedisStore::open(&strict).unwrap()];
    let record = create(&stores[0], 1_000_000).await;
    let key = &record.key;
    let race = Arc::new(Race::default());
    let racers = stores
        .each_ref()
        .map(|store| tokio::spawn(Arc::clone(&race).run(store.clone(), key.clone())));
    let progress = async |by: u64| {
        let begun = race.made.load(Ordering::SeqCst);
        eventually("commits", async || {
            (race.made.load(Ordering::SeqCst) >= begun + by).then_some(())
        })
        .await;
    };

    let name = keys::task(key);
    let has = |server: &Redis| server.try_command(&["EXISTS", &name]).is_ok();
    let mut owner = cluster.primaries().iter().position(has).unwrap();
    for _ in 0..MOVES {
        progress(20).await;
        eventually("maps that were read since", async || {
            stores.iter().all(|store| store.client().is_settled()).then_some(())
        })
        .await;
        let next = (owner + 1) % 3;
        cluster.begin_move(Slot::of(&name).number(), owner, next);
        cluster.end_move(Slot::of(&name).number(), owner, next);
        owner = next;
    }
    progress(20).await;
    assert_eq!(
        generation(&stores[0], key).await,
        record.token.generation,
        "nothing was forgotten"
    );

    cluster.kill(owner).await;
    let after = eventually("the generation after the failure", async || {
        let after = stores[0].generation(key).await.ok()?;
        (after > record.token.generation).then_some(after)
    })
    .await;
    eventually("the same at the other process", async || {
        (stores[1].generation(key).await.ok()? == after).then_some(())
    })
    .await;
    race.ended.store(true, Ordering::SeqCst);
    for racer in racers {
        racer.await.unwrap();
    }
    let last = load(&stores[0], key).await;
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    let (made, unknown) = (count(&race.made), count(&race.unknown));
    println!("{made} commits made, {unknown} unknown, {MOVES} moves of their slot and a promotion");
    assert!(last.received >= count(&race.acknowledged));
    // The one commit that created it was not counted.
    let commits = last.revision - 1;
    assert!(
        (made..=made + unknown).contains(&commits),
        "{commits} commits of {made} and {unknown} unknown"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_delivers_events_and_latest_values_after_a_primary_died() {
    let mut cluster = Cluster::start(3).await;
    let settings = settings(&cluster, Durability::Strict);
    let store = RedisStore::open(&settings).unwrap();
    eventually("the outbox", async || store.join("all").await.ok()).await;
    let mut records = Vec::new();
    for _ in 0..24 {
        records.push(create(&store, 10).await);
    }
    let watcher = RedisStore::open(&settings).unwrap();
    let mut listener = watcher.feed().listen();
    for record in &records {
        eventually("a subscription", async || watcher.follow(&record.key).await.ok()).await;
    }
    cluster.kill(1).await;
    for record in &records {
        let end = Commit::present(record.key.clone(), vec![Change::Terminate]);
        eventually("an end", async || {
            matches!(
                store.commit(end.clone()).await,
                Ok(Outcome::Committed(_) | Outcome::Refused(..))
            )
            .then_some(())
        })
        .await;
    }
    let mut ended = std::collections::HashSet::new();
    while ended.len() < records.len() {
        let update = tokio::time::timeout(WITHIN, listener.next())
            .await
            .expect("the last value of each task");
        if matches!(update.standing, Standing::Gone(_)) {
            ended.insert(update.key.clone());
        }
    }
    let (mut at, mut seen) = (store.join("all").await.unwrap(), HashMap::new());
    eventually("the end of each task", async || {
        take_all(&store, &mut at, &mut seen).await;
        let ended = seen.values().filter(|sequences| sequences.contains(&2)).count();
        (ended == records.len()).then_some(())
    })
    .await;
    assert!(seen.values().all(|sequences| sequences.is_sorted()), "{seen:?}");
}
