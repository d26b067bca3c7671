use super::*;
use crate::broker::Version;
use crate::payload::Payload;
use windlass_task::Tenant;

const MINUTE: Duration = Duration::from_secs(60);
const KEEP: Retention = Retention { size: 3, ttl: MINUTE };

/// A node that notes what it is brought.
#[derive(Default)]
struct Noted {
    publications: Mutex<Vec<(ChannelKey, Publication)>>,
    messages: Mutex<Vec<Bytes>>,
}

impl Receiver for Noted {
    fn publication(&self, channel: &ChannelKey, publication: &Publication) {
        lock(&self.publications).push((channel.clone(), publication.clone()));
    }

    fn answer(&self, question: Bytes) -> Bytes {
        question
    }

    fn control(&self, message: Bytes) {
        lock(&self.messages).push(message);
    }
}

struct World {
    network: Arc<Network>,
    time: Arc<Mutex<Instant>>,
}

impl World {
    fn new(options: Options) -> Self {
        let time = Arc::new(Mutex::new(Instant::now()));
        let clock = Arc::clone(&time);
        Self {
            network: Network::new(options, Arc::new(move || *lock(&clock))),
            time,
        }
    }

    fn pass(&self, duration: Duration) {
        *lock(&self.time) += duration;
    }

    fn join(&self) -> (Memory, Arc<Noted>) {
        let noted = Arc::new(Noted::default());
        (self.network.join(NodeId::random(), Arc::clone(&noted) as Arc<_>), noted)
    }
}

fn channel(name: &str) -> ChannelKey {
    ChannelKey::new(&Tenant::default_tenant(), name)
}

fn outgoing(data: u64) -> Outgoing {
    Outgoing {
        data: Payload::of(&data).unwrap(),
        info: None,
        ..Outgoing::default()
    }
}

fn all() -> Range {
    Range {
        since: None,
        limit: usize::MAX,
        reverse: false,
    }
}

async fn publish(node: &Memory, name: &str, data: u64) -> StreamPosition {
    node.publish(&channel(name), outgoing(data), KEEP)
        .await
        .unwrap()
        .unwrap()
}

async fn offsets(node: &Memory, name: &str, range: Range) -> Vec<u64> {
    let history = node.history(&channel(name), range).await.unwrap();
    history
        .publications
        .iter()
        .map(|message| message.position.unwrap().offset)
        .collect()
}

#[tokio::test]
async fn the_newest_are_kept_and_read_from_both_ends() {
    let world = World::new(Options::default());
    let (node, _) = world.join();
    for data in 1..=5 {
        assert_eq!(publish(&node, "a", data).await.offset, data);
    }
    assert_eq!(offsets(&node, "a", all()).await, [3, 4, 5]);
    assert_eq!(
        offsets(
            &node,
            "a",
            Range {
                since: Some(3),
                ..all()
            }
        )
        .await,
        [4, 5]
    );
    assert_eq!(offsets(&node, "a", Range { limit: 2, ..all() }).await, [3, 4]);
    assert_eq!(
        offsets(
            &node,
            "a",
            Range {
                reverse: true,
                limit: 2,
                ..all()
            }
        )
        .await,
        [5, 4]
    );
    assert_eq!(
        offsets(
            &node,
            "a",
            Range {
                reverse: true,
                since: Some(5),
                ..all()
            }
        )
        .await,
        [4, 3]
    );
    assert_eq!(offsets(&node, "a", Range { limit: 0, ..all() }).await, [0; 0]);
}

#[tokio::test]
async fn publications_are_forgotten_before_the_position_is() {
    let options = Options {
        position_ttl: 10 * MINUTE,
        ..Options::default()
    };
    let world = World::new(options);
    let (node, _) = world.join();
    let before = publish(&node, "a", 1).await;
    world.pass(MINUTE);
    node.maintain().await;
    let history = node.history(&channel("a"), all()).await.unwrap();
    assert_eq!((history.publications.len(), history.top), (0, before));
    world.pass(11 * MINUTE);
    node.maintain().await;
    let history = node.history(&channel("a"), all()).await.unwrap();
    assert_eq!(history.top.offset, 0);
    assert_ne!(history.top.epoch, before.epoch, "another life has another epoch");
}

#[tokio::test]
async fn only_nodes_that_want_a_channel_are_brought_it_in_order() {
    let world = World::new(Options::default());
    let ((first, at_first), (second, at_second)) = (world.join(), world.join());
    second.subscribe(&channel("a")).await.unwrap();
    for data in 1..=3 {
        publish(&first, "a", data).await;
        publish(&first, "b", data).await;
    }
    assert!(lock(&at_first.publications).is_empty());
    let brought = std::mem::take(&mut *lock(&at_second.publications));
    let offsets: Vec<_> = brought
        .iter()
        .map(|(name, publication)| {
            assert_eq!(name, &channel("a"));
            let Publication::Message { message, .. } = publication else {
                panic!("{publication:?}")
            };
            message.position.unwrap().offset
        })
        .collect();
    assert_eq!(offsets, [1, 2, 3]);
    second.unsubscribe(&channel("a")).await.unwrap();
    publish(&first, "a", 4).await;
    assert!(lock(&at_second.publications).is_empty());
}

#[tokio::test]
async fn a_channel_without_history_has_no_positions() {
    let world = World::new(Options::default());
    let (node, noted) = world.join();
    node.subscribe(&channel("a")).await.unwrap();
    assert_eq!(
        node.publish(&channel("a"), outgoing(1), Retention::NONE).await,
        Ok(None)
    );
    assert_eq!(lock(&noted.publications).len(), 1);
    assert_eq!(offsets(&node, "a", all()).await, [0; 0]);
}

#[tokio::test]
async fn presence_is_known_on_all_nodes_and_goes_with_its_node() {
    let world = World::new(Options::default());
    let ((first, _), (second, _)) = (world.join(), world.join());
    let (a, b, c) = (ClientId::random(), ClientId::random(), ClientId::random());
    let info = |user: &str, client: ClientId| ClientInfo {
        user: user.into(),
        client: client.to_string(),
        ..ClientInfo::default()
    };
    first.add_presence(&channel("x"), a, info("ada", a)).await.unwrap();
    second.add_presence(&channel("x"), b, info("ada", b)).await.unwrap();
    second.add_presence(&channel("x"), c, info("bob", c)).await.unwrap();
    assert_eq!(
        first.count_presence(&channel("x")).await,
        Ok(PresenceCount { clients: 3, users: 2 })
    );
    second.remove_presence(&channel("x"), c).await.unwrap();
    assert_eq!(first.presence(&channel("x")).await.unwrap().len(), 2);
    drop(second);
    assert_eq!(first.presence(&channel("x")).await, Ok(vec![info("ada", a)]));
    first.remove_presence(&channel("x"), a).await.unwrap();
    assert_eq!(first.count_presence(&channel("x")).await, Ok(PresenceCount::default()));
}

#[tokio::test]
async fn a_node_can_be_told_something() {
    let world = World::new(Options::default());
    let ((first, _), (second, noted)) = (world.join(), world.join());
    first.tell(second.node, Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(lock(&noted.messages).as_slice(), ["hello"]);
    let node = second.node;
    drop(second);
    assert_eq!(
        first.tell(node, Bytes::from_static(b"anybody?")).await,
        Err(Error::UnknownNode)
    );
}

#[tokio::test]
async fn neither_channels_nor_bytes_grow_without_bound() {
    let options = Options {
        streams_max: 160,
        history_bytes_max: 16 * 4_000,
        ..Options::default()
    };
    let world = World::new(options);
    let (node, _) = world.join();
    for number in 0..2_000 {
        world.pass(Duration::from_millis(1));
        publish(&node, &format!("c{number}"), number).await;
    }
    let (streams, bytes) = world.network.streams.size();
    assert!(streams <= 160, "{streams} streams");
    assert!(bytes <= 16 * 4_000, "{bytes} bytes");
    // The newest is the last to be forgotten.
    assert_eq!(offsets(&node, "c1999", all()).await, [1]);

    let big = Outgoing {
        data: Payload::of(&"x".repeat(5_000)).unwrap(),
        info: None,
        ..Outgoing::default()
    };
    for _ in 0..10 {
        node.publish(&channel("big"), big.clone(), KEEP).await.unwrap();
    }
    assert!(world.network.streams.size().1 <= 16 * 4_000);
}

#[tokio::test]
async fn publishers_on_many_threads_give_one_order() {
    let world = World::new(Options::default());
    let (node, noted) = world.join();
    node.subscribe(&channel("a")).await.unwrap();
    let node = Arc::new(node);
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let node = Arc::clone(&node);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for data in 0..200 {
                    runtime.block_on(publish(&node, "a", data));
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.join().unwrap();
    }
    let brought = lock(&noted.publications);
    let offsets = brought.iter().map(|(_, publication)| match publication {
        Publication::Message { message, .. } => message.position.unwrap().offset,
        other => panic!("no message but {other:?}"),
    });
    assert!(offsets.eq(1..=800));
}

#[tokio::test]
async fn an_old_version_is_not_published() {
    let world = World::new(Options::default());
    let (node, noted) = world.join();
    node.subscribe(&channel("a")).await.unwrap();
    for (number, epoch, expected) in [
        (5, "x", 1),
        (5, "x", 1),
        (4, "x", 1),
        (3, "", 1),
        (6, "", 2),
        (7, "x", 3),
        // Counted elsewhere, so it says nothing of the one before.
        (1, "y", 4),
        (7, "x", 5),
    ] {
        let epoch = epoch.to_owned();
        let outgoing = Outgoing {
            version: Some(Version { number, epoch }),
            ..outgoing(number)
        };
        let position = node.publish(&channel("a"), outgoing, KEEP).await.unwrap().unwrap();
        assert_eq!(position.offset, expected, "{number}");
    }
    assert_eq!(lock(&noted.publications).len(), 5);
    assert_eq!(
        publish(&node, "a", 9).await.offset,
        6,
        "what has no version is published"
    );
}
