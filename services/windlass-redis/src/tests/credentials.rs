//! Users and passwords that change while they are in use.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fixture_redis::Redis;
use redis::Value;

use super::{count, eventually, increment, patiently};
use crate::{Client, Durability, Receiver, Settings, Subscriptions, from_redis_value};

/// A user with all rights, of whom there may be several in turn.
fn add_user(redis: &Redis, name: &str, password: &str) {
    redis.command(&[
        "ACL",
        "SETUSER",
        name,
        "on",
        &format!(">{password}"),
        "~*",
        "&*",
        "+@all",
    ]);
}

/// Names the user in the folder, as a projected Secret does: each file on its own.
fn name_user(folder: &Path, name: &str, password: &str) {
    for (file, text) in [("username", name), ("password", password)] {
        let next = folder.join(format!("{file}.next"));
        std::fs::write(&next, format!("{text}\n")).unwrap();
        std::fs::rename(next, folder.join(file)).unwrap();
    }
}

fn settings(redis: &Redis, folder: &Path) -> Settings {
    Settings {
        username_file: Some(folder.join("username")),
        password_file: Some(folder.join("password")),
        ..Settings::of(redis.url())
    }
}

/// How many connections a user has.
fn connections_of(redis: &Redis, user: &str) -> usize {
    let list: String = from_redis_value(redis.command(&["CLIENT", "LIST"])).unwrap();
    let field = format!("user={user}");
    list.lines()
        .filter(|line| line.split(' ').any(|word| word == field))
        .count()
}

#[derive(Default)]
struct Heard {
    messages: Mutex<Vec<String>>,
    stood: AtomicU64,
}

impl Receiver for Heard {
    fn message(&self, _: &str, payload: &[u8]) {
        self.messages
            .lock()
            .unwrap()
            .push(String::from_utf8_lossy(payload).into_owned());
    }

    fn stands(&self) {
        self.stood.fetch_add(1, Ordering::Relaxed);
    }
}

async fn subscribe(client: &Client, heard: &Arc<Heard>) -> Subscriptions {
    let subscriptions = client.subscriptions(heard.clone());
    subscriptions.want("news");
    eventually("the subscription", async || subscriptions.stand().await.is_ok()).await;
    subscriptions
}

#[tokio::test]
async fn a_user_is_replaced_under_load_and_nobody_notices() {
    let redis = Redis::start().await;
    let replica = redis.replica().await;
    let folder = tempfile::tempdir().unwrap();
    add_user(&redis, "green", "first");
    name_user(folder.path(), "green", "first");
    let strict = Settings {
        durability: Durability::Strict,
        ..settings(&redis, folder.path())
    };
    let client = Client::open(&strict, None).unwrap();
    patiently(&client, &increment()).await;
    let heard = Arc::new(Heard::default());
    let subscriptions = subscribe(&client, &heard).await;
    let (stood, made) = (heard.stood.load(Ordering::Relaxed), client.connections());

    let ends = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (client, ends) = (client.clone(), Arc::clone(&ends));
            tokio::spawn(async move {
                let mut written = 0;
                while !ends.load(Ordering::Relaxed) {
                    client.write(increment()).await.unwrap();
                    client.run(&increment()).await.unwrap();
                    written += 2;
                }
                written
            })
        })
        .collect();

    add_user(&redis, "blue", "second");
    name_user(folder.path(), "blue", "second");
    eventually("everybody's change", async || {
        connections_of(&redis, "green") == 0 && connections_of(&redis, "blue") == 3
    })
    .await;
    redis.command(&["ACL", "DELUSER", "green"]);
    client.publish("news", "of blue").await.unwrap();
    eventually("the message", async || {
        heard.messages.lock().unwrap().contains(&"of blue".to_owned())
    })
    .await;

    ends.store(true, Ordering::Relaxed);
    let mut written = 1;
    for writer in writers {
        written += writer.await.unwrap();
    }
    assert_eq!(count(&client).await, written);
    assert_eq!(client.connections(), made);
    assert_eq!(
        heard.stood.load(Ordering::Relaxed),
        stood,
        "a subscription was made anew"
    );
    drop((subscriptions, replica));
}

#[tokio::test]
async fn credentials_that_come_before_their_user_change_nothing_until_it_is_there() {
    let redis = Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    add_user(&redis, "green", "first");
    name_user(folder.path(), "green", "first");
    let client = Client::open(&settings(&redis, folder.path()), None).unwrap();
    patiently(&client, &increment()).await;

    name_user(folder.path(), "blue", "second");
    eventually("a refusal", async || {
        let refusals: Vec<Value> = from_redis_value(redis.command(&["ACL", "LOG"])).unwrap();
        !refusals.is_empty()
    })
    .await;
    client.run(&increment()).await.unwrap();
    assert_eq!((connections_of(&redis, "green"), client.connections()), (1, 1));

    add_user(&redis, "blue", "second");
    eventually("the change", async || connections_of(&redis, "blue") == 1).await;
    client.run(&increment()).await.unwrap();
    assert_eq!(client.connections(), 1);
}

#[tokio::test]
async fn a_user_that_is_gone_is_left_for_the_one_of_now() {
    let redis = Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    add_user(&redis, "green", "first");
    name_user(folder.path(), "green", "first");
    let client = Client::open(&settings(&redis, folder.path()), None).unwrap();
    patiently(&client, &increment()).await;

    add_user(&redis, "blue", "second");
    name_user(folder.path(), "blue", "second");
    redis.command(&["ACL", "DELUSER", "green"]);
    patiently(&client, &increment()).await;
    assert_eq!(connections_of(&redis, "blue"), 1);
}
