//! Clients that break the rules: each gets the right code, and nobody else notices.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::server::{Channels, Server, Task};
use super::socket::{Client, Frame, frame, publish, subscriber};

const CENTRIFUGE: &str = "/connection/websocket";
const PLAIN: &str = "/ws";

/// Somebody who behaves, and whom nothing may disturb.
struct Bystander {
    client: Client,
    plain: Client,
    task: Task,
    count: u64,
}

impl Bystander {
    async fn join(server: &Server) -> Self {
        let task = server.task().await;
        let mut plain = Client::open(server.address, PLAIN).await;
        plain
            .send(&format!(r#"{{"type":"join","fileId":"{}"}}"#, task.id()))
            .await;
        plain.text().await;
        Self {
            client: subscriber(server.address, "calm").await,
            plain,
            task,
            count: 0,
        }
    }

    async fn is_undisturbed(&mut self) {
        self.count += 1;
        self.client
            .send(&format!(
                r#"{{"id":9,"publish":{{"channel":"calm","data":{}}}}}"#,
                self.count
            ))
            .await;
        let mut heard = vec![self.client.text().await, self.client.text().await];
        heard.sort();
        assert_eq!(heard[0], r#"{"id":9,"publish":{}}"#);
        assert!(heard[1].contains(&format!(r#""offset":{}"#, self.count)), "{heard:?}");
        self.task.advance(self.count).await;
        assert!(
            self.plain
                .text()
                .await
                .contains(&format!(r#""progress":{}"#, self.count))
        );
    }
}

#[tokio::test]
async fn what_breaks_the_rules_is_closed_with_its_code_and_disturbs_nobody() {
    for channels in Channels::EVERYWHERE {
        is_closed_with_its_code(&Server::on(channels).await).await;
    }
}

async fn is_closed_with_its_code(server: &Server) {
    let mut bystander = Bystander::join(server).await;
    let huge_channel = format!(r#"{{"id":1,"subscribe":{{"channel":"{}"}}}}"#, "x".repeat(1 << 20));
    let nested = "[".repeat(60_000);
    // What is sent, and the close code on the Centrifuge protocol and on the plain one; 0 for an answer and no close.
    let table: Vec<(&str, Vec<u8>, u16, u16)> = vec![
        ("an unmasked frame", vec![0x81, 0x02, b'{', b'}'], 1002, 1002),
        ("reserved bits", frame(0xF1, b"{}"), 1002, 1002),
        ("an unknown opcode", frame(0x8B, b""), 1002, 1002),
        ("a continuation of nothing", frame(0x80, b"{}"), 1002, 1002),
        ("a fragmented ping", frame(0x09, b""), 1002, 1002),
        (
            "a text inside a text",
            [frame(0x01, b"{"), frame(0x81, b"}")].concat(),
            1002,
            1002,
        ),
        (
            "a close code that may not be sent",
            frame(0x88, &1006_u16.to_be_bytes()),
            1002,
            1002,
        ),
        ("a text that is not UTF-8", frame(0x81, b"\xff\xfe"), 1007, 1007),
        ("a channel of 1 MiB", frame(0x81, huge_channel.as_bytes()), 1009, 1009),
        (
            "a message that is announced too large",
            vec![0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4],
            1009,
            1009,
        ),
        ("fragments that are too large together", fragments(), 1009, 1009),
        ("binary garbage", frame(0x82, &[0, 159, 146, 150]), 3501, 1003),
        ("text garbage", frame(0x81, b"hello"), 3501, 0),
        ("half a document", frame(0x81, br#"{"id":1,"conn"#), 3501, 0),
        ("deep nesting", frame(0x81, nested.as_bytes()), 3501, 0),
        ("nothing", frame(0x81, b""), 3501, 0),
        (
            "another protocol",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            1002,
            1002,
        ),
    ];
    for (name, bytes, on_centrifuge, on_plain) in table {
        for (path, code) in [(CENTRIFUGE, on_centrifuge), (PLAIN, on_plain)] {
            let mut client = Client::open(server.address, path).await;
            client.send_raw(&bytes).await;
            if code == 0 {
                assert!(
                    client.text().await.contains(r#""code":"bad_message""#),
                    "{name} on {path}"
                );
            } else {
                assert_eq!(client.close_code().await, Some(code), "{name} on {path}");
            }
        }
    }
    bystander.is_undisturbed().await;
}

fn fragments() -> Vec<u8> {
    let half = vec![b'x'; 40_000];
    [frame(0x01, &half), frame(0x80, &half)].concat()
}

#[tokio::test]
async fn who_vanishes_in_the_middle_of_a_frame_is_forgotten() {
    let server = Server::start().await;
    let mut bystander = Bystander::join(&server).await;
    let whole = frame(0x81, br#"{"id":1,"connect":{}}"#);
    for path in [CENTRIFUGE, PLAIN] {
        for cut in [0, 1, 2, 5, whole.len() - 1] {
            let mut client = Client::open(server.address, path).await;
            client.send_raw(&whole[..cut]).await;
        }
    }
    bystander.is_undisturbed().await;
    drop(bystander);
    tokio::time::timeout(super::server::DEADLINE, server.tracker.idle())
        .await
        .expect("somebody is not forgotten");
    assert_eq!(server.push.connection_count(), 0);
}

#[tokio::test]
async fn bytes_that_come_one_by_one_or_with_the_handshake_are_read() {
    let server = Server::start().await;
    let connect = frame(0x81, br#"{"id":1,"connect":{}}"#);
    let mut client = Client::open_with(server.address, CENTRIFUGE, "", &connect).await;
    assert!(client.text().await.starts_with(r#"{"id":1,"connect":{"client":"#));
    for byte in frame(0x81, br#"{"id":2,"ping":{}}"#) {
        client.send_raw(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(
        client.text().await,
        r#"{"id":2,"error":{"code":108,"message":"not available"}}"#
    );
    client.send_raw(&frame(0x89, b"are you there?")).await;
    assert_eq!(client.next().await, Frame::Pong(b"are you there?".to_vec()));
    client.send_raw(&frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(client.next().await, Frame::Close(Some((1000, String::new()))));
    assert_eq!(client.next().await, Frame::End);
}

#[tokio::test]
async fn commands_in_one_frame_are_answered_in_order_in_one_frame() {
    let server = Server::start().await;
    let mut client = Client::open(server.address, CENTRIFUGE).await;
    let commands = [
        r#"{"id":1,"connect":{"flag":1}}"#,
        r#"{"id":2,"subscribe":{"channel":"a","flag":1}}"#,
        r#"{"id":3,"publish":{"channel":"b","data":1}}"#,
        r#"{"id":4,"unsubscribe":{"channel":"a"}}"#,
        r#"{"id":5,"history":{"channel":"b","limit":5}}"#,
    ];
    client.send(&commands.join("\n")).await;
    let mut replies = Vec::new();
    while replies.len() < commands.len() {
        replies.extend(client.text().await.lines().map(str::to_owned));
    }
    for (number, reply) in (1..).zip(&replies) {
        assert!(reply.starts_with(&format!(r#"{{"id":{number},"#)), "{replies:?}");
    }
    assert!(replies[4].contains(r#""publications":[{"data":1,"#));
}

#[tokio::test]
async fn one_tenants_channels_are_not_anothers() {
    let server = Server::with(|plan| plan.auth = true).await;
    let mut clients = Vec::new();
    for tenant in ["red", "blue"] {
        let token = super::server::token(tenant, "ann", 60);
        let mut client = Client::open(server.address, CENTRIFUGE).await;
        client
            .send(&format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#))
            .await;
        client.text().await;
        client.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#).await;
        assert!(client.text().await.starts_with(r#"{"id":2,"subscribe""#));
        clients.push(client);
    }
    publish(&mut clients[0], "news", r#""for red""#).await;
    for question in [
        r#"{"id":3,"history":{"channel":"news","limit":9}}"#,
        r#"{"id":3,"presence_stats":{"channel":"news"}}"#,
    ] {
        clients[1].send(question).await;
        let answer = clients[1].text().await;
        assert!(!answer.contains("for red"), "{answer}");
        assert!(!answer.contains(r#""offset""#), "{answer}");
        assert!(!answer.contains(r#""num_clients":2"#), "{answer}");
    }
}

#[test]
fn no_bytes_on_a_socket_disturb_the_server() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for channels in Channels::EVERYWHERE {
        is_disturbed_by_no_bytes(&runtime, &runtime.block_on(Server::on(channels)));
    }
}

fn is_disturbed_by_no_bytes(runtime: &tokio::runtime::Runtime, server: &Server) {
    let mut bystander = runtime.block_on(Bystander::join(server));
    let mut runner = TestRunner::new(Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    });
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "\\PC{0,60}".prop_map(String::into_bytes),
        r#"\{"id":[0-9],"(connect|subscribe|publish|history)":\{("channel":"[a-z]{0,3}")?\}\}"#
            .prop_map(String::into_bytes),
        r#"\{"type":"(join|leave|pause|message|x)","fileId":("[a-z0-9-]{0,40}"|[0-9])\}"#.prop_map(String::into_bytes),
    ];
    let sent = prop::collection::vec(
        (
            prop::sample::select(vec![0x81_u8, 0x82, 0x01, 0x80, 0x89, 0x8A, 0x00]),
            payload,
        ),
        1..8,
    );
    runner
        .run(&(sent, any::<bool>(), any::<bool>()), |(sent, plain, framed)| {
            runtime.block_on(async {
                let mut client = Client::open(server.address, if plain { PLAIN } else { CENTRIFUGE }).await;
                for (first, payload) in sent {
                    let bytes = if framed { frame(first, &payload) } else { payload };
                    client.send_raw(&bytes).await;
                }
            });
            Ok(())
        })
        .unwrap();
    runtime.block_on(bystander.is_undisturbed());
    drop(bystander);
    runtime.block_on(async {
        tokio::time::timeout(super::server::DEADLINE, server.tracker.idle())
            .await
            .expect("somebody is not forgotten");
    });
}

/// `count` zeros as a client would compress them.
fn bomb(count: usize) -> Vec<u8> {
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let mut compressed = Vec::with_capacity(count / 500 + 1_024);
    let zeros = vec![b'0'; count];
    compress
        .compress_vec(&zeros, &mut compressed, flate2::FlushCompress::Sync)
        .unwrap();
    assert_eq!(compress.total_in(), count as u64);
    compressed.truncate(compressed.len() - 4);
    compressed
}

#[tokio::test]
async fn a_message_that_inflates_beyond_the_limit_is_too_large_and_compression_is_off_by_default() {
    const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let server = Server::with(|plan| plan.settings.compression = true).await;
    let mut bystander = Bystander::join(&server).await;
    let mut client = Client::open_with(server.address, CENTRIFUGE, OFFER, b"").await;
    let bomb = bomb(20 * 1024 * 1024);
    assert!(
        bomb.len() < 64 * 1024,
        "{} bytes are refused for their own length",
        bomb.len()
    );
    client.send_raw(&frame(0xC1, &bomb)).await;
    assert_eq!(client.close_code().await, Some(1009));
    let mut client = Client::open_with(server.address, CENTRIFUGE, OFFER, b"").await;
    client.send_raw(&frame(0xC1, b"\xff\xff\xff\xff")).await;
    assert_eq!(client.close_code().await, Some(1002));
    // Who did not offer it, or offers it where it is off, may not use it.
    let mut client = Client::open(server.address, CENTRIFUGE).await;
    client.send_raw(&frame(0xC1, &bomb)).await;
    assert_eq!(client.close_code().await, Some(1002));
    let without = Server::start().await;
    let mut client = Client::open_with(without.address, CENTRIFUGE, OFFER, b"").await;
    client.send_raw(&frame(0xC1, &bomb)).await;
    assert_eq!(client.close_code().await, Some(1002));
    bystander.is_undisturbed().await;
}
