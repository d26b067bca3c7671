//! Against a real cluster whose slots move and whose primaries die.

use std::collections::HashSet;

use fixture_redis::Cluster;

use super::*;
use crate::{Prepare, Session, Slot};

fn settings(cluster: &Cluster) -> Settings {
    Settings {
        cluster: true,
        nodes: cluster.others(),
        ..Settings::of(cluster.url())
    }
}

/// Keys in slots of all primaries.
fn keys() -> impl Iterator<Item = String> {
    (0..64).map(|number| format!("count:{{{number}}}"))
}

fn increment_of(key: &str) -> Call {
    INCREMENT.call(&[key]).arg(1)
}

fn slot_of(key: &str) -> u16 {
    u16::try_from(Slot::of(key).index()).unwrap()
}

/// The primary that has the key, and one that has not.
fn owners(cluster: &Cluster, key: &str) -> (usize, usize) {
    let has = |server: &fixture_redis::Redis| server.try_command(&["EXISTS", key]).is_ok();
    let from = cluster.primaries().iter().position(has).expect("a primary has the key");
    (from, (from + 1) % 3)
}

/// Notes what connections were prepared for, as a store does that keeps a marker with its data.
#[derive(Default)]
struct Notes {
    known: Mutex<Vec<(String, Option<String>)>>,
}

#[async_trait::async_trait]
impl Prepare for Notes {
    async fn prepare(&self, session: &Session) -> Result<(), Error> {
        for key in keys().filter(|key| session.serves(key)) {
            let former = session.former().map(|marker| marker.as_str().to_owned());
            self.known.lock().unwrap().push((key, former));
        }
        Ok(())
    }
}

impl Notes {
    fn of(&self, key: &str) -> Vec<Option<String>> {
        let known = self.known.lock().unwrap();
        let of_key = known.iter().filter(|(known, _)| known == key);
        of_key.map(|(_, former)| former.clone()).collect()
    }
}

#[tokio::test]
async fn each_call_finds_the_primary_of_its_key_also_among_others_and_as_a_script() {
    let cluster = Cluster::start(3).await;
    // The first address is of nobody any more: the others name the cluster as well.
    let mut settings = settings(&cluster);
    settings.nodes.push(cluster.primaries()[0].address().to_string());
    settings.url = "redis://127.0.0.1:9".to_owned();
    let client = Client::open(&settings, None).unwrap();
    patiently(&client, &increment_of("count:{0}")).await;
    eventually("all primaries", async || client.is_connected()).await;
    let calls: Vec<Call> = keys().map(|key| increment_of(&key)).collect();
    for expected in [1, 2] {
        let answers = client.run_all(&calls).await.unwrap();
        let counts: Vec<u64> = answers
            .into_iter()
            .map(|answer| from_redis_value(answer.unwrap()).unwrap())
            .collect();
        assert_eq!(counts[0], expected + 1);
        assert!(counts[1..].iter().all(|count| *count == expected), "{counts:?}");
    }
    let time: Call = Call::from(cmd("TIME")).beside("count:{1}");
    assert!(client.run(&time).await.is_ok() && client.run(&cmd("PING").into()).await.is_ok());
    assert_eq!(client.connections(), 3, "one to each primary");
    let primaries: HashSet<_> = keys().map(|key| owners(&cluster, &key).0).collect();
    assert_eq!(primaries.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_loses_no_write_and_makes_none_twice() {
    let cluster = Cluster::start(3).await;
    let notes = Arc::new(Notes::default());
    let client = Client::open(&settings(&cluster), Some(notes.clone())).unwrap();
    for key in keys() {
        patiently(&client, &increment_of(&key)).await;
    }
    let key = "count:{7}";
    let mut made = 1;
    for _ in 0..3 {
        let (from, to) = owners(&cluster, key);
        eventually("a map that was read since", async || client.is_settled()).await;
        let counting = tokio::spawn({
            let client = client.clone();
            async move {
                for _ in 0..200 {
                    made += 1;
                    let answer = client
                        .run(&increment_of(key))
                        .await
                        .expect("a write while its slot moves");
                    assert_eq!(from_redis_value::<u64>(answer).unwrap(), made);
                }
                made
            }
        });
        cluster.begin_move(slot_of(key), from, to);
        cluster.end_move(slot_of(key), from, to);
        made = counting.await.unwrap();
        eventually("the slot at its new primary", async || owners(&cluster, key).0 == to).await;
    }
    let prepared = notes.of(key);
    assert!(prepared.len() >= 4, "prepared at each of its primaries: {prepared:?}");
    assert!(
        prepared[1..].iter().all(Option::is_some),
        "nothing was forgotten, and it was not known: {prepared:?}"
    );
    assert_eq!(notes.of("count:{8}"), [None], "another slot was prepared once");
    assert_eq!(client.connections(), 3, "no connection was lost for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_is_replaced_by_its_replica_which_is_prepared_before_it_is_used() {
    let mut cluster = Cluster::start(3).await;
    let notes = Arc::new(Notes::default());
    let strict = Settings {
        durability: Durability::Strict,
        ..settings(&cluster)
    };
    let client = Client::open(&strict, Some(notes.clone())).unwrap();
    let mut least: Vec<u64> = Vec::new();
    for key in keys() {
        patiently(&client, &increment_of(&key)).await;
        client.write(increment_of(&key)).await.unwrap();
        least.push(2);
    }
    let (dead, _) = owners(&cluster, "count:{7}");
    cluster.kill(dead).await;
    for (key, least) in keys().zip(least) {
        let value = patiently(&client, &cmd("GET").arg(&key).take().into()).await;
        let count: u64 = from_redis_value(value).unwrap();
        assert_eq!(count, least, "{key}: a confirmed write is on the replica");
    }
    eventually("strict writes", async || {
        client.write(increment_of("count:{8}")).await.is_ok()
    })
    .await;
    assert!(notes.of("count:{7}").len() >= 2);
    assert!(
        notes.of("count:{7}").iter().all(Option::is_none),
        "what died may have forgotten something"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_follows_its_slot_and_survives_its_primary() {
    let mut cluster = Cluster::start(3).await;
    let client = Client::open(&settings(&cluster), None).unwrap();
    let ear = Arc::new(Ear::default());
    let subscriptions = client.subscriptions(ear.clone());
    let channels: Vec<String> = keys().collect();
    subscriptions.want_all(channels.iter().cloned());
    subscriptions.want_everywhere("all");
    eventually("all subscriptions", async || subscriptions.stand().await.is_ok()).await;
    let heard = async |expected: &mut Vec<String>| {
        eventually("each message once", async || {
            let mut heard = ear.heard.lock().unwrap().clone();
            heard.sort();
            expected.sort();
            assert!(heard.len() <= expected.len(), "{heard:?}");
            heard == *expected
        })
        .await;
    };
    let mut expected = Vec::new();
    let tell = async |channel: &str, text: &str, expected: &mut Vec<String>| {
        eventually("somebody who hears", async || {
            client.publish(channel, text).await.is_ok_and(|heard| heard == 1)
        })
        .await;
        expected.push(format!("{channel}={text}"));
    };
    for channel in &channels {
        tell(channel, "1", &mut expected).await;
    }
    cluster.primaries()[1].command(&["PUBLISH", "all", "2"]);
    expected.push("all=2".to_owned());
    heard(&mut expected).await;

    let (channel, stood) = ("count:{7}", ear.stood.load(Ordering::SeqCst));
    let from =
        (0..3).find(|index| cluster.primaries()[*index].try_command(&["SPUBLISH", channel, "3"]) == Ok(Value::Int(1)));
    expected.push(format!("{channel}=3"));
    let from = from.expect("one primary has the channel");
    let to = (from + 1) % 3;
    cluster.begin_move(slot_of(channel), from, to);
    cluster.end_move(slot_of(channel), from, to);
    eventually("the word that something may be missed", async || {
        ear.stood.load(Ordering::SeqCst) > stood
    })
    .await;
    for channel in &channels {
        tell(channel, "4", &mut expected).await;
    }
    heard(&mut expected).await;

    let stood = ear.stood.load(Ordering::SeqCst);
    cluster.kill(to).await;
    eventually("the word of the replica", async || {
        ear.stood.load(Ordering::SeqCst) > stood
    })
    .await;
    for channel in &channels {
        tell(channel, "5", &mut expected).await;
    }
    subscriptions.leave(channel);
    let subscribers = cmd("PUBSUB").arg("SHARDNUMSUB").arg(channel).take();
    let subscribers = Call::from(subscribers).beside(channel);
    eventually("nobody who hears", async || {
        let count = patiently(&client, &subscribers).await;
        from_redis_value::<Vec<(String, u64)>>(count).unwrap() == [(channel.to_owned(), 0)]
    })
    .await;
    client.publish(channel, "6").await.unwrap();
    heard(&mut expected).await;
}
