use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::change::Change;
use crate::fixture::creation;
use crate::store::{Commit, EmbeddedStore, Options, TaskStore as _};

/// Remembers what was delivered, and refuses what it is told to refuse.
#[derive(Default)]
struct Recorder {
    delivered: Mutex<Vec<(String, u64, bool)>>,
    refusing: Mutex<Option<TaskKey>>,
    lost: Mutex<Vec<String>>,
}

#[async_trait]
impl Subscriber for Recorder {
    fn group(&self) -> &'static str {
        "recorder"
    }

    async fn deliver(&self, event: &Event) -> Result<(), String> {
        if *self.refusing.lock().unwrap() == Some(event.key()) {
            return Err("refused".to_owned());
        }
        self.delivered
            .lock()
            .unwrap()
            .push((event.subject.to_string(), event.sequence, event.gap));
        Ok(())
    }
}

impl Lanes for Recorder {
    fn given_up(&self, event: &Event, _error: &str) {
        self.lost.lock().unwrap().push(event.id.clone());
    }

    fn holding(&self, _events: usize) {}
}

fn bounds(give_up_after: Duration) -> Bounds {
    Bounds {
        deliveries: 4,
        lanes: 100,
        give_up_after,
    }
}

/// How many events the group would be given if it began now.
async fn unacknowledged(store: &EmbeddedStore) -> usize {
    let at = store.join("recorder").await.unwrap();
    store.read("recorder", at, 100).await.unwrap().len()
}

async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn create(store: &EmbeddedStore) -> TaskKey {
    let creation = creation(Some(1));
    let key = creation.key.clone();
    store.commit(Commit::create(creation)).await.unwrap();
    key
}

async fn fail(store: &EmbeddedStore, key: &TaskKey) {
    let reason = "test".to_owned();
    store
        .commit(Commit::present(key.clone(), vec![Change::Fail { reason }]))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_fails_holds_back_its_own_task_only_also_across_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), Options::default()).unwrap();
    let recorder = Arc::new(Recorder::default());
    let stuck = create(&store).await;
    *recorder.refusing.lock().unwrap() = Some(stuck.clone());
    let delivery = tokio::spawn(run_lanes(
        Arc::new(store.clone()),
        recorder.clone(),
        bounds(Duration::from_secs(3_600)),
    ));
    fail(&store, &stuck).await;
    for _ in 0..20 {
        let other = create(&store).await;
        fail(&store, &other).await;
    }
    eventually("every other task's events", || {
        recorder.delivered.lock().unwrap().len() == 40
    })
    .await;
    // The position went on without what is held back.
    let deadline = Instant::now() + Duration::from_secs(30);
    while unacknowledged(&store).await > 1 {
        assert!(Instant::now() < deadline, "nothing was acknowledged");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    delivery.abort();

    *recorder.refusing.lock().unwrap() = None;
    recorder.delivered.lock().unwrap().clear();
    let delivery = tokio::spawn(run_lanes(
        Arc::new(store.clone()),
        recorder.clone(),
        bounds(Duration::from_secs(3_600)),
    ));
    eventually("what was held back", || recorder.delivered.lock().unwrap().len() == 2).await;
    let id = stuck.id.to_string();
    assert_eq!(
        *recorder.delivered.lock().unwrap(),
        [(id.clone(), 1, false), (id, 2, false)]
    );
    delivery.abort();
}

#[tokio::test]
async fn what_follows_a_lost_event_carries_the_gap() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), Options::default()).unwrap();
    let recorder = Arc::new(Recorder::default());
    let task = create(&store).await;
    *recorder.refusing.lock().unwrap() = Some(task.clone());
    let delivery = tokio::spawn(run_lanes(
        Arc::new(store.clone()),
        recorder.clone(),
        bounds(Duration::ZERO),
    ));
    eventually("the dead letter", || recorder.lost.lock().unwrap().len() == 1).await;
    delivery.abort();
    assert!(delivery.await.is_err());

    *recorder.refusing.lock().unwrap() = None;
    fail(&store, &task).await;
    let delivery = tokio::spawn(run_lanes(
        Arc::new(store.clone()),
        recorder.clone(),
        bounds(Duration::ZERO),
    ));
    eventually("the next event", || recorder.delivered.lock().unwrap().len() == 1).await;
    assert_eq!(*recorder.delivered.lock().unwrap(), [(task.id.to_string(), 2, true)]);
    delivery.abort();
}
