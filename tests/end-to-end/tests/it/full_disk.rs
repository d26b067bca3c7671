//! A disk that is full: what is acknowledged stays, the client is told, and all goes on when there is room again.

use std::path::{Path, PathBuf};

use end_to_end::content::Content;
use end_to_end::disk;
use end_to_end::form::Form;
use end_to_end::server::{Server, Settings};
use end_to_end::tmpfs::Tmpfs;
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::{Body, Request};

const MIB: u64 = 1024 * 1024;

/// A server whose data is on a disk of its own. The disk is dropped last.
struct Small {
    server: Server,
    disk: Tmpfs,
}

impl Small {
    async fn with(bytes: u64, config: &[&str]) -> Self {
        let disk = Tmpfs::mount(bytes);
        let settings = Settings {
            data: Some(disk.path().join("data")),
            ..Settings::upload(config)
        };
        Self {
            server: Server::with(settings).await,
            disk,
        }
    }

    /// Takes all the room that is left but about `rest` bytes.
    fn fill(&self, rest: u64) -> Ballast {
        let path = self.disk.path().join("ballast");
        let about = rustix::fs::statvfs(self.disk.path()).expect("a disk can be asked");
        let bytes = (about.f_bavail * about.f_frsize).saturating_sub(rest);
        let file = std::fs::File::create(&path).expect("a file can be made");
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).expect("there is this much room");
        Ballast(path)
    }
}

/// A file that takes up room until it is dropped.
struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn used(folder: &Path) -> u64 {
    disk::files(folder).values().sum()
}

#[tokio::test]
async fn a_disk_that_fills_up_in_a_body_is_told_and_the_upload_goes_on_when_there_is_room() {
    let small = Small::with(40 * MIB, &["checkpoint: 20ms", "hold: 1s"]).await;
    let client = Client::of(&small.server);
    let upload = client.create(Content::new(1, 24 * MIB)).await;
    assert_eq!(client.patch(&upload, 0..4 * MIB).await.status, 204);
    let ballast = small.fill(8 * MIB);
    let patch = client.begin(&upload, Body::of(upload.content, 4 * MIB..24 * MIB)).await;
    let full = patch.answer().await;
    assert_eq!((full.status, full.code().as_str()), (507, "storage_full"), "{full:?}");
    assert!(full.retry_after().is_some(), "it may pass");
    let kept = client.head(&upload).await;
    assert!((4 * MIB..24 * MIB).contains(&kept));
    let again = client.patch(&upload, kept..24 * MIB).await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (507, "storage_full"),
        "{again:?}"
    );
    let kept = client.head(&upload).await;
    assert_eq!(
        client.task(&upload).await["status"],
        "uploading",
        "a full disk is no failure of the upload"
    );
    assert_eq!(client.answer(&Request::new("GET", "/healthz")).await.status, 200);

    drop(ballast);
    let response = client.patch(&upload, kept..24 * MIB).await;
    assert_eq!(response.status, 204, "{response:?}");
    client.verify(&upload).await;
}

#[tokio::test]
async fn creations_and_forms_on_a_full_disk_are_refused_and_take_no_room() {
    let small = Small::with(24 * MIB, &["checkpoint: 20ms", "hold: 300ms"]).await;
    let client = Client::of(&small.server);
    let first = client.create(Content::new(2, 1_000)).await;
    client.complete(&first).await;
    let before = used(&small.server.data().join("uploads"));
    let ballast = small.fill(2 * MIB);
    for _ in 0..5 {
        let content = Content::new(3, 6 * MIB);
        let with_body = Request::tus("POST", "/files/")
            .header("Upload-Length", content.length.to_string())
            .header("Content-Type", "application/offset+octet-stream")
            .body(content.whole());
        let response = client.answer(&with_body).await;
        assert!(matches!(response.status, 503 | 507), "{response:?}");
        let response = client.answer(&Form::new().file("a", content.whole()).request()).await;
        assert!(matches!(response.status, 503 | 507), "{response:?}");
    }
    client.verify(&first).await;
    drop(ballast);
    eventually(
        SOON,
        "what was refused to be removed, or to be an upload that can go on",
        async || {
            let recorded: u64 = listed(&client).await;
            (used(&small.server.data().join("uploads")) <= before + recorded + 64 * 1024).then_some(())
        },
    )
    .await;
    let upload = client.create(Content::new(4, 6 * MIB)).await;
    client.complete(&upload).await;
}

/// The bytes of all uploads that the owner can see and end.
async fn listed(client: &Client) -> u64 {
    let list = client.answer(&Request::new("GET", "/tasks?limit=200")).await.json();
    let tasks = list["tasks"].as_array().expect("a list has tasks").clone();
    tasks
        .iter()
        .filter(|task| task["status"] != "failed")
        .filter_map(|task| task["offset"].as_u64())
        .sum()
}

#[tokio::test]
async fn room_can_be_made_on_a_full_disk_by_ending_an_upload() {
    let small = Small::with(32 * MIB, &["checkpoint: 20ms", "hold: 1s"]).await;
    let client = Client::of(&small.server);
    let unwanted = client.create(Content::new(5, 8 * MIB)).await;
    client.complete(&unwanted).await;
    let _ballast = small.fill(6 * MIB);
    let upload = client.create(Content::new(6, 10 * MIB)).await;
    let full = client.patch(&upload, 0..10 * MIB).await;
    assert_eq!((full.status, full.code().as_str()), (507, "storage_full"), "{full:?}");
    let deleted = client.answer(&Request::tus("DELETE", &unwanted.location)).await;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert!(disk::files_of(&small.server.data(), &unwanted.task).is_empty());
    client.complete(&upload).await;
}

#[tokio::test]
async fn a_full_disk_frees_itself_of_uploads_that_nobody_finishes() {
    let small = Small::with(32 * MIB, &["lifetime: 1s", "hold: 300ms"]).await;
    let client = Client::of(&small.server);
    let forgotten = client.create(Content::new(11, 12 * MIB)).await;
    assert_eq!(client.patch(&forgotten, 0..10 * MIB).await.status, 204);
    let _ballast = small.fill(0);
    eventually(SOON, "the forgotten upload to make room", async || {
        disk::files_of(&small.server.data(), &forgotten.task)
            .is_empty()
            .then_some(())
    })
    .await;
    let upload = client.create(Content::new(12, 8 * MIB)).await;
    client.complete(&upload).await;
}

#[tokio::test]
async fn records_that_find_no_room_are_held_and_nothing_that_was_shown_is_lost() {
    let small = Small::with(32 * MIB, &["hold: 300ms"]).await;
    let client = Client::of(&small.server);
    let upload = client.create(Content::new(7, MIB)).await;
    let unwanted = client.create(Content::new(10, MIB)).await;
    client.complete(&unwanted).await;
    assert_eq!(client.patch(&upload, 0..1_000).await.status, 204);
    let ballast = small.fill(0);
    let refused = create_until_refused(&client).await;
    assert!(refused.0.contains(&refused.1.status), "{:?}", refused.1);
    assert!(refused.1.retry_after().is_some(), "{:?}", refused.1);
    // What has been shown can still be asked for, and HEAD never shows that something is away for a while.
    let head = client.ask(&upload, &Request::tus("HEAD", &upload.location)).await;
    assert!(matches!(head.status, 200 | 423), "{head:?}");
    let patch = client.patch(&upload, 1_000..MIB).await;
    assert!(matches!(patch.status, 204 | 503 | 507), "{patch:?}");
    assert_eq!(client.answer(&Request::new("GET", "/healthz")).await.status, 200);
    let ended = client.answer(&Request::tus("DELETE", &unwanted.location)).await;
    assert_eq!(ended.status, 204, "the way out of a full disk is closed: {ended:?}");
    drop(ballast);
    let next = eventually(SOON, "creations to go on", async || {
        let request = Request::tus("POST", "/files/").header("Upload-Length", "100");
        let response = client.answer(&request).await;
        (response.status == 201).then_some(response)
    })
    .await;
    let next = Upload::at(next.header("Location").expect("it says where"), Content::new(8, 100));
    client.complete(&next).await;
    client.complete(&upload).await;
}

/// Creates uploads with much metadata until one finds no room; the statuses that say so, and that answer.
async fn create_until_refused(client: &Client) -> ([u16; 2], end_to_end::wire::Response) {
    let metadata = format!("filename {}", "QUFB".repeat(2_000));
    for _ in 0..5_000 {
        let request = Request::tus("POST", "/files/")
            .header("Upload-Length", "100")
            .header("Upload-Metadata", &metadata);
        let response = client.answer(&request).await;
        if response.status != 201 {
            return ([503, 507], response);
        }
    }
    panic!("5,000 creations found room on a full disk");
}

#[tokio::test]
async fn a_kill_on_a_full_disk_loses_nothing_that_was_shown() {
    let mut small = Small::with(40 * MIB, &["checkpoint: 20ms", "hold: 300ms"]).await;
    let client = Client::of(&small.server);
    let upload = client.create(Content::new(9, 24 * MIB)).await;
    let ballast = small.fill(8 * MIB);
    let full = client
        .begin(&upload, Body::of(upload.content, 0..24 * MIB))
        .await
        .answer()
        .await;
    assert_eq!(full.status, 507, "{full:?}");
    let kept = client.head(&upload).await;
    small.server.kill();
    small.server.restart().await;
    assert!(client.head(&upload).await >= kept);
    drop(ballast);
    client.complete(&upload).await;
}
