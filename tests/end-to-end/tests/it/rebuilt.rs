//! The records are lost and nobody asks for the uploads: what is stored is gone through, and all are known again.

use std::collections::BTreeMap;
use std::time::Duration;

use bucket::Bucket;
use end_to_end::content::Content;
use end_to_end::receiver::Receiver;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::Request;
use fixture_redis::Redis;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::forgotten::forget;

const MIB: u64 = 1024 * 1024;
/// The end of another process's turn, and of what may have a living writer, comes first.
const LATER: Duration = Duration::from_secs(60);
/// What goes on without a commit is known to be over soon: nobody waits for it for a minute.
const IMPATIENT: &str = "upload:\n  checkpoint: 100ms\n  idleTimeout: 500ms\n  hold: 500ms\n";

/// What a watcher is told of an upload; nobody asks the upload service.
async fn shown(client: &Client, upload: &Upload) -> Option<u64> {
    let task = Request::new("GET", &format!("/tasks/{}", upload.task));
    let response = client.answer(&task).await;
    (response.status == 200).then(|| response.json()["offset"].as_u64().expect("a task has an offset"))
}

/// Waits until all are shown with as much as they had.
async fn are_known_again(client: &Client, uploads: &[(Upload, u64)]) {
    for (upload, had) in uploads {
        let offset = eventually(LATER, "a forgotten upload", async || shown(client, upload).await).await;
        assert_eq!(offset, *had, "{}", upload.task);
    }
}

/// An upload with its first bytes.
async fn with_bytes(client: &Client, content: Content, had: u64) -> (Upload, u64) {
    let upload = client.create(content).await;
    if had > 0 {
        assert_eq!(client.patch(&upload, 0..had).await.status, 204);
    }
    (upload, had)
}

fn partial(length: u64) -> Request {
    Request::tus("POST", "/files/")
        .header("Upload-Concat", "partial")
        .header("Upload-Length", length.to_string())
}

#[tokio::test]
async fn after_a_deleted_database_watchers_see_every_upload_and_a_final_one_keeps_its_bytes() {
    let settings = Settings {
        // What is gone is looked after four times in a lifetime.
        config: format!("{IMPATIENT}  lifetime: 40s\n"),
        ..Settings::default()
    };
    let mut server = Server::with(settings).await;
    let client = Client::of(&server);
    let mut uploads = Vec::new();
    for (seed, had) in [(1, 0), (2, MIB), (3, 2 * MIB)] {
        uploads.push(with_bytes(&client, Content::new(seed, 2 * MIB), had).await);
    }
    let parts = [
        client.create_by(&partial(MIB), Content::new(4, MIB)).await,
        client.create_by(&partial(MIB), Content::new(5, MIB)).await,
    ];
    for part in &parts {
        assert_eq!(client.patch(part, 0..MIB).await.status, 204);
    }
    let list = format!("final;{} {}", parts[0].location, parts[1].location);
    let joined = client
        .answer(&Request::tus("POST", "/files/").header("Upload-Concat", list))
        .await;
    assert_eq!(joined.status, 201);
    let whole = Request::new("GET", joined.header("Location").expect("a Location"));

    forget(&mut server).await;
    // A part is ended before anybody has asked for the file that lists its bytes.
    assert_eq!(
        client.answer(&Request::tus("DELETE", &parts[0].location)).await.status,
        204
    );
    are_known_again(&client, &uploads).await;
    // It is known again a moment before its parts are joined again.
    let file = eventually(LATER, "the final upload to be known again", async || {
        let file = client.answer(&whole).await;
        (file.status != 409).then_some(file)
    })
    .await;
    assert_eq!(file.status, 200, "its bytes went with one of its parts: {file:?}");
    assert_eq!(file.body, [parts[0].content.whole(), parts[1].content.whole()].concat());
    for (upload, _) in &uploads {
        client.complete(upload).await;
        client.verify(upload).await;
    }
    eventually(LATER, "the end of the walk", async || {
        (client.counter("windlass_upload_rebuilding").await == 0).then_some(())
    })
    .await;
    assert_eq!(client.counter("windlass_upload_rebuild_failures_total").await, 0);
    // With the last that lists them the bytes go.
    let path = joined.header("Location").expect("a Location");
    assert_eq!(client.answer(&Request::tus("DELETE", path)).await.status, 204);
    assert_eq!(
        client.answer(&Request::tus("DELETE", &parts[1].location)).await.status,
        204
    );
    for part in &parts {
        eventually(SOON, "the bytes to go", async || {
            end_to_end::disk::files_of(&server.data(), &part.task)
                .is_empty()
                .then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn hooks_hear_again_of_what_is_known_again_by_the_same_keys() {
    let hooks = Receiver::start().await;
    let settings = Settings {
        config: format!(
            "{IMPATIENT}  hooks:\n    url: {}/hook\n    events: [post-create, post-finish]\n",
            hooks.url()
        ),
        ..Settings::default()
    };
    let mut server = Server::with(settings).await;
    let client = Client::of(&server);
    let (whole, _) = with_bytes(&client, Content::new(1, 1_000), 1_000).await;
    let (half, _) = with_bytes(&client, Content::new(2, 1_000), 500).await;
    let heard = || {
        let mut heard: BTreeMap<String, usize> = BTreeMap::new();
        for call in hooks.received() {
            *heard
                .entry(call.idempotency_key.expect("each call has a key"))
                .or_default() += 1;
        }
        heard
    };
    let each = |times: usize| heard().len() == 3 && heard().values().all(|heard| *heard >= times);
    eventually(SOON, "all hooks", async || each(1).then_some(())).await;
    let keys: Vec<String> = heard().into_keys().collect();
    forget(&mut server).await;
    // Nobody asks for either.
    eventually(LATER, "all hooks again", async || each(2).then_some(())).await;
    assert_eq!(heard().into_keys().collect::<Vec<_>>(), keys);
    for upload in [&half, &whole] {
        client.complete(upload).await;
        client.verify(upload).await;
    }
}

#[tokio::test]
async fn an_empty_redis_in_front_of_a_full_bucket_is_filled_again_and_another_process_goes_on_where_one_died() {
    const UPLOADS: u64 = 250;
    let (mut redis, bucket) = (Redis::start().await, Bucket::start());
    let store = format!("store:\n  redis:\n    url: {}\n{IMPATIENT}", redis.url());
    let (settings, _keys) = crate::bucket::settings(&bucket, "", &store);
    let data = TempDir::new().expect("a temporary folder can be made");
    let settings = Settings {
        data: Some(data.path().to_owned()),
        ..settings
    };
    let mut servers = [Server::with(settings.clone()).await, Server::with(settings).await];
    let first = Client::of(&servers[0]);
    let clients = [first.clone(), first.at(&servers[1])];
    let mut uploads = Vec::new();
    for seeds in (0..UPLOADS).collect::<Vec<_>>().chunks(25) {
        let mut creating = JoinSet::new();
        for seed in seeds.iter().copied() {
            let client = clients[(seed % 2) as usize].clone();
            // Some are complete and some in the middle.
            let had = match seed % 20 {
                0 => 1_000,
                10 => 500,
                _ => 0,
            };
            creating.spawn(async move { with_bytes(&client, Content::new(seed, 1_000), had).await });
        }
        uploads.extend(creating.join_all().await);
    }
    redis.kill();
    redis.restart_empty().await;
    let walker = eventually(LATER, "a walk in the middle", async || {
        for (index, client) in clients.iter().enumerate() {
            let seen = client.counter("windlass_upload_rebuild_seen_total").await;
            if client.counter("windlass_upload_rebuilding").await == 1 && seen > 0 {
                return Some(index);
            }
        }
        None
    })
    .await;
    servers[walker].kill();
    let survivor = &clients[1 - walker];
    are_known_again(survivor, &uploads).await;
    assert_eq!(survivor.counter("windlass_upload_rebuild_failures_total").await, 0);
    for (upload, _) in uploads.iter().filter(|(_, had)| *had > 0) {
        survivor.complete(upload).await;
        survivor.verify(upload).await;
    }
}
