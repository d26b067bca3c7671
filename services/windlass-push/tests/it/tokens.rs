//! Tokens inside the protocols.

use super::server::{Server, principal, token};
use super::socket::{Client, Frame};
use super::tasks::{Reading, request};

const CENTRIFUGE: &str = "/connection/websocket";

#[tokio::test]
async fn a_centrifuge_client_shows_its_token_at_connect() {
    let server = Server::with(|plan| plan.auth = true).await;
    let (mine, foreign) = (
        server.task_of(&principal("red", "ann")).await,
        server.task_of(&principal("red", "eve")).await,
    );
    let elsewhere = server.task_of(&principal("blue", "ann")).await;
    let mut client = Client::open(server.address, CENTRIFUGE).await;
    client
        .send(&format!(
            r#"{{"id":1,"connect":{{"token":"{}"}}}}"#,
            token("red", "ann", 60)
        ))
        .await;
    let connected = client.text().await;
    assert!(
        connected.contains(r#""expires":true"#) && connected.contains(r#""ttl":"#),
        "{connected}"
    );
    for (id, task, answer) in [
        (2, &mine, r#"{"id":2,"subscribe":{"recoverable":true"#),
        (3, &foreign, r#"{"id":3,"error":{"code":103"#),
        (4, &elsewhere, r#"{"id":4,"error":{"code":102"#),
    ] {
        client
            .send(&format!(
                r#"{{"id":{id},"subscribe":{{"channel":"task:{}"}}}}"#,
                task.id()
            ))
            .await;
        let heard = client.text().await;
        assert!(heard.starts_with(answer), "{heard}");
    }

    for (shown, expected) in [(String::new(), 3500), ("garbage".into(), 3500)] {
        let mut client = Client::open(server.address, CENTRIFUGE).await;
        client
            .send(&format!(r#"{{"id":1,"connect":{{"token":"{shown}"}}}}"#))
            .await;
        assert_eq!(client.close_code().await, Some(expected));
    }
    let mut client = Client::open(server.address, CENTRIFUGE).await;
    client
        .send(&format!(
            r#"{{"id":1,"connect":{{"token":"{}"}}}}"#,
            token("red", "ann", -600)
        ))
        .await;
    assert_eq!(
        client.text().await,
        r#"{"id":1,"error":{"code":109,"message":"token expired"}}"#
    );
}

#[tokio::test]
async fn a_token_in_the_handshake_counts_for_the_connection() {
    let server = Server::with(|plan| plan.auth = true).await;
    let bearer = format!("Authorization: Bearer {}\r\n", token("red", "ann", 60));
    let mut client = Client::open_with(server.address, CENTRIFUGE, &bearer, b"").await;
    client.send(r#"{"id":1,"connect":{}}"#).await;
    assert!(client.text().await.starts_with(r#"{"id":1,"connect""#));
}

#[tokio::test]
async fn a_plain_client_shows_its_token_with_join() {
    let server = Server::with(|plan| plan.auth = true).await;
    let task = server.task_of(&principal("red", "ann")).await;
    let mut client = Client::open(server.address, "/ws").await;
    client
        .send(&format!(r#"{{"type":"join","fileId":"{}"}}"#, task.id()))
        .await;
    assert!(client.text().await.contains("token_missing"));
    let shown = token("red", "ann", 60);
    client
        .send(&format!(
            r#"{{"type":"join","fileId":"{}","token":"{shown}"}}"#,
            task.id()
        ))
        .await;
    assert!(client.text().await.contains(r#""progress":0"#));
    let mut eve = Client::open(server.address, "/ws").await;
    let shown = token("red", "eve", 60);
    eve.send(&format!(
        r#"{{"type":"join","fileId":"{}","token":"{shown}"}}"#,
        task.id()
    ))
    .await;
    assert!(eve.text().await.contains("task_not_found"));
}

#[tokio::test]
async fn an_event_source_shows_its_token_in_the_query() {
    let server = Server::with(|plan| plan.auth = true).await;
    let task = server.task_of(&principal("red", "ann")).await;
    let path = format!("/events/{}", task.id());
    assert_eq!(request(server.address, "GET", &path, "").await.code(), "token_missing");
    assert_eq!(
        request(server.address, "GET", &format!("{path}?token=x"), "")
            .await
            .code(),
        "token_invalid"
    );
    let shown = token("red", "ann", 60);
    Reading::open(server.address, &format!("{path}?token={shown}"), "")
        .await
        .until("event: progress")
        .await;
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let server = Server::with(|plan| {
        plan.auth = true;
        plan.settings.expiry_grace = std::time::Duration::ZERO;
    })
    .await;
    let task = server.task_of(&principal("red", "ann")).await;
    let shown = token("red", "ann", 1);
    let mut centrifuge = Client::open(server.address, CENTRIFUGE).await;
    centrifuge
        .send(&format!(r#"{{"id":1,"connect":{{"token":"{shown}"}}}}"#))
        .await;
    let mut refreshed = Client::open(server.address, CENTRIFUGE).await;
    refreshed
        .send(&format!(r#"{{"id":1,"connect":{{"token":"{shown}"}}}}"#))
        .await;
    refreshed
        .send(&format!(
            r#"{{"id":2,"refresh":{{"token":"{}"}}}}"#,
            token("red", "ann", 60)
        ))
        .await;
    let mut plain = Client::open(server.address, "/ws").await;
    plain
        .send(&format!(
            r#"{{"type":"join","fileId":"{}","token":"{shown}"}}"#,
            task.id()
        ))
        .await;
    let mut events = Reading::open(server.address, &format!("/events/{}?token={shown}", task.id()), "").await;
    assert_eq!(centrifuge.close_code().await, Some(3005));
    assert_eq!(plain.close_code().await, Some(1008));
    assert!(events.is_at_its_end().await);
    refreshed.send(r#"{"id":3,"ping":{}}"#).await;
    loop {
        match refreshed.next().await {
            Frame::Text(text) if text.contains(r#""id":3"#) => break,
            Frame::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
