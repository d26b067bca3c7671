//! Uploads into a real S3 server: what clients were told is there, whatever becomes of the process or the store.

use std::time::Duration;

use ::bucket::Bucket;
use end_to_end::content::Content;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON};
use end_to_end::wait::eventually;
use end_to_end::wire::{Body, Pace};

const MIB: u64 = 1024 * 1024;

/// A server that keeps its bytes in this bucket, with credentials from files.
async fn server(bucket: &Bucket, more: &str) -> (Server, tempfile::TempDir) {
    let keys = tempfile::tempdir().unwrap();
    let (id, secret) = (keys.path().join("id"), keys.path().join("secret"));
    std::fs::write(&id, ::bucket::ACCESS_KEY).unwrap();
    std::fs::write(&secret, format!("{}\n", ::bucket::SECRET_KEY)).unwrap();
    let config = format!(
        "storage:\n  s3:\n    bucket: {}\n    endpoint: {}\n    addressing: path\n    prefix: site/a\n    \
         accessKeyIdFile: {}\n    secretAccessKeyFile: {}\n{more}",
        ::bucket::NAME,
        bucket.endpoint(),
        id.display(),
        secret.display(),
    );
    let settings = Settings {
        config,
        ..Settings::default()
    };
    (Server::with(settings).await, keys)
}

#[tokio::test]
async fn an_upload_of_many_parts_ends_as_one_object_and_is_downloaded_by_ranges() {
    let bucket = Bucket::start();
    let (server, _keys) = server(&bucket, "").await;
    let client = Client::of(&server);
    for length in [0, 1, 3 * MIB, 8 * MIB, 40 * MIB + 7] {
        let upload = client.create(Content::new(length, length)).await;
        client.complete(&upload).await;
        client.task_becomes(&upload, "completed").await;
        client.verify(&upload).await;
    }
    let of_objects = |name: &str| bucket.keys().iter().filter(|key| key.contains(name)).count();
    assert_eq!((of_objects("/manifest"), of_objects("/completion")), (5, 5));
    eventually(SOON, "leftovers to go", async || {
        (bucket.keys().len() == 14).then_some(())
    })
    .await;
    assert_eq!(bucket.open_multipart_uploads(), 0);
}

#[tokio::test]
async fn kills_of_the_process_in_the_middle_of_bodies_lose_no_acknowledged_byte() {
    let bucket = Bucket::start();
    let (mut server, _keys) = server(&bucket, "upload:\n  checkpoint: 100ms\n").await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(7, 60 * MIB)).await;
    let mut advanced = 0;
    for _ in 0..6 {
        let from = client.head(&upload).await;
        let pace = Pace::Pieces {
            bytes: 256 * 1024,
            every: Duration::from_millis(10),
        };
        let body = Body::of(upload.content, from..60 * MIB).paced(pace);
        let patching = client.begin(&upload, body).await;
        patching.has_sent(5 * MIB).await;
        server.kill();
        drop(patching);
        server.restart().await;
        advanced += u32::from(client.head(&upload).await > from);
    }
    assert!(advanced > 0, "no checkpoint fell into a body");
    client.complete(&upload).await;
    client.verify(&upload).await;
}
