use super::*;
use crate::broker::contract::{self, KEEP, Noted, all, channel, offsets, publish};
use crate::broker::histories::{self, Harm, Heard};
use crate::payload::Payload;

const MINUTE: Duration = Duration::from_secs(60);

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

/// A network in which time passes by itself.
struct Live(Arc<Network>);

impl contract::World for Live {
    type Node = Memory;

    fn join(&self, node: NodeId, receiver: Arc<dyn Receiver>) -> Memory {
        self.0.join(node, receiver)
    }
}

#[tokio::test]
async fn it_does_what_every_broker_must() {
    contract::run(async || Live(Network::new(Options::default(), Arc::new(Instant::now)))).await;
}

#[test]
fn any_history_is_what_was_published() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    histories::check(|steps| {
        let network = Network::new(Options::default(), Arc::new(Instant::now));
        let heard: [Arc<Heard>; 2] = Default::default();
        let nodes = heard
            .each_ref()
            .map(|heard| network.join(NodeId::random(), Arc::clone(heard) as Arc<_>));
        let world = histories::World::new("h", [(&nodes[0], &heard[0]), (&nodes[1], &heard[1])]);
        // One process's memory is not cut off, and forgets nothing while the process lives.
        let steps = steps
            .into_iter()
            .filter(|step| !matches!(step, histories::Step::Harm(_)))
            .collect();
        runtime.block_on(world.live(steps, async |_: Harm| {}));
    });
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
                    runtime.block_on(publish(&*node, "a", data));
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.join().unwrap();
    }
    let brought = noted.all();
    let offsets = brought.iter().map(|(_, publication)| match publication {
        Publication::Message { message, .. } => message.position.unwrap().offset,
        other => panic!("no message but {other:?}"),
    });
    assert!(offsets.eq(1..=800));
}
