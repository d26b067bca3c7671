//! Against a real Redis, and what becomes of it.

use fixture_redis::{Cluster, Proxy, Redis as Server};
use windlass_redis::Settings;

use super::*;
use crate::broker::contract::{self, Noted, all, channel, eventually, outgoing, publish};

/// Short, so that a test need not wait for long until a node is dead.
const OPTIONS: Options = Options {
    lease: Duration::from_millis(600),
    position_ttl: Duration::from_secs(3_600),
    probe: Duration::from_millis(400),
};

/// A Redis that nodes share.
struct World(Server);

impl World {
    async fn new() -> Self {
        Self(Server::start().await)
    }

    fn node(&self) -> (Redis, Arc<Noted>) {
        let noted = Arc::new(Noted::default());
        let node = contract::World::join(self, NodeId::random(), Arc::clone(&noted) as Arc<_>);
        (node, noted)
    }
}

impl contract::World for World {
    type Node = Redis;

    fn join(&self, node: NodeId, receiver: Arc<dyn Receiver>) -> Redis {
        let store = RedisStore::open(&Settings::of(self.0.url())).unwrap();
        Redis::join(&store, OPTIONS, node, receiver, Arc::default())
    }
}

#[tokio::test]
async fn it_does_what_every_broker_must() {
    contract::run(World::new).await;
}

/// A cluster that nodes share.
struct Clustered(Settings);

impl contract::World for Clustered {
    type Node = Redis;

    fn join(&self, node: NodeId, receiver: Arc<dyn Receiver>) -> Redis {
        Redis::join(
            &RedisStore::open(&self.0).unwrap(),
            OPTIONS,
            node,
            receiver,
            Arc::default(),
        )
    }
}

#[tokio::test]
async fn it_does_so_on_a_cluster_too() {
    let cluster = Cluster::start(3).await;
    let settings = Settings {
        cluster: true,
        nodes: cluster.others(),
        ..Settings::of(cluster.url())
    };
    contract::run(async || {
        for primary in cluster.primaries() {
            primary.command(&["FLUSHALL"]);
        }
        Clustered(settings.clone())
    })
    .await;
}

#[tokio::test]
async fn a_position_is_forgotten_when_nobody_has_used_it_for_long() {
    let server = Server::start().await;
    let store = RedisStore::open(&Settings::of(server.url())).unwrap();
    let options = Options {
        position_ttl: Duration::from_millis(200),
        ..OPTIONS
    };
    let node = Redis::join(
        &store,
        options,
        NodeId::random(),
        Arc::new(Noted::default()),
        Arc::default(),
    );
    let retention = Retention {
        size: 1,
        ttl: Duration::from_millis(100),
    };
    let publish = async || {
        node.publish(&channel("a"), outgoing(1), retention)
            .await
            .unwrap()
            .unwrap()
    };
    let first = publish().await;
    eventually("no position", async || {
        server.command(&["EXISTS", &keys::stream(&channel("a"))]) == windlass_redis::Value::Int(0)
    })
    .await;
    let second = publish().await;
    assert_eq!(second.offset, 1);
    assert_ne!(second.epoch, first.epoch, "another life has another epoch");
}

#[tokio::test]
async fn a_publication_whose_reply_was_lost_is_made_once() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.address()).await;
    let store = RedisStore::open(&Settings::of(proxy.url())).unwrap();
    let node = Redis::join(
        &store,
        OPTIONS,
        NodeId::random(),
        Arc::new(Noted::default()),
        Arc::default(),
    );
    publish(&node, "a", 1).await;
    proxy.lose_replies();
    let made = async {
        let key = keys::stream(&channel("a"));
        let two = windlass_redis::Value::BulkString(b"2".to_vec());
        eventually("the publication", async || {
            server.command(&["HGET", &key, "top"]) == two
        })
        .await;
        proxy.pass();
    };
    let (position, ()) = tokio::join!(publish(&node, "a", 2), made);
    assert_eq!(position.offset, 2);
    assert_eq!(contract::offsets(&node, "a", all()).await, [1, 2]);
}

#[tokio::test]
async fn a_redis_that_came_back_empty_has_other_epochs_and_is_told_again_who_is_present() {
    let mut world = World::new().await;
    let (node, noted) = world.node();
    node.subscribe(&channel("a")).await.unwrap();
    let client = ClientId::random();
    let ada = ClientInfo {
        user: "ada".to_owned(),
        ..ClientInfo::default()
    };
    node.add_presence(&channel("a"), client, ada.clone()).await.unwrap();
    let before = publish(&node, "a", 1).await;
    world.0.kill();
    world.0.restart_empty().await;
    eventually("a publication", async || {
        node.publish(&channel("a"), outgoing(2), contract::KEEP).await.is_ok()
    })
    .await;
    let history = node.history(&channel("a"), all()).await.unwrap();
    assert_ne!(history.top.epoch, before.epoch);
    eventually("a delivery", async || {
        publish(&node, "a", 3).await;
        noted.all().len() > 1
    })
    .await;
    eventually("the presence", async || {
        node.presence(&channel("a")).await == Ok(vec![ada.clone()])
    })
    .await;
}

#[tokio::test]
async fn what_was_missed_while_the_subscriptions_were_away_is_found_at_once() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.address()).await;
    let store = |url: String| RedisStore::open(&Settings::of(url)).unwrap();
    let noted = Arc::new(Noted::default());
    let receiver = Arc::clone(&noted) as Arc<_>;
    let node = Redis::join(&store(proxy.url()), OPTIONS, NodeId::random(), receiver, Arc::default());
    let other = Redis::join(
        &store(server.url()),
        OPTIONS,
        NodeId::random(),
        Arc::new(Noted::default()),
        Arc::default(),
    );
    for name in ["missed", "quiet"] {
        node.subscribe(&channel(name)).await.unwrap();
        node.history(&channel(name), all()).await.unwrap();
        publish(&other, name, 1).await;
    }
    noted.brought(2).await;
    // So that it is known whether deliveries stand again.
    let told = noted.tops().len();
    proxy.cut();
    let two = publish(&other, "missed", 2).await;
    proxy.pass();
    eventually("the top", async || noted.tops().len() > told).await;
    assert_eq!(noted.tops()[told..], [(channel("missed"), two)]);
    publish(&other, "quiet", 2).await;
    noted.brought(3).await;
}

#[tokio::test]
async fn a_probe_comes_back() {
    let server = Server::start().await;
    let store = RedisStore::open(&Settings::of(server.url())).unwrap();
    let sight = Arc::new(Sight::default());
    let receiver = Arc::new(Noted::default());
    let _node = Redis::join(&store, OPTIONS, NodeId::random(), receiver, Arc::clone(&sight));
    eventually("a probe", async || sight.age().is_some()).await;
    assert!(!sight.is_blind());
}
