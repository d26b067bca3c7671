//! Clients that do not read what they asked for: their queues stay within the bound, and nobody else waits for them.

use super::server::{Channels, Server};
use super::socket::{Client, publish, subscriber};

const QUEUE: usize = 256 * 1024;

#[tokio::test]
async fn a_reader_that_stops_loses_its_stream_and_is_told_so_and_nobody_waits_for_it() {
    for channels in Channels::EVERYWHERE {
        loses_its_stream(channels).await;
    }
}

async fn loses_its_stream(channels: Channels) {
    let server = Server::with(|plan| {
        plan.channels = channels;
        plan.settings.queue_bytes_max = QUEUE;
    })
    .await;
    let mut slow = subscriber(server.address, "flood").await;
    let mut quick = subscriber(server.address, "flood").await;
    let data = format!("\"{}\"", "x".repeat(10_000));
    // Far more than the socket buffers of a loopback connection and the queue hold together.
    let count = 2_000;
    let mut heard = 0;
    for _ in 0..count {
        quick
            .send(&format!(r#"{{"id":9,"publish":{{"channel":"flood","data":{data}}}}}"#))
            .await;
        let mut replied = false;
        while !replied || heard == 0 {
            let text = quick.text().await;
            replied |= text.contains(r#""id":9"#);
            heard += usize::from(text.contains(r#""pub""#));
        }
        assert!(
            server.push.queue_bytes() <= 2 * QUEUE + 64 * 1024,
            "{} bytes wait",
            server.push.queue_bytes()
        );
    }
    while heard < count {
        heard += usize::from(quick.text().await.contains(r#""pub""#));
    }
    // The slow one wakes up: what it gets is in order and without a gap, and ends with the notice.
    let mut offset = 0;
    loop {
        let text = slow.text().await;
        if text.contains(r#""unsubscribe":{"code":2500"#) {
            break;
        }
        // On a slow machine this takes longer than the time between two pings.
        if text == "{}" {
            continue;
        }
        let (_, rest) = text.rsplit_once(r#""offset":"#).expect("a publication");
        let next: u64 = rest.trim_end_matches('}').parse().unwrap();
        assert_eq!(next, offset + 1);
        offset = next;
    }
    assert!(offset > 0 && offset < count as u64);
    // And it recovers as far as the history allows; here it does not reach back so far.
    slow.send(&format!(
        r#"{{"id":3,"subscribe":{{"channel":"flood","recover":true,"offset":{offset}}}}}"#
    ))
    .await;
    let mut reply = slow.text().await;
    while reply == "{}" {
        reply = slow.text().await;
    }
    assert!(
        reply.contains(r#""was_recovering":true"#) && !reply.contains(r#""recovered""#),
        "{reply}"
    );
    assert!(reply.contains(&format!(r#""offset":{count}"#)), "{reply}");
}

#[tokio::test]
async fn a_slow_watcher_of_a_task_gets_fewer_values_and_always_the_last() {
    let server = Server::start().await;
    let task = server.task().await;
    let mut client = Client::open(server.address, "/ws").await;
    client
        .send(&format!(r#"{{"type":"join","fileId":"{}"}}"#, task.id()))
        .await;
    for received in 1..=99 {
        task.advance(received).await;
    }
    task.complete().await;
    let mut last = -1_i64;
    while last != 100 {
        let text = client.text().await;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let progress = value["progress"].as_i64().unwrap();
        assert!(progress > last, "{progress} after {last}");
        last = progress;
    }
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_not_read_either() {
    let server = Server::start().await;
    let mut reader = subscriber(server.address, "big").await;
    let data = format!("\"{}\"", "x".repeat(60_000));
    for _ in 0..20 {
        publish(&mut reader, "big", &data).await;
    }
    let mut greedy = Client::open(server.address, "/connection/websocket").await;
    greedy.send(r#"{"id":1,"connect":{}}"#).await;
    // Each answer has more than a megabyte.
    let question = super::socket::frame(0x81, br#"{"id":2,"history":{"channel":"big","limit":-1}}"#);
    let questions = question.repeat(200_000);
    let asking = tokio::spawn(async move {
        greedy.send_raw(&questions).await;
        greedy
    });
    for _ in 0..20 {
        publish(&mut reader, "calm", "1").await;
    }
    assert!(!asking.is_finished(), "everything was read although nothing is taken");
    asking.abort();
}

#[tokio::test]
async fn a_frame_full_of_questions_is_worked_off_no_faster_than_the_answers_are_taken() {
    let server = Server::start().await;
    let mut reader = subscriber(server.address, "big").await;
    let data = format!("\"{}\"", "x".repeat(60_000));
    for _ in 0..20 {
        publish(&mut reader, "big", &data).await;
    }
    let mut greedy = Client::open(server.address, "/connection/websocket").await;
    let question = r#"{"id":2,"history":{"channel":"big","limit":-1}}"#;
    let before = resident_bytes();
    // More than a gigabyte of answers.
    greedy
        .send(&format!(
            "{{\"id\":1,\"connect\":{{}}}}\n{}",
            [question; 1_200].join("\n")
        ))
        .await;
    for _ in 0..200 {
        publish(&mut reader, "calm", "1").await;
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 200 << 20, "{grown} bytes more");
    }
    // It takes them after all, and the connection is as good as any.
    let mut answers = 0;
    while answers < 50 {
        answers += greedy.text().await.matches(r#"{"id":2,"history""#).count();
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
