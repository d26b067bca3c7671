//! What a tenant may have, and that another tenant does not feel it.

use std::time::Duration;

use ::bucket::Bucket;
use end_to_end::content::Content;
use end_to_end::server::{Server, Settings};
use end_to_end::token;
use end_to_end::tus::{Client, SOON};
use end_to_end::wait::{eventually, stays};
use end_to_end::wire::{Body, Request};
use fixture_redis::Redis;
use tempfile::TempDir;

const MIB: u64 = 1024 * 1024;

/// A server with these limits for the tenant `acme`, and a client of `acme` and one of another tenant.
async fn limited(limits: &str) -> (TempDir, Server, Client, Client) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, token::SECRET).expect("a file can be written");
    let config = format!(
        "auth: {{ hs256SecretFile: {} }}\nupload:\n  tenants:\n    named: {{ acme: {limits} }}\n",
        secret.display()
    );
    let server = Server::with(Settings {
        config,
        ..Settings::default()
    })
    .await;
    let client = Client::of(&server);
    let acme = client.with_token(&token::of_tenant("ada", "acme"));
    let other = client.with_token(&token::of_tenant("bob", "other"));
    (folder, server, acme, other)
}

fn creation(length: u64) -> Request {
    Request::tus("POST", "/files/").header("Upload-Length", length.to_string())
}

#[tokio::test]
async fn a_tenant_with_as_many_open_uploads_as_it_may_creates_one_when_another_has_ended() {
    let (_folder, mut server, acme, other) = limited("{ uploads: 2 }").await;
    let first = acme.create(Content::new(1, 1_000)).await;
    let second = acme.create(Content::new(2, 1_000)).await;
    let refused = acme.answer(&creation(1_000)).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (429, Some("uploads_too_many"))
    );
    assert!(refused.header("Retry-After").is_some(), "{refused:?}");
    other.create(Content::new(3, 1_000)).await;

    acme.complete(&first).await;
    let third = eventually(SOON, "room for a third upload", async || {
        let answer = acme.answer(&creation(1_000)).await;
        (answer.status == 201).then_some(answer)
    })
    .await;
    assert!(third.header("Location").is_some());
    // An upload that is there goes on, also after a restart, and counts again then.
    server.kill();
    server.restart().await;
    acme.patch(&second, 0..500).await;
    acme.create(Content::new(4, 1_000)).await;
    assert_eq!(acme.answer(&creation(1_000)).await.status, 429);
    acme.complete(&second).await;
}

#[tokio::test]
async fn the_largest_upload_is_the_tenants_own() {
    let (_folder, _server, acme, other) = limited("{ maxSizeBytes: 1000 }").await;
    assert_eq!(acme.answer(&creation(1_001)).await.status, 413);
    assert_eq!(acme.answer(&creation(1_000)).await.status, 201);
    assert_eq!(other.answer(&creation(1_001)).await.status, 201);
}

#[tokio::test]
async fn a_tenant_at_its_rate_is_read_slowly_and_another_is_not() {
    let (_folder, _server, acme, other) = limited("{ bytesPerSecond: 262144 }").await;
    let slow = acme.create(Content::new(1, 64 * MIB)).await;
    let body = Body::of(slow.content, 0..slow.content.length);
    let sending = acme.begin(&slow, body).await;
    eventually(SOON, "the tenant to wait for its rate", async || {
        let text = other.answer(&Request::new("GET", "/metrics")).await.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("windlass_upload_tenant_waits_seconds_total "));
        let waited: f64 = line.expect("there is such a counter").parse().expect("it is a number");
        (waited > 1.0).then_some(())
    })
    .await;
    let quick = other.create(Content::new(2, 8 * MIB)).await;
    other.complete(&quick).await;
    assert!(sending.is_inside(), "at this rate it would take minutes");
    // What is slow is not refused, and can be asked for.
    let offset = acme.head(&slow).await;
    assert!(offset > 0 && offset < slow.content.length, "{offset}");
}

#[tokio::test]
async fn what_a_tenant_has_in_memory_is_bounded_over_two_processes() {
    // Less than a part: what one body brings fills it.
    const LIMIT: u64 = 4 * MIB;
    let (redis, bucket) = (Redis::start().await, Bucket::start());
    let more = format!(
        "store:\n  redis:\n    url: {}\nupload:\n  tenants: {{ default: {{ bytesInFlight: {LIMIT} }} }}\n",
        redis.url()
    );
    let (settings, _keys) = crate::bucket::settings(&bucket, "", &more);
    let servers = [Server::with(settings.clone()).await, Server::with(settings).await];
    let first = Client::of(&servers[0]);
    let clients = [first.clone(), first.at(&servers[1])];
    let mut uploads = Vec::new();
    for (seed, client) in (1..).zip(&clients) {
        uploads.push(client.create(Content::new(seed, 12 * MIB)).await);
    }
    let begin = async |index: usize| {
        let body = Body::of(uploads[index].content, 0..uploads[index].content.length);
        clients[index].begin(&uploads[index], body).await
    };
    let held = async |index: usize| clients[index].counter("windlass_upload_storage_held_bytes").await;

    // What is taken stays in memory.
    bucket.pause();
    let one = begin(0).await;
    eventually(
        SOON,
        "the first process to take all that the tenant may have",
        async || (held(0).await > LIMIT - MIB).then_some(()),
    )
    .await;
    let other = begin(1).await;
    eventually(SOON, "the second to have its piece", async || {
        (held(1).await > 0).then_some(())
    })
    .await;
    stays(Duration::from_secs(1), "the limit", async || {
        held(0).await + held(1).await <= LIMIT + MIB
    })
    .await;
    bucket.resume();
    for (body, (client, upload)) in [one, other].into_iter().zip(clients.iter().zip(&uploads)) {
        assert_eq!(body.answer().await.status, 204);
        client.verify(upload).await;
    }
}
