//! Who receives what: the one registry of subscriptions of this process.
//!
//! A publication is encoded at most once a variant, and the bytes are shared by all its receivers. The registry is
//! cut into shards by channel, so that channels do not wait for each other; a fan-out holds only its own channel.
//! Publications of one channel must come one after the other; the broker sees to that.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use slab::Slab;
use windlass_task::Tenant;

use crate::channel::{self, ChannelKey};
use crate::figures::Busy;
use crate::outbox::Outbox;
use crate::position::StreamPosition;
use crate::publication::Publication;
use crate::queue::{Class, Delivery, End, Put, Slot};
use crate::variant::{Forms, Variant};

/// How many shards there are: enough that two cores seldom meet in one, few enough to walk through.
const SHARDS: usize = 64;

/// The subscriptions of this process.
#[derive(Debug)]
pub struct Hub {
    shards: Box<[Shard]>,
    hasher: RandomState,
    watcher: Arc<dyn Watcher>,
}

/// Told when the first subscription to a channel comes and when the last one has gone.
pub trait Watcher: std::fmt::Debug + Send + Sync {
    /// Nobody here wants `channel` any more. Somebody may again by the time this is acted upon.
    fn left(&self, channel: &ChannelKey);
}

type Shard = Mutex<HashMap<ChannelKey, Arc<Channel>>>;

#[derive(Debug)]
struct Channel {
    key: ChannelKey,
    subscribers: Mutex<Subscribers>,
}

#[derive(Debug, Default)]
struct Subscribers {
    list: Slab<Subscriber>,
    /// Set when the last one has gone: this value is about to leave the registry, and nobody may join it.
    closed: bool,
}

#[derive(Debug)]
struct Subscriber {
    outbox: Arc<Outbox>,
    slot: Slot,
    variant: Variant,
    hears_others: bool,
}

/// How a subscription is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Which of the connection's subscriptions it is.
    pub slot: Slot,
    /// In which form publications are wanted.
    pub variant: Variant,
    /// Whether it is told who comes and goes.
    pub hears_others: bool,
}

impl Wanted {
    /// Publications in this form, and nothing else.
    #[must_use]
    pub fn publications(slot: Slot, variant: Variant) -> Self {
        Self {
            slot,
            variant,
            hears_others: false,
        }
    }
}

/// A place in the hub; dropping it ends the deliveries.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    channel: Arc<Channel>,
    index: usize,
}

/// What became of one publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fanout {
    /// Queues that took it.
    pub deliveries: u64,
    /// Of these, those where it took the place of an older value.
    pub conflated: u64,
    /// Subscriptions that were given up because they did not fit.
    pub overflowed: u64,
    /// Connections that were given up as slow.
    pub given_up: u64,
}

impl Hub {
    /// A hub without subscriptions, whose `watcher` is told when channels become empty.
    #[must_use]
    pub fn new(watcher: Arc<dyn Watcher>) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self {
            shards,
            hasher: RandomState::new(),
            watcher,
        }
    }

    /// Delivers what `channel` carries to `outbox` from now on, as it is `wanted`.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, channel: &ChannelKey, outbox: &Arc<Outbox>, wanted: Wanted) -> Subscription {
        loop {
            let entry = Arc::clone(lock(self.shard(channel)).entry(channel.clone()).or_insert_with(|| {
                Arc::new(Channel {
                    key: channel.clone(),
                    subscribers: Mutex::default(),
                })
            }));
            let index = {
                let mut subscribers = lock(&entry.subscribers);
                (!subscribers.closed).then(|| {
                    subscribers.list.insert(Subscriber {
                        outbox: Arc::clone(outbox),
                        slot: wanted.slot,
                        variant: wanted.variant,
                        hears_others: wanted.hears_others,
                    })
                })
            };
            match index {
                Some(index) => {
                    return Subscription {
                        hub: Arc::clone(self),
                        channel: entry,
                        index,
                    };
                }
                // Its last subscriber has just gone and is about to remove it; the next look makes a new one.
                None => self.remove(&entry),
            }
        }
    }

    /// Delivers `publication` to everybody who is subscribed to `channel`.
    pub fn publish(&self, channel: &ChannelKey, publication: &Publication) -> Fanout {
        let mut fanout = Fanout::default();
        let Some(entry) = lock(self.shard(channel)).get(channel).cloned() else {
            return fanout;
        };
        let mut forms = Forms::of(channel, publication);
        let (class, end) = (publication.class(), publication.end());
        for (_, subscriber) in &lock(&entry.subscribers).list {
            if class == Class::Notice && !subscriber.hears_others {
                continue;
            }
            let Some(frame) = forms.frame(subscriber.variant) else {
                continue;
            };
            match subscriber.outbox.deliver(Delivery {
                slot: subscriber.slot,
                class,
                end,
                frame,
            }) {
                Put::Queued => fanout.deliveries += 1,
                Put::Conflated => {
                    fanout.deliveries += 1;
                    fanout.conflated += 1;
                }
                Put::Overflowed => fanout.overflowed += 1,
                Put::GivenUp => fanout.given_up += 1,
                Put::Ignored => {}
            }
        }
        fanout
    }

    /// Tells everybody who is subscribed to `channel` by the Centrifuge protocol where the stream's top is: who is not
    /// there, once everything before this has come, has missed something.
    pub fn check(&self, channel: &ChannelKey, top: StreamPosition) {
        let Some(entry) = lock(self.shard(channel)).get(channel).cloned() else {
            return;
        };
        for (_, subscriber) in &lock(&entry.subscribers).list {
            match subscriber.variant {
                Variant::Centrifuge(_) | Variant::Deltas(_) => {}
                Variant::Plain | Variant::Events => continue,
            }
            subscriber.outbox.deliver(Delivery {
                slot: subscriber.slot,
                class: Class::Top(top),
                end: End::Open,
                frame: Bytes::new().into(),
            });
        }
    }

    /// Whether anybody here is subscribed to `channel`.
    #[must_use]
    pub fn has(&self, channel: &ChannelKey) -> bool {
        lock(self.shard(channel)).contains_key(channel)
    }

    /// The channels of a tenant that have subscribers here and names that are `wanted`, with how many; at most `most`.
    #[must_use]
    pub fn census(&self, tenant: &Tenant, wanted: impl Fn(&str) -> bool, most: usize) -> Vec<(String, usize)> {
        let mut census = Vec::new();
        for shard in &self.shards {
            // The channels are copied out, so that counting one does not hold up all others of the shard.
            let channels: Vec<Arc<Channel>> = lock(shard).values().cloned().collect();
            for channel in channels {
                let name = channel.key.name();
                if channel.key.is_of(tenant) && !channel::is_internal(name) && wanted(name) {
                    census.push((name.to_owned(), lock(&channel.subscribers).list.len()));
                }
                if census.len() >= most {
                    return census;
                }
            }
        }
        census
    }

    /// The channels with the most subscribers here, most first; at most `most`.
    pub(crate) fn busiest(&self, most: usize) -> Vec<Busy> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let channels: Vec<Arc<Channel>> = lock(shard).values().cloned().collect();
            let clients = channels
                .iter()
                .filter(|channel| !channel::is_internal(channel.key.name()));
            all.extend(clients.map(|channel| (lock(&channel.subscribers).list.len(), channel.key.clone())));
            // Cut shard by shard, so that the list does not grow with the channels.
            all.sort_unstable_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
            all.truncate(most);
        }
        let busy = |(subscribers, key): (usize, ChannelKey)| Busy {
            tenant: key.tenant().to_owned(),
            channel: key.name().to_owned(),
            subscribers,
        };
        all.into_iter().map(busy).collect()
    }

    /// How many channels have subscribers here.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn remove(&self, channel: &Arc<Channel>) {
        let mut shard = lock(self.shard(&channel.key));
        if shard.get(&channel.key).is_some_and(|entry| Arc::ptr_eq(entry, channel)) {
            shard.remove(&channel.key);
        }
    }

    fn shard(&self, channel: &ChannelKey) -> &Shard {
        let hash = self.hasher.hash_one(channel);
        &self.shards[(hash % SHARDS as u64) as usize]
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let empty = {
            let mut subscribers = lock(&self.channel.subscribers);
            subscribers.list.remove(self.index);
            subscribers.closed = subscribers.list.is_empty();
            subscribers.closed
        };
        if empty {
            self.hub.remove(&self.channel);
            self.hub.watcher.left(&self.channel.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
