//! SIGTERM: whoever is busy is told to come back, nothing that was shown is lost, and the process ends.

use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::random::Random;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON};
use end_to_end::wait::eventually;
use end_to_end::watch::Watcher;
use end_to_end::websocket::{Message, Socket};
use end_to_end::wire::{Body, Ending, Pace, Request};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

const MIB: u64 = 1024 * 1024;
/// An orderly end takes the time of one checkpoint and of the last words; the shipped deadline for a drain is 25 s.
const ORDERLY: Duration = Duration::from_secs(15);

#[tokio::test]
async fn sigterm_under_load_answers_running_bodies_503_and_keeps_what_was_shown() {
    let mut random = Random::of_this_run("drain");
    let mut server = Server::with(Settings::upload(&["checkpoint: 50ms"])).await;
    let client = Client::of(&server);
    let mut running = Vec::new();
    for _ in 0..6 {
        let upload = client.create(Content::new(random.number(), 64 * MIB)).await;
        let pace = Pace::Pieces {
            bytes: 16 * 1024,
            every: Duration::from_millis(2),
        };
        let body = Body::of(upload.content, 0..upload.content.length).paced(pace);
        running.push((client.begin(&upload, body).await, upload));
    }
    for (_, upload) in &running {
        eventually(SOON, "a checkpoint inside each body", async || {
            let task = client.task(upload).await;
            (task["offset"].as_u64() > Some(0)).then_some(())
        })
        .await;
    }
    server.signal(Signal::TERM);
    let mut uploads = Vec::new();
    for (patch, upload) in running {
        let response = patch.answer().await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (503, "draining"),
            "{response:?}"
        );
        assert!(response.retry_after() >= Some(1));
        uploads.push(upload);
    }
    assert!(server.ended(ORDERLY).await.success());
    assert!(
        Client::of(&server)
            .exchange(&Request::new("GET", "/healthz"))
            .await
            .is_err()
    );

    server.restart().await;
    let small = client.create(Content::new(random.number(), 100)).await;
    client.complete(&small).await;
    for upload in &uploads {
        // Judged by the ledger against everything that was shown before.
        assert!(client.head(upload).await > 0);
    }
}

#[tokio::test]
async fn sigterm_saves_every_byte_that_had_been_read_and_does_not_wait_for_more() {
    let mut server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(1, 3 * MIB)).await;
    let body = Body::of(upload.content, 0..3 * MIB).halting_after(1_234_567);
    let request = Request::patch(&upload.location, 0);
    let patch = client.begin_read(&upload, request, body, 1_234_567).await;
    let asked = Instant::now();
    server.signal(Signal::TERM);
    let response = patch.answer().await;
    assert_eq!(response.code(), "draining");
    assert!(asked.elapsed() < SOON);
    assert!(server.ended(ORDERLY).await.success());
    server.restart().await;
    assert_eq!(client.head(&upload).await, 1_234_567);
    client.complete(&upload).await;
}

#[tokio::test]
async fn watchers_are_sent_away_and_do_not_keep_the_process() {
    let mut server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(2, 100)).await;
    let events = Watcher::events(&client, &upload).await;
    let plain = Watcher::plain(&client, &upload).await;
    let mut centrifuge = Socket::open(&client, "/connection/websocket").await;
    centrifuge.send_json(&json!({ "id": 1, "connect": {} })).await;
    assert_eq!(centrifuge.next_json().await["id"], 1);
    events
        .sees("the present state", |value| value["event"] == "progress")
        .await;
    plain.sees("the present state", |value| value["progress"] == 0).await;
    let mut poll = client.connect().await;
    let tag = client
        .answer(&Request::new("GET", &format!("/tasks/{}", upload.task)))
        .await;
    let waiting = Request::new("GET", &format!("/tasks/{}?wait=60", upload.task))
        .header("If-None-Match", tag.header("ETag").expect("a task has an ETag"));
    poll.send(waiting.bytes()).await.expect("it can be sent");

    server.signal(Signal::TERM);
    events.ends().await;
    plain
        .sees("the word to reconnect", |value| value["type"] == "reconnect")
        .await;
    plain.ends().await;
    // Codes 3000 to 3499 tell a Centrifuge client to come back.
    let code = centrifuge.close_code().await;
    assert!(code.is_some_and(|code| (3000..3500).contains(&code)), "{code:?}");
    assert_eq!(poll.answer("GET").await.expect("a poll is answered").status, 304);
    assert!(server.ended(ORDERLY).await.success());
}

#[tokio::test]
async fn a_second_sigterm_ends_the_process_at_once() {
    let mut server = Server::start().await;
    let client = Client::of(&server);
    let _download = download_that_is_not_read(&client).await;
    server.signal(Signal::TERM);
    refuses_connections(&client).await;
    server.signal(Signal::TERM);
    assert_eq!(server.ended(SOON).await.code(), Some(130));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_at_the_deadline_and_the_exit_code_is_0() {
    let mut server = Server::start().await;
    let client = Client::of(&server);
    let _download = download_that_is_not_read(&client).await;
    server.signal(Signal::TERM);
    assert!(server.ended(Duration::from_secs(40)).await.success());
}

/// A download whose client reads nothing, too large for the buffers between: it never ends by itself.
async fn download_that_is_not_read(client: &Client) -> end_to_end::wire::Wire {
    let upload = client.create(Content::new(3, 40 * MIB)).await;
    client.complete(&upload).await;
    let sent = client.counter("windlass_sent_bytes_total").await;
    let mut wire = client.connect().await;
    wire.send(Request::new("GET", &upload.location).bytes())
        .await
        .expect("it can be sent");
    eventually(SOON, "the download to begin", async || {
        (client.counter("windlass_sent_bytes_total").await > sent + MIB).then_some(())
    })
    .await;
    wire
}

async fn refuses_connections(client: &Client) {
    eventually(SOON, "the port to be closed", async || {
        client.exchange(&Request::new("GET", "/healthz")).await.err()
    })
    .await;
}

#[tokio::test]
async fn stdout_has_the_ready_line_with_the_real_port_and_nothing_else() {
    let settings = Settings {
        any_port: true,
        ..Settings::default()
    };
    let mut server = Server::with(settings).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(4, 10_000)).await;
    client.complete(&upload).await;
    let refused = client
        .answer(&Request::new("GET", "/").replace("Host", "evil.example"))
        .await;
    assert_eq!(refused.status, 403);
    server.signal(Signal::INT);
    assert!(server.ended(ORDERLY).await.success());
    assert_eq!(server.stdout(), [format!("ready on http://{}", server.address())]);
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_and_disturbs_nobody() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(5, 2 * MIB)).await;
    let patch = client
        .begin(&upload, Body::of(upload.content, 0..2 * MIB).halting_after(MIB))
        .await;
    patch.has_sent(MIB).await;
    let second = Settings {
        data: Some(server.data()),
        ..Settings::default()
    };
    let (status, log) = Server::run_to_end(&second, "127.0.0.1:0", SOON).await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("is in use by another process"), "{log}");
    patch.allow(u64::MAX);
    assert_eq!(patch.answer().await.status, 204);
    client.verify(&upload).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_and_the_data_is_free_again() {
    let server = Server::start().await;
    let mine = Settings::default();
    let (status, log) = Server::run_to_end(&mine, &server.address().to_string(), SOON).await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains(&format!("cannot listen on {}", server.address())), "{log}");
}

#[tokio::test]
async fn a_stopped_server_goes_on_where_it_was_when_it_is_continued() {
    let server = Server::with(Settings::upload(&["idleTimeout: 1s"])).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(6, 8 * MIB)).await;
    let body = Body::of(upload.content, 0..8 * MIB).halting_after(MIB);
    let patch = client.begin(&upload, body).await;
    patch.has_sent(MIB).await;
    server.signal(Signal::STOP);
    patch.allow(u64::MAX);
    // The kernel goes on taking bytes for it until its buffers are full. Longer than its own limit of idleness.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(patch.is_unanswered(), "a stopped server has answered");
    server.signal(Signal::CONT);
    match patch.ending().await {
        Ending::Answered(response) => assert_eq!(response.status, 204, "{response:?}"),
        Ending::Broken(error) => panic!("{error}"),
    }
    client.verify(&upload).await;
}
#[tokio::test]
async fn a_message_after_the_word_to_reconnect_is_still_answered() {
    let server = Server::with(Settings {
        config: "push: { drain: { grace: 3s } }".to_owned(),
        ..Settings::default()
    })
    .await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(7, 100)).await;
    let mut socket = Socket::open(&client, "/ws").await;
    socket
        .send_json(&json!({ "type": "join", "fileId": upload.task }))
        .await;
    assert_eq!(socket.next_json().await["progress"], 0);
    server.signal(Signal::TERM);
    assert_eq!(socket.next_json().await["type"], "reconnect");
    socket
        .send_json(&json!({ "type": "join", "fileId": upload.task }))
        .await;
    let value = socket.next_json().await;
    assert_eq!(value["progress"], 0, "{value}");
    while let Some(message) = socket.next().await {
        assert!(!matches!(message, Message::Text(_)), "{message:?}");
    }
}
