use bytes::Bytes;
use futures_util::TryStreamExt as _;
use windlass_task::fixture::creation;
use windlass_task::{UnixMillis, WriterEpoch};

use super::*;
use crate::storage::{Checkpoint, Damage, contract};

fn saved(record: &mut Record, checkpoint: &Checkpoint) {
    record.received = checkpoint.received;
    record.segments.clone_from(&checkpoint.segments);
}

async fn content(disk: &Disk, record: &Record, range: Range<u64>) -> Vec<u8> {
    let pieces: Vec<_> = disk
        .read(&record.segments, range)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    pieces.concat()
}

#[tokio::test]
async fn a_late_writer_of_an_earlier_epoch_overwrites_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), Durability::Process).unwrap();
    let mut record = Record::create(creation(Some(1 << 20)), UnixMillis(0));
    let mut first = disk.open(&record).await.unwrap();
    first.write(Bytes::from_static(b"hello ")).await.unwrap();
    saved(&mut record, &first.checkpoint(None).await.unwrap());

    record.token.epoch = WriterEpoch(2);
    let mut second = disk.open(&record).await.unwrap();
    second.write(Bytes::from_static(b"world")).await.unwrap();
    saved(&mut record, &second.checkpoint(None).await.unwrap());
    first.write(Bytes::from_static(b"XXXXXXXXXXXX")).await.unwrap();
    first.checkpoint(None).await.unwrap();
    assert_eq!(content(&disk, &record, 0..11).await, b"hello world");
    assert_eq!(content(&disk, &record, 4..8).await, b"o wo");
    assert_eq!(record.segments.len(), 2);
}

#[tokio::test]
async fn the_next_writer_of_an_epoch_goes_on_over_what_was_not_committed() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), Durability::PowerCut).unwrap();
    let mut record = Record::create(creation(Some(1 << 20)), UnixMillis(0));
    let mut first = disk.open(&record).await.unwrap();
    first.write(Bytes::from_static(b"abc")).await.unwrap();
    saved(&mut record, &first.checkpoint(None).await.unwrap());
    first
        .write(Bytes::from_static(b"lost, for it was never committed"))
        .await
        .unwrap();
    first.checkpoint(None).await.unwrap();

    let mut next = disk.open(&record).await.unwrap();
    next.write(Bytes::from_static(b"def")).await.unwrap();
    saved(&mut record, &next.checkpoint(None).await.unwrap());
    assert_eq!((record.segments.len(), record.received), (1, 6));
    assert_eq!(content(&disk, &record, 0..6).await, b"abcdef");
}

#[tokio::test]
async fn many_small_and_large_pieces_come_out_as_they_went_in() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), Durability::Process).unwrap();
    let mut record = Record::create(creation(Some(1 << 20)), UnixMillis(0));
    let mut writer = disk.open(&record).await.unwrap();
    let mut sent = Vec::new();
    for index in 0..5_000_usize {
        let piece = vec![index as u8; index % 700];
        sent.extend_from_slice(&piece);
        writer.write(piece.into()).await.unwrap();
    }
    saved(&mut record, &writer.checkpoint(None).await.unwrap());
    assert_eq!(record.received, sent.len() as u64);
    assert_eq!(content(&disk, &record, 0..record.received).await, sent);
}

#[tokio::test]
async fn a_document_is_created_once_and_the_same_twice_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), Durability::Process).unwrap();
    let creation = creation(Some(1 << 20));
    let manifest = Manifest::of(&creation, UnixMillis(1));
    disk.write_manifest(&manifest).await.unwrap();
    disk.write_manifest(&manifest).await.unwrap();
    disk.write_completion(&creation.key, &Completion::accepted(3))
        .await
        .unwrap();
    disk.write_completion(&creation.key, &Completion::accepted(3))
        .await
        .unwrap();
    let other = disk
        .write_completion(&creation.key, &Completion::refused(3, "no".into()))
        .await;
    assert!(matches!(other, Err(Error::CreateDocument { .. })));

    // A line without an end does not count.
    let documents = disk.documents(&creation.key);
    let whole = std::fs::read(&documents).unwrap();
    std::fs::write(&documents, whole.get(..whole.len() - 1).unwrap()).unwrap();
    assert_eq!(disk.read_completion(&creation.key).await.unwrap(), None);
    let refused = Completion::refused(3, "no".into());
    disk.write_completion(&creation.key, &refused).await.unwrap();
    assert_eq!(disk.read_completion(&creation.key).await.unwrap(), Some(refused));
    assert_eq!(std::fs::read_to_string(&documents).unwrap().lines().count(), 2);

    // What an overruled writer left is no segment of the record, and goes too.
    let mut writer = disk
        .open(&Record::create(creation.clone(), UnixMillis(1)))
        .await
        .unwrap();
    writer.write(Bytes::from_static(b"never committed")).await.unwrap();
    writer.checkpoint(None).await.unwrap();
    disk.remove(&creation.key, &[], WriterEpoch(2)).await.unwrap();
    disk.remove(&creation.key, &[], WriterEpoch(2)).await.unwrap();
    let stem = disk.path(&Disk::stem(&creation.key));
    assert_eq!(std::fs::read_dir(stem.parent().unwrap()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_writer_that_failed_gives_no_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), Durability::Process).unwrap();
    let record = Record::create(creation(Some(1 << 20)), UnixMillis(0));
    // A directory where the file should be.
    let path = disk.path(&format!("{}.1", Disk::stem(&record.key)));
    std::fs::create_dir_all(&path).unwrap();
    let mut writer = disk.open(&record).await.unwrap();
    writer.write(Bytes::from_static(b"abc")).await.unwrap();
    assert!(matches!(writer.checkpoint(None).await, Err(Error::UseFile { .. })));
    assert!(writer.checkpoint(None).await.is_err());
}

#[tokio::test]
async fn a_completion_is_written_with_the_last_byte_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), Durability::PowerCut).unwrap();
    let record = Record::create(creation(Some(6)), UnixMillis(0));
    let mut writer = disk.open(&record).await.unwrap();
    let whole = Completion::accepted(6);
    for (bytes, written) in [("abc", None), ("def", Some(whole.clone()))] {
        writer.write(Bytes::from_static(bytes.as_bytes())).await.unwrap();
        writer.checkpoint(Some(&whole)).await.unwrap();
        assert_eq!(disk.read_completion(&record.key).await.unwrap(), written);
    }

    // One without bytes has no file for them.
    let empty = Record::create(creation(Some(0)), UnixMillis(0));
    let mut writer = disk.open(&empty).await.unwrap();
    let checkpoint = writer.checkpoint(Some(&Completion::accepted(0))).await.unwrap();
    assert_eq!((checkpoint.received, checkpoint.segments), (0, Vec::new()));
    assert!(disk.read_completion(&empty.key).await.unwrap().is_some());
}

#[tokio::test]
async fn the_disk_answers_without_a_record_as_every_storage_must() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), Durability::Process).unwrap();
    contract::run(&disk).await;
}

#[tokio::test]
async fn what_is_gone_is_told_from_what_was_never_there() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), Durability::Process).unwrap();
    let mut record = contract::begin(&disk, Some(20)).await;
    contract::append(&disk, &mut record, b"hello ").await;
    record.token.epoch = WriterEpoch(2);
    contract::append(&disk, &mut record, b"world").await;
    let path = |epoch: u64| disk.path(&format!("{}.{epoch}", Disk::stem(&record.key)));
    let shorten = |epoch, size| {
        File::options()
            .write(true)
            .open(path(epoch))
            .unwrap()
            .set_len(size)
            .unwrap()
    };

    // The last epoch's end: without a record nobody can say that there was more.
    shorten(2, 3);
    let found = contract::find(&disk, &record.key).await;
    assert_eq!((found.received(), found.damage), (9, None));
    // Unless the completion counts it.
    disk.write_completion(&record.key, &Completion::accepted(11))
        .await
        .unwrap();
    let found = contract::find(&disk, &record.key).await;
    assert_eq!(found.damage, Some(Damage::Missing { from: 9, to: 11 }));
    // An epoch that ends before the next one began.
    shorten(1, 4);
    let found = contract::find(&disk, &record.key).await;
    assert_eq!(
        (found.received(), found.damage),
        (4, Some(Damage::Missing { from: 4, to: 6 }))
    );
    // Bytes of an epoch that no document names.
    std::fs::rename(path(2), path(3)).unwrap();
    let found = contract::find(&disk, &record.key).await;
    assert!(matches!(found.damage, Some(Damage::Unplaced { key }) if key.ends_with(".3")));
    assert_eq!(found.epoch, WriterEpoch(3));
}

#[tokio::test]
async fn what_was_taken_in_is_found_and_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(&directory.path().join("uploads"), Durability::Process).unwrap();
    let mut record = contract::begin(&disk, Some(20)).await;
    let file = directory.path().join("theirs");
    std::fs::write(&file, b"whole").unwrap();
    record.segments = disk.take_in(&record.key, &file, 5, Transfer::Link).await.unwrap();
    record.received = 5;
    assert_eq!(contract::find(&disk, &record.key).await.segments, record.segments);
    contract::append(&disk, &mut record, b" and more").await;
    let found = contract::find(&disk, &record.key).await;
    assert_eq!(
        (&found.segments, found.received(), found.damage),
        (&record.segments, 14, None)
    );
}

#[tokio::test]
async fn what_belongs_to_no_upload_is_listed_as_a_stray() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), Durability::Process).unwrap();
    let record = contract::begin(&disk, Some(20)).await;
    let stem = Disk::stem(&record.key);
    let (tenant_and_partition, id) = stem.rsplit_once('/').unwrap();
    let elsewhere = format!("default/{:02x}", record.key.id.partition().0.wrapping_add(1));
    for stray in [
        "notes.txt".to_owned(),
        "default/xyz".to_owned(),
        format!("{tenant_and_partition}/README"),
        format!("{stem}.01"),
        format!("{stem}.bak"),
        format!("{elsewhere}/{id}.1"),
    ] {
        let path = disk.path(&stray);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"abc").unwrap();
    }
    for limit in [1, 3, 100] {
        let (mut uploads, mut strays, mut cursor) = (Vec::new(), Vec::new(), None);
        loop {
            let page = disk.list(cursor.as_ref(), limit).await.unwrap();
            uploads.extend(page.uploads);
            strays.extend(page.strays);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(uploads.len(), 1, "in pages of {limit}");
        assert_eq!((uploads[0].key == record.key, strays.len()), (true, 6), "{strays:?}");
        assert!(strays.iter().all(|stray| stray.bytes == 3));
    }
}
