use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bucket::Bucket;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use windlass_task::fixture::creation;
use windlass_task::{Record, Segment, UnixMillis};

use super::super::s3::{Addressing, CreateOnly};
use super::proxy::{Fate, Proxy, refused_by_oss};
use super::*;
use crate::storage::{Completion, Error, Manifest, Storage as _, contract};

const MIB: u64 = 1024 * 1024;
/// The least that S3 takes as a part that is not the last.
const PART_SIZE: u64 = 5 * MIB;
const LENGTH: u64 = 13 * MIB + 3;
/// What one request brings: bytes for a tail, bytes across the ends of parts, and the last ones alone.
const ENDS: [u64; 4] = [MIB, 12 * MIB, LENGTH - 1, LENGTH];

static CONTENT: LazyLock<Bytes> = LazyLock::new(|| {
    let byte = |at: u64| (at ^ (at >> 8).wrapping_mul(31) ^ (at >> 16).wrapping_mul(7)) as u8;
    (0..LENGTH).map(byte).collect::<Vec<u8>>().into()
});

fn slice(range: std::ops::Range<u64>) -> Bytes {
    CONTENT.slice(range.start as usize..range.end as usize)
}

/// A store of records that keeps one: what it holds was committed.
type Store = Arc<Mutex<Record>>;

fn known(store: &Store) -> Record {
    store.lock().unwrap().clone()
}

async fn create(storage: &ObjectStorage) -> (Manifest, Store) {
    let creation = creation(Some(LENGTH));
    let manifest = Manifest::of(&creation, UnixMillis(1));
    storage.write_manifest(&manifest).await.unwrap();
    let mut record = Record::create(creation, UnixMillis(1));
    record.part_size = PART_SIZE;
    (manifest, Arc::new(Mutex::new(record)))
}

/// Does what sessions do from where the record stands until the upload is sealed, judged and tidied.
async fn go_on(storage: &ObjectStorage, store: &Store) -> Result<Vec<Segment>, Error> {
    let key = known(store).key;
    for end in ENDS {
        let mut record = known(store);
        if record.received >= end {
            continue;
        }
        let mut writer = storage.open(&record).await?;
        while record.received < end {
            let more = end.min(writer_end(&record, end));
            writer.write(slice(record.received..more)).await?;
            while let Some(multipart) = writer.reservation().await? {
                record.multipart = Some(multipart);
                store.lock().unwrap().clone_from(&record);
                writer.recorded(&record);
                writer.write(Bytes::new()).await?;
            }
            let checkpoint = writer.checkpoint(None).await?;
            if let Some(multipart) = writer.renewal() {
                record.multipart = Some(multipart);
            }
            (record.received, record.segments) = (checkpoint.received, checkpoint.segments);
            store.lock().unwrap().clone_from(&record);
            writer.recorded(&record);
        }
    }
    let record = known(store);
    let sealed = storage.seal(&key, &record.segments).await?;
    storage.write_completion(&key, &Completion::accepted(LENGTH)).await?;
    storage.tidy(&key, &sealed).await?;
    Ok(sealed)
}

/// A body comes in two pieces.
fn writer_end(record: &Record, end: u64) -> u64 {
    (record.received + 7 * MIB).min(end)
}

async fn verify(storage: &ObjectStorage, bucket: &Bucket, sealed: &[Segment]) {
    let pieces: Vec<Bytes> = storage
        .read(sealed, 0..LENGTH)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(pieces.concat() == *CONTENT, "other bytes came out than went in");
    let of_upload = bucket.keys();
    assert!(
        of_upload.iter().filter(|key| key.contains("/tail-")).count() <= 1,
        "{of_upload:?}"
    );
}

/// A storage that waits for no answer for long.
fn impatient(endpoint: &str) -> ObjectStorage {
    storage_in(s3(endpoint, Addressing::Path).answering_within(Duration::from_millis(300)))
}

#[tokio::test]
async fn each_request_may_fail_in_each_way_before_and_after_it_took_effect() {
    let bucket = Bucket::start();
    let fates = [
        Fate::LoseBefore,
        Fate::LoseAfter,
        Fate::HangBefore,
        Fate::HangAfter,
        Fate::Refuse(503, "SlowDown"),
        Fate::RefuseAfter(500, "InternalError"),
        // What some requests answer although they failed, or did not.
        Fate::RefuseAfter(200, "InternalError"),
        Fate::Refuse(200, "InternalError"),
    ];
    let mut harmed = BTreeSet::new();
    for operation in [
        "PutObject",
        "CreateMultipartUpload",
        "UploadPart",
        "ListParts",
        "CompleteMultipartUpload",
        "ListObjectsV2",
        "DeleteObject",
        "GetObject",
    ] {
        for fate in fates {
            let left = Arc::new(AtomicUsize::new(2));
            let counted = Arc::clone(&left);
            let proxy = Proxy::start(bucket.address(), move |asked| {
                let is_chosen = asked.operation == operation;
                let harm = is_chosen
                    && counted
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                        .is_ok();
                // Only a listing, a part that was copied and a completed upload have bodies that would say so.
                let unheard =
                    matches!(fate, Fate::Refuse(200, _) | Fate::RefuseAfter(200, _)) && asked.operation == "UploadPart";
                if harm && !unheard { fate } else { Fate::Pass }
            });
            let proxy = proxy.await;
            let storage = impatient(&proxy.endpoint());
            let (_, store) = create(&storage).await;
            let sealed = go_on(&storage, &store).await;
            let sealed = sealed.unwrap_or_else(|error| panic!("{operation} {fate:?}: {error:?}"));
            verify(&storage, &bucket, &sealed).await;
            if left.load(Ordering::SeqCst) < 2 {
                harmed.insert(operation);
            }
            storage
                .remove(&known(&store).key, &sealed, known(&store).token.epoch)
                .await
                .unwrap();
        }
    }
    assert_eq!(harmed.len(), 8, "some were never asked: {harmed:?}");
}

#[tokio::test]
async fn a_process_may_die_before_and_after_each_of_its_requests() {
    let bucket = Bucket::start();
    let mut deaths = 0;
    for fate in [Fate::HangBefore, Fate::HangAfter] {
        for survived in 0.. {
            let seen = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&seen);
            let proxy = Proxy::start(bucket.address(), move |_| {
                let alive = counted.fetch_add(1, Ordering::SeqCst) < survived;
                if alive { Fate::Pass } else { fate }
            });
            let proxy = proxy.await;
            let direct = storage(&bucket.endpoint(), Addressing::Path);
            let (manifest, store) = create(&direct).await;
            let doomed = storage(&proxy.endpoint(), Addressing::Path);
            let whole = tokio::select! {
                sealed = go_on(&doomed, &store) => Some(sealed.unwrap()),
                () = proxy.hanging.notified() => None,
            };
            let record = known(&store);
            let found = contract::find(&direct, &record.key).await;
            assert_eq!(found.manifest.as_ref(), Some(&manifest));
            assert_eq!(found.damage, None, "after {survived}");
            assert!(
                found.received() >= record.received,
                "after {survived}: {found:?} {record:?}"
            );
            if whole.is_none() {
                deaths += 1;
                // Somebody takes it over by epoch, knowing the record; or nothing but what is stored.
                let mut taken = record.clone();
                taken.token.epoch = taken.token.epoch.next();
                if survived % 2 == 1 {
                    let secured = direct
                        .secure(
                            &record.key,
                            found,
                            record.token.generation.next(),
                            record.token.epoch.next(),
                        )
                        .await
                        .unwrap();
                    (taken.received, taken.segments) = (secured.received(), secured.segments);
                    taken.multipart = None;
                }
                store.lock().unwrap().clone_from(&taken);
            }
            let sealed = go_on(&direct, &store).await.unwrap();
            verify(&direct, &bucket, &sealed).await;
            direct.remove(&record.key, &sealed, record.token.epoch).await.unwrap();
            assert_eq!(bucket.open_multipart_uploads(), 0);
            if whole.is_some() {
                break;
            }
        }
    }
    assert!(deaths > 30, "{deaths}");
}

#[tokio::test]
async fn a_multipart_upload_that_is_gone_was_completed_if_its_object_is_there() {
    let bucket = Bucket::start();
    let completed = AtomicUsize::new(0);
    let proxy = Proxy::start(bucket.address(), move |asked| match asked.operation {
        "CompleteMultipartUpload" if completed.fetch_add(1, Ordering::SeqCst) == 0 => Fate::LoseAfter,
        "CompleteMultipartUpload" => Fate::Refuse(404, "NoSuchUpload"),
        _ => Fate::Pass,
    });
    let proxy = proxy.await;
    let storage = storage(&proxy.endpoint(), Addressing::Path);
    let (_, store) = create(&storage).await;
    let sealed = go_on(&storage, &store).await.unwrap();
    verify(&storage, &bucket, &sealed).await;
}

#[tokio::test]
async fn what_alibaba_oss_refuses_is_not_asked_of_it() {
    let bucket = Bucket::start();
    let proxy = Proxy::start(bucket.address(), refused_by_oss()).await;
    let store = s3(&proxy.virtual_endpoint(), Addressing::VirtualHosted);
    let storage = storage_in(store.creating(CreateOnly::OssForbidOverwrite));
    let (manifest, store) = create(&storage).await;
    storage.write_manifest(&manifest).await.unwrap();
    let sealed = go_on(&storage, &store).await.unwrap();
    verify(&storage, &bucket, &sealed).await;
    let other = storage.write_completion(&manifest.key, &Completion::accepted(1)).await;
    assert!(matches!(other, Err(Error::CreateDocument { .. })), "{other:?}");
    let found = contract::find(&storage, &manifest.key).await;
    assert_eq!((found.received(), found.damage), (LENGTH, None));
}
