//! What is garbage in a bucket, and what is not.

use std::sync::Arc;
use std::time::Duration;

use bucket::Bucket;
use windlass_task::fixture::creation;

use super::super::name::{Name, Run};
use super::super::retry::Patience;
use super::*;
use crate::garbage::Round;
use crate::verify::tests::World;

const LATER: Duration = Duration::from_secs(3 * 24 * 3_600);

#[tokio::test]
async fn parts_and_objects_that_no_record_names_go_and_what_is_alive_or_anothers_stays() {
    let bucket = Bucket::start();
    let storage = storage(&bucket.endpoint(), Addressing::Path);
    let world = World::of(tempfile::tempdir().unwrap(), Arc::new(storage.clone()), LATER);
    let (unfinished, finished) = (world.unfinished().await, world.finished(None).await);
    assert_eq!(world.flaws(LATER).await, []);
    assert_eq!(world.collect(LATER).await, Round::default());
    let alive = bucket.keys();

    let run = Run::begin(&unfinished.token);
    let name = Name::Object { run, start: 5 };
    let object = |record: &windlass_task::Record| format!("{}{name}", storage.folder(&record.key));
    let nobody = windlass_task::Record::create(creation(None), windlass_task::UnixMillis(1));
    for record in [&unfinished, &finished, &nobody] {
        storage.store.begin(&object(record)).await.unwrap();
    }
    for foreign in ["elsewhere/file", "of/tests/default/notes"] {
        storage.store.begin(foreign).await.unwrap();
        let bytes = bytes::Bytes::from_static(b"a person's");
        storage
            .store
            .put(foreign, bytes.into(), Patience::REQUEST)
            .await
            .unwrap();
    }
    let late = Name::Tail { run, range: 5..9 };
    for record in [&finished, &nobody] {
        let key = format!("{}{late}", storage.folder(&record.key));
        let bytes = bytes::Bytes::from_static(b"late");
        storage.store.put(&key, bytes.into(), Patience::REQUEST).await.unwrap();
    }

    let codes = |found: &[crate::verify::Finding]| {
        let mut codes: Vec<_> = found.iter().map(|finding| finding.flaw.code()).collect();
        codes.sort_unstable();
        codes
    };
    assert_eq!(codes(&world.flaws(Duration::ZERO).await), ["stray"]);
    assert_eq!(world.collect(Duration::ZERO).await, Round::default());
    let found = world.flaws(LATER).await;
    let parts = "parts_unfinished";
    assert_eq!(
        codes(&found),
        ["leftover", parts, parts, parts, "stray", "undocumented"],
        "{found:?}"
    );
    let round = world.collect(LATER).await;
    assert_eq!((round.found, round.removed, round.failed), (5, 5, 0));
    assert_eq!(codes(&world.flaws(LATER).await), ["stray"]);
    let mut left = alive;
    left.extend(["elsewhere/file".to_owned(), "of/tests/default/notes".to_owned()]);
    left.sort();
    assert_eq!(bucket.keys(), left);
    assert_eq!(bucket.open_multipart_uploads(), 2);
    world.append(&unfinished, b"world").await;
}

#[tokio::test]
async fn a_bucket_with_one_of_each_kind_has_no_flaw() {
    let bucket = Bucket::start();
    let storage = storage(&bucket.endpoint(), Addressing::Path);
    let world = World::of(tempfile::tempdir().unwrap(), Arc::new(storage), LATER);
    world.one_of_each().await;
    assert_eq!(world.flaws(LATER).await, []);
    let before = bucket.keys();
    assert_eq!(world.collect(LATER).await, Round::default());
    assert_eq!(bucket.keys(), before);
}
