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
use super::real::{Kind, Real, count_open, in_each_store, keys, storage_behind, storage_that_waits};
use super::*;
use crate::storage::{Completion, Error, Manifest, Storage as _, contract};

const MIB: u64 = 1024 * 1024;
/// A part, in units.
const PART_UNITS: u64 = 5;

/// What sizes are multiples of: S3 takes no part below 5 MiB that is not the last, the others are harmed faster.
fn unit(kind: Kind) -> u64 {
    match kind {
        Kind::S3 => MIB,
        Kind::Gcs | Kind::Azure => MIB / 16,
    }
}

fn length(unit: u64) -> u64 {
    13 * unit + 3
}

/// What one request brings: bytes for a tail, bytes across the ends of parts, and the last ones alone.
fn ends(unit: u64) -> [u64; 4] {
    [unit, 12 * unit, length(unit) - 1, length(unit)]
}

static CONTENT: LazyLock<Bytes> = LazyLock::new(|| {
    let byte = |at: u64| (at ^ (at >> 8).wrapping_mul(31) ^ (at >> 16).wrapping_mul(7)) as u8;
    (0..length(MIB)).map(byte).collect::<Vec<u8>>().into()
});

fn slice(range: std::ops::Range<u64>) -> Bytes {
    CONTENT.slice(range.start as usize..range.end as usize)
}

/// A store of records that keeps one: what it holds was committed.
type Store = Arc<Mutex<Record>>;

fn known(store: &Store) -> Record {
    store.lock().unwrap().clone()
}

async fn create(storage: &ObjectStorage, kind: Kind) -> (Manifest, Store) {
    let creation = creation(Some(length(unit(kind))));
    let manifest = Manifest::of(&creation, UnixMillis(1));
    storage.write_manifest(&manifest).await.unwrap();
    let mut record = Record::create(creation, UnixMillis(1));
    record.part_size = PART_UNITS * unit(kind);
    (manifest, Arc::new(Mutex::new(record)))
}

/// Does what sessions do from where the record stands until the upload is sealed, judged and tidied.
async fn go_on(storage: &ObjectStorage, store: &Store) -> Result<Vec<Segment>, Error> {
    let Record { key, part_size, .. } = known(store);
    for end in ends(part_size / PART_UNITS) {
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
    storage
        .write_completion(&key, &Completion::accepted(record.received))
        .await?;
    storage.tidy(&key, &sealed).await?;
    Ok(sealed)
}

/// A body comes in two pieces.
fn writer_end(record: &Record, end: u64) -> u64 {
    (record.received + 7 * record.part_size / PART_UNITS).min(end)
}

async fn verify(storage: &ObjectStorage, sealed: &[Segment], length: u64) {
    let pieces: Vec<Bytes> = storage
        .read(sealed, 0..length)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(pieces.concat() == slice(0..length), "other bytes came out than went in");
    let of_upload = keys(storage).await;
    assert!(
        of_upload.iter().filter(|key| key.contains("/tail-")).count() <= 1,
        "{of_upload:?}"
    );
}

in_each_store!(
    each_request_may_fail_in_each_way_before_and_after_it_took_effect,
    a_process_may_die_before_and_after_each_of_its_requests,
    what_is_gone_was_finished_if_its_object_is_there,
);

/// How long a storage under harm waits for an answer: one that never comes must leave time for two more tries within the
/// patience of a request, for the machine may be busy.
const IMPATIENCE: Duration = Duration::from_millis(600);

/// What an upload from its beginning to its end asks of a store, with the request that finishes an object first.
fn operations(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::S3 => &[
            "CompleteMultipartUpload",
            "PutObject",
            "CreateMultipartUpload",
            "UploadPart",
            "ListParts",
            "ListObjectsV2",
            "DeleteObject",
            "GetObject",
        ],
        Kind::Gcs => &[
            "ObjectsCompose",
            "ObjectsInsert",
            "ObjectsList",
            "ObjectsGet",
            "ObjectsDelete",
            "ObjectsGetMedia",
        ],
        Kind::Azure => &[
            "PutBlockList",
            "PutBlob",
            "PutBlock",
            "GetBlockList",
            "ListBlobs",
            "DeleteBlob",
            "GetBlob",
        ],
    }
}

/// What is done to the operation of this index. How a request is tried again is the same code for every store: with S3 each
/// fails in each way, with the others each fails before and after it took effect, and over all of them in each way.
fn fates(kind: Kind, index: usize) -> Vec<Fate> {
    let before = [Fate::LoseBefore, Fate::HangBefore, Fate::Refuse(503, "SlowDown")];
    let after = [
        Fate::LoseAfter,
        Fate::HangAfter,
        Fate::RefuseAfter(500, "InternalError"),
    ];
    match kind {
        // The last are what some requests answer although they failed, or did not.
        Kind::S3 => [
            &before[..],
            &after,
            &[
                Fate::RefuseAfter(200, "InternalError"),
                Fate::Refuse(200, "InternalError"),
            ],
        ]
        .concat(),
        Kind::Gcs | Kind::Azure => vec![before[index % 3], after[(index + 1) % 3]],
    }
}

async fn each_request_may_fail_in_each_way_before_and_after_it_took_effect(kind: Kind) {
    let real = Real::start(kind);
    let mut harmed = BTreeSet::new();
    for (index, &operation) in operations(kind).iter().enumerate() {
        for fate in fates(kind, index) {
            let times = match fate {
                Fate::HangBefore | Fate::HangAfter => 1,
                _ => 2,
            };
            let left = Arc::new(AtomicUsize::new(times));
            let counted = Arc::clone(&left);
            let proxy = real.judged(move |asked| {
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
            let storage = storage_that_waits(&proxy, kind, IMPATIENCE);
            let (_, store) = create(&storage, kind).await;
            let sealed = go_on(&storage, &store).await;
            let sealed = sealed.unwrap_or_else(|error| panic!("{operation} {fate:?}: {error:?}"));
            verify(&storage, &sealed, length(unit(kind))).await;
            if left.load(Ordering::SeqCst) < times {
                harmed.insert(operation);
            }
            storage
                .remove(&known(&store).key, &sealed, known(&store).token.epoch)
                .await
                .unwrap();
        }
    }
    assert_eq!(
        harmed.len(),
        operations(kind).len(),
        "some were never asked: {harmed:?}"
    );
}

async fn a_process_may_die_before_and_after_each_of_its_requests(kind: Kind) {
    let real = Real::start(kind);
    let faithful = real.faithful().await;
    let mut deaths = 0;
    // Before a request is after the one before it but for what the process knows of that; with S3 each is tried.
    let fates: &[Fate] = match kind {
        Kind::S3 => &[Fate::HangBefore, Fate::HangAfter],
        Kind::Gcs | Kind::Azure => &[Fate::HangAfter],
    };
    for &fate in fates {
        for survived in 0.. {
            let seen = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&seen);
            let proxy = real.judged(move |_| {
                let alive = counted.fetch_add(1, Ordering::SeqCst) < survived;
                if alive { Fate::Pass } else { fate }
            });
            let proxy = proxy.await;
            let direct = storage_behind(&faithful, kind);
            let (manifest, store) = create(&direct, kind).await;
            let doomed = storage_behind(&proxy, kind);
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
            verify(&direct, &sealed, length(unit(kind))).await;
            direct.remove(&record.key, &sealed, record.token.epoch).await.unwrap();
            assert_eq!(count_open(&direct).await, 0);
            if whole.is_some() {
                break;
            }
        }
    }
    assert!(deaths > 15 * fates.len(), "{deaths}");
}

/// Azure and GCS say that the object is there already.
async fn what_is_gone_was_finished_if_its_object_is_there(kind: Kind) {
    let real = Real::start(kind);
    let finished = AtomicUsize::new(0);
    let finish = operations(kind)[0];
    let proxy = real.judged(move |asked| match asked.operation {
        operation if operation != finish => Fate::Pass,
        _ if finished.fetch_add(1, Ordering::SeqCst) == 0 => Fate::LoseAfter,
        _ if kind == Kind::S3 => Fate::Refuse(404, "NoSuchUpload"),
        _ => Fate::Pass,
    });
    let proxy = proxy.await;
    let storage = storage_behind(&proxy, kind);
    let (_, store) = create(&storage, kind).await;
    let sealed = go_on(&storage, &store).await.unwrap();
    verify(&storage, &sealed, length(unit(kind))).await;
}

/// The gateway of these tests says so to who completes an upload a second time while it is still at it.
#[tokio::test]
async fn an_object_that_is_said_to_be_there_and_is_not_yet_is_waited_for() {
    let real = Real::start(Kind::S3);
    let promised = AtomicUsize::new(0);
    let proxy = real.judged(move |asked| {
        let completes = asked.operation == "CompleteMultipartUpload";
        if completes && promised.fetch_add(1, Ordering::SeqCst) == 0 {
            Fate::Promise
        } else {
            Fate::Pass
        }
    });
    let proxy = proxy.await;
    let storage = storage_behind(&proxy, Kind::S3);
    let (_, store) = create(&storage, Kind::S3).await;
    let sealed = go_on(&storage, &store).await.unwrap();
    verify(&storage, &sealed, length(MIB)).await;
}

#[tokio::test]
async fn what_alibaba_oss_refuses_is_not_asked_of_it() {
    let bucket = Bucket::start();
    let proxy = Proxy::start(bucket.address(), Kind::S3, refused_by_oss()).await;
    let store = s3(&proxy.virtual_endpoint(), Addressing::VirtualHosted);
    let storage = storage_in(store.creating(CreateOnly::OssForbidOverwrite));
    let (manifest, store) = create(&storage, Kind::S3).await;
    storage.write_manifest(&manifest).await.unwrap();
    let sealed = go_on(&storage, &store).await.unwrap();
    verify(&storage, &sealed, length(MIB)).await;
    let other = storage.write_completion(&manifest.key, &Completion::accepted(1)).await;
    assert!(matches!(other, Err(Error::CreateDocument { .. })), "{other:?}");
    let found = contract::find(&storage, &manifest.key).await;
    assert_eq!((found.received(), found.damage), (length(MIB), None));
}
