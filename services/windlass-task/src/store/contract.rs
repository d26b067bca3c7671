//! What every back end must do, run against each of them with its real part.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::inventory::Inventory;
use super::{Cause, Commit, Entry, Outcome, TOMBSTONE_LIFETIME, TaskStore};
use crate::catalogue::Catalogue;
use crate::change::{Change, Refusal, Verdict};
use crate::epoch::{HolderId, Token};
use crate::event::{Event, EventType};
use crate::feed::{Feed, Standing};
use crate::fixture;
use crate::id::{Alias, TaskKey};
use crate::outbox::{Outbox, Position};
use crate::rebuild::Rebuild;
use crate::record::{Creation, Record, Segment, SegmentKind};
use crate::status::Status;
use crate::time::UnixMillis;

/// One back end under test, with the clock that it was given.
pub(super) struct Backend {
    pub(super) store: Arc<dyn TaskStore>,
    pub(super) inventory: Arc<dyn Inventory>,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) catalogue: Arc<dyn Catalogue>,
    pub(super) feed: Feed,
    pub(super) rebuild: Arc<dyn Rebuild>,
    pub(super) clock: TestClock,
}

impl Backend {
    pub(super) fn of(
        store: impl TaskStore + Inventory + Outbox + Catalogue + Rebuild,
        feed: Feed,
        clock: TestClock,
    ) -> Self {
        let store = Arc::new(store);
        Self {
            inventory: store.clone(),
            outbox: store.clone(),
            catalogue: store.clone(),
            rebuild: store.clone(),
            store,
            feed,
            clock,
        }
    }
}

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
pub(super) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub(super) fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }

    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

/// Runs the whole suite, each case on a back end of its own.
pub(super) async fn run(backend: impl AsyncFn() -> Backend) {
    a_commit_is_made_only_on_what_it_expects(&backend().await).await;
    a_taken_task_refuses_its_former_writer(&backend().await).await;
    of_many_writers_at_once_exactly_one_commits(&backend().await).await;
    what_is_refused_leaves_no_trace(&backend().await).await;
    events_come_in_order_at_least_once_to_each_group(&backend().await).await;
    an_alias_finds_its_task_within_its_tenant_only(&backend().await).await;
    what_is_due_is_found_and_forgotten_in_its_time(&backend().await).await;
    the_end_of_what_was_taken_over_is_never_forgotten(&backend().await).await;
    the_catalogue_lists_an_owners_tasks_newest_first(&backend().await).await;
    the_feed_hears_of_what_changes_what_is_shown(&backend().await).await;
    every_task_is_in_the_inventory(&backend().await).await;
    a_store_is_whole_after_one_walk_that_goes_on_where_it_stood(&backend().await).await;
}

/// A creation with a token of the store's present generation.
async fn creation(backend: &Backend, length: u64) -> Creation {
    let mut creation = fixture::creation(Some(length));
    creation.token.generation = backend.store.generation(&creation.key).await.unwrap();
    creation
}

fn segments(received: u64) -> Vec<Segment> {
    vec![Segment {
        store: "disk".into(),
        key: "k".into(),
        start: 0,
        end: received,
        kind: SegmentKind::Part,
        parts: None,
    }]
}

fn advance(record: &Record, received: u64) -> Commit {
    let change = Change::Advance {
        received,
        segments: segments(received),
    };
    Commit::held(record.key.clone(), record.token, record.received, vec![change])
}

fn live(outcome: Outcome) -> Record {
    match outcome {
        Outcome::Committed(Entry::Live(record)) => *record,
        other => panic!("not committed: {other:?}"),
    }
}

async fn create(backend: &Backend, length: u64) -> Record {
    let creation = creation(backend, length).await;
    live(backend.store.commit(Commit::create(creation)).await.unwrap())
}

async fn a_commit_is_made_only_on_what_it_expects(backend: &Backend) {
    let store = &backend.store;
    let record = create(backend, 100).await;
    assert_eq!(
        store.load(&record.key).await.unwrap(),
        Some(Entry::Live(Box::new(record.clone())))
    );

    let mut again = creation(backend, 100).await;
    again.key = record.key.clone();
    assert!(matches!(
        store.commit(Commit::create(again)).await.unwrap(),
        Outcome::Conflict(Some(_))
    ));

    let stale = advance(&record, 10);
    let after = live(store.commit(advance(&record, 20)).await.unwrap());
    assert_eq!(
        (after.received, after.status, after.revision),
        (20, Status::Uploading, record.revision + 1)
    );
    match store.commit(stale).await.unwrap() {
        Outcome::Conflict(Some(Entry::Live(current))) => assert_eq!(current.received, 20),
        other => panic!("a stale offset was taken: {other:?}"),
    }

    let mut elsewhere = record.key.clone();
    elsewhere.tenant = "other".parse().unwrap();
    assert_eq!(store.load(&elsewhere).await.unwrap(), None);
    let commit = Commit::present(elsewhere, vec![Change::Pause]);
    assert!(matches!(
        store.commit(commit).await.unwrap(),
        Outcome::Refused(Refusal::Absent, None)
    ));
}

async fn a_taken_task_refuses_its_former_writer(backend: &Backend) {
    let record = create(backend, 100).await;
    let token = Token {
        epoch: record.token.epoch.next(),
        holder: HolderId::random(),
        ..record.token
    };
    let take = Commit::held(record.key.clone(), record.token, 0, vec![Change::Take { token }]);
    let taken = live(backend.store.commit(take).await.unwrap());
    assert!(matches!(
        backend.store.commit(advance(&record, 10)).await.unwrap(),
        Outcome::Conflict(_)
    ));
    assert_eq!(
        live(backend.store.commit(advance(&taken, 10)).await.unwrap()).received,
        10
    );
}

async fn of_many_writers_at_once_exactly_one_commits(backend: &Backend) {
    let record = create(backend, 100).await;
    let mut attempts = tokio::task::JoinSet::new();
    for received in 1..=50 {
        let (store, commit) = (Arc::clone(&backend.store), advance(&record, received));
        attempts.spawn(async move { matches!(store.commit(commit).await.unwrap(), Outcome::Committed(_)) });
    }
    let made = attempts.join_all().await.into_iter().filter(|made| *made).count();
    assert_eq!(made, 1);
}

async fn what_is_refused_leaves_no_trace(backend: &Backend) {
    let record = create(backend, 100).await;
    let before = unacknowledged(&backend.outbox, "trace").await.len();
    let finish = Change::Finish(Verdict::Accept);
    let half = Change::Advance {
        received: 50,
        segments: segments(50),
    };
    let commit = Commit::held(record.key.clone(), record.token, 0, vec![half, finish]);
    assert!(matches!(
        backend.store.commit(commit).await.unwrap(),
        Outcome::Refused(Refusal::Verdict, Some(_))
    ));
    assert_eq!(
        backend.store.load(&record.key).await.unwrap(),
        Some(Entry::Live(Box::new(record)))
    );
    assert_eq!(unacknowledged(&backend.outbox, "trace").await.len(), before);
}

/// What a group would be given if it began now.
async fn unacknowledged(outbox: &Arc<dyn Outbox>, group: &'static str) -> Vec<(Position, Arc<Event>)> {
    let at = outbox.join(group).await.unwrap();
    outbox.read(group, at, 100).await.unwrap()
}

async fn events_come_in_order_at_least_once_to_each_group(backend: &Backend) {
    let outbox = &backend.outbox;
    outbox.join("one").await.unwrap();
    outbox.join("two").await.unwrap();
    let record = create(backend, 10).await;
    let mut commit = advance(&record, 10);
    commit.changes.push(Change::Finish(Verdict::Accept));
    live(backend.store.commit(commit).await.unwrap());

    let kinds = |events: &[(Position, Arc<Event>)]| -> Vec<_> {
        events.iter().map(|(_, event)| (event.kind, event.sequence)).collect()
    };
    let expected = [(EventType::Created, 1), (EventType::Completed, 2)];
    let first = unacknowledged(outbox, "one").await;
    assert_eq!(kinds(&first), expected);
    assert_eq!(
        kinds(&unacknowledged(outbox, "one").await),
        expected,
        "unacknowledged events come again"
    );
    outbox.acknowledge("one", first[0].0).await.unwrap();
    assert_eq!(kinds(&unacknowledged(outbox, "one").await), expected[1..]);
    assert_eq!(
        kinds(&unacknowledged(outbox, "two").await),
        expected,
        "each group has its own position"
    );
    outbox.acknowledge("one", first[1].0).await.unwrap();
    outbox.acknowledge("two", first[1].0).await.unwrap();
    assert!(unacknowledged(outbox, "two").await.is_empty());
}

async fn an_alias_finds_its_task_within_its_tenant_only(backend: &Backend) {
    let alias: Alias = "24e533e02ec3bc40c387f1a0e460e216".parse().unwrap();
    let mut creation = creation(backend, 1).await;
    creation.aliases = vec![alias.clone()];
    let key = creation.key.clone();
    live(backend.store.commit(Commit::create(creation)).await.unwrap());
    assert_eq!(backend.store.resolve(&key.tenant, &alias).await.unwrap(), Some(key.id));
    assert_eq!(
        backend.store.resolve(&"other".parse().unwrap(), &alias).await.unwrap(),
        None
    );
}

async fn what_is_due_is_found_and_forgotten_in_its_time(backend: &Backend) {
    let store = &backend.store;
    let record = create(backend, 10).await;
    let record = live(store.commit(advance(&record, 5)).await.unwrap());
    let key = record.key.clone();
    assert!(store.due(10).await.unwrap().is_empty());
    let expire = Commit::present(key.clone(), vec![Change::Expire]);
    assert!(matches!(
        store.commit(expire.clone()).await.unwrap(),
        Outcome::Refused(Refusal::NotExpired, _)
    ));

    backend.clock.advance(record.lifetime());
    assert_eq!(store.due(10).await.unwrap(), std::slice::from_ref(&key));
    assert!(matches!(
        store.commit(expire).await.unwrap(),
        Outcome::Committed(Entry::Gone(_))
    ));
    assert_eq!(
        store.due(10).await.unwrap(),
        std::slice::from_ref(&key),
        "its bytes are still there"
    );
    store.forget(&key).await.unwrap();
    match store.load(&key).await.unwrap() {
        Some(Entry::Gone(tombstone)) => {
            assert_eq!((tombstone.cause, tombstone.segments.len()), (Cause::Expired, 1));
        }
        other => panic!("a tombstone with bytes was forgotten: {other:?}"),
    }
    let forget = Commit::present(key.clone(), vec![Change::ForgetBytes]);
    assert!(matches!(
        store.commit(forget).await.unwrap(),
        Outcome::Committed(Entry::Gone(_))
    ));
    assert!(store.due(10).await.unwrap().is_empty());
    backend.clock.advance(TOMBSTONE_LIFETIME);
    assert_eq!(store.due(10).await.unwrap(), std::slice::from_ref(&key));
    store.forget(&key).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap(), None);
}

async fn the_end_of_what_was_taken_over_is_never_forgotten(backend: &Backend) {
    let store = &backend.store;
    let alias: Alias = "24e533e02ec3bc40c387f1a0e460e216".parse().unwrap();
    let mut creation = creation(backend, 1).await;
    creation.aliases = vec![alias.clone()];
    let key = creation.key.clone();
    live(store.commit(Commit::create(creation)).await.unwrap());
    for change in [Change::Terminate, Change::ForgetBytes] {
        store.commit(Commit::present(key.clone(), vec![change])).await.unwrap();
    }
    backend.clock.advance(TOMBSTONE_LIFETIME * 2);
    assert!(store.due(10).await.unwrap().is_empty());
    store.forget(&key).await.unwrap();
    assert_eq!(
        store.resolve(&key.tenant, &alias).await.unwrap().as_ref(),
        Some(&key.id)
    );
    assert!(matches!(store.load(&key).await.unwrap(), Some(Entry::Gone(_))));
}

async fn the_catalogue_lists_an_owners_tasks_newest_first(backend: &Backend) {
    backend.outbox.join("catalogue").await.unwrap();
    let mut keys: Vec<TaskKey> = Vec::new();
    for _ in 0..5 {
        keys.insert(0, create(backend, 10).await.key);
        backend.clock.advance(Duration::from_millis(1));
    }
    let mut foreign = creation(backend, 1).await;
    foreign.owner = "somebody".parse().unwrap();
    live(backend.store.commit(Commit::create(foreign)).await.unwrap());
    for (_, event) in unacknowledged(&backend.outbox, "catalogue").await {
        let again = [Arc::clone(&event), event];
        backend.catalogue.apply(&again).await.unwrap();
    }
    let owner = crate::id::Owner::local();
    let list = async |before: Option<usize>, limit| {
        let before = before.map(|index| &keys[index].id);
        let listed = backend
            .catalogue
            .list(&keys[0].tenant, &owner, before, limit)
            .await
            .unwrap();
        listed
            .into_iter()
            .map(|listed| keys.iter().position(|key| key.id == listed.id).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(None, 3).await, [0, 1, 2]);
    assert_eq!(list(Some(2), 3).await, [3, 4]);
}

async fn the_feed_hears_of_what_changes_what_is_shown(backend: &Backend) {
    let mut listener = backend.feed.listen();
    let record = create(backend, 10).await;
    assert_eq!(listener.next().await.standing, Standing::Live(Status::Pending));
    let mut commit = advance(&record, 10);
    commit.changes.push(Change::Finish(Verdict::Accept));
    let record = live(backend.store.commit(commit).await.unwrap());
    let update = listener.next().await;
    assert_eq!(
        (update.standing, update.progress),
        (Standing::Live(Status::Completed), 100)
    );
    assert_eq!(update.revision, record.revision);
    let end = Commit::present(record.key, vec![Change::Terminate]);
    backend.store.commit(end).await.unwrap();
    let update = listener.next().await;
    assert_eq!(update.standing, Standing::Gone(Cause::Terminated));
    assert_eq!(
        (update.progress, update.offset, update.length),
        (100, 10, Some(10)),
        "it runs back at the end"
    );
}

async fn every_task_is_in_the_inventory(backend: &Backend) {
    let inventory = &backend.inventory;
    assert_eq!(keys_of(&**inventory, 10).await, []);
    let mut expected = Vec::new();
    for tenant in ["default", "other"] {
        for _ in 0..4 {
            let mut creation = creation(backend, 10).await;
            creation.key.tenant = tenant.parse().unwrap();
            expected.push(live(backend.store.commit(Commit::create(creation)).await.unwrap()));
        }
    }
    // The ends of tasks are in it too.
    let end = Commit::present(expected[0].key.clone(), vec![Change::Terminate]);
    backend.store.commit(end).await.unwrap();
    for limit in [1, 3, 8, 100] {
        let found = keys_of(&**inventory, limit).await;
        let mut keys: Vec<_> = expected.iter().map(|record| record.key.clone()).collect();
        keys.sort();
        assert_eq!(found, keys, "in pages of {limit}");
    }
    let known = inventory.known(&expected[0].key).await.unwrap();
    assert!(matches!(known.entry, Some(Entry::Gone(_))));
    assert_eq!(known.generation, expected[0].token.generation);
    let nobody = inventory.known(&fixture::creation(None).key).await.unwrap();
    assert_eq!(nobody.entry, None);
}

/// All keys, from pages of this size.
async fn keys_of(inventory: &dyn Inventory, limit: usize) -> Vec<TaskKey> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = inventory.keys(after.as_ref(), limit).await.unwrap();
        found.extend(page.keys);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    found.sort();
    found.dedup();
    found
}

async fn a_store_is_whole_after_one_walk_that_goes_on_where_it_stood(backend: &Backend) {
    let rebuild = &backend.rebuild;
    let key = fixture::creation(None).key;
    assert!(!rebuild.is_whole(&key).await.unwrap());
    let mut walk = rebuild.unfinished().await.unwrap().unwrap();
    assert_eq!(walk.after, None);
    walk.after = Some("default/07/x".to_owned());
    assert!(rebuild.note(&walk).await.unwrap());
    assert!(!rebuild.is_whole(&key).await.unwrap());
    assert_eq!(rebuild.unfinished().await.unwrap().as_ref(), Some(&walk));
    rebuild.finish(&walk).await.unwrap();
    assert!(rebuild.is_whole(&key).await.unwrap());
    assert_eq!(rebuild.unfinished().await.unwrap(), None);
}
