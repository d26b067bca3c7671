//! Clients that come and go, stop reading and come back while others publish: each has everything once and in
//! order, or was told that it has not.

use std::net::SocketAddr;

use windlass_push::config::{ChannelOptions, Channels};

use super::server::{self, Server};
use super::socket::{Client, Frame, publish};

/// A client as the library keeps it: where it is in the stream, and what it has seen since it was last told of a gap.
struct Member {
    address: SocketAddr,
    client: Client,
    epoch: String,
    offset: u64,
    seen: Vec<u64>,
    told_of_gaps: usize,
    recovered: usize,
    /// Decides what it does; another for each member.
    dice: u64,
}

impl Member {
    async fn join(address: SocketAddr, dice: u64) -> Self {
        let client = Client::open(address, "/connection/websocket").await;
        let mut member = Self {
            address,
            client,
            epoch: String::new(),
            offset: 0,
            seen: Vec::new(),
            told_of_gaps: 0,
            recovered: 0,
            dice,
        };
        member.client.send(r#"{"id":1,"connect":{}}"#).await;
        member.subscribe(false).await;
        member
    }

    async fn subscribe(&mut self, recover: bool) {
        let (epoch, offset) = (&self.epoch, self.offset);
        let position = format!(r#""recover":{recover},"epoch":"{epoch}","offset":{offset}"#);
        self.client
            .send(&format!(r#"{{"id":2,"subscribe":{{"channel":"s",{position}}}}}"#))
            .await;
    }

    /// Numbers from 0, each of which is as likely as any other.
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    async fn run(mut self, last: u64) -> Self {
        while self.offset < last {
            match self.client.next().await {
                Frame::Text(text) => {
                    for line in text.lines() {
                        self.hear(&serde_json::from_str(line).unwrap()).await;
                    }
                }
                Frame::Ping | Frame::Pong(_) => {}
                other => panic!("{other:?}"),
            }
            match self.roll(40) {
                0 => self.come_back().await,
                // It looks away for a moment: its queue fills.
                1 => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                _ => {}
            }
        }
        self
    }

    async fn come_back(&mut self) {
        self.client = Client::open(self.address, "/connection/websocket").await;
        self.client.send(r#"{"id":1,"connect":{}}"#).await;
        self.subscribe(true).await;
    }

    async fn hear(&mut self, reply: &serde_json::Value) {
        if let Some(result) = reply.get("subscribe") {
            let recovered = result["recovered"].as_bool().unwrap_or(false);
            let offset = result["offset"].as_u64().unwrap_or(0);
            let publications = result["publications"].as_array().cloned().unwrap_or_default();
            if recovered {
                assert_eq!(offset, self.offset);
                self.recovered += 1;
            } else {
                assert!(publications.is_empty(), "a partial recovery");
                self.told_of_gaps += usize::from(result["was_recovering"].as_bool().unwrap_or(false));
                self.seen.clear();
                self.offset = offset;
            }
            self.epoch = result["epoch"].as_str().unwrap().to_owned();
            for publication in &publications {
                self.see(publication);
            }
        } else if let Some(push) = reply.get("push") {
            if let Some(publication) = push.get("pub") {
                self.see(publication);
            } else {
                assert_eq!(push["unsubscribe"]["code"], 2500);
                self.subscribe(true).await;
            }
        }
    }

    fn see(&mut self, publication: &serde_json::Value) {
        let offset = publication["offset"].as_u64().unwrap();
        assert_eq!(offset, self.offset + 1, "a gap or a repetition");
        assert_eq!(
            publication["data"]["number"].as_u64(),
            Some(offset),
            "the data of another publication"
        );
        self.offset = offset;
        self.seen.push(offset);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_ends_with_everything_once_and_in_order_or_was_told() {
    for channels in server::Channels::EVERYWHERE {
        is_whole_or_told(channels).await;
    }
}

async fn is_whole_or_told(channels: server::Channels) {
    const LAST: u64 = 3_000;
    let server = Server::with(|plan| {
        plan.channels = channels;
        plan.settings.channels = Channels::all(ChannelOptions {
            history_size: 200,
            ..ChannelOptions::open()
        });
        plan.settings.queue_bytes_max = 64 * 1024;
    })
    .await;
    let mut running = Vec::new();
    for dice in 1..=8 {
        running.push(tokio::spawn(Member::join(server.address, dice).await.run(LAST)));
    }
    let mut publisher = Client::open(server.address, "/connection/websocket").await;
    publisher.send(r#"{"id":1,"connect":{}}"#).await;
    publisher.text().await;
    let padding = "x".repeat(400);
    for number in 1..=LAST {
        publish(
            &mut publisher,
            "s",
            &format!(r#"{{"number":{number},"padding":"{padding}"}}"#),
        )
        .await;
    }
    let (mut recovered, mut told) = (0, 0);
    for member in running {
        let member = member.await.unwrap();
        assert!(member.seen.last().is_none_or(|last| *last == LAST));
        assert!(member.seen.windows(2).all(|pair| pair[1] == pair[0] + 1));
        recovered += member.recovered;
        told += member.told_of_gaps;
    }
    assert!(
        recovered > 50,
        "only {recovered} recoveries {channels:?}: the test does not try what it should ({told} gaps told)"
    );
}
