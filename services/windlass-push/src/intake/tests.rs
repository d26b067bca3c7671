//! Against a real Redis.

use std::time::Duration;

use fixture_redis::Redis;
use serde_json::{Value, json};
use tokio::time::Instant;
use windlass_redis::Settings as RedisSettings;
use windlass_serve::Authenticator;

use super::*;
use crate::config::{Config, Settings as PushSettings};

const WITHIN: Duration = Duration::from_secs(30);

struct Node {
    push: Arc<Push>,
    intake: Arc<Intake>,
    registry: Registry,
}

fn node(redis: &Redis) -> Node {
    node_with(redis, Settings::default())
}

fn node_with(redis: &Redis, events: Settings) -> Node {
    let settings = PushSettings::validate(&Config::default(), true).unwrap();
    let push = Push::new(settings, Authenticator::Loopback, None);
    let client = Client::open(&RedisSettings::of(redis.url()), None).unwrap();
    let mut registry = Registry::default();
    let intake = Intake::new(Arc::clone(&push), client, events, &mut registry);
    Node {
        push,
        intake: Arc::new(intake),
        registry,
    }
}

impl Node {
    /// What was published on a channel here.
    async fn published(&self, channel: &str) -> Vec<Value> {
        let api = Api::new(Arc::clone(&self.push), Tenant::default_tenant());
        let params = format!(r#"{{"channel":"{channel}","limit":100}}"#);
        let result = api
            .call("history", &serde_json::value::RawValue::from_string(params).unwrap())
            .await
            .unwrap();
        let history: Value = serde_json::from_str(result.get()).unwrap();
        let publications = history["publications"].as_array().cloned().unwrap_or_default();
        publications
            .iter()
            .map(|publication| publication["data"].clone())
            .collect()
    }

    fn counts(&self, line: &str) -> bool {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().any(|known| known == line)
    }

    fn run(&self) -> tokio::task::JoinHandle<()> {
        let intake = Arc::clone(&self.intake);
        tokio::spawn(async move { intake.run().await })
    }
}

fn add(redis: &Redis, method: &str, payload: &str) {
    redis.command(&["XADD", STREAM, "*", "method", method, "payload", payload]);
}

fn length(redis: &Redis, stream: &str) -> u64 {
    from_redis_value(redis.command(&["XLEN", stream])).unwrap()
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn entries_are_carried_out_in_order_and_leave_the_stream_and_what_cannot_be_is_put_aside() {
    let redis = Redis::start().await;
    let node = node(&redis);
    // What came before anybody read counts as well.
    add(&redis, "publish", r#"{"channel":"news","data":1}"#);
    let running = node.run();
    for number in 2..=5 {
        add(&redis, "publish", &format!(r#"{{"channel":"news","data":{number}}}"#));
    }
    add(&redis, "publish", "garbage");
    add(&redis, "sing", "{}");
    add(&redis, "publish", r#"{"channel":"","data":1}"#);
    redis.command(&["XADD", STREAM, "*", "method", "publish"]);
    add(&redis, "broadcast", r#"{"channels":["news","other"],"data":6}"#);
    eventually("an empty stream", async || {
        node.published("other").await.len() == 1 && length(&redis, STREAM) == 0
    })
    .await;
    assert_eq!(node.published("news").await, [1, 2, 3, 4, 5, 6]);
    let dead = node.intake.settings.dead();
    assert_eq!(length(&redis, &dead), 4);
    let letters: Vec<(String, Vec<String>)> = from_redis_value(redis.command(&["XRANGE", &dead, "-", "+"])).unwrap();
    assert!(
        letters[0].1.contains(&"the payload is not a JSON object".to_owned()),
        "{letters:?}"
    );
    assert!(letters[0].1.contains(&"garbage".to_owned()), "{letters:?}");
    assert!(node.counts(r#"push_events_total{outcome="dead"} 4"#));
    // Counted after it has left the stream.
    eventually("the count", async || {
        node.counts(r#"push_events_total{outcome="done"} 6"#)
    })
    .await;
    running.abort();
}

/// An upload's event as the upload service writes it.
fn event(kind: &str, task: &str, sequence: u64) -> Value {
    json!({
        "specversion": "1.0", "id": format!("{task}/{sequence}"), "source": "/windlass/local", "type": kind,
        "subject": task, "time": "2026-01-02T03:04:05Z", "tenant": "default", "sequence": sequence, "v": 1,
        "data": {"taskId": task, "owner": "ada", "progress": 100, "timestamp": 1, "offset": 9, "length": 9},
    })
}

#[tokio::test]
async fn an_uploads_event_is_published_as_it_is_and_once_however_often_it_comes() {
    let redis = Redis::start().await;
    let settings = Settings {
        channel: "uploads:{owner}/{task}".to_owned(),
        ..Settings::default()
    };
    let node = node_with(&redis, settings);
    let task = "local-01890a5d-ac96-774b-bcce-b302099a8057";
    let created = event("dev.windlass.task.created", task, 1);
    let completed = event("dev.windlass.task.completed", task, 2);
    for text in [&created, &completed, &completed].map(Value::to_string) {
        redis.command(&["XADD", STREAM, "*", "event", &text]);
    }
    // Not an upload's.
    redis.command(&["XADD", STREAM, "*", "event", r#"{"specversion":"1.0"}"#]);
    let running = node.run();
    eventually("an empty stream", async || length(&redis, STREAM) == 0).await;
    let published = node.published(&format!("uploads:ada/{task}")).await;
    assert_eq!(published, [created, completed]);
    assert_eq!(length(&redis, &node.intake.settings.dead()), 1);
    running.abort();
}

#[tokio::test]
async fn what_a_dead_node_had_in_hand_is_carried_out_by_another_and_counts_once() {
    let redis = Redis::start().await;
    let node = node(&redis);
    node.intake.join().await.unwrap();
    add(&redis, "publish", r#"{"channel":"news","data":1}"#);
    add(&redis, "publish", r#"{"channel":"news","data":2}"#);
    add(&redis, "publish", r#"{"channel":"news","data":3}"#);
    // Another node takes two, publishes the first and dies: here, both as this one would have.
    let taken: Vec<Entry> = {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP")
            .arg(GROUP)
            .arg("dead")
            .arg("COUNT")
            .arg(2)
            .arg("STREAMS")
            .arg(STREAM)
            .arg(">");
        entry::taken(node.intake.client.run(&node.intake.call(read.into())).await.unwrap()).unwrap()
    };
    assert_eq!(taken.len(), 2);
    let api = |tenant| Api::new(Arc::clone(&node.push), tenant);
    assert_eq!(taken[0].carry_out(&node.intake.settings, api).await, Ending::Done);
    // Thirty seconds later, which no test waits for.
    let hours = "3600000";
    for (entry, deliveries) in [(&taken[0], "1"), (&taken[1], "1")] {
        let claim = [
            "XCLAIM",
            STREAM,
            GROUP,
            "dead",
            "0",
            &entry.id,
            "IDLE",
            hours,
            "RETRYCOUNT",
            deliveries,
            "JUSTID",
        ];
        redis.command(&claim);
    }
    let running = node.run();
    eventually("an empty stream", async || length(&redis, STREAM) == 0).await;
    let mut published = node.published("news").await;
    published.sort_by_key(ToString::to_string);
    assert_eq!(published, [1, 2, 3], "the first was published twice and counts once");
    assert!(node.counts(r#"push_events_total{outcome="claimed"} 2"#));
    running.abort();
}

#[tokio::test]
async fn what_has_ended_several_nodes_is_put_aside() {
    let redis = Redis::start().await;
    let node = node(&redis);
    node.intake.join().await.unwrap();
    add(&redis, "publish", r#"{"channel":"news","data":1}"#);
    let taken = node.intake.take(">").await.unwrap();
    let id = taken[0].id.as_str();
    redis.command(&[
        "XCLAIM",
        STREAM,
        GROUP,
        "dead",
        "0",
        id,
        "IDLE",
        "3600000",
        "RETRYCOUNT",
        "5",
        "JUSTID",
    ]);
    let running = node.run();
    eventually("a dead letter", async || {
        length(&redis, &node.intake.settings.dead()) == 1
    })
    .await;
    assert_eq!(length(&redis, STREAM), 0);
    assert!(node.published("news").await.is_empty());
    running.abort();
}

#[test]
fn dead_letters_share_the_streams_hash_slot() {
    for stream in ["push:events", "push:{events}", "{a}b"] {
        let settings = Settings {
            stream: stream.to_owned(),
            ..Settings::default()
        };
        assert_eq!(
            windlass_redis::Slot::of(stream),
            windlass_redis::Slot::of(settings.dead()),
            "{stream}"
        );
    }
}
