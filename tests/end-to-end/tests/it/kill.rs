//! `kill -9` in the middle of request bodies (promise P1).

use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::random::Random;
use end_to_end::report;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, Patching, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::{Body, Ending, Pace, Request};
use tokio::time::Instant;

/// The kills that the promise is tested with.
const KILLS: u32 = 50;
/// Rounds that may be needed for them: one in which every body was answered just before the kill does not count.
const ROUNDS_MAX: u32 = 70;
/// Uploads under way together.
const UPLOADS: usize = 3;
const MIB: u64 = 1024 * 1024;

#[derive(Debug, Default)]
struct Figures {
    kills: u32,
    rounds: u32,
    /// Bodies in which a kill fell.
    bodies: u32,
    /// Of those, bodies of which a checkpoint had been recorded: the upload went on behind where the body had begun.
    advanced: u32,
    files: u32,
    bytes: u64,
}

#[tokio::test]
async fn fifty_kills_inside_request_bodies_lose_no_acknowledged_byte() {
    let began = Instant::now();
    let mut random = Random::of_this_run("kills");
    let mut server = Server::with(config(&mut random)).await;
    let client = Client::of(&server);
    let mut figures = Figures::default();
    let mut uploads = Vec::new();
    for _ in 0..UPLOADS {
        uploads.push(client.create(content(&mut random)).await);
    }
    while figures.kills < KILLS {
        figures.rounds += 1;
        assert!(
            figures.rounds <= ROUNDS_MAX,
            "the bodies end too early to be killed: {figures:?}"
        );
        let running = begin_bodies(&client, &uploads, &mut random).await;
        let answered = harm(&mut server, &client, &uploads, running, &mut random, &mut figures).await;
        client.overhead().reset();
        server.restart_with(&config(&mut random).config).await;
        for (index, begun_at) in answered {
            let offset = client.head(&uploads[index]).await;
            figures.advanced += u32::from(begun_at.is_some_and(|begun_at| offset > begun_at));
            if offset == uploads[index].content.length {
                replace_finished(&client, &mut uploads[index], &mut random, &mut figures).await;
            }
        }
    }
    for upload in &uploads {
        client.complete(upload).await;
        count_file(upload, &mut figures);
    }
    report::line(&format!(
        "{figures:?}, {} offsets recorded, {:.1} s",
        client.ledger().entries(),
        began.elapsed().as_secs_f64()
    ));
    assert_eq!(figures.kills, KILLS);
    assert!(
        figures.advanced >= KILLS / 5,
        "hardly a checkpoint fell inside a body: {figures:?}"
    );
}

/// Checkpoints come so fast that many fall into a body, or as they are shipped; some wait for the disk.
fn config(random: &mut Random) -> Settings {
    let millis = [10, 40, 150, 500][random.between(0..4) as usize];
    let survive_power_cut = random.once_in(4);
    Settings::upload(&[
        &format!("checkpoint: {millis}ms"),
        &format!("survivePowerCut: {survive_power_cut}"),
    ])
}

/// Sizes on both sides of a part's 8 MiB.
fn content(random: &mut Random) -> Content {
    let length = random.between(2 * MIB..14 * MIB);
    Content::new(random.number(), length)
}

/// Begins, for each upload, one PATCH with all that is missing.
async fn begin_bodies(client: &Client, uploads: &[Upload], random: &mut Random) -> Vec<(u64, Patching)> {
    let mut running = Vec::new();
    for upload in uploads {
        let offset = client.head(upload).await;
        let body = Body::of(upload.content, offset..upload.content.length);
        let pace = if random.once_in(6) {
            Pace::Full
        } else {
            Pace::Pieces {
                bytes: random.between(1_000..64 * 1024),
                every: Duration::from_millis(4),
            }
        };
        let body = body.paced(pace);
        let body = if random.once_in(3) { body.chunked() } else { body };
        running.push((offset, client.begin(upload, body).await));
    }
    running
}

/// Kills the server at a random moment after it has read some of the bodies. Answers for each upload where its body
/// had begun, if the kill fell into it.
async fn harm(
    server: &mut Server,
    client: &Client,
    uploads: &[Upload],
    running: Vec<(u64, Patching)>,
    random: &mut Random,
    figures: &mut Figures,
) -> Vec<(usize, Option<u64>)> {
    eventually(SOON, "the server to read some of a body", async || {
        let received = client.counter("windlass_received_bytes_total").await;
        (received > client.overhead().bytes()).then_some(())
    })
    .await;
    tokio::time::sleep(random.time(Duration::ZERO..Duration::from_millis(250))).await;
    if random.once_in(4) {
        // A client that has lost its connection asks where it stands: its old body is interrupted before the kill.
        let upload = &uploads[random.between(0..UPLOADS as u64) as usize];
        let response = client.ask(upload, &Request::tus("HEAD", &upload.location)).await;
        assert!(matches!(response.status, 200 | 423), "{response:?}");
    }
    // A watcher is shown the last checkpoint, perhaps one that was recorded a moment ago.
    for upload in uploads {
        client.task(upload).await;
    }
    // What the server has read beyond all heads and all bodies that it has answered is of a body that is under way.
    let received = client.counter("windlass_received_bytes_total").await;
    let over: u64 = running
        .iter()
        .filter(|(_, body)| !body.is_inside())
        .map(|(_, body)| body.sent())
        .sum();
    let inside: Vec<bool> = running.iter().map(|(_, body)| body.is_inside()).collect();
    server.kill();
    let mut begun = Vec::new();
    let mut bodies = 0;
    for (index, ((offset, body), inside)) in running.into_iter().zip(inside).enumerate() {
        let (sent, size) = (body.sent(), body.size());
        let broken = match body.ending().await {
            Ending::Broken(_) => true,
            // Done in time, or interrupted by the HEAD; nothing else may happen to a body.
            Ending::Answered(response) => {
                assert!(matches!(response.status, 204 | 423), "{response:?}");
                false
            }
        };
        let killed = inside && broken && 0 < sent && sent < size;
        bodies += u32::from(killed);
        begun.push((index, killed.then_some(offset)));
    }
    if bodies > 0 && received > client.overhead().bytes() + over {
        figures.kills += 1;
        figures.bodies += bodies;
    }
    begun
}

async fn replace_finished(client: &Client, upload: &mut Upload, random: &mut Random, figures: &mut Figures) {
    client.verify(upload).await;
    count_file(upload, figures);
    *upload = client.create(content(random)).await;
}

fn count_file(upload: &Upload, figures: &mut Figures) {
    figures.files += 1;
    figures.bytes += upload.content.length;
}
