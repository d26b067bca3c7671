//! Against a real Redis, and what becomes of it.

use fixture_redis::{Cluster, Proxy, Redis as Server};
use windlass_redis::Settings;

use super::*;
use crate::broker::contract::{self, Noted, all, channel, eventually, outgoing, publish};
use crate::broker::histories::{self, Harm, Heard};

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

/// A node behind a proxy of its own, what it was brought, and whether it sees.
struct Apart {
    node: Redis,
    proxy: Proxy,
    heard: Arc<Heard>,
    sight: Arc<Sight>,
}

impl Apart {
    async fn from(server: &Server) -> Self {
        let proxy = Proxy::to(server.address()).await;
        let store = RedisStore::open(&Settings::of(proxy.url())).unwrap();
        let (heard, sight) = (Arc::<Heard>::default(), Arc::<Sight>::default());
        let receiver = Arc::clone(&heard) as Arc<_>;
        Self {
            node: Redis::join(&store, OPTIONS, NodeId::random(), receiver, Arc::clone(&sight)),
            proxy,
            heard,
            sight,
        }
    }

    async fn sees(&self) {
        eventually("a probe", async || {
            self.sight.age().is_some_and(|age| age < OPTIONS.probe)
        })
        .await;
    }
}

#[tokio::test]
async fn who_alone_does_not_see_is_blind_until_it_sees() {
    let server = Server::start().await;
    let [one, other] = [Apart::from(&server).await, Apart::from(&server).await];
    for apart in [&one, &other] {
        apart.sees().await;
        assert!(!apart.sight.is_blind());
    }
    one.proxy.deafen();
    eventually("a blind node", async || one.sight.is_blind()).await;
    assert!(!other.sight.is_blind());
    one.proxy.pass();
    eventually("a node that sees", async || !one.sight.is_blind()).await;
}

#[tokio::test]
async fn where_nobody_sees_nobody_is_worse_than_others() {
    let server = Server::start().await;
    let [one, other] = [Apart::from(&server).await, Apart::from(&server).await];
    one.sees().await;
    other.sees().await;
    one.proxy.deafen();
    other.proxy.deafen();
    // Twice as long as it takes one alone.
    let blinded = || one.sight.age().min(other.sight.age());
    eventually("a long blindness", async || blinded() > Some(OPTIONS.probe * 10)).await;
    assert!(!one.sight.is_blind() && !other.sight.is_blind());
    one.proxy.pass();
    other.proxy.pass();
    one.sees().await;
    other.sees().await;
}

#[test]
fn any_history_is_what_was_published_whatever_is_done_to_the_connections_and_the_data() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let nodes = [(); 2].map(|()| runtime.block_on(Apart::from(&server)));
    let (mut cases, [one, other]) = (0, nodes.each_ref());
    histories::check(|steps| {
        cases += 1;
        let name = format!("h{cases}");
        let world = histories::World::new(&name, [(&one.node, &one.heard), (&other.node, &other.heard)]);
        runtime.block_on(world.live(steps, async |harm| match harm {
            Harm::Unsubscribe => drop(server.command(&["CLIENT", "KILL", "TYPE", "pubsub"])),
            Harm::Disconnect(node) => nodes[node].proxy.turn_to(server.address()),
            Harm::Deafen(node) => nodes[node].proxy.deafen(),
            Harm::Hear(node) => nodes[node].proxy.pass(),
            Harm::Forget => drop(server.command(&["FLUSHALL"])),
        }));
    });
}
