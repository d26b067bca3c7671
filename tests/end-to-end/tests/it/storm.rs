//! Everything at once on one upload, at random: the promises hold, and nothing is answered by a fault of the server.

use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::random::Random;
use end_to_end::report;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, Upload};
use end_to_end::watch::Watcher;
use end_to_end::wire::{Body, Ending, Framing, Pace, Request, Response};
use tokio::time::Instant;

const MIB: u64 = 1024 * 1024;
const CLIENTS: u64 = 6;
const LASTS: Duration = Duration::from_secs(4);

#[tokio::test]
async fn clients_that_fight_over_one_upload_neither_break_it_nor_see_it_run_back() {
    let mut random = Random::of_this_run("storm");
    let server = Server::with(Settings::upload(&["checkpoint: 10ms"])).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(random.number(), 48 * MIB)).await;
    let watchers = [
        Watcher::events(&client, &upload).await,
        Watcher::plain(&client, &upload).await,
    ];
    let end = Instant::now() + LASTS;
    let fighters: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (client, upload, mut random) = (client.clone(), upload.clone(), Random::seeded(random.number()));
            tokio::spawn(async move {
                let mut done = 0;
                while Instant::now() < end {
                    one_deed(&client, &upload, &mut random).await;
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut deeds = 0;
    for fighter in fighters {
        deeds += fighter.await.expect("the promises hold");
    }
    report::line(&format!(
        "storm: {deeds} deeds, {} offsets recorded",
        client.ledger().entries()
    ));
    finish_after_the_fight(&client, &upload).await;
    watchers[0]
        .sees("the last event", |value| value["event"] == "completed")
        .await;
    watchers[1]
        .sees("the last value", |value| value["progress"] == 100)
        .await;
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

async fn one_deed(client: &Client, upload: &Upload, random: &mut Random) {
    let operation =
        |name: &str| Request::new("POST", &format!("/tasks/{}/{name}", upload.task)).framing(Framing::Length(0));
    match random.between(0..10) {
        0 | 1 => {
            let response = client.ask(upload, &Request::tus("HEAD", &upload.location)).await;
            assert!(matches!(response.status, 200 | 423), "{response:?}");
        }
        2 => {
            client.task(upload).await;
        }
        3 => expect(
            &client.answer(&operation("pause")).await,
            &[(200, ""), (409, "illegal_transition")],
        ),
        4 => expect(
            &client.answer(&operation("resume")).await,
            &[(200, ""), (409, "illegal_transition")],
        ),
        5 => {
            let guess = random.between(0..upload.content.length);
            append(client, upload, random, guess).await;
        }
        _ => {
            let known = client.ledger().highest(&upload.task);
            append(client, upload, random, known).await;
        }
    }
}

/// An append with the right bytes at `offset`, whole or cut somewhere.
async fn append(client: &Client, upload: &Upload, random: &mut Random, offset: u64) {
    if offset >= upload.content.length {
        return;
    }
    let size = random.between(1..2 * MIB).min(upload.content.length - offset);
    let pace = Pace::Pieces {
        bytes: random.between(1..40_000),
        every: Duration::from_millis(1),
    };
    let body = Body::of(upload.content, offset..offset + size).paced(pace);
    let body = if random.once_in(2) { body.chunked() } else { body };
    let patch = client.begin(upload, body).await;
    if random.once_in(3) {
        let moment = random.time(Duration::ZERO..Duration::from_millis(40));
        // A client that goes away at any moment.
        tokio::time::sleep(moment).await;
        return patch.cut();
    }
    match patch.ending().await {
        Ending::Answered(response) => expect(
            &response,
            &[
                (204, ""),
                (409, "offset_mismatch"),
                (409, "paused"),
                (423, "upload_taken_over"),
                (423, "upload_contended"),
            ],
        ),
        Ending::Broken(error) => panic!("a running server has answered nothing: {error}"),
    }
}

fn expect(response: &Response, allowed: &[(u16, &str)]) {
    let found = (response.status, response.code());
    assert!(
        allowed
            .iter()
            .any(|(status, code)| found == (*status, (*code).to_owned())),
        "{response:?}"
    );
}

/// The fight may have left 423 for a while.
async fn finish_after_the_fight(client: &Client, upload: &Upload) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let head = client.ask(upload, &Request::tus("HEAD", &upload.location)).await;
        if head.status == 200 {
            return client.complete(upload).await;
        }
        assert!(head.status == 423 && Instant::now() < deadline, "{head:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
