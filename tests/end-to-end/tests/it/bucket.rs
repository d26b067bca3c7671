//! Uploads into a real S3 server: what clients were told is there, whatever becomes of the process or the store.

use std::time::Duration;

use ::bucket::Bucket;
use end_to_end::content::Content;
use end_to_end::report;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON};
use end_to_end::wait::{eventually, stays};
use end_to_end::wire::{Body, Pace};

const MIB: u64 = 1024 * 1024;

/// A server that keeps its bytes in this bucket, with credentials from files.
async fn server(bucket: &Bucket, more: &str) -> (Server, tempfile::TempDir) {
    server_with(bucket, "", more).await
}

/// The same with more lines for the bucket.
async fn server_with(bucket: &Bucket, of_bucket: &str, more: &str) -> (Server, tempfile::TempDir) {
    let (settings, keys) = settings(bucket, of_bucket, more);
    (Server::with(settings).await, keys)
}

/// How such a server is started.
pub(crate) fn settings(bucket: &Bucket, of_bucket: &str, more: &str) -> (Settings, tempfile::TempDir) {
    let keys = tempfile::tempdir().expect("a temporary folder can be made");
    let (id, secret) = (keys.path().join("id"), keys.path().join("secret"));
    std::fs::write(&id, ::bucket::ACCESS_KEY).expect("a file can be written");
    std::fs::write(&secret, format!("{}\n", ::bucket::SECRET_KEY)).expect("a file can be written");
    let config = format!(
        "storage:\n  s3:\n    bucket: {}\n    endpoint: {}\n    addressing: path\n    prefix: site/a\n    \
         accessKeyIdFile: {}\n    secretAccessKeyFile: {}\n{of_bucket}{more}",
        ::bucket::NAME,
        bucket.endpoint(),
        id.display(),
        secret.display(),
    );
    let settings = Settings {
        config,
        ..Settings::default()
    };
    (settings, keys)
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

#[tokio::test]
async fn a_bucket_that_is_away_for_a_while_is_a_pause_to_the_client() {
    let mut bucket = Bucket::start();
    let (server, _keys) = server(&bucket, "upload:\n  checkpoint: 200ms\n").await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(3, 40 * MIB)).await;
    let pace = Pace::Pieces {
        bytes: 256 * 1024,
        every: Duration::from_millis(10),
    };
    let patching = client
        .begin(&upload, Body::of(upload.content, 0..40 * MIB).paced(pace))
        .await;
    patching.has_sent(10 * MIB).await;
    bucket.kill();
    stays(Duration::from_secs(3), "the body goes on", async || {
        patching.is_inside()
    })
    .await;
    bucket.restart();
    let response = patching.answer().await;
    assert_eq!((response.status, response.offset()), (204, Some(40 * MIB)));
    client.verify(&upload).await;
}

#[tokio::test]
async fn uploads_take_turns_when_the_memory_for_them_is_spent() {
    const BUFFER: u64 = 16 * MIB;
    let bucket = Bucket::start();
    let (server, _keys) = server_with(&bucket, &format!("    bufferBytes: {BUFFER}\n"), "").await;
    let client = Client::of(&server);
    let before = resident(server.pid());
    let mut uploads = Vec::new();
    let mut bodies = Vec::new();
    for seed in 0..24 {
        let upload = client.create(Content::new(seed, 20 * MIB)).await;
        bodies.push(client.begin(&upload, Body::of(upload.content, 0..20 * MIB)).await);
        uploads.push(upload);
    }
    let (mut held, mut largest) = (0, 0);
    eventually(Duration::from_secs(120), "all bodies to be answered", async || {
        held = held.max(client.counter("windlass_upload_storage_held_bytes").await);
        largest = largest.max(resident(server.pid()));
        bodies.iter().all(|body| !body.is_inside()).then_some(())
    })
    .await;
    let spilled = client.counter("windlass_upload_storage_spilled_bytes_total").await;
    report::line(&format!(
        "24 uploads of 20 MiB at once in a budget of {BUFFER} bytes: held {held} at most, {spilled} spilled, \
         resident {before} before, {largest} at most"
    ));
    assert!(held <= BUFFER, "{held}");
    for (upload, body) in uploads.iter().zip(bodies) {
        assert_eq!(body.answer().await.status, 204);
        client.verify(upload).await;
    }
}

/// The resident memory of a process, bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that runs has a status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    let kilobytes: Option<u64> = line.trim().trim_end_matches(" kB").parse().ok();
    kilobytes.expect("it says how much is resident") * 1024
}
