//! The way down: everybody is told in its own protocol, and nothing is left open.

use std::time::Duration;

use super::server::{DEADLINE, Server};
use super::socket::{Client, Frame, subscriber};
use super::tasks::{Reading, request};

#[tokio::test]
async fn everybody_is_told_to_leave_in_its_own_way_and_the_last_value_still_comes() {
    let server = Server::with(|plan| plan.settings.drain_grace = Duration::from_secs(1)).await;
    let task = server.task().await;
    let mut centrifuge = subscriber(server.address, "a").await;
    let mut plain = Client::open(server.address, "/ws").await;
    plain
        .send(&format!(r#"{{"type":"join","fileId":"{}"}}"#, task.id()))
        .await;
    plain.text().await;
    let mut events = Reading::open(server.address, &format!("/events/{}", task.id()), "").await;
    events.until("progress").await;
    let path = format!("/tasks/{}", task.id());
    let tag = request(server.address, "GET", &path, "")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let (address, poll) = (server.address, format!("{path}?wait=60"));
    let polling = tokio::spawn(async move {
        request(address, "GET", &poll, &format!("If-None-Match: {tag}\r\n"))
            .await
            .status
    });
    wait_until(|| server.push.connection_count() == 4).await;

    server.shutdown.begin();
    assert_eq!(centrifuge.next().await, Frame::Close(Some((3001, "shutdown".into()))));
    assert_eq!(plain.text().await, r#"{"type":"reconnect","withinSeconds":1}"#);
    assert_eq!(
        polling.await.unwrap(),
        304,
        "a poll is answered, and asks again elsewhere"
    );
    task.advance(50).await;
    assert!(
        plain.text().await.contains(r#""progress":50"#),
        "who is leaving misses nothing until it has left"
    );
    assert_eq!(plain.next().await, Frame::Close(Some((1001, "going away".into()))));
    assert!(events.is_at_its_end().await);
    drop((centrifuge, plain));
    tokio::time::timeout(DEADLINE, server.tracker.idle())
        .await
        .expect("something is left open");
}

async fn wait_until(holds: impl Fn() -> bool) {
    tokio::time::timeout(DEADLINE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it does not come to hold");
}

#[tokio::test]
async fn who_takes_nothing_is_cut_at_the_end_of_a_drain() {
    let server = Server::with(|plan| {
        plan.settings.drain_grace = Duration::from_millis(50);
        plan.settings.close_deadline = Duration::from_millis(100);
    })
    .await;
    let stuck = subscriber(server.address, "flood").await;
    let mut publisher = subscriber(server.address, "other").await;
    let data = format!("\"{}\"", "x".repeat(60_000));
    // More than a loopback connection's buffers take: its queue is not empty any more.
    while server.push.queue_bytes() == 0 {
        super::socket::publish(&mut publisher, "flood", &data).await;
    }
    server.shutdown.begin();
    wait_until(|| server.push.connection_count() == 0).await;
    drop((stuck, publisher));
}
