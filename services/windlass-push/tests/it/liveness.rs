//! Handshakes, heartbeats and deadlines over real sockets.

use std::time::Duration;

use super::server::Server;
use super::socket::{Client, Frame};
use super::tasks::request;

#[tokio::test]
async fn only_a_websocket_handshake_becomes_a_websocket() {
    let server = Server::start().await;
    for path in ["/ws", "/connection/websocket"] {
        for headers in [
            "",
            "Connection: Upgrade\r\nUpgrade: h2c\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n",
        ] {
            let answer = request(server.address, "GET", path, headers).await;
            assert_eq!(
                (answer.status, answer.code()),
                (426, "websocket_required".into()),
                "{path} {headers}"
            );
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        }
        assert_eq!(request(server.address, "POST", path, "").await.status, 405);
    }
}

#[tokio::test]
async fn a_known_subprotocol_is_taken_and_others_are_not_named() {
    let server = Server::start().await;
    let head = |offer: &str| {
        format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {offer}\r\n"
        )
    };
    let answer = request(
        server.address,
        "GET",
        "/connection/websocket",
        &head("x, centrifuge-json"),
    )
    .await;
    assert_eq!(answer.header("sec-websocket-protocol"), Some("centrifuge-json"));
    let answer = request(server.address, "GET", "/connection/websocket", &head("x")).await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, None));
}

#[tokio::test]
async fn a_client_that_answers_pings_stays_and_one_that_does_not_goes() {
    let server = Server::with(|plan| {
        plan.settings.rhythm.adapts = false;
        plan.settings.rhythm.interval = Duration::from_millis(100);
        plan.settings.rhythm.read_deadline = Duration::from_millis(600);
    })
    .await;
    let mut alive = Client::open(server.address, "/connection/websocket").await;
    alive.send(r#"{"id":1,"connect":{}}"#).await;
    alive.text().await;
    let mut dead = Client::open(server.address, "/ws").await;
    let mut pongs = 0;
    // Longer than the read deadline by far.
    while pongs < 15 {
        assert_eq!(alive.text().await, "{}");
        alive.send("{}").await;
        pongs += 1;
    }
    let mut pings = 0;
    let closed = loop {
        match dead.next().await {
            Frame::Ping => pings += 1,
            Frame::Close(close) => break close,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(closed, Some((3012, "no pong".into())));
    assert!(pings >= 2);
    alive.send("{}").await;
    alive.send(r#"{"id":2,"ping":{}}"#).await;
    assert_eq!(alive.close_code().await, Some(3501), "a pong that nobody asked for");
}

#[tokio::test]
async fn who_does_not_say_who_it_is_goes() {
    let server = Server::with(|plan| {
        plan.auth = true;
        plan.settings.stale_after = Duration::from_millis(100);
    })
    .await;
    let mut silent = Client::open(server.address, "/connection/websocket").await;
    assert_eq!(silent.next().await, Frame::Close(Some((3502, "stale".into()))));
    let mut silent = Client::open(server.address, "/ws").await;
    assert!(silent.text().await.contains("token_missing"));
    assert_eq!(silent.close_code().await, Some(1008));
}
