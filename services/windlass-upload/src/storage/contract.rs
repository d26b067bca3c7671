//! What every storage must answer when it is asked without a record, run against each of them with its real part.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use windlass_task::fixture::creation;
use windlass_task::{Concat, Record, TaskKey, UnixMillis, WriterEpoch};

use super::{Completion, Cursor, Found, Manifest, Storage, Writer};

/// Runs the whole suite on one storage, which is empty.
pub(super) async fn run(storage: &dyn Storage) {
    nothing_is_found_of_what_is_not_there(storage).await;
    what_is_durable_is_found_without_its_record(storage).await;
    every_epoch_is_found_where_it_began(storage).await;
    what_was_secured_stays_as_it_was_found(storage).await;
    a_body_that_counts_as_a_whole_is_not_found_before_it_is_whole(storage).await;
    a_final_upload_is_found_whole_without_bytes(storage).await;
    a_listing_names_each_upload_once(storage).await;
}

/// An upload whose manifest is written, and its record.
pub(super) async fn begin(storage: &dyn Storage, length: Option<u64>) -> Record {
    let creation = creation(length);
    let manifest = Manifest::of(&creation, UnixMillis(1));
    storage.write_manifest(&manifest).await.unwrap();
    Record::create(creation, UnixMillis(1))
}

/// Writes bytes behind what the record knows, durable and, as the record says then, committed.
pub(super) async fn append(storage: &dyn Storage, record: &mut Record, bytes: &'static [u8]) {
    let mut writer = storage.open(record).await.unwrap();
    writer.write(Bytes::from_static(bytes)).await.unwrap();
    let checkpoint = writer.checkpoint(None).await.unwrap();
    (record.received, record.segments) = (checkpoint.received, checkpoint.segments);
}

pub(super) async fn find(storage: &dyn Storage, key: &TaskKey) -> Found {
    storage.find(key).await.unwrap().expect("something is stored")
}

async fn nothing_is_found_of_what_is_not_there(storage: &dyn Storage) {
    assert_eq!(storage.find(&creation(None).key).await.unwrap(), None);
}

async fn what_is_durable_is_found_without_its_record(storage: &dyn Storage) {
    let mut record = begin(storage, Some(6)).await;
    let found = find(storage, &record.key).await;
    assert_eq!(found.manifest.as_ref().map(|manifest| &manifest.key), Some(&record.key));
    assert_eq!((found.received(), found.damage), (0, None));

    append(storage, &mut record, b"abc").await;
    let found = find(storage, &record.key).await;
    assert_eq!((&found.segments, found.received()), (&record.segments, 3));
    assert!(found.epoch >= record.token.epoch && found.completion.is_none());

    append(storage, &mut record, b"def").await;
    storage
        .write_completion(&record.key, &Completion::accepted(6))
        .await
        .unwrap();
    let found = find(storage, &record.key).await;
    assert_eq!((found.received(), found.damage.as_ref()), (6, None));
    assert_eq!(found.completion, Some(Completion::accepted(6)));

    storage
        .remove(&record.key, &record.segments, record.token.epoch)
        .await
        .unwrap();
    assert_eq!(storage.find(&record.key).await.unwrap(), None);
}

async fn every_epoch_is_found_where_it_began(storage: &dyn Storage) {
    let mut record = begin(storage, Some(100)).await;
    append(storage, &mut record, b"hello ").await;
    let committed = record.clone();
    // Durable and never committed: the next epoch begins before it.
    append(storage, &mut record, b"nobody").await;
    let mut record = committed;
    record.token.epoch = record.token.epoch.next();
    append(storage, &mut record, b"wor").await;
    record.token.epoch = WriterEpoch(7);
    append(storage, &mut record, b"ld").await;
    let found = find(storage, &record.key).await;
    assert_eq!((&found.segments, found.received()), (&record.segments, 11));
    assert_eq!((found.epoch, found.damage), (WriterEpoch(7), None));
}

async fn what_was_secured_stays_as_it_was_found(storage: &dyn Storage) {
    let mut record = begin(storage, Some(100)).await;
    append(storage, &mut record, b"hello ").await;
    let stale = record.clone();
    let found = find(storage, &record.key).await;
    record.token.epoch = found.epoch.next();
    record.token.generation = record.token.generation.next();
    let (generation, epoch) = (record.token.generation, record.token.epoch);
    let secured = storage.secure(&record.key, found, generation, epoch).await.unwrap();
    (record.received, record.segments) = (secured.received(), secured.segments);
    let again = find(storage, &record.key).await;
    assert_eq!((again.received(), again.epoch), (6, epoch));
    // A writer of the earlier generation comes late; on some storages it is refused.
    let mut writer = storage.open(&stale).await.unwrap();
    if writer.write(Bytes::from_static(b"late")).await.is_ok() {
        let _ = writer.checkpoint(None).await;
    }
    append(storage, &mut record, b"world").await;
    let found = find(storage, &record.key).await;
    assert_eq!((found.received(), found.damage), (11, None));
    let pieces: Vec<_> = storage
        .read(&found.segments, 0..11)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(pieces.concat(), b"hello world");
}

/// Writes more than any storage keeps in memory, reserved as a session does it.
async fn write_much(storage: &dyn Storage, record: &mut Record) -> Box<dyn Writer> {
    let mut writer = storage.open(record).await.unwrap();
    writer.counts_as_a_whole();
    for _ in 0..9 {
        writer.write(Bytes::from(vec![7; 1024 * 1024])).await.unwrap();
        while let Some(multipart) = writer.reservation().await.unwrap() {
            record.multipart = Some(multipart);
            writer.recorded(record);
            writer.write(Bytes::new()).await.unwrap();
        }
    }
    writer.relieve().await.unwrap();
    writer
}

async fn a_body_that_counts_as_a_whole_is_not_found_before_it_is_whole(storage: &dyn Storage) {
    let mut record = begin(storage, Some(100_000_000)).await;
    append(storage, &mut record, b"hello ").await;
    // Twice, as a client tries again.
    for _ in 0..2 {
        let writer = write_much(storage, &mut record).await;
        let found = find(storage, &record.key).await;
        assert_eq!((found.received(), found.damage), (6, None));
        drop(writer);
    }
    append(storage, &mut record, b"world").await;
    let found = find(storage, &record.key).await;
    assert_eq!((&found.segments, found.received()), (&record.segments, 11));
    let mut writer = write_much(storage, &mut record).await;
    let checkpoint = writer.checkpoint(None).await.unwrap();
    let found = find(storage, &record.key).await;
    assert_eq!(found.received(), 11 + 9 * 1024 * 1024);
    assert_eq!((found.segments, found.damage), (checkpoint.segments, None));
}

async fn a_final_upload_is_found_whole_without_bytes(storage: &dyn Storage) {
    let mut creation = creation(None);
    creation.concat = Some(Concat::Final {
        parts: vec![creation.key.id.clone()],
        header: "final;/files/a".to_owned(),
    });
    storage
        .write_manifest(&Manifest::of(&creation, UnixMillis(1)))
        .await
        .unwrap();
    storage
        .write_completion(&creation.key, &Completion::accepted(9))
        .await
        .unwrap();
    let found = find(storage, &creation.key).await;
    assert_eq!(found.manifest.and_then(|manifest| manifest.concat), creation.concat);
    assert_eq!(found.damage, None);
}

async fn a_listing_names_each_upload_once(storage: &dyn Storage) {
    let mut expected = Vec::new();
    for tenant in ["default", "other", "third"] {
        for _ in 0..7 {
            let mut creation = creation(None);
            creation.key.tenant = tenant.parse().unwrap();
            storage
                .write_manifest(&Manifest::of(&creation, UnixMillis(1)))
                .await
                .unwrap();
            let mut record = Record::create(creation, UnixMillis(1));
            append(storage, &mut record, b"abc").await;
            expected.push(record.key);
        }
    }
    expected.sort();
    for limit in [1, 2, 5, 1_000] {
        let (mut found, mut cursor) = (Vec::new(), None::<Cursor>);
        loop {
            let page = storage.list(cursor.as_ref(), limit).await.unwrap();
            assert!(page.uploads.len() + page.strays.len() <= limit);
            assert_eq!(page.strays, Vec::new());
            assert!(page.uploads.iter().all(|stored| stored.documented && stored.bytes > 3));
            found.extend(page.uploads.into_iter().map(|stored| stored.key));
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        found.retain(|key| expected.contains(key));
        found.sort();
        assert_eq!(found, expected, "in pages of {limit}");
    }
}
