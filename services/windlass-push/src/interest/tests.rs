use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use windlass_task::Tenant;

use super::*;
use crate::broker::{Attendance, History, NodeId, Outgoing, PresenceCount, Range, Retention};
use crate::client::{ClientId, ClientInfo};
use crate::hub::Wanted;
use crate::outbox::Outbox;
use crate::position::StreamPosition;
use crate::queue::Slot;
use crate::variant::Variant;

/// A broker that is only asked for channels: it takes its time, or does not answer.
#[derive(Debug, Default)]
struct Slow {
    brought: Mutex<HashSet<ChannelKey>>,
    asked: Mutex<Vec<String>>,
    down: AtomicBool,
}

#[async_trait]
impl Broker for Slow {
    async fn subscribe(&self, channel: &ChannelKey) -> Result<(), Error> {
        lock(&self.asked).push(format!("+{}", channel.name()));
        tokio::task::yield_now().await;
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::Unreachable);
        }
        lock(&self.brought).insert(channel.clone());
        Ok(())
    }

    fn node(&self) -> NodeId {
        NodeId::random()
    }

    async fn unsubscribe(&self, channel: &ChannelKey) -> Result<(), Error> {
        lock(&self.asked).push(format!("-{}", channel.name()));
        tokio::task::yield_now().await;
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::Unreachable);
        }
        lock(&self.brought).remove(channel);
        Ok(())
    }

    async fn publish(&self, _: &ChannelKey, _: Outgoing, _: Retention) -> Result<Option<StreamPosition>, Error> {
        Err(Error::Unreachable)
    }

    async fn remove_history(&self, _: &ChannelKey) -> Result<(), Error> {
        Err(Error::Unreachable)
    }

    async fn tell_user(&self, _: &Tenant, _: &str, _: Bytes) -> Result<(), Error> {
        Err(Error::Unreachable)
    }

    async fn survey(&self, _: Bytes) -> Result<Vec<Bytes>, Error> {
        Err(Error::Unreachable)
    }

    async fn history(&self, _: &ChannelKey, _: Range) -> Result<History, Error> {
        Err(Error::Unreachable)
    }

    async fn enter(&self, _: &ChannelKey, _: ClientId, _: Attendance) -> Result<(), Error> {
        Err(Error::Unreachable)
    }

    async fn lose(&self, _: &ChannelKey, _: ClientId) -> Result<(), Error> {
        Err(Error::Unreachable)
    }

    async fn leave(&self, _: &ChannelKey, _: ClientId) -> Result<(), Error> {
        Err(Error::Unreachable)
    }

    async fn add_user(&self, _: &Tenant, _: &str, _: ClientId) -> Result<(), Error> {
        Err(Error::Unreachable)
    }

    async fn remove_user(&self, _: &Tenant, _: &str, _: ClientId) -> Result<(), Error> {
        Err(Error::Unreachable)
    }

    async fn presence(&self, _: &ChannelKey) -> Result<Vec<ClientInfo>, Error> {
        Err(Error::Unreachable)
    }

    async fn count_presence(&self, _: &ChannelKey) -> Result<PresenceCount, Error> {
        Err(Error::Unreachable)
    }

    async fn tell(&self, _: NodeId, _: Bytes) -> Result<(), Error> {
        Err(Error::Unreachable)
    }

    async fn maintain(&self) {}
}

struct World {
    interest: Arc<Interest>,
    hub: Arc<Hub>,
    broker: Arc<Slow>,
}

impl World {
    fn new() -> Self {
        let interest = Arc::new(Interest::default());
        let hub = Arc::new(Hub::new(Arc::clone(&interest) as Arc<_>));
        Self {
            interest,
            hub,
            broker: Arc::default(),
        }
    }

    async fn join(&self, channel: &ChannelKey) -> Result<Subscription, Error> {
        let outbox = Arc::new(Outbox::new(100));
        let subscribe = || {
            self.hub
                .subscribe(channel, &outbox, Wanted::publications(Slot(0), Variant::Plain))
        };
        self.interest
            .join(Bringer::new(&*self.broker, None), channel, subscribe)
            .await
    }

    /// Tidies until there is nothing left to do.
    async fn tidy(&self) {
        let tidying = self.interest.tidy(&self.hub, Bringer::new(&*self.broker, None));
        let idle = async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { () = tidying => {}, () = idle => {} }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.broker.asked))
    }
}

fn channel() -> ChannelKey {
    ChannelKey::new(&windlass_task::Tenant::default_tenant(), "a")
}

#[tokio::test]
async fn the_broker_is_asked_once_and_everybody_waits_for_its_answer() {
    let world = World::new();
    let channel = channel();
    let (first, second) = tokio::join!(world.join(&channel), world.join(&channel));
    assert_eq!(world.asked(), ["+a"]);
    drop(first);
    world.tidy().await;
    assert_eq!(world.asked(), [""; 0]);
    drop(second);
    world.tidy().await;
    assert_eq!(world.asked(), ["-a"]);
    assert!(
        lock(&world.interest.brought).is_empty(),
        "nothing is remembered of channels that nobody wants"
    );
}

#[tokio::test]
async fn who_comes_while_the_last_one_leaves_is_brought_the_channel() {
    let world = World::new();
    let channel = channel();
    for _ in 0..50 {
        drop(world.join(&channel).await.unwrap());
        let (joined, ()) = tokio::join!(world.join(&channel), world.tidy());
        assert!(lock(&world.broker.brought).contains(&channel));
        drop(joined);
    }
    world.tidy().await;
    assert!(lock(&world.broker.brought).is_empty());
}

#[tokio::test]
async fn a_broker_that_does_not_answer_gives_no_subscription() {
    let world = World::new();
    let channel = channel();
    world.broker.down.store(true, Ordering::Relaxed);
    assert_eq!(world.join(&channel).await.err(), Some(Error::Unreachable));
    assert!(!world.hub.has(&channel));
    world.broker.down.store(false, Ordering::Relaxed);
    let joined = world.join(&channel).await.unwrap();
    world.broker.down.store(true, Ordering::Relaxed);
    drop(joined);
    world.tidy().await;
    assert!(lock(&world.broker.brought).contains(&channel), "it could not be told");
    let joined = world.join(&channel).await.unwrap();
    world.broker.down.store(false, Ordering::Relaxed);
    drop(joined);
    world.tidy().await;
    assert!(lock(&world.broker.brought).is_empty());
}
