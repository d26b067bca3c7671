use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use windlass_task::fixture::creation;
use windlass_task::{Record, Segment, SegmentKind, UnixMillis};

use super::super::*;
use super::proxy::Fate;
use super::real::{Kind, Real, count_open, in_each_store, keys, storage_behind};
use crate::storage::{Checkpoint, Writer, contract};

const MIB: u64 = 1024 * 1024;

in_each_store!(
    what_is_finished_while_it_is_looked_for_is_found,
    an_object_store_keeps_the_contract_of_every_storage,
    a_small_upload_in_one_request_is_one_object_and_two_documents,
    parts_and_tails_of_many_requests_become_one_object,
    tails_alone_become_one_object_and_never_more_than_a_few,
    a_part_that_arrives_late_from_an_overruled_writer_changes_nothing,
    a_part_that_nobody_recorded_is_not_cut_where_the_next_request_begins,
    what_a_forgotten_generation_goes_on_to_write_is_neither_shown_nor_missed,
    of_two_that_reconcile_at_once_either_may_go_on,
    objects_of_several_uploads_are_joined_in_the_store_where_they_are_large_enough,
    a_file_is_taken_in_once_and_gone_on_with,
    what_waits_for_room_gets_it_from_what_can_be_a_tail,
);

/// Bytes that differ everywhere, as many as the largest upload of these tests has.
static CONTENT: LazyLock<Bytes> = LazyLock::new(|| {
    let mut bytes = vec![0; 66 * MIB as usize];
    for (index, word) in (1_u64..).zip(bytes.chunks_exact_mut(8)) {
        word.copy_from_slice(&index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    }
    bytes.into()
});

fn content(range: Range<u64>) -> Bytes {
    CONTENT.slice(range.start as usize..range.end as usize)
}

/// Does what a session does with a writer: commits what it wants reserved.
async fn write(writer: &mut Box<dyn Writer>, record: &mut Record, bytes: Bytes) {
    writer.write(bytes).await.unwrap();
    while let Some(multipart) = writer.reservation().await.unwrap() {
        record.multipart = Some(multipart);
        writer.recorded(record);
        writer.write(Bytes::new()).await.unwrap();
    }
}

fn commit(writer: &mut Box<dyn Writer>, record: &mut Record, checkpoint: Checkpoint) {
    if let Some(multipart) = writer.renewal() {
        record.multipart = Some(multipart);
    }
    (record.received, record.segments) = (checkpoint.received, checkpoint.segments);
    writer.recorded(record);
}

/// One request that brings `range` of the upload.
async fn append(storage: &ObjectStorage, record: &mut Record, range: Range<u64>) {
    let mut writer = storage.open(record).await.unwrap();
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min(at + 700_000);
        write(&mut writer, record, content(at..end)).await;
        let durable = writer.durable();
        commit(&mut writer, record, durable);
        at = end;
    }
    let checkpoint = writer.checkpoint(None).await.unwrap();
    assert_eq!(checkpoint.received, range.end);
    commit(&mut writer, record, checkpoint);
}

async fn read(storage: &ObjectStorage, segments: &[Segment], range: Range<u64>) -> Bytes {
    let pieces: Vec<Bytes> = storage
        .read(segments, range)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    pieces.concat().into()
}

async fn begin(storage: &ObjectStorage, length: Option<u64>) -> Record {
    let creation = creation(length);
    storage
        .write_manifest(&Manifest::of(&creation, UnixMillis(1)))
        .await
        .unwrap();
    Record::create(creation, UnixMillis(1))
}

async fn an_object_store_keeps_the_contract_of_every_storage(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    contract::run(&storage_behind(&proxy, kind)).await;
}

async fn a_small_upload_in_one_request_is_one_object_and_two_documents(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    let storage = storage_behind(&proxy, kind);
    let mut record = begin(&storage, Some(3 * MIB)).await;
    append(&storage, &mut record, 0..3 * MIB).await;
    assert!(storage.is_sealed(&record.segments));
    assert_eq!((record.segments.len(), keys(&storage).await.len()), (1, 2));
    assert_eq!(read(&storage, &record.segments, 5..MIB).await, content(5..MIB));
}

async fn parts_and_tails_of_many_requests_become_one_object(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    let storage = storage_behind(&proxy, kind);
    let length = 37 * MIB + 5;
    let mut record = begin(&storage, Some(length)).await;
    let mut at = 0;
    for end in [MIB, MIB + 1, 9 * MIB, 26 * MIB, 27 * MIB, length - 1, length] {
        append(&storage, &mut record, at..end).await;
        let found = contract::find(&storage, &record.key).await;
        assert_eq!(found.segments, record.segments, "at {end}");
        assert_eq!(found.damage, None);
        at = end;
    }
    assert!(!storage.is_sealed(&record.segments));
    let sealed = storage.seal(&record.key, &record.segments).await.unwrap();
    assert_eq!(storage.seal(&record.key, &record.segments).await.unwrap(), sealed);
    assert_eq!(
        (sealed.len(), sealed.first().map(|object| object.end)),
        (1, Some(length))
    );
    assert_eq!(read(&storage, &sealed, 0..length).await, content(0..length));
    assert_eq!(contract::find(&storage, &record.key).await.segments, sealed);
    storage.tidy(&record.key, &sealed).await.unwrap();
    assert_eq!((keys(&storage).await.len(), count_open(&storage).await), (2, 0));
    storage.remove(&record.key, &sealed, record.token.epoch).await.unwrap();
    storage.remove(&record.key, &sealed, record.token.epoch).await.unwrap();
    assert!(keys(&storage).await.is_empty());
}

async fn what_is_finished_while_it_is_looked_for_is_found(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    let storage = storage_behind(&proxy, kind);
    let length = 20 * MIB;
    let mut record = begin(&storage, Some(length)).await;
    append(&storage, &mut record, 0..length).await;
    // Somebody else seals it after its objects were listed and before its parts are.
    let sealing = Mutex::new(Some(real.storage()));
    let of_record = record.clone();
    let seal = move || {
        let Some(storage) = sealing.lock().unwrap().take() else {
            return;
        };
        let record = of_record.clone();
        let sealing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(storage.seal(&record.key, &record.segments)).unwrap();
        });
        sealing.join().unwrap();
    };
    let between = real.judged(move |asked| {
        let query = asked.head.uri.query().unwrap_or_default();
        match asked.operation {
            "ListParts" | "GetBlockList" => seal(),
            "ObjectsList" if query.contains("part-") => seal(),
            _ => {}
        }
        Fate::Pass
    });
    let between = between.await;
    let found = contract::find(&storage_behind(&between, kind), &record.key).await;
    assert_eq!((found.received(), found.damage), (length, None));
    assert!(storage.is_sealed(&found.segments), "{:?}", found.segments);
}

async fn tails_alone_become_one_object_and_never_more_than_a_few(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    let storage = storage_behind(&proxy, kind);
    let mut record = begin(&storage, None).await;
    for at in 0..100 {
        append(&storage, &mut record, at * 10..at * 10 + 10).await;
        assert!(record.segments.len() <= 33);
    }
    record.length = Some(1_000);
    let sealed = storage.seal(&record.key, &record.segments).await.unwrap();
    assert_eq!(read(&storage, &sealed, 0..1_000).await, content(0..1_000));
}

async fn a_part_that_arrives_late_from_an_overruled_writer_changes_nothing(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    let storage = storage_behind(&proxy, kind);
    let length = 24 * MIB;
    // The late writer's reservation is in the record that the newer one takes over, or was never made.
    // Where a part is never replaced, the late writer must have had one.
    let reservations: &[bool] = if kind == Kind::Gcs { &[true] } else { &[true, false] };
    for &known in reservations {
        let mut record = begin(&storage, Some(length)).await;
        append(&storage, &mut record, 0..9 * MIB).await;
        let mut late_record = record.clone();
        let mut late = storage.open(&late_record).await.unwrap();
        write(&mut late, &mut late_record, Bytes::from(vec![0; 8 * MIB as usize])).await;
        late.checkpoint(None).await.unwrap();
        if known {
            record.multipart = late_record.multipart.clone();
        }
        record.token.epoch = record.token.epoch.next();
        append(&storage, &mut record, 9 * MIB..17 * MIB).await;
        late.write(Bytes::from(vec![0; 3 * MIB as usize])).await.unwrap();
        late.checkpoint(None).await.unwrap();
        append(&storage, &mut record, 17 * MIB..length).await;

        let found = contract::find(&storage, &record.key).await;
        assert_eq!((&found.segments, found.epoch), (&record.segments, record.token.epoch));
        let sealed = storage.seal(&record.key, &record.segments).await.unwrap();
        assert!(read(&storage, &sealed, 0..length).await == content(0..length));
    }
}

/// A request whose bytes are durable and whose commits never were, but for the numbers of its parts.
async fn append_unrecorded(storage: &ObjectStorage, record: &mut Record, range: Range<u64>) {
    let mut writer = storage.open(record).await.unwrap();
    write(&mut writer, record, content(range)).await;
    writer.checkpoint(None).await.unwrap();
}

async fn a_part_that_nobody_recorded_is_not_cut_where_the_next_request_begins(kind: Kind) {
    let real = Real::start(kind);
    let storage = real.storage();
    let length = 40 * MIB;
    // The part took the tails of the first request in, which are there still.
    for next in [MIB + 5, 14 * MIB] {
        let mut record = begin(&storage, Some(length)).await;
        append(&storage, &mut record, 0..MIB).await;
        append_unrecorded(&storage, &mut record, MIB..9 * MIB).await;
        append(&storage, &mut record, MIB..next).await;
        let found = contract::find(&storage, &record.key).await;
        assert_eq!(
            (&found.segments, found.damage),
            (&record.segments, None),
            "up to {next}"
        );
        let mut record = reconcile(&storage, &record).await;
        assert_eq!(record.received, next);
        append(&storage, &mut record, next..length).await;
        let sealed = storage.seal(&record.key, &record.segments).await.unwrap();
        assert!(read(&storage, &sealed, 0..length).await == content(0..length));
    }
}

/// Reconciles a record that the store of records forgot.
async fn reconcile(storage: &ObjectStorage, record: &Record) -> Record {
    let mut record = record.clone();
    let found = contract::find(storage, &record.key).await;
    assert_eq!(found.damage, None);
    record.token.generation = record.token.generation.next();
    record.token.epoch = found.epoch.next();
    let (generation, epoch) = (record.token.generation, record.token.epoch);
    let secured = storage.secure(&record.key, found, generation, epoch).await.unwrap();
    (record.received, record.segments, record.multipart) = (secured.received(), secured.segments, None);
    record
}

/// Other bytes than a request of the present generation brings; they are stored, and committed where nobody else looks.
async fn append_forgotten(storage: &ObjectStorage, record: &mut Record, size: u64) {
    let mut writer = storage.open(record).await.unwrap();
    write(&mut writer, record, Bytes::from(vec![0; size as usize])).await;
    let checkpoint = writer.checkpoint(None).await.unwrap();
    commit(&mut writer, record, checkpoint);
}

async fn what_a_forgotten_generation_goes_on_to_write_is_neither_shown_nor_missed(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    let storage = storage_behind(&proxy, kind);
    let length = 40 * MIB;
    // In tails alone; in parts and a tail.
    for ground in [3 * MIB, 9 * MIB] {
        let mut forgotten = begin(&storage, Some(length)).await;
        append(&storage, &mut forgotten, 0..ground).await;
        let mut record = reconcile(&storage, &forgotten).await;
        assert_eq!(record.received, ground);
        // Requests after one another, each where the last one ended, into a multipart upload of their own.
        forgotten.multipart = None;
        if ground < 8 * MIB {
            for size in [MIB, 2 * MIB, 9 * MIB, 1] {
                append_forgotten(&storage, &mut forgotten, size).await;
            }
            // The late one put a part in place of the tails, which is an object now.
            storage.seal(&record.key, &forgotten.segments).await.unwrap();
        }
        let found = contract::find(&storage, &record.key).await;
        assert_eq!((found.received(), found.damage), (ground, None));
        assert_eq!(found.epoch, record.token.epoch);
        let mut at = ground;
        for end in [ground + 1, ground + MIB, ground + 14 * MIB, length - 1, length] {
            append(&storage, &mut record, at..end).await;
            at = end;
            let found = contract::find(&storage, &record.key).await;
            assert_eq!((&found.segments, found.damage), (&record.segments, None), "at {end}");
            if end == ground + 14 * MIB {
                record = reconcile(&storage, &record).await;
                assert_eq!(record.received, end);
            }
        }
        let sealed = storage.seal(&record.key, &record.segments).await.unwrap();
        assert!(read(&storage, &sealed, 0..length).await == content(0..length));
        let completion = Completion::accepted(length);
        storage.write_completion(&record.key, &completion).await.unwrap();
        storage.tidy(&record.key, &sealed).await.unwrap();
        let found = contract::find(&storage, &record.key).await;
        assert_eq!((found.segments, found.damage), (sealed, None));
    }
}

async fn of_two_that_reconcile_at_once_either_may_go_on(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    let storage = storage_behind(&proxy, kind);
    for longer_goes_on in [true, false] {
        let mut forgotten = begin(&storage, Some(20 * MIB)).await;
        append(&storage, &mut forgotten, 0..MIB).await;
        let mut shorter = reconcile(&storage, &forgotten).await;
        // The other one listed what was there before it saw that ground, and a put had just arrived.
        let mut found = contract::find(&storage, &forgotten.key).await;
        append(&storage, &mut forgotten, MIB..2 * MIB).await;
        found.segments = forgotten.segments.clone();
        let (generation, epoch) = (shorter.token.generation, shorter.token.epoch.next());
        let secured = storage.secure(&forgotten.key, found, generation, epoch).await.unwrap();
        if longer_goes_on {
            shorter.token.epoch = epoch;
            (shorter.received, shorter.segments) = (secured.received(), secured.segments);
        }
        let mut record = shorter;
        let mut at = record.received;
        for end in [at + 1, 12 * MIB, 20 * MIB] {
            append(&storage, &mut record, at..end).await;
            at = end;
            let found = contract::find(&storage, &record.key).await;
            assert_eq!((found.received(), found.damage, found.epoch), (end, None, epoch));
        }
        let sealed = storage.seal(&record.key, &record.segments).await.unwrap();
        assert!(read(&storage, &sealed, 0..20 * MIB).await == content(0..20 * MIB));
    }
}

async fn objects_of_several_uploads_are_joined_in_the_store_where_they_are_large_enough(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    let storage = storage_behind(&proxy, kind);
    for (first, second) in [(10 * MIB, 7 * MIB), (MIB, 66 * MIB), (1, 2)] {
        let mut segments = Vec::new();
        let mut at = 0;
        for size in [first, second] {
            let mut record = begin(&storage, Some(size)).await;
            append(&storage, &mut record, 0..size).await;
            let sealed = storage.seal(&record.key, &record.segments).await.unwrap();
            segments.extend(sealed.into_iter().map(|segment| Segment {
                start: at,
                end: at + size,
                ..segment
            }));
            at += size;
        }
        assert!(!storage.is_sealed(&segments));
        let last = creation(None).key;
        let joined = storage.seal(&last, &segments).await.unwrap();
        assert_eq!(joined.len(), 1);
        let bytes = read(&storage, &joined, 0..first + second).await;
        assert!(bytes == [content(0..first), content(0..second)].concat());
    }
}

async fn a_file_is_taken_in_once_and_gone_on_with(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    let storage = storage_behind(&proxy, kind);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("of tusd");
    std::fs::write(&file, content(0..10 * MIB)).unwrap();
    let mut record = begin(&storage, Some(20 * MIB)).await;
    for _ in 0..2 {
        let taken = storage
            .take_in(&record.key, &file, 9 * MIB, Transfer::Copy)
            .await
            .unwrap();
        (record.received, record.segments) = (9 * MIB, taken);
    }
    append(&storage, &mut record, 9 * MIB..20 * MIB).await;
    assert_eq!(contract::find(&storage, &record.key).await.segments, record.segments);
    let sealed = storage.seal(&record.key, &record.segments).await.unwrap();
    assert_eq!(sealed.len(), 1);
    assert!(read(&storage, &sealed, 0..20 * MIB).await == content(0..20 * MIB));
}

async fn what_waits_for_room_gets_it_from_what_can_be_a_tail(kind: Kind) {
    let real = Real::start(kind);
    let proxy = real.faithful().await;
    let storage = storage_behind(&proxy, kind);
    let mut record = begin(&storage, Some(20 * MIB)).await;
    let mut writer = storage.open(&record).await.unwrap();
    // More than the budget of these tests has room for, in one upload.
    for at in 0..7 {
        let bytes = content(at * MIB..(at + 1) * MIB);
        let purse = storage.budget.purse(&record.key.tenant, None);
        let charged = match purse.try_charge(bytes) {
            Ok(charged) => charged,
            Err(bytes) => {
                writer.relieve().await.unwrap();
                purse.charge(bytes).await
            }
        };
        write(&mut writer, &mut record, charged).await;
    }
    assert!(storage.metrics.spilled.get() >= 3 * MIB);
    let checkpoint = writer.checkpoint(None).await.unwrap();
    commit(&mut writer, &mut record, checkpoint);
    assert!(record.segments.iter().all(|segment| segment.kind == SegmentKind::Tail));
    drop(writer);
    append(&storage, &mut record, 7 * MIB..20 * MIB).await;
    let sealed = storage.seal(&record.key, &record.segments).await.unwrap();
    assert!(read(&storage, &sealed, 0..20 * MIB).await == content(0..20 * MIB));
}
