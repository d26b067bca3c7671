//! TLS and HTTP/2: the promises of uploads hold on both, and what clients can make the server keep is bounded.

use std::time::Duration;

use end_to_end::content::{Content, Digest};
use end_to_end::secure::{Secure, field, issue, offset, settings, streamed};
use end_to_end::server::{Server, Settings};
use end_to_end::tus::SOON;
use end_to_end::wait::eventually;
use reqwest::Version;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

const MIB: u64 = 1024 * 1024;

async fn verify(client: &Secure, path: &str, content: Content) {
    let response = client.tus("GET", path).send().await.expect("GET is answered");
    let mut digest = Digest::default();
    digest.update(&response.bytes().await.expect("the file comes"));
    assert_eq!(
        digest.finish(),
        (content.length, content.digest()),
        "another file came out"
    );
}

#[tokio::test]
async fn uploads_over_tls_arrive_in_both_versions_of_http() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let certificate = issue(folder.path());
    let server = Server::with(settings(folder.path())).await;
    assert!(
        server.stdout()[0].starts_with("ready on https://"),
        "{:?}",
        server.stdout()
    );
    for version in [Version::HTTP_2, Version::HTTP_11] {
        let client = Secure::of(&server, &certificate, version);
        let content = Content::new(1, 20 * MIB + 17);
        let path = client.create(content.length).await;
        for range in [0..MIB, MIB..MIB, MIB..content.length] {
            let end = range.end;
            let sent = client.patch(&path, range.start).body(content.bytes(range)).send().await;
            let sent = sent.expect("PATCH is answered");
            assert_eq!((sent.version(), sent.status().as_u16()), (version, 204));
            assert_eq!(offset(&sent), Some(end));
        }
        verify(&client, &path, content).await;
    }
}

#[tokio::test]
async fn what_came_of_a_stream_that_is_reset_is_kept_and_gone_on_from() {
    let server = Server::start().await;
    let client = Secure::plain_http2(&server);
    let content = Content::new(2, 8 * MIB);
    let path = client.create(content.length).await;
    let mut at = 0;
    // Cut at places that are no checkpoint's, and the last time not at all.
    for cut in [1, 300_001, 2 * MIB + 5, 5 * MIB] {
        let (mut writer, body) = streamed();
        let request = client.patch(&path, at).body(body);
        let sending = tokio::spawn(request.send());
        writer.write_all(&content.bytes(at..cut)).await.expect("it is taken");
        eventually(SOON, "some of it to be acknowledged", async || {
            let task = client.tus("GET", &format!("/tasks/{}", path.split('/').nth(3).unwrap_or_default()));
            let text = task.send().await.ok()?.text().await.ok()?;
            let shown = text
                .split("\"offset\":")
                .nth(1)?
                .split([',', '}'])
                .next()?
                .parse::<u64>()
                .ok()?;
            (shown > at || cut - at < 10).then_some(())
        })
        .await;
        sending.abort();
        let _ = sending.await;
        let now = client.head(&path).await;
        assert!((at..=cut).contains(&now), "{now} is not in {at}..={cut}");
        at = now;
    }
    let rest = client
        .patch(&path, at)
        .body(content.bytes(at..content.length))
        .send()
        .await;
    assert_eq!(offset(&rest.expect("PATCH is answered")), Some(content.length));
    verify(&client, &path, content).await;
}

#[tokio::test]
async fn on_one_connection_the_newest_request_takes_the_upload_from_the_one_before() {
    let server = Server::start().await;
    let client = Secure::plain_http2(&server);
    let content = Content::new(3, 4 * MIB);
    let path = client.create(content.length).await;
    let (mut writer, body) = streamed();
    let running = tokio::spawn(client.patch(&path, 0).body(body).send());
    writer.write_all(&content.bytes(0..MIB)).await.expect("it is taken");
    let at = eventually(SOON, "what came to be kept", async || {
        let at = client.head(&path).await;
        (at == MIB || running.is_finished()).then_some(at)
    })
    .await;
    let lost = running.await.expect("it ends").expect("the one that lost is answered");
    assert_eq!(lost.status(), 423, "a stream is answered though its body has no end");
    assert!(field(&lost, "retry-after").is_some());
    let at = at.max(client.head(&path).await);
    let wrong = client
        .patch(&path, at + 1)
        .body("x")
        .send()
        .await
        .expect("PATCH is answered");
    assert_eq!((wrong.status().as_u16(), offset(&wrong)), (409, Some(at)));
    let rest = client
        .patch(&path, at)
        .body(content.bytes(at..content.length))
        .send()
        .await;
    assert_eq!(rest.expect("PATCH is answered").status(), 204);
    verify(&client, &path, content).await;
}

#[tokio::test]
async fn a_drain_saves_what_came_over_http2_and_says_so() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let certificate = issue(folder.path());
    let mut server = Server::with(settings(folder.path())).await;
    let client = Secure::of(&server, &certificate, Version::HTTP_2);
    let content = Content::new(4, 4 * MIB);
    let path = client.create(content.length).await;
    let (mut writer, body) = streamed();
    let running = tokio::spawn(client.patch(&path, 0).body(body).send());
    writer.write_all(&content.bytes(0..MIB)).await.expect("it is taken");
    server.signal(Signal::TERM);
    let answer = running.await.expect("it ends").expect("a running body is answered");
    assert_eq!(answer.status(), 503);
    assert!(field(&answer, "retry-after").is_some());
    assert!(server.ended(SOON).await.success());
    server.restart().await;
    let client = Secure::of(&server, &certificate, Version::HTTP_2);
    let at = client.head(&path).await;
    let rest = client
        .patch(&path, at)
        .body(content.bytes(at..content.length))
        .send()
        .await;
    assert_eq!(rest.expect("PATCH is answered").status(), 204);
    verify(&client, &path, content).await;
}

#[tokio::test]
async fn a_certificate_is_replaced_under_a_running_upload() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let old = issue(folder.path());
    let server = Server::with(settings(folder.path())).await;
    let client = Secure::of(&server, &old, Version::HTTP_2);
    let content = Content::new(5, 2 * MIB);
    let path = client.create(content.length).await;
    let (mut writer, body) = streamed();
    let running = tokio::spawn(client.patch(&path, 0).body(body).send());
    writer.write_all(&content.bytes(0..MIB)).await.expect("it is taken");
    // First one that is of no use, then a good one.
    std::fs::write(folder.path().join("tls.crt"), "no certificate").expect("a file can be written");
    server.signal(Signal::HUP);
    eventually(SOON, "the log to say that it cannot be used", async || {
        server.log().contains("the old ones stay").then_some(())
    })
    .await;
    let fresh = issue(folder.path());
    server.signal(Signal::HUP);
    eventually(SOON, "the new certificate to be shown", async || {
        let client = Secure::of(&server, &fresh, Version::HTTP_11);
        client.tus("OPTIONS", "/files/").send().await.ok()
    })
    .await;
    writer
        .write_all(&content.bytes(MIB..2 * MIB))
        .await
        .expect("it is taken");
    drop(writer);
    assert_eq!(
        running.await.expect("it ends").expect("PATCH is answered").status(),
        204
    );
    let metrics = client
        .tus("GET", "/metrics")
        .send()
        .await
        .expect("an answer")
        .text()
        .await;
    let metrics = metrics.expect("a text");
    assert!(
        metrics.contains("windlass_tls_certificate_reloads_total{outcome=\"ok\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("windlass_tls_certificate_refused 0"), "{metrics}");
}

/// Resident memory of a process, bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .and_then(|text| text.parse().ok())
        .expect("a number of kB");
    kib * 1024
}

/// The connection's window (8 MiB), and for each of a hundred uploads what a writer and its handler hold (some 100 KiB,
/// of which 21 MiB in all were measured), with room for an allocator that gives back late.
const GROWTH: u64 = 64 * MIB;

#[tokio::test]
async fn a_hundred_streams_that_send_as_fast_as_they_can_stay_within_the_bound() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let certificate = issue(folder.path());
    let server = Server::with(settings(folder.path())).await;
    let client = Secure::of(&server, &certificate, Version::HTTP_2);
    client.create(1).await;
    let before = resident(server.pid());
    let uploads: Vec<_> = (0..100)
        .map(|seed| {
            let client = client.clone();
            tokio::spawn(async move {
                let content = Content::new(seed, 2 * MIB);
                let path = client.create(content.length).await;
                let sent = client.patch(&path, 0).body(content.whole()).send().await;
                assert_eq!(sent.expect("PATCH is answered").status(), 204);
            })
        })
        .collect();
    let mut most = 0;
    eventually(Duration::from_secs(120), "a hundred uploads", async || {
        most = most.max(resident(server.pid()));
        uploads.iter().all(tokio::task::JoinHandle::is_finished).then_some(())
    })
    .await;
    for upload in uploads {
        upload.await.expect("every upload arrives");
    }
    println!("{} MiB before, {} MiB at most", before / MIB, most / MIB);
    assert!(most - before.min(most) < GROWTH, "{} MiB more", (most - before) / MIB);
}

#[tokio::test]
async fn a_listener_whose_certificate_cannot_be_used_does_not_start() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let _ = issue(folder.path());
    let wrong = Settings {
        config: settings(folder.path()).config.replace("tls.key", "tls.crt"),
        ..Settings::default()
    };
    let (status, log) = Server::run_to_end(&wrong, "127.0.0.1:0", SOON).await;
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(
        log.contains("listener.tls.keyFile") && log.contains("no private key"),
        "{log}"
    );
}
