//! What is garbage in a bucket, and what is not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use windlass_task::fixture::creation;
use windlass_task::{PartNumber, Record, UnixMillis};

use super::super::name::{Name, Run};
use super::super::retry::Patience;
use super::super::store::Place;
use super::real::{Kind, Real, count_open, in_each_store, keys};
use super::*;
use crate::garbage::Round;
use crate::storage::Storage as _;
use crate::verify::tests::World;
use crate::verify::{Applied, Step, apply};

const LATER: Duration = Duration::from_secs(3 * 24 * 3_600);
/// Less than two parts of an upload, more than one.
const BYTES: usize = 9 * 1024 * 1024;

in_each_store!(
    parts_and_objects_that_no_record_names_go_and_what_is_alive_or_anothers_stays,
    a_bucket_with_one_of_each_kind_has_no_flaw,
);

/// Begins an object and sends a part of it: what a writer leaves that dies.
async fn leave_part(storage: &ObjectStorage, key: &str) -> String {
    let upload = storage.store.begin(key).await.unwrap();
    let place = Place {
        key,
        upload: &upload,
        number: PartNumber(77),
    };
    let part = Bytes::from_static(b"a part");
    storage.store.put_part(place, part.into()).await.unwrap();
    upload
}

fn codes(found: &[crate::verify::Finding]) -> Vec<&'static str> {
    let mut codes: Vec<_> = found.iter().map(|finding| finding.flaw.code()).collect();
    codes.sort_unstable();
    codes
}

async fn parts_and_objects_that_no_record_names_go_and_what_is_alive_or_anothers_stays(kind: Kind) {
    let real = Real::start(kind);
    let storage = real.storage();
    let world = World::of(tempfile::tempdir().unwrap(), Arc::new(storage.clone()), LATER);
    let (unfinished, finished) = (world.unfinished().await, world.finished(None).await);
    let in_parts = world.in_parts(BYTES).await;
    assert!(in_parts.segments.iter().any(|segment| segment.parts.is_some()));
    assert_eq!(world.flaws(LATER).await, []);
    assert_eq!(world.collect(LATER).await, Round::default());
    let mut left = keys(&storage).await;
    let alive = count_open(&storage).await;

    let run = Run::begin(&unfinished.token);
    let name = Name::Object { run, start: 5 };
    let nobody = Record::create(creation(None), UnixMillis(1));
    for record in [&unfinished, &finished, &nobody] {
        leave_part(&storage, &format!("{}{name}", storage.folder(&record.key))).await;
    }
    for foreign in ["elsewhere/file", "of/tests/default/notes"] {
        leave_part(&storage, &format!("{foreign}.parts")).await;
        let bytes = Bytes::from_static(b"a person's");
        let written = storage.store.put(foreign, bytes.into(), Patience::REQUEST);
        written.await.unwrap();
    }
    let late = Name::Tail { run, range: 5..9 };
    for record in [&finished, &nobody] {
        let key = format!("{}{late}", storage.folder(&record.key));
        let bytes = Bytes::from_static(b"late");
        storage.store.put(&key, bytes.into(), Patience::REQUEST).await.unwrap();
    }
    let there = keys(&storage).await;
    let goes = |key: &String| {
        [&finished, &nobody]
            .iter()
            .any(|record| key.starts_with(&storage.folder(&record.key)))
    };
    left.extend(there.iter().filter(|key| !goes(key)).cloned());
    left.sort();
    left.dedup();

    // Where parts are objects, an upload's own are collected with its objects, and a person's are as stray as they are.
    let parts = "parts_unfinished";
    let (strays, garbage, open): (_, &[_], _) = match kind {
        Kind::Gcs => (vec!["stray"; 2], &["leftover", "undocumented"], 0),
        Kind::S3 | Kind::Azure => (vec!["stray"], &["leftover", parts, parts, parts, "undocumented"], 2),
    };
    assert_eq!(codes(&world.flaws(Duration::ZERO).await), strays);
    assert_eq!(world.collect(Duration::ZERO).await, Round::default());
    let found = world.flaws(LATER).await;
    let mut expected = [garbage, &strays].concat();
    expected.sort_unstable();
    assert_eq!(codes(&found), expected, "{found:?}");
    let round = world.collect(LATER).await;
    let all = garbage.len() as u64;
    assert_eq!((round.found, round.removed, round.failed), (all, all, 0));
    assert_eq!(codes(&world.flaws(LATER).await), strays);
    assert_eq!(keys(&storage).await, left);
    assert_eq!(count_open(&storage).await, alive + open);

    // Nor does a plan remove them, whoever wrote it.
    for record in [&unfinished, &in_parts] {
        let mut pieces = storage.pieces(&record.key).await.unwrap();
        pieces.retain(|piece| !piece.document && !piece.key.contains("/begin-") && !piece.key.contains("-77"));
        for piece in pieces {
            let step = Step::Remove {
                task: record.key.clone(),
                revision: Some(record.revision),
                pieces: vec![piece],
            };
            let applied = apply(&world.upload, &step).await;
            assert!(matches!(applied, Ok(Applied::Past { .. })), "{applied:?}: {step:?}");
        }
    }
    world.append(&unfinished, b"world").await;
    let sealed = storage.seal(&in_parts.key, &in_parts.segments).await.unwrap();
    let read: Vec<Bytes> = storage
        .read(&sealed, 0..BYTES as u64)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(read.concat() == vec![7; BYTES]);
}

async fn a_bucket_with_one_of_each_kind_has_no_flaw(kind: Kind) {
    let real = Real::start(kind);
    let storage = real.storage();
    let world = World::of(tempfile::tempdir().unwrap(), Arc::new(storage.clone()), LATER);
    world.one_of_each().await;
    assert_eq!(world.flaws(LATER).await, []);
    let before = keys(&storage).await;
    assert_eq!(world.collect(LATER).await, Round::default());
    assert_eq!(keys(&storage).await, before);
}
