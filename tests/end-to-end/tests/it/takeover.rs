//! The newest request gets the upload, and an old one can do no harm (promise P2).

use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, Patching, SOON, Upload};
use end_to_end::wait::{eventually, stays};
use end_to_end::wire::{Body, Ending, Pace, Request};
use tokio::time::Instant;

const MIB: u64 = 1024 * 1024;
/// The promise is 100 ms and one write in progress; a busy machine with slow tests beside this one gets more. What is
/// ruled out is the 2 s after which a holder is overruled.
const QUICK: Duration = Duration::from_millis(1_500);
const STEADY: Pace = Pace::Pieces {
    bytes: 8 * 1024,
    every: Duration::from_millis(2),
};

/// A body that moves all the time and would need many seconds.
async fn moving(client: &Client, upload: &Upload, from: u64) -> Patching {
    let body = Body::of(upload.content, from..upload.content.length).paced(STEADY);
    let patch = client.begin(upload, body).await;
    patch.has_sent(1).await;
    read_by_the_server(client, upload, from).await;
    patch
}

/// Waits until the server has recorded bytes behind `from`.
async fn read_by_the_server(client: &Client, upload: &Upload, from: u64) {
    eventually(SOON, "a checkpoint", async || {
        (client.task(upload).await["offset"].as_u64() > Some(from)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stalled_body_is_taken_over_quickly_and_harms_nothing_when_it_wakes() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(1, 4 * MIB)).await;
    // The stalled client will go on with other bytes than the one that takes over.
    let stalled = Upload {
        content: Content::new(2, 4 * MIB),
        ..upload.clone()
    };
    let halt = 1_500_000;
    let old = client
        .begin(&stalled, Body::of(stalled.content, 0..4 * MIB).halting_after(halt))
        .await;
    old.has_sent(halt).await;
    read_by_the_server(&client, &upload, 0).await;

    let asked = Instant::now();
    let offset = client.head(&upload).await;
    assert!(asked.elapsed() < QUICK, "the takeover took {:?}", asked.elapsed());
    assert_eq!(offset, halt, "what the stalled body had brought was not saved");
    old.allow(u64::MAX);
    let response = client.patch(&upload, offset..4 * MIB).await;
    assert_eq!((response.status, response.offset()), (204, Some(4 * MIB)));
    match old.ending().await {
        Ending::Answered(response) => {
            assert_eq!(
                (response.status, response.code().as_str()),
                (423, "upload_taken_over"),
                "{response:?}"
            );
            assert!(response.retry_after() >= Some(1));
        }
        Ending::Broken(_) => {}
    }

    let file = client.answer(&Request::new("GET", &upload.location)).await.body;
    let mut expected = stalled.content.bytes(0..halt);
    expected.extend(upload.content.bytes(halt..4 * MIB));
    assert!(file == expected, "the stale writer changed the file");
    assert!(
        client
            .counter(r#"windlass_upload_takeovers_total{outcome="released"}"#)
            .await
            >= 1
    );
}

#[tokio::test]
async fn head_interrupts_a_running_patch_and_its_offset_is_accepted_by_the_next() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(3, 64 * MIB)).await;
    let mut offset = 0;
    // Three times: the fourth within ten seconds would be a fight.
    for _ in 0..3 {
        let patch = moving(&client, &upload, offset).await;
        let asked = Instant::now();
        let shown = client.head(&upload).await;
        assert!(asked.elapsed() < QUICK, "the takeover took {:?}", asked.elapsed());
        assert!(shown > offset);
        let response = patch.answer().await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (423, "upload_taken_over"),
            "{response:?}"
        );
        assert_eq!(
            response.offset(),
            Some(shown),
            "the interrupted request and HEAD disagree"
        );
        let next = client.patch(&upload, shown..shown + 10).await;
        assert_eq!((next.status, next.offset()), (204, Some(shown + 10)), "{next:?}");
        offset = shown + 10;
    }
}

#[tokio::test]
async fn a_newer_patch_takes_the_upload_over_without_a_head_before_it() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(4, 16 * MIB)).await;
    let old = moving(&client, &upload, 0).await;
    // Where it stands by now only the server knows: a guess is answered with the truth, and the old body has ended.
    let guess = client.patch(&upload, 0..10).await;
    assert_eq!((guess.status, guess.code().as_str()), (409, "offset_mismatch"));
    let offset = guess.offset().expect("409 has the offset");
    assert_eq!(old.answer().await.offset(), Some(offset));
    let response = client.patch(&upload, offset..16 * MIB).await;
    assert_eq!(response.status, 204, "{response:?}");
    client.verify(&upload).await;
}

#[tokio::test]
async fn the_fourth_takeover_of_a_moving_body_in_ten_seconds_is_refused_for_longer_each_time() {
    let server = Server::with(Settings::upload(&["checkpoint: 20ms"])).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(5, 64 * MIB)).await;
    let began = Instant::now();
    let mut holder = moving(&client, &upload, 0).await;
    for _ in 0..3 {
        // A reconnect is a HEAD and a PATCH; together they count once.
        let offset = client.head(&upload).await;
        assert_eq!(holder.answer().await.status, 423);
        holder = moving(&client, &upload, offset).await;
    }
    let mut away = Vec::new();
    for method in ["HEAD", "PATCH", "HEAD"] {
        let request = match method {
            "PATCH" => Request::patch(&upload.location, 0).body("x"),
            _ => Request::tus(method, &upload.location),
        };
        let response = client.ask(&upload, &request).await;
        assert_eq!(response.status, 423, "{method} {response:?}");
        assert!(
            method == "HEAD" || response.code() == "upload_contended",
            "{response:?}"
        );
        away.push(response.retry_after().expect("423 says when to come back"));
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "too slow to prove anything: {:?}",
        began.elapsed()
    );
    assert!(away.is_sorted_by(|a, b| a < b), "Retry-After does not grow: {away:?}");
    stays(Duration::from_millis(200), "the holder keeps its body", async || {
        holder.is_inside()
    })
    .await;
    let before = client.task(&upload).await["offset"].as_u64();
    eventually(SOON, "the holder to go on", async || {
        (client.task(&upload).await["offset"].as_u64() > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_has_no_right_to_write_interrupts_nobody() {
    let server = Server::with(Settings::upload(&["checkpoint: 20ms"])).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(6, 2 * MIB)).await;
    let body = Body::of(upload.content, 0..2 * MIB).halting_after(MIB);
    let patch = client.begin(&upload, body).await;
    patch.has_sent(MIB).await;
    read_by_the_server(&client, &upload, 0).await;
    let keyless = upload
        .location
        .rsplit_once('/')
        .expect("a location has parts")
        .0
        .to_owned();
    for path in [keyless.clone(), format!("{keyless}/AAAAAAAAAAAAAAAAAAAAAA")] {
        for method in ["HEAD", "DELETE", "GET"] {
            let response = client.answer(&Request::tus(method, &path)).await;
            assert_eq!(response.status, 404, "{method} {path}");
            assert_eq!(response.offset(), None);
        }
        let response = client.answer(&Request::patch(&path, MIB).body("x")).await;
        assert_eq!((response.status, response.code().as_str()), (404, "upload_not_found"));
    }
    client.task(&upload).await;
    let unfinished = client.answer(&Request::new("GET", &upload.location)).await;
    assert_eq!(
        (unfinished.status, unfinished.code().as_str()),
        (409, "upload_not_finished")
    );
    assert!(patch.is_inside());
    patch.allow(u64::MAX);
    assert_eq!(patch.answer().await.status, 204);
    client.verify(&upload).await;
}

#[tokio::test]
async fn a_crowd_that_asks_together_is_answered_and_the_upload_goes_on() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(7, 4 * MIB)).await;
    let patch = client
        .begin(&upload, Body::of(upload.content, 0..4 * MIB).halting_after(MIB))
        .await;
    patch.has_sent(MIB).await;
    let crowd: Vec<_> = (0..40)
        .map(|index| {
            let (client, upload) = (client.clone(), upload.clone());
            tokio::spawn(async move {
                let request = match index % 2 {
                    0 => Request::tus("HEAD", &upload.location),
                    _ => Request::patch(&upload.location, 0).body("x"),
                };
                client.ask(&upload, &request).await.status
            })
        })
        .collect();
    for asked in crowd {
        let status = asked.await.expect("the ledger holds");
        assert!(matches!(status, 200 | 204 | 409 | 423), "{status}");
    }
    drop(patch);
    // Where a PATCH at 0 came first it has brought the byte `x`; then the file is not the one we know.
    let offset = client.head(&upload).await;
    let response = client.patch(&upload, offset..4 * MIB).await;
    assert_eq!((response.status, response.offset()), (204, Some(4 * MIB)));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_kept_to_its_last_byte() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for chunked in [false, true] {
        let upload = client.create(Content::new(8, 2 * MIB)).await;
        let body = Body::of(upload.content, 0..2 * MIB).halting_after(700_001);
        let body = if chunked { body.chunked() } else { body };
        let patch = client.begin(&upload, body).await;
        patch.has_sent(700_001).await;
        patch.cut();
        // Watched, not asked by HEAD: that would interrupt the server in reading what is still on its way.
        eventually(SOON, "all that was sent to be saved", async || {
            (client.task(&upload).await["offset"] == 700_001).then_some(())
        })
        .await;
        assert_eq!(client.head(&upload).await, 700_001);
        client.complete(&upload).await;
    }
}
