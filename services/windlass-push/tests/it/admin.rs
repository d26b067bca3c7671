//! What the nodes tell those who run them.

use serde_json::{Value, json};
use windlass_push::config::{ChannelOptions, Channels};

use super::server::Server;
use super::socket::{Client, publish, subscriber};
use super::tasks::request;

async fn node(server: &Server) -> Value {
    let answer = request(server.address, "GET", "/admin/push/nodes", "").await;
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let [node] = answer["nodes"].as_array().unwrap().as_slice() else {
        panic!("one node, not {answer}")
    };
    node.clone()
}

#[tokio::test]
async fn a_node_tells_who_is_there_what_goes_out_and_why_connections_ended() {
    // Who comes and goes would be counted as well.
    let options = ChannelOptions {
        join_leave: false,
        ..ChannelOptions::open()
    };
    let server = Server::with(|plan| plan.settings.channels = Channels::all(options)).await;
    let mut ann = subscriber(server.address, "news").await;
    let _bob = subscriber(server.address, "news").await;
    let _plain = Client::open(server.address, "/ws").await;
    publish(&mut ann, "news", "1").await;
    let mut bad = Client::open(server.address, "/connection/websocket").await;
    bad.send("garbage").await;
    assert_eq!(bad.close_code().await, Some(3501));
    drop(bad);
    let ended = || async { node(&server).await["connections"]["centrifuge"] == 2 };
    tokio::time::timeout(super::server::DEADLINE, async {
        while !ended().await {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the connection is off the list");

    let node = node(&server).await;
    assert_eq!(node["connections"]["plain"], 1);
    assert_eq!((&node["subscriptions"], &node["users"]), (&json!(2), &json!(1)));
    assert_eq!((&node["publications"], &node["deliveries"]), (&json!(1), &json!(2)));
    let busiest = json!([{"tenant": "default", "channel": "news", "subscribers": 2}]);
    assert_eq!((&node["channels"], &node["busiest"]), (&json!(1), &busiest));
    assert_eq!(node["closed"]["3501"], json!({"count": 1, "reason": "bad request"}));
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let server = Server::start().await;
    for (path, media_type) in [
        ("/admin/push", "text/html; charset=utf-8"),
        ("/admin/push/style.css", "text/css; charset=utf-8"),
        ("/admin/push/nodes.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = request(server.address, "GET", path, "").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(!answer.body.contains("https://"), "{path}");
    }
}
