//! Bounds on connections, by those who reach them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use windlass_push::limits::{Limits, Rate};

use super::server::{DEADLINE, Server, token};
use super::socket::Client;

const CENTRIFUGE: &str = "/connection/websocket";

/// The head of the answer to a handshake that is refused.
async fn refused(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.to_lowercase().contains("retry-after: 1\r\n"), "{answer}");
    answer
}

async fn server(limits: Limits) -> Server {
    Server::with(|plan| plan.settings.limits = limits).await
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_is_answered_503_and_the_next_place_is_given_again() {
    let server = server(Limits {
        connections: Some(2),
        ..Limits::default()
    })
    .await;
    let first = Client::open(server.address, CENTRIFUGE).await;
    let _second = Client::open(server.address, "/ws").await;
    for path in [CENTRIFUGE, "/ws", "/connection/sse?cf_connect=%7B%7D"] {
        assert!(refused(server.address, path).await.contains("connection_limit"));
    }
    drop(first);
    let again = async {
        while server.push.connection_count() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, again).await.expect("the place stays taken");
    // The place is free a moment after the connection is off the list.
    let opened = async {
        loop {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.unwrap();
            if &head == b"HTTP/1.1 101" {
                return;
            }
        }
    };
    timeout(DEADLINE, opened).await.expect("the place stays taken");
}

#[tokio::test]
async fn more_handshakes_than_the_rate_lets_in_are_answered_503() {
    let server = server(Limits {
        handshakes: Rate::new(2, Duration::from_secs(3_600)),
        ..Limits::default()
    })
    .await;
    for _ in 0..2 {
        Client::open(server.address, CENTRIFUGE).await;
    }
    assert!(refused(server.address, CENTRIFUGE).await.contains("handshake_rate"));
}

#[tokio::test]
async fn a_user_with_as_many_connections_as_may_be_gets_no_other_and_others_do() {
    let server = Server::with(|plan| {
        plan.auth = true;
        plan.settings.anonymous = true;
        plan.settings.limits.connections_per_user = Some(1);
    })
    .await;
    let connect = async |token: &str| {
        let mut client = Client::open(server.address, CENTRIFUGE).await;
        client
            .send(&format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#))
            .await;
        client
    };
    let ann = token("red", "ann", 600);
    let mut first = connect(&ann).await;
    assert!(first.text().await.contains("connect"));
    assert_eq!(connect(&ann).await.close_code().await, Some(3504));
    // A refresh is no other connection, another tenant's ann is somebody else, and whom nobody knows nobody counts.
    first
        .send(&format!(r#"{{"id":2,"refresh":{{"token":"{ann}"}}}}"#))
        .await;
    assert!(first.text().await.contains(r#"{"id":2,"refresh""#));
    for token in [token("blue", "ann", 600), String::new(), String::new()] {
        assert!(connect(&token).await.text().await.contains("connect"));
    }
    drop(first);
    let again = async {
        loop {
            let mut client = connect(&ann).await;
            if let super::socket::Frame::Text(_) = client.next().await {
                return;
            }
        }
    };
    timeout(DEADLINE, again).await.expect("the place stays taken");
}
