use bucket::Bucket;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use windlass_task::PartNumber;

use super::super::exchange::{Payload, Source};
use super::super::retry::Patience;
use super::super::s3::Addressing;
use super::super::store::{Finish, Place};
use super::real::{azure, gcs, key, signature};
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

#[tokio::test]
async fn the_dialects_of_azure_and_google_say_the_same() {
    let (azurite, google) = (bucket::Azure::start(), bucket::Gcs::start());
    let endpoint = format!("http://{}", azurite.address());
    let stores: [Box<dyn Store>; 3] = [
        Box::new(azure(&endpoint, key())),
        Box::new(azure(&endpoint, signature())),
        Box::new(gcs(&google.endpoint())),
    ];
    for (index, store) in stores.iter().enumerate() {
        let key = format!("dir{index}/key");
        assert_eq!(store.head(&key).await.unwrap(), None);
        assert_eq!(store.get(&key).await.unwrap(), None);
        assert!(store.create(&key, memory(b"once"), Patience::REQUEST).await.unwrap());
        assert!(!store.create(&key, memory(b"twice"), Patience::REQUEST).await.unwrap());
        assert_eq!(store.get(&key).await.unwrap().as_deref(), Some(&b"once"[..]));
        store.put(&key, memory(b"over"), Patience::REQUEST).await.unwrap();
        assert_eq!(store.head(&key).await.unwrap(), Some(4));
        let read: Vec<Bytes> = store.read(key.clone(), 1..3).try_collect().await.unwrap();
        assert_eq!(read.concat(), b"ve");
        store.delete(&key).await.unwrap();
        store.delete(&key).await.unwrap();
        assert_eq!(store.head(&key).await.unwrap(), None);
    }
}

#[tokio::test]
async fn listings_go_on_behind_any_key_in_each_dialect() {
    let (azurite, google) = (bucket::Azure::start(), bucket::Gcs::start());
    let stores: [Box<dyn Store>; 2] = [
        Box::new(azure(&format!("http://{}", azurite.address()), key())),
        Box::new(gcs(&google.endpoint())),
    ];
    for store in &stores {
        let keys: Vec<String> = (10..35).map(|number| format!("dir/{number}")).collect();
        for key in keys.iter().chain(&["other".to_owned()]) {
            store.put(key, memory(b"x"), Patience::REQUEST).await.unwrap();
        }
        for limit in [1, 3, 7, 100] {
            let (mut found, mut more) = (Vec::<String>::new(), true);
            while more {
                let after = found.last().cloned();
                let page = store.list("dir/", after.as_deref(), limit).await.unwrap();
                assert!(page.objects.len() <= limit);
                found.extend(page.objects.into_iter().map(|object| object.key));
                more = page.more;
            }
            assert_eq!(found, keys, "in pages of {limit}");
        }
        // What no page ended at, and what is not there.
        for (after, first) in [("dir/12", "dir/13"), ("dir/120", "dir/13"), ("dir/", "dir/10")] {
            let page = store.list("dir/", Some(after), 2).await.unwrap();
            assert_eq!(page.objects.first().map(|object| object.key.as_str()), Some(first));
        }
    }
}

#[tokio::test]
async fn more_components_than_google_composes_at_once_become_one_object_and_go() {
    let google = bucket::Gcs::start();
    let store = gcs(&google.endpoint());
    let upload = store.begin("dir/whole").await.unwrap();
    let mut parts = Vec::new();
    // Two levels of composing, with a gap in the numbers and an object of others among them.
    store.put("other", memory(b"other"), Patience::REQUEST).await.unwrap();
    for number in (1..=40).chain([99]) {
        let place = Place {
            key: "dir/whole",
            upload: &upload,
            number: PartNumber(number),
        };
        let tag = match number {
            99 => store.copy_part(place, "other", 0..5).await.unwrap().unwrap(),
            _ => store
                .put_part(place, memory(format!("{number},").as_bytes()))
                .await
                .unwrap(),
        };
        parts.push((place.number, tag));
    }
    let listed = store.list_parts("dir/whole", &upload).await.unwrap().unwrap();
    assert_eq!(
        listed.iter().map(|part| part.number.0).collect::<Vec<_>>(),
        (1..=40).collect::<Vec<_>>()
    );
    assert_eq!(store.finish("dir/whole", &upload, &parts).await.unwrap(), Finish::Done);
    let expected: String = (1..=40)
        .map(|number| format!("{number},"))
        .chain(["other".to_owned()])
        .collect();
    assert_eq!(store.get("dir/whole").await.unwrap().unwrap(), expected);
    assert_eq!(store.list_parts("dir/whole", &upload).await.unwrap(), None);
    store.abort("dir/whole", &upload).await.unwrap();
    assert_eq!(google.keys(), ["dir/whole", "other"]);
}

#[tokio::test]
async fn a_number_is_never_used_for_other_bytes_where_parts_are_not_replaced() {
    let google = bucket::Gcs::start();
    let store = gcs(&google.endpoint());
    let upload = store.begin("dir/whole").await.unwrap();
    let place = Place {
        key: "dir/whole",
        upload: &upload,
        number: PartNumber(1),
    };
    store.put("dir/tail", memory(b"one"), Patience::REQUEST).await.unwrap();
    let stored = Payload::new(vec![Source::Stored {
        key: "dir/tail".to_owned(),
        range: 0..3,
    }]);
    for same in [memory(b"one"), memory(b"one"), stored] {
        store.put_part(place, same).await.unwrap();
    }
    for other in [memory(b"two"), memory(b"more"), memory(b"")] {
        let error = store.put_part(place, other).await.unwrap_err();
        assert!(
            error.to_string().contains("other bytes") && !error.is_temporary(),
            "{error}"
        );
    }
}

#[tokio::test]
async fn blocks_that_nobody_finished_go_and_those_of_others_stay() {
    let azurite = bucket::Azure::start();
    let store = azure(&format!("http://{}", azurite.address()), key());
    let (first, second) = (store.begin("whole").await.unwrap(), store.begin("whole").await.unwrap());
    let place = |upload, number| Place {
        key: "whole",
        upload,
        number: PartNumber(number),
    };
    store.put_part(place(&first, 1), memory(b"one")).await.unwrap();
    let open = |upload: &str| ("whole".to_owned(), upload.to_owned());
    assert_eq!(store.list_open("").await.unwrap(), [open(&first)]);
    let tag = store.put_part(place(&second, 1), memory(b"another")).await.unwrap();
    assert_eq!(store.list_open("").await.unwrap().len(), 2);
    store.abort("whole", &first).await.unwrap();
    assert_eq!(store.list_parts("whole", &second).await.unwrap().unwrap().len(), 1);
    let parts = [(PartNumber(1), tag)];
    assert_eq!(store.finish("whole", &second, &parts).await.unwrap(), Finish::Done);
    assert_eq!(store.finish("whole", &second, &parts).await.unwrap(), Finish::Gone);
    // A late writer's block is no part of anything.
    store.put_part(place(&first, 2), memory(b"late")).await.unwrap();
    assert_eq!(store.list_parts("whole", &second).await.unwrap(), None);
    assert_eq!(store.get("whole").await.unwrap().unwrap(), "another");
    store.abort("whole", &first).await.unwrap();
    assert_eq!(store.get("whole").await.unwrap().unwrap(), "another");

    store.put_part(place(&first, 1), memory(b"one")).await.unwrap();
    let third = store.begin("third").await.unwrap();
    let of_third = Place {
        key: "third",
        upload: &third,
        number: PartNumber(1),
    };
    store.put_part(of_third, memory(b"x")).await.unwrap();
    store.abort("third", &third).await.unwrap();
    store.abort("third", &third).await.unwrap();
    assert_eq!(
        (store.list_open("").await.unwrap(), azurite.keys()),
        (vec![], vec!["whole".to_owned()])
    );
}

#[tokio::test]
async fn wrong_keys_are_an_error_that_does_not_pass_in_azure_too() {
    let azurite = bucket::Azure::start();
    let wrong = object_store::azure::AzureAccessKey::try_new("c29tZWJvZHkgZWxzZQ==").unwrap();
    let wrong = object_store::azure::AzureCredential::AccessKey(wrong);
    let store = azure(&format!("http://{}", azurite.address()), wrong);
    let error = store.get("x").await.unwrap_err();
    assert!(!error.is_temporary() && !error.is_missing(), "{error:?}");
    assert!(error.to_string().contains("refuses GetBlob"), "{error}");
}
