use std::sync::Arc;

use super::*;
use crate::change::Change;
use crate::fixture::creation;
use crate::store::contract::{self, Backend, TestClock};

fn open(directory: &Path, clock: &TestClock) -> EmbeddedStore {
    let clock = clock.clone();
    let options = Options {
        clock: Arc::new(move || clock.now()),
        ..Options::default()
    };
    EmbeddedStore::open(directory, options).unwrap()
}

#[tokio::test]
async fn the_embedded_store_keeps_the_contract() {
    let directories = std::cell::RefCell::new(Vec::new());
    contract::run(async || {
        let directory = tempfile::tempdir().unwrap();
        let clock = TestClock::default();
        let store = open(directory.path(), &clock);
        directories.borrow_mut().push(directory);
        let feed = store.feed().clone();
        Backend::of(store, feed, clock)
    })
    .await;
}

#[tokio::test]
async fn one_process_has_a_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), &TestClock::default());
    assert!(matches!(
        EmbeddedStore::open(directory.path(), Options::default()),
        Err(Error::LockDirectory { .. })
    ));
    store.generation(&creation(None).key).await.unwrap();
}

/// What a `kill -9` leaves is what the operating system has: the files as they are while the store is open.
#[tokio::test]
async fn what_was_answered_is_in_the_files_before_the_store_is_closed() {
    let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(directory.path(), &TestClock::default());
    let mut keys = Vec::new();
    for _ in 0..20 {
        let creation = creation(Some(10));
        keys.push(creation.key.clone());
        store.commit(Commit::create(creation)).await.unwrap();
    }
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let reopened = open(copy.path(), &TestClock::default());
    let beginning = reopened.join("all").await.unwrap();
    for key in &keys {
        assert!(reopened.load(key).await.unwrap().is_some(), "{key} is lost");
    }
    assert_eq!(reopened.read("all", beginning, 100).await.unwrap().len(), 20);
}

#[tokio::test]
async fn an_entry_of_an_unknown_version_is_refused_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let key = creation(Some(10)).key;
    let store = open(directory.path(), &TestClock::default());
    let path = directory.path().join("tasks.sqlite3");
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute(
            "INSERT INTO task (tenant, id, v, entry) VALUES (?1, ?2, 99, 'of the future')",
            [key.tenant.to_string(), key.id.to_string()],
        )
        .unwrap();
    assert!(matches!(store.load(&key).await, Err(Error::ReadVersion { v: 99, .. })));
    let commit = Commit::present(key.clone(), vec![Change::Terminate]);
    assert!(matches!(
        store.commit(commit).await,
        Err(Error::ReadVersion { v: 99, .. })
    ));
    let text: String = other.query_row("SELECT entry FROM task", (), |row| row.get(0)).unwrap();
    assert_eq!(text, "of the future");
}

#[tokio::test]
async fn a_write_that_fails_midway_leaves_nothing_of_its_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), &TestClock::default());
    let other = rusqlite::Connection::open(directory.path().join("tasks.sqlite3")).unwrap();
    // The record is written first, then its event: with the outbox gone, neither may stay.
    other.execute("ALTER TABLE outbox RENAME TO elsewhere", ()).unwrap();
    let creation = creation(Some(10));
    let key = creation.key.clone();
    assert!(store.commit(Commit::create(creation.clone())).await.is_err());
    assert_eq!(store.load(&key).await.unwrap(), None);
    other.execute("ALTER TABLE elsewhere RENAME TO outbox", ()).unwrap();
    assert!(matches!(
        store.commit(Commit::create(creation)).await.unwrap(),
        Outcome::Committed(_)
    ));
}

#[tokio::test]
async fn who_reads_beside_the_process_sees_each_commit_and_after_its_death_all_of_them() {
    let directory = tempfile::tempdir().unwrap();
    assert!(EmbeddedReader::open(directory.path()).unwrap().is_none());
    let store = open(directory.path(), &TestClock::default());
    let reader = EmbeddedReader::open(directory.path()).unwrap().unwrap();
    let creation = creation(Some(10));
    let key = creation.key.clone();
    assert_eq!(reader.known(&key).await.unwrap().entry, None);
    store.commit(Commit::create(creation)).await.unwrap();
    let known = reader.known(&key).await.unwrap();
    assert_eq!(known, store.known(&key).await.unwrap());
    assert_eq!(reader.keys(None, 10).await.unwrap().keys, std::slice::from_ref(&key));
    drop(store);
    assert_eq!(reader.known(&key).await.unwrap(), known);
    drop(reader);
    let later = EmbeddedReader::open(directory.path()).unwrap().unwrap();
    assert_eq!(later.known(&key).await.unwrap(), known);
}
