//! Against a real server, and what a network may do between.

mod cluster;
mod credentials;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use fixture_redis::{Proxy, Redis};
use redis::Value;
use tokio::time::Instant;

use crate::{Call, Client, Durability, Error, Receiver, Script, Settings, cmd, from_redis_value};

static INCREMENT: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])"));

const WITHIN: Duration = Duration::from_secs(30);

fn increment() -> Call {
    INCREMENT.call(&["count"]).arg(1)
}

async fn count(client: &Client) -> u64 {
    let get: Call = cmd("GET").arg("count").take().into();
    let value = patiently(client, &get).await;
    from_redis_value::<Option<u64>>(value).unwrap().unwrap_or(0)
}

/// Repeats what does no harm until it is answered.
async fn patiently(client: &Client, call: &Call) -> Value {
    let deadline = Instant::now() + WITHIN;
    loop {
        match client.run(call).await {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < deadline, "{call:?} was never answered: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_script_is_there_again_after_it_was_flushed_alone_or_among_others() {
    let redis = Redis::start().await;
    let client = Client::open(&Settings::of(redis.url()), None).unwrap();
    for expected in 1..=3 {
        let value = client.run(&increment()).await.unwrap();
        assert_eq!(value, Value::Int(expected));
        redis.command(&["SCRIPT", "FLUSH"]);
    }
    let calls = [increment(), cmd("PING").into(), increment()];
    let answers = client.run_all(&calls).await.unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(count(&client).await, 5);
    assert_eq!(client.connections(), 1);
}

#[tokio::test]
async fn what_was_lost_on_the_way_is_unknown_and_what_was_not_sent_is_not_done() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let client = Client::open(&Settings::of(proxy.url()), None).unwrap();
    patiently(&client, &increment()).await;

    proxy.lose_replies();
    let lost = client.run(&increment()).await.unwrap_err();
    assert!(lost.is_unknown(), "{lost}");
    eventually("the increment that lost its reply", async || {
        from_redis_value::<u64>(redis.command(&["GET", "count"])).unwrap() == 2
    })
    .await;

    proxy.cut();
    let unsent = client.run(&increment()).await.unwrap_err();
    assert!(!unsent.is_unknown(), "{unsent}");
    proxy.pass();
    assert_eq!(count(&client).await, 2);
}

#[tokio::test]
async fn a_server_that_hangs_is_left_and_found_again() {
    let redis = Redis::start().await;
    let client = Client::open(&Settings::of(redis.url()), None).unwrap();
    patiently(&client, &increment()).await;
    redis.pause();
    assert!(client.run(&increment()).await.unwrap_err().is_unknown());
    assert!(!client.run(&increment()).await.unwrap_err().is_unknown());
    redis.resume();
    assert!(count(&client).await >= 1);
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left_until_it_is_one_no_more() {
    let mut primary = Redis::start().await;
    let other = Redis::start().await;
    let client = Client::open(&Settings::of(primary.url()), None).unwrap();
    patiently(&client, &increment()).await;
    primary.follow(&other);
    let refused = client.run(&increment()).await.unwrap_err();
    assert!(!refused.is_unknown(), "{refused}");
    eventually("the connection's end", async || !client.is_connected()).await;
    assert!(matches!(client.run(&increment()).await, Err(Error::Reach)));
    primary.promote();
    patiently(&client, &increment()).await;
}

#[tokio::test]
async fn another_life_of_the_data_has_another_marker_and_another_connection_has_not() {
    let mut redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let client = Client::open(&Settings::of(proxy.url()), None).unwrap();
    let marker = async || {
        patiently(&client, &cmd("PING").into()).await;
        client.session("count").await.unwrap().marker().clone()
    };
    let first = marker().await;
    proxy.cut();
    eventually("the connection's end", async || !client.is_connected()).await;
    proxy.pass();
    assert_eq!(marker().await, first);
    assert!(client.connections() > 1);

    redis.kill();
    redis.restart().await;
    let restarted = marker().await;
    assert_ne!(restarted, first);

    let mut replica = redis.replica().await;
    replica.promote();
    proxy.turn_to(replica.address());
    eventually("the other server", async || marker().await != restarted).await;
}

#[tokio::test]
async fn a_strict_write_counts_when_a_replica_has_it() {
    let redis = Redis::start().await;
    let settings = Settings {
        durability: Durability::Strict,
        ..Settings::of(redis.url())
    };
    let client = Client::open(&settings, None).unwrap();
    patiently(&client, &cmd("PING").into()).await;
    let alone = client.write(increment()).await.unwrap_err();
    assert!(alone.is_unknown(), "{alone}");
    assert!(
        matches!(
            alone,
            Error::Confirm {
                confirmed: 0,
                wanted: 1
            }
        ),
        "{alone}"
    );

    let replica = redis.replica().await;
    let writes: Vec<_> = (0..200).map(|_| client.write(increment())).collect();
    for write in writes {
        write.await.unwrap();
    }
    assert_eq!(
        from_redis_value::<u64>(replica.command(&["GET", "count"])).unwrap(),
        201
    );
}

#[tokio::test]
async fn what_becomes_of_connections_and_commands_is_counted() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let settings = Settings {
        durability: Durability::Strict,
        ..Settings::of(proxy.url())
    };
    let client = Client::open(&settings, None).unwrap();
    let mut registry = prometheus_client::registry::Registry::default();
    client.register(&mut registry);
    let has = |line: &str| {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.lines().any(|known| known == line)
    };
    patiently(&client, &increment()).await;
    assert!(client.write(increment()).await.is_err());
    assert!(
        client
            .run(&cmd("INCRBY").arg("count").arg("x").take().into())
            .await
            .is_err()
    );
    for line in [
        r#"redis_connections{purpose="commands"} 1"#,
        r#"redis_errors_total{kind="refused"} 1"#,
        r#"redis_errors_total{kind="unconfirmed"} 1"#,
        "redis_unconfirmed_writes_total 1",
        "redis_commands_in_flight 0",
        "redis_primaries 1",
        "redis_primaries_away 0",
    ] {
        assert!(has(line), "{line}");
    }
    proxy.cut();
    eventually("the loss", async || {
        has(r#"redis_connections_lost_total{purpose="commands",cause="closed"} 1"#)
    })
    .await;
    assert!(client.run(&increment()).await.is_err());
    assert!(has(r#"redis_errors_total{kind="away"} 1"#) && has("redis_primaries_away 1"));
}

#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<String>>,
    stood: AtomicU64,
}

impl Receiver for Ear {
    fn message(&self, channel: &str, payload: &[u8]) {
        let text = format!("{channel}={}", String::from_utf8_lossy(payload));
        self.heard.lock().unwrap().push(text);
    }

    fn stands(&self) {
        self.stood.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_subscription_stands_again_after_a_cut_and_says_so() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let client = Client::open(&Settings::of(proxy.url()), None).unwrap();
    let ear = Arc::new(Ear::default());
    let subscriptions = client.subscriptions(ear.clone());
    subscriptions.want("a");
    subscriptions.want("b");
    subscriptions.stand().await.unwrap();
    redis.command(&["PUBLISH", "a", "1"]);
    eventually("the first message", async || ear.heard.lock().unwrap().len() == 1).await;

    let stood = ear.stood.load(Ordering::SeqCst);
    proxy.cut();
    eventually("no subscriber", async || {
        redis.command(&["PUBLISH", "a", "2"]) == Value::Int(0)
    })
    .await;
    subscriptions.leave("a");
    proxy.pass();
    eventually("the subscriptions", async || {
        ear.stood.load(Ordering::SeqCst) == stood + 1
    })
    .await;
    redis.command(&["PUBLISH", "a", "3"]);
    redis.command(&["PUBLISH", "b", "4"]);
    eventually("the second message", async || ear.heard.lock().unwrap().len() == 2).await;
    assert_eq!(*ear.heard.lock().unwrap(), ["a=1", "b=4"]);
}
