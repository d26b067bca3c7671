//! Uploads into real servers of the other clouds' object stores: what clients were told is there, whatever becomes of the
//! process and its records.

use std::time::Duration;

use bucket::{Azure, Gcs};
use end_to_end::content::{Content, Digest};
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::{Body, Pace, Request};

use crate::forgotten::forget;

const MIB: u64 = 1024 * 1024;

/// What the server is told of its credentials, in a file.
fn secret(folder: &tempfile::TempDir, text: &str) -> String {
    let path = folder.path().join("secret");
    std::fs::write(&path, format!("{text}\n")).expect("a file can be written");
    path.display().to_string()
}

async fn server(storage: String) -> Server {
    let config = format!("storage:\n{storage}upload:\n  checkpoint: 100ms\n  idleTimeout: 3s\n  hold: 2s\n");
    Server::with(Settings {
        config,
        ..Settings::default()
    })
    .await
}

#[tokio::test]
async fn google_cloud_storage_keeps_what_clients_were_told_and_gives_it_back() {
    let (gcs, folder) = (
        Gcs::start(),
        tempfile::tempdir().expect("a temporary folder can be made"),
    );
    let storage = format!(
        "  gcs:\n    bucket: {}\n    endpoint: {}\n    prefix: site/a\n    serviceAccountFile: {}\n",
        bucket::NAME,
        gcs.endpoint(),
        secret(&folder, Gcs::SERVICE_ACCOUNT),
    );
    keeps_its_promises(server(storage).await, || gcs.keys()).await;
}

#[tokio::test]
async fn azure_blob_storage_keeps_what_clients_were_told_and_gives_it_back() {
    let (azure, folder) = (
        Azure::start(),
        tempfile::tempdir().expect("a temporary folder can be made"),
    );
    let storage = format!(
        "  azure:\n    account: {}\n    container: {}\n    endpoint: {}\n    prefix: site/a\n    accountKeyFile: {}\n",
        Azure::ACCOUNT,
        bucket::NAME,
        azure.endpoint(),
        secret(&folder, Azure::KEY),
    );
    keeps_its_promises(server(storage).await, || azure.keys()).await;
}

#[tokio::test]
async fn a_shared_access_signature_is_enough_for_azure() {
    let (azure, folder) = (
        Azure::start(),
        tempfile::tempdir().expect("a temporary folder can be made"),
    );
    let storage = format!(
        "  azure:\n    account: {}\n    container: {}\n    endpoint: {}\n    sasTokenFile: {}\n",
        Azure::ACCOUNT,
        bucket::NAME,
        azure.endpoint(),
        secret(&folder, Azure::SIGNATURE),
    );
    let server = server(storage).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(1, 20 * MIB)).await;
    client.complete(&upload).await;
    client.verify(&upload).await;
    let signature = Azure::SIGNATURE.rsplit("sig=").next().unwrap_or_default();
    assert!(!server.log().contains(signature), "a secret is in the log");
}

/// Kills, forgets and joins, and looks at what comes out.
async fn keeps_its_promises(mut server: Server, keys: impl Fn() -> Vec<String>) {
    let client = Client::of(&server);
    let small = client.create(Content::new(1, MIB)).await;
    client.complete(&small).await;
    let upload = client.create(Content::new(2, 40 * MIB + 7)).await;
    let mut advanced = 0;
    for forgets in [false, true, false] {
        let from = client.head(&upload).await;
        let pace = Pace::Pieces {
            bytes: 256 * 1024,
            every: Duration::from_millis(10),
        };
        let body = Body::of(upload.content, from..upload.content.length).paced(pace);
        let patching = client.begin(&upload, body).await;
        patching.has_sent(10 * MIB).await;
        if forgets {
            forget(&mut server).await;
        } else {
            server.kill();
            server.restart().await;
        }
        drop(patching);
        advanced += u32::from(client.head(&upload).await > from);
    }
    assert!(advanced > 0, "no checkpoint fell into a body");
    client.complete(&upload).await;
    client.task_becomes(&upload, "completed").await;
    client.verify(&upload).await;
    ranges_are_the_files(&client, &upload).await;

    let partial = |length: u64| {
        Request::tus("POST", "/files/")
            .header("Upload-Concat", "partial")
            .header("Upload-Length", length.to_string())
    };
    let one = client.create_by(&partial(18 * MIB), Content::new(3, 18 * MIB)).await;
    let two = client.create_by(&partial(3), Content::new(4, 3)).await;
    for part in [&one, &two] {
        client.complete(part).await;
    }
    let header = format!("final;{} {}", one.location, two.location);
    let joined = client
        .answer(&Request::tus("POST", "/files/").header("Upload-Concat", header))
        .await;
    assert_eq!(joined.status, 201, "{}", joined.text());
    let location = joined.header("Location").expect("a Location").to_owned();
    for _ in 0..2 {
        // Files of the parts of which nothing is known are joined again before they are given out.
        let whole = eventually(SOON, "the joined file", async || {
            let whole = client.answer(&Request::new("GET", &location)).await;
            (whole.status == 200).then_some(whole.body)
        });
        assert!(whole.await == [one.content.whole(), two.content.whole()].concat());
        forget(&mut server).await;
    }
    client.verify(&upload).await;
    client.verify(&small).await;

    let parts = |keys: &[String]| keys.iter().filter(|key| key.contains("/part-")).count();
    eventually(SOON, "what is not needed to go", async || {
        (parts(&keys()) == 0).then_some(())
    })
    .await;
    // Until all is known again, nothing is removed: a file that is forgotten may list it.
    eventually(SOON, "the end of the walk", async || {
        let seen = client.counter("windlass_upload_rebuild_seen_total").await >= 5;
        (seen && client.counter("windlass_upload_rebuilding").await == 0).then_some(())
    })
    .await;
    for location in [
        &location,
        &upload.location,
        &small.location,
        &one.location,
        &two.location,
    ] {
        let ended = client.answer(&Request::tus("DELETE", location)).await;
        assert_eq!(ended.status, 204, "{}", ended.text());
    }
    eventually(SOON, "what was terminated to go", async || {
        keys().is_empty().then_some(())
    })
    .await;
}

async fn ranges_are_the_files(client: &Client, upload: &Upload) {
    for range in [
        0..1,
        8 * MIB - 1..8 * MIB + 1,
        upload.content.length - 5..upload.content.length,
    ] {
        let field = format!("bytes={}-{}", range.start, range.end - 1);
        let request = Request::new("GET", &upload.location).header("Range", field);
        let response = client.answer(&request).await;
        let mut digest = Digest::default();
        digest.update(&upload.content.bytes(range));
        let mut of_response = Digest::default();
        of_response.update(&response.body);
        assert_eq!((response.status, of_response.finish()), (206, digest.finish()));
    }
}
