//! Checking and collecting garbage beside what is alive: nothing alive is ever called wrong, or touched.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ::bucket::Bucket;
use end_to_end::content::Content;
use end_to_end::report;
use end_to_end::server::{Server, Settings, binary};
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::{eventually, stays};
use end_to_end::wire::Request;
use fixture_redis::Redis;

const MIB: u64 = 1024 * 1024;
/// A collector that is always at work, on whatever is not brand new.
const HASTY: &[&str] = &["hold: 200ms", "garbage: { every: 100ms, safeAge: 300ms }"];

async fn verify(server: &Server, more: &[&str]) -> Output {
    let mut command = Command::new(binary());
    let config = server.folder().join("windlass.yaml");
    command.arg("verify").arg("--data-dir").arg(server.data());
    command.arg("--config").arg(config).args(more).stdin(Stdio::null());
    let looking = tokio::task::spawn_blocking(move || command.output());
    looking
        .await
        .expect("it does not panic")
        .expect("the binary can be started")
}

/// The folder of an upload's files.
fn folder(server: &Server, upload: &Upload) -> PathBuf {
    let tenant = server.data().join("uploads/default");
    let folders = std::fs::read_dir(tenant).expect("there are uploads").flatten();
    let documents = format!("{}.jsonl", upload.task);
    let mut folders = folders.map(|entry| entry.path());
    folders
        .find(|folder| folder.join(&documents).is_file())
        .expect("it has documents")
}

#[tokio::test]
async fn what_a_finished_upload_does_not_need_goes_by_itself_and_nothing_else() {
    let server = Server::with(Settings::upload(HASTY)).await;
    let client = Client::of(&server);
    let finished = client.create(Content::new(1, 3 * MIB)).await;
    client.complete(&finished).await;
    let half = client.create(Content::new(2, 3 * MIB)).await;
    assert_eq!(client.patch(&half, 0..MIB).await.status, 204);

    let leftover = folder(&server, &finished).join(format!("{}.7", finished.task));
    std::fs::write(&leftover, b"of a writer that was overruled").expect("a file can be written");
    let kept = folder(&server, &half).join(format!("{}.7", half.task));
    std::fs::write(&kept, b"of a writer that may come back").expect("a file can be written");
    let theirs = server.data().join("uploads/notes.txt");
    std::fs::write(&theirs, b"a person's").expect("a file can be written");

    eventually(SOON, "the leftover to go", async || (!leftover.exists()).then_some(())).await;
    // Told when the round is over.
    let counted = async || (client.counter("windlass_upload_garbage_removed_total").await == 1).then_some(());
    eventually(SOON, "the leftover to be counted", counted).await;
    stays(Duration::from_secs(1), "everything else", async || {
        kept.exists() && theirs.exists()
    })
    .await;
    std::fs::remove_file(kept).expect("it is there");
    client.verify(&finished).await;
    client.complete(&half).await;
    client.verify(&half).await;
    assert_eq!(client.counter("windlass_upload_garbage_removed_total").await, 1);
}

#[tokio::test]
async fn nothing_is_wrong_with_what_moves() {
    const UPLOADS: u64 = 12;
    const ROUNDS: u64 = 8;
    let server = Server::with(Settings::upload(HASTY)).await;
    let mut clients = tokio::task::JoinSet::new();
    for name in 0..UPLOADS {
        let client = Client::of(&server);
        clients.spawn(async move {
            for round in 0..ROUNDS {
                let length = 2 * MIB + name * 1_000 + round;
                let upload = client.create(Content::new(name * 100 + round, length)).await;
                client.patch(&upload, 0..length / 3).await;
                client.complete(&upload).await;
                if round % 2 == 1 {
                    let end = Request::tus("DELETE", &upload.location);
                    assert_eq!(client.answer(&end).await.status, 204);
                } else {
                    client.verify(&upload).await;
                }
            }
        });
    }
    let mut looks = 0;
    while !clients.is_empty() {
        let looked = verify(&server, &["--digests"]).await;
        assert_eq!(looked.status.code(), Some(0), "{looked:?}");
        looks += 1;
        while let Some(done) = clients.try_join_next() {
            done.expect("a client ends well");
        }
    }
    let last = verify(&server, &["--digests"]).await;
    assert_eq!(last.status.code(), Some(0), "{last:?}");
    report::line(&format!("verify looked {looks} times at {UPLOADS} clients' uploads"));
    let client = Client::of(&server);
    assert_eq!(client.counter("windlass_upload_garbage_failures_total").await, 0);
    assert_eq!(client.counter("windlass_upload_garbage_removed_total").await, 0);
}

#[tokio::test]
async fn an_object_that_is_gone_from_a_bucket_is_told_and_ended_beside_the_service() {
    let (redis, bucket) = (Redis::start().await, Bucket::start());
    let keys = tempfile::tempdir().expect("a temporary folder can be made");
    let (id, secret) = (keys.path().join("id"), keys.path().join("secret"));
    std::fs::write(&id, ::bucket::ACCESS_KEY).expect("a file can be written");
    std::fs::write(&secret, ::bucket::SECRET_KEY).expect("a file can be written");
    let config = format!(
        "store:\n  redis:\n    url: {}\nstorage:\n  s3:\n    bucket: {}\n    endpoint: {}\n    addressing: path\n    \
         accessKeyIdFile: {}\n    secretAccessKeyFile: {}\n",
        redis.url(),
        ::bucket::NAME,
        bucket.endpoint(),
        id.display(),
        secret.display(),
    );
    let settings = Settings {
        config,
        ..Settings::default()
    };
    let server = Server::with(settings).await;
    let client = Client::of(&server);
    let (whole, gone) = (Content::new(1, MIB), Content::new(2, MIB));
    let (whole, gone) = (client.create(whole).await, client.create(gone).await);
    for upload in [&whole, &gone] {
        client.complete(upload).await;
        client.task_becomes(upload, "completed").await;
    }
    let looked = verify(&server, &[]).await;
    assert_eq!(looked.status.code(), Some(0), "{looked:?}");

    let keys = bucket.keys();
    let is_bytes =
        |key: &&String| key.contains(&gone.task) && !key.ends_with("manifest") && !key.ends_with("completion");
    let lost = keys.iter().find(is_bytes).expect("its bytes are somewhere");
    std::fs::remove_file(bucket.objects().join(lost)).expect("an object is a file");
    let plan = server.folder().join("plan");
    let plan = plan.to_str().expect("the path is text");
    let looked = verify(&server, &["--plan", plan]).await;
    let told = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert_eq!(looked.status.code(), Some(1), "{looked:?}");
    let expected = format!(
        "default/{}  lost: bytes 0..{MIB} are not there, which {lost} should have",
        gone.task
    );
    assert!(told.starts_with(&expected) && told.lines().count() == 1, "{told}");
    let applied = verify(&server, &["--apply", plan]).await;
    assert_eq!(applied.status.code(), Some(0), "{applied:?}");
    let head = client.answer(&Request::tus("HEAD", &gone.location)).await;
    assert_eq!(head.status, 410, "{head:?}");
    client.verify(&whole).await;
    let looked = verify(&server, &[]).await;
    assert_eq!(looked.status.code(), Some(0), "{looked:?}");
}

#[tokio::test]
async fn a_collector_that_is_killed_in_the_middle_of_its_round_is_followed_by_another_and_nothing_alive_goes() {
    const UPLOADS: u64 = 20;
    let (redis, bucket) = (Redis::start().await, Bucket::start());
    // Slow enough to be killed before it is through.
    let more = format!(
        "store:\n  redis:\n    url: {}\nupload:\n  hold: 200ms\n  garbage: {{ every: 100ms, safeAge: 300ms, \
         removalsPerSecond: 5 }}\n",
        redis.url()
    );
    let (settings, _keys) = crate::bucket::settings(&bucket, "", &more);
    let mut servers = [Server::with(settings.clone()).await, Server::with(settings).await];
    let first = Client::of(&servers[0]);
    let clients = [first.clone(), first.at(&servers[1])];
    let half = first.create(Content::new(0, 20 * MIB)).await;
    assert_eq!(first.patch(&half, 0..9 * MIB).await.status, 204);
    let mut finished = Vec::new();
    for seed in 1..=UPLOADS {
        let upload = clients[(seed % 2) as usize].create(Content::new(seed, 1_000)).await;
        first.complete(&upload).await;
        first.task_becomes(&upload, "completed").await;
        finished.push(upload);
    }

    // The gateway's objects are files.
    let beside = |upload: &Upload| {
        let keys = bucket.keys();
        let manifest = keys
            .iter()
            .find(|key| key.contains(&upload.task) && key.ends_with("manifest"));
        let manifest = bucket.objects().join(manifest.expect("it has a manifest"));
        manifest.with_file_name("taken-9")
    };
    let kept = beside(&half);
    std::fs::write(&kept, b"a writer's").expect("a file can be written");
    let leftovers: Vec<PathBuf> = finished.iter().map(beside).collect();
    for leftover in &leftovers {
        std::fs::write(leftover, b"nobody's ").expect("a file can be written");
    }
    let left = || leftovers.iter().filter(|leftover| leftover.exists()).count();
    let collector = eventually(SOON, "a collector at work", async || {
        servers
            .iter()
            .position(|server| server.log().contains("garbage is removed"))
    })
    .await;
    servers[collector].kill();
    assert!((1..leftovers.len()).contains(&left()), "it was through: {}", left());
    // A turn that nobody keeps ends by itself in a minute; here it ends now.
    redis.command(&["HDEL", "upload:job:garbage", "until"]);

    let (survivor, client) = (&servers[1 - collector], &clients[1 - collector]);
    eventually(SOON, "the rest to go", async || (left() == 0).then_some(())).await;
    assert!(kept.exists(), "what a writer may come back to is gone");
    std::fs::remove_file(&kept).expect("it is there");
    for upload in &finished {
        client.verify(upload).await;
    }
    client.complete(&half).await;
    client.verify(&half).await;
    assert_eq!(client.counter("windlass_upload_garbage_failures_total").await, 0);
    let looked = verify(survivor, &["--digests"]).await;
    assert_eq!(looked.status.code(), Some(0), "{looked:?}");
}
