//! Against a real Redis, and what becomes of it.

use fixture_redis::{Cluster, Proxy, Redis as Server};
use windlass_redis::Settings;

use super::*;
use crate::broker::contract::{self, Noted, all, channel, eventually, outgoing, publish};
use crate::broker::histories::{self, Harm, Heard};
use crate::publication::Publication;

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
        self.node_with(OPTIONS)
    }

    fn node_with(&self, options: Options) -> (Redis, Arc<Noted>) {
        let noted = Arc::new(Noted::default());
        let node = self.join_with(options, NodeId::random(), Arc::clone(&noted) as Arc<_>);
        (node, noted)
    }

    fn join_with(&self, options: Options, node: NodeId, receiver: Arc<dyn Receiver>) -> Redis {
        let store = RedisStore::open(&Settings::of(self.0.url())).unwrap();
        Redis::join(&store, options, node, receiver, Arc::default())
    }
}

impl contract::World for World {
    type Node = Redis;

    fn join(&self, node: NodeId, receiver: Arc<dyn Receiver>) -> Redis {
        self.join_with(OPTIONS, node, receiver)
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
    // On a machine that is slow just then the node gives up and says that nobody knows; the key is for that.
    let keyed = Outgoing {
        idempotency_key: Some("two".to_owned()),
        ..outgoing(2)
    };
    let mut position = None;
    let published = eventually("an answer", async || {
        let answer = node.publish(&channel("a"), keyed.clone(), contract::KEEP).await;
        position = answer.ok().flatten();
        position.is_some()
    });
    tokio::join!(published, made);
    assert_eq!(position.map(|position| position.offset), Some(2));
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
    let present = contract::present(ada.clone());
    node.enter(&channel("a"), client, present).await.unwrap();
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

#[tokio::test]
async fn what_is_for_a_user_goes_to_the_nodes_that_have_it_and_to_no_others() {
    let world = World::new().await;
    // No node dies of a machine that is busy.
    let options = Options {
        lease: Duration::from_secs(30),
        ..OPTIONS
    };
    let [(first, at_first), (second, at_second), (third, at_third)] = [(); 3].map(|()| world.node_with(options));
    let (tenant, elsewhere) = (Tenant::default_tenant(), "elsewhere".parse().unwrap());
    let tell = async |message: &'static [u8]| {
        let told = first.tell_user(&tenant, "ada", Bytes::from_static(message)).await;
        told.unwrap();
    };
    // None of them misses anything from here on.
    for node in [&first, &second, &third] {
        let hello = || first.tell(node.node(), Bytes::from_static(b"hello"));
        eventually("a node that hears", async || hello().await.is_ok()).await;
    }
    let [a, b, c] = [(); 3].map(|()| ClientId::random());
    contract::add_user(&first, &tenant, "bob", a).await;
    contract::add_user(&first, &elsewhere, "ada", a).await;
    for (node, client) in [(&second, a), (&second, b), (&third, c)] {
        contract::add_user(node, &tenant, "ada", client).await;
    }
    tell(b"both").await;
    at_second.messages(&[b"hello", b"both"]).await;
    at_third.messages(&[b"hello", b"both"]).await;
    second.remove_user(&tenant, "ada", a).await.unwrap();
    tell(b"still both").await;
    at_second.messages(&[b"hello", b"both", b"still both"]).await;
    second.remove_user(&tenant, "ada", b).await.unwrap();
    tell(b"one").await;
    at_third.messages(&[b"hello", b"both", b"still both", b"one"]).await;
    // What was wrongly told would have come before this.
    for node in [&first, &second] {
        node.tell(node.node(), Bytes::from_static(b"own")).await.unwrap();
    }
    at_first.messages(&[b"hello", b"own"]).await;
    at_second.messages(&[b"hello", b"both", b"still both", b"own"]).await;
    // A node that has died is no hindrance while its lease goes on.
    drop(third);
    contract::add_user(&second, &tenant, "ada", b).await;
    tell(b"last").await;
    at_second
        .messages(&[b"hello", b"both", b"still both", b"own", b"last"])
        .await;
}

/// What a node writes about its connections.
const KINDS: [&str; 4] = ["presence", "user", "held", "away"];

#[tokio::test]
async fn nothing_is_left_of_a_dead_node() {
    let world = World::new().await;
    let ((_living, _), (node, _)) = (world.node(), world.node());
    let tenant = Tenant::default_tenant();
    for name in ["a", "b"] {
        let client = ClientId::random();
        let info = ClientInfo {
            user: name.to_owned(),
            ..ClientInfo::default()
        };
        let attendance = Attendance {
            announced: true,
            ..contract::present(info)
        };
        contract::add_user(&node, &tenant, name, client).await;
        node.enter(&channel(name), client, attendance).await.unwrap();
        node.lose(&channel(name), client).await.unwrap();
    }
    let left = || -> Vec<String> {
        let of_kind = |kind: &str| world.0.command(&["KEYS", &format!("push:{kind}:*")]);
        let keys = KINDS.map(|kind| windlass_redis::from_redis_value::<Vec<String>>(of_kind(kind)).unwrap());
        keys.concat()
    };
    for kind in KINDS {
        assert!(
            left().iter().any(|key| key.starts_with(&format!("push:{kind}:"))),
            "{kind}"
        );
    }
    drop(node);
    eventually("nothing", async || left().is_empty()).await;
}

#[tokio::test]
async fn a_node_that_was_cut_off_for_so_long_that_it_was_buried_is_told_of_again() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.address()).await;
    let node = |url: String, noted: &Arc<Noted>| {
        let store = RedisStore::open(&Settings::of(url)).unwrap();
        let receiver = Arc::clone(noted) as Arc<_>;
        Redis::join(&store, OPTIONS, NodeId::random(), receiver, Arc::default())
    };
    let noted = Arc::new(Noted::default());
    let (watching, cut_off) = (node(server.url(), &noted), node(proxy.url(), &Arc::default()));
    let x = channel("x");
    watching.subscribe(&x).await.unwrap();
    let client = ClientId::random();
    let ada = ClientInfo {
        user: "ada".to_owned(),
        client: client.to_string(),
        ..ClientInfo::default()
    };
    let attendance = Attendance {
        announced: true,
        ..contract::present(ada.clone())
    };
    cut_off.enter(&x, client, attendance).await.unwrap();
    proxy.cut();
    let expected = [Publication::Joined(ada.clone()), Publication::Left(ada.clone())];
    assert_eq!(noted.brought(2).await, expected);
    assert_eq!(watching.presence(&x).await, Ok(Vec::new()));
    proxy.pass();
    assert_eq!(noted.brought(3).await[2], Publication::Joined(ada.clone()));
    let there = vec![ada];
    eventually("the presence", async || {
        watching.presence(&x).await.as_ref() == Ok(&there)
    })
    .await;
}

#[tokio::test]
async fn five_hundred_that_come_back_at_once_read_a_history_once_or_twice() {
    let world = World::new().await;
    let (node, _) = world.node();
    for data in 1..=5 {
        publish(&node, "a", data).await;
    }
    let reads = || {
        let stats = world.0.info("commandstats", "cmdstat_xrange");
        let calls = stats.and_then(|stats| stats.strip_prefix("calls=")?.split(',').next()?.parse::<u64>().ok());
        calls.unwrap_or(0)
    };
    let before = reads();
    let missed = Range {
        since: Some(2),
        limit: 300,
        reverse: false,
    };
    let room = channel("a");
    let all = join_all((0..500).map(|_| node.history(&room, missed))).await;
    for history in all {
        let publications = history.unwrap().publications;
        let offsets = publications.iter().map(|message| message.position.unwrap().offset);
        // Of a history of three.
        assert!(offsets.eq(3..=5));
    }
    let made = reads() - before;
    assert!((1..=2).contains(&made), "{made} reads");
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_and_again_a_primary_is_followed() {
    let mut servers = {
        let first = Server::start().await;
        let second = first.replica().await;
        [first, second]
    };
    let proxy = Proxy::to(servers[0].address()).await;
    let store = RedisStore::open(&Settings::of(proxy.url())).unwrap();
    let noted = Arc::new(Noted::default());
    let receiver = Arc::clone(&noted) as Arc<_>;
    let node = Redis::join(&store, OPTIONS, NodeId::random(), receiver, Arc::default());
    let (a, client) = (channel("a"), ClientId::random());
    node.subscribe(&a).await.unwrap();
    let ada = ClientInfo {
        user: "ada".to_owned(),
        ..ClientInfo::default()
    };
    node.enter(&a, client, contract::present(ada.clone())).await.unwrap();
    let mut before = publish(&node, "a", 1).await;
    for data in [2, 3] {
        let [old, new] = &mut servers;
        let refusals = old.info("errorstats", "errorstat_READONLY");
        new.promote();
        // Of nobody yet: while it copied it would refuse everything.
        old.command(&["REPLICAOF", "127.0.0.1", "1"]);
        // The connection stands, and what is written by it is refused.
        let is_refused = async {
            eventually("a refusal", async || {
                old.info("errorstats", "errorstat_READONLY") != refusals
            })
            .await;
            proxy.turn_to(new.address());
        };
        let published = async {
            eventually("a publication", async || {
                node.publish(&a, outgoing(data), contract::KEEP).await.is_ok()
            })
            .await;
        };
        tokio::join!(is_refused, published);
        old.follow(new);
        let after = node.history(&a, all()).await.unwrap().top;
        assert_ne!(
            after.epoch, before.epoch,
            "what the other server has forgotten nobody knows"
        );
        eventually("a delivery", async || {
            publish(&node, "a", 10).await;
            let brought = noted.all();
            let of = |publication: &Publication| match publication {
                Publication::Message { message, .. } => message.position.map(|position| position.epoch),
                _ => None,
            };
            brought
                .iter()
                .any(|(_, publication)| of(publication) == Some(after.epoch))
        })
        .await;
        let there = vec![ada.clone()];
        eventually("the presence", async || node.presence(&a).await.as_ref() == Ok(&there)).await;
        before = after;
        servers.reverse();
    }
}
