//! Downloads out of a bucket that dies in the middle, is away, or has the file no more.

use ::bucket::Bucket;
use end_to_end::content::{Content, Digest};
use end_to_end::report;
use end_to_end::server::Server;
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::{Request, Wire};

use crate::bucket::settings;

const MIB: u64 = 1024 * 1024;
/// What is read before the bucket dies, and then until it dies again. The second is more than can be under way between the
/// two: what the server's sockets take, 36 MiB by the system's own bounds (tcp_rmem, tcp_wmem), and little for the test's.
const BEFORE: u64 = 4 * MIB;
const AFTER: u64 = 44 * MIB;

/// A server before a bucket, and a finished upload of this length.
async fn finished(bucket: &Bucket, length: u64) -> (Server, String, tempfile::TempDir, Client, Upload) {
    let (settings, keys) = settings(bucket, "", "");
    let config = settings.config.clone();
    let server = Server::with(settings).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(11, length)).await;
    client.complete(&upload).await;
    client.task_becomes(&upload, "completed").await;
    (server, config, keys, client, upload)
}

/// A download of which nothing but the head has been read.
async fn begun(server: &Server, upload: &Upload) -> Wire {
    let wire = Wire::narrow(server.address()).await;
    let mut wire = wire.expect("the server accepts connections");
    let sent = wire.send(Request::new("GET", &upload.location).bytes()).await;
    sent.expect("the server reads requests");
    // As if it were the answer to a HEAD: the body is left to be read.
    let head = wire.answer("HEAD").await.expect("the server answers");
    let length = Some(upload.content.length);
    assert_eq!((head.status, head.number("Content-Length")), (200, length));
    wire
}

/// A counter with its labels; none is shown before its first increase.
async fn counted(client: &Client, series: &str) -> u64 {
    let text = client.answer(&Request::new("GET", "/metrics")).await.text();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("a counter is a number"))
}

/// Tries to read from the bucket that failed.
async fn failures(client: &Client) -> u64 {
    const SERIES: &str = "windlass_upload_storage_requests_total{operation=\"GetObject\",outcome=\"failed\"}";
    counted(client, SERIES).await
}

/// Readings whose bytes stopped coming: those that went on, and those that did not.
async fn broken(client: &Client) -> (u64, u64) {
    let of = async |outcome: &str| {
        let series = format!("windlass_upload_storage_broken_readings_total{{outcome=\"{outcome}\"}}");
        counted(client, &series).await
    };
    (of("resumed").await, of("given_up").await)
}

#[tokio::test]
async fn a_bucket_that_dies_again_and_again_is_a_pause_to_who_downloads() {
    const KILLS: u64 = 2;
    let mut bucket = Bucket::start();
    let length = KILLS * (BEFORE + AFTER);
    let (server, _config, _keys, client, upload) = finished(&bucket, length).await;
    let mut wire = begun(&server, &upload).await;
    let mut digest = Digest::default();
    for _ in 0..KILLS {
        digest.update(&wire.take(BEFORE as usize).await.unwrap());
        let before = failures(&client).await;
        bucket.kill();
        let (more, ()) = tokio::join!(wire.take(AFTER as usize), async {
            eventually(SOON, "a try while the bucket is away", async || {
                (failures(&client).await > before).then_some(())
            })
            .await;
            bucket.restart();
        });
        digest.update(&more.unwrap());
    }
    assert_eq!(digest.finish(), (length, upload.content.digest()));
    let (resumed, given_up) = broken(&client).await;
    report::line(&format!(
        "a download from a bucket that was killed {KILLS} times went on {resumed} times"
    ));
    assert!(resumed >= KILLS && given_up == 0, "{resumed} {given_up}");
}

#[tokio::test]
async fn a_download_whose_file_is_gone_breaks_off_and_the_log_says_so() {
    let mut bucket = Bucket::start();
    let length = BEFORE + AFTER;
    let (server, _config, _keys, client, upload) = finished(&bucket, length).await;
    let mut wire = begun(&server, &upload).await;
    wire.take(BEFORE as usize).await.unwrap();
    bucket.kill();
    let object = bucket.keys().into_iter().find(|key| key.contains("/object-"));
    std::fs::remove_file(bucket.objects().join(object.expect("a finished upload is an object"))).unwrap();
    bucket.restart();
    let rest = wire.until_closed().await.unwrap();
    assert!((rest.len() as u64) < length - BEFORE, "all of it came");
    assert_eq!(broken(&client).await.1, 1);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("a download is broken off"));
    assert!(line.is_some_and(|line| line.contains(&upload.task)), "{log}");
}

#[tokio::test]
async fn a_download_from_a_bucket_that_is_away_is_refused_for_now_and_not_begun() {
    let mut bucket = Bucket::start();
    let (mut server, config, _keys, client, upload) = finished(&bucket, MIB).await;
    server.kill();
    server.restart_with(&format!("{config}upload:\n  hold: 1s\n")).await;
    bucket.kill();
    let ask = async || client.answer(&Request::new("GET", &upload.location)).await;
    let refused = ask().await;
    assert_eq!((refused.status, &*refused.code()), (503, "storage_unavailable"));
    assert_eq!(refused.header("Retry-After"), Some("1"));
    bucket.restart();
    let whole = eventually(SOON, "the file", async || {
        Some(ask().await).filter(|answer| answer.status == 200)
    })
    .await;
    let mut digest = Digest::default();
    digest.update(&whole.body);
    assert_eq!(digest.finish(), (MIB, upload.content.digest()));
}
