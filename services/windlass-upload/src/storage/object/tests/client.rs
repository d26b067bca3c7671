use bucket::Bucket;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use windlass_task::PartNumber;

use super::super::exchange::{Payload, Source};
use super::super::retry::Patience;
use super::super::s3::Addressing;
use super::super::store::{Finish, Place};
use super::*;

const MIB: usize = 1024 * 1024;

fn memory(bytes: &[u8]) -> Payload {
    Bytes::copy_from_slice(bytes).into()
}

#[tokio::test]
async fn every_request_does_what_it_says_in_both_ways_to_name_a_bucket() {
    let bucket = Bucket::start();
    for (endpoint, addressing) in [
        (bucket.endpoint(), Addressing::Path),
        (bucket.virtual_endpoint(), Addressing::VirtualHosted),
    ] {
        let s3 = s3(&endpoint, addressing);
        let key = format!("dir/{addressing:?}");
        assert_eq!(s3.head(&key).await.unwrap(), None);
        assert_eq!(s3.get(&key).await.unwrap(), None);
        assert!(s3.create(&key, memory(b"once"), Patience::REQUEST).await.unwrap());
        assert!(!s3.create(&key, memory(b"twice"), Patience::REQUEST).await.unwrap());
        assert_eq!(s3.get(&key).await.unwrap().as_deref(), Some(&b"once"[..]));
        s3.put(&key, memory(b"over"), Patience::REQUEST).await.unwrap();
        assert_eq!(s3.head(&key).await.unwrap(), Some(4));
        let read: Vec<Bytes> = s3.read(key.clone(), 1..3).try_collect().await.unwrap();
        assert_eq!(read.concat(), b"ve");
        let listed = s3.list("dir/", None, 10).await.unwrap();
        assert_eq!(
            (listed.objects.len(), listed.objects[0].size, listed.more),
            (1, 4, false)
        );
        s3.delete(&key).await.unwrap();
        s3.delete(&key).await.unwrap();
        assert_eq!(s3.head(&key).await.unwrap(), None);
    }
}

#[tokio::test]
async fn parts_with_gaps_in_their_numbers_become_one_object_and_completing_twice_does_no_harm() {
    let bucket = Bucket::start();
    let s3 = s3(&bucket.endpoint(), Addressing::Path);
    s3.put("tail", memory(&[9; 100]), Patience::REQUEST).await.unwrap();
    s3.put("large", memory(&vec![7; 6 * MIB]), Patience::BYTES)
        .await
        .unwrap();
    let upload = s3.begin("whole").await.unwrap();
    assert_eq!(
        s3.list_open("wh").await.unwrap(),
        [("whole".to_owned(), upload.clone())]
    );

    let mixed = Payload::new(vec![
        Source::Stored {
            key: "tail".to_owned(),
            range: 0..100,
        },
        Source::Memory(Bytes::from(vec![1; 5 * MIB])),
    ]);
    let mut parts = Vec::new();
    let place = |number| Place {
        key: "whole",
        upload: &upload,
        number: PartNumber(number),
    };
    for (number, payload) in [(3, mixed), (9, memory(b"the end"))] {
        let tag = s3.put_part(place(number), payload).await.unwrap();
        parts.push((PartNumber(number), tag));
    }
    let copied = s3.copy_part(place(5), "large", 0..5 * MIB as u64).await.unwrap();
    parts.insert(1, (PartNumber(5), copied.unwrap()));
    let listed = s3.list_parts("whole", &upload).await.unwrap().unwrap();
    let sizes: Vec<_> = listed.iter().map(|part| (part.number.0, part.size as usize)).collect();
    assert_eq!(sizes, [(3, 5 * MIB + 100), (5, 5 * MIB), (9, 7)]);
    assert_eq!(s3.finish("whole", &upload, &parts).await.unwrap(), Finish::Done);
    assert_eq!(s3.head("whole").await.unwrap(), Some(10 * MIB as u64 + 107));
    // S3 says that the upload is gone, or, as this server, that it is done.
    let again = s3.finish("whole", &upload, &parts).await.unwrap();
    assert!(matches!(again, Finish::Done | Finish::Gone), "{again:?}");
    assert_eq!(s3.list_parts("whole", &upload).await.unwrap(), None);

    let other = s3.begin("other").await.unwrap();
    s3.abort("other", &other).await.unwrap();
    s3.abort("other", &other).await.unwrap();
    assert_eq!(bucket.open_multipart_uploads(), 0);
}

#[tokio::test]
async fn a_store_that_is_away_for_a_moment_is_waited_for() {
    let mut bucket = Bucket::start();
    let s3 = s3(&bucket.endpoint(), Addressing::Path);
    bucket.kill();
    let waiting = tokio::spawn({
        let s3 = s3.clone();
        async move { s3.put("late", memory(b"bytes"), Patience::BYTES).await }
    });
    assert!(s3.put("soon", memory(b"bytes"), Patience::REQUEST).await.is_err());
    bucket.restart();
    waiting.await.unwrap().unwrap();
    assert_eq!(bucket.keys(), ["late"]);
}

#[tokio::test]
async fn wrong_credentials_are_an_error_that_does_not_pass() {
    let bucket = Bucket::start();
    let s3 = s3_as(&bucket.endpoint(), Addressing::Path, "somebody", "else");
    let error = s3.get("x").await.unwrap_err();
    assert!(!error.is_temporary(), "{error:?}");
    assert!(error.to_string().contains("refuses GetObject"), "{error}");
}
