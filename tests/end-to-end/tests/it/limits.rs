//! Many connections, few descriptors, slow clients.

use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON};
use end_to_end::wait::eventually;
use end_to_end::wire::{Body, Request, Wire};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::time::Instant;

const MIB: u64 = 1024 * 1024;

/// This process is the other end of every connection.
pub(super) fn raise_own_limit(descriptors: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < descriptors) {
        limit.current = limit
            .maximum
            .map_or(Some(descriptors), |maximum| Some(maximum.min(descriptors)));
        setrlimit(Resource::Nofile, limit).expect("the soft limit can be raised to the hard one");
    }
}

async fn idle_connections(client: &Client, count: usize) -> Vec<Wire> {
    let mut idle = Vec::with_capacity(count);
    for index in 0..count {
        let mut wire = client.connect().await;
        // Some have said nothing, some the half of a request.
        if index % 2 == 1 {
            wire.send("GET /tasks HTTP/1.1\r\nHost: loc")
                .await
                .expect("it can be sent");
        }
        idle.push(wire);
    }
    idle
}

#[tokio::test]
async fn a_thousand_idle_connections_do_not_stop_an_upload() {
    raise_own_limit(4_096);
    let server = Server::with(Settings {
        // What most systems give a process.
        open_files: Some(1_024),
        ..Settings::default()
    })
    .await;
    let client = Client::of(&server);
    let idle = idle_connections(&client, 1_000).await;
    let began = Instant::now();
    let upload = client.create(Content::new(1, 8 * MIB)).await;
    client.complete(&upload).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(
        idle.iter().all(Wire::is_quiet),
        "an idle connection was closed or spoken to"
    );
}

#[tokio::test]
async fn a_hundred_uploads_at_once_all_arrive() {
    raise_own_limit(4_096);
    let server = Server::start().await;
    let client = Client::of(&server);
    let uploads: Vec<_> = (0..100)
        .map(|seed| {
            let client = client.clone();
            tokio::spawn(async move {
                let upload = client.create(Content::new(seed, 300_000 + seed)).await;
                let half = Body::of(upload.content, 0..150_000);
                assert_eq!(client.begin(&upload, half).await.answer().await.status, 204);
                client.complete(&upload).await;
            })
        })
        .collect();
    for upload in uploads {
        upload.await.expect("every upload arrives");
    }
}

#[tokio::test]
async fn a_body_that_brings_nothing_for_too_long_is_answered_and_what_came_is_kept() {
    let server = Server::with(Settings::upload(&["idleTimeout: 1s"])).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(2, MIB)).await;
    for kept in [400_000, 700_000] {
        let at = client.head(&upload).await;
        let body = Body::of(upload.content, at..MIB).halting_after(kept - at);
        let response = client.begin(&upload, body).await.answer().await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (408, "body_idle"),
            "{response:?}"
        );
        assert_eq!(client.head(&upload).await, kept);
    }
    client.complete(&upload).await;
}

#[tokio::test]
async fn a_body_of_single_bytes_arrives() {
    let server = Server::with(Settings::upload(&["checkpoint: 5ms"])).await;
    let client = Client::of(&server);
    let content = Content::new(3, 3_000);
    let upload = client.create(content).await;
    let mut wire = client.connect().await;
    let head = Request::patch(&upload.location, 0)
        .framing(end_to_end::wire::Framing::Chunked)
        .head();
    wire.send(head).await.expect("it can be sent");
    for byte in content.whole() {
        wire.send([&b"1\r\n"[..], &[byte], b"\r\n"].concat())
            .await
            .expect("it can be sent");
    }
    wire.send("0\r\n\r\n").await.expect("it can be sent");
    let response = wire.answer("PATCH").await.expect("it is answered");
    assert_eq!((response.status, response.offset()), (204, Some(3_000)), "{response:?}");
    client.verify(&upload).await;
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let content = Content::new(4, 100_000);
    let upload = client.create(content).await;
    let mut wire = client.connect().await;
    let mut at = 0;
    while at < content.length {
        let end = content.length.min(at + 7_001);
        let patch = Request::patch(&upload.location, at).body(content.bytes(at..end));
        let response = wire.exchange(&patch).await.expect("it is answered");
        assert_eq!((response.status, response.offset()), (204, Some(end)), "{response:?}");
        let head = wire
            .exchange(&Request::tus("HEAD", &upload.location))
            .await
            .expect("it is answered");
        assert_eq!((head.status, head.offset()), (200, Some(end)), "{head:?}");
        at = end;
    }
    client.verify(&upload).await;
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_and_others_are_served() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let mut slow = client.connect().await;
    slow.send("GET / HTTP/1.1\r\nHost: localhost\r\n")
        .await
        .expect("it can be sent");
    let began = Instant::now();
    let upload = client.create(Content::new(5, MIB)).await;
    client.complete(&upload).await;
    // The shipped limit is 30 s from the first moment at which a head could be sent.
    eventually(Duration::from_secs(45), "the slow head to be cut", async || {
        (!slow.is_quiet()).then_some(())
    })
    .await;
    assert!(
        began.elapsed() > Duration::from_secs(20),
        "cut after {:?}: too soon for a slow network",
        began.elapsed()
    );
}
