//! All channels' histories, within a bound of number and bytes.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::{Options, lock, stream::Stream};
use crate::channel::ChannelKey;
use crate::position::random_epoch;

/// How many shards there are. Each has its share of the bounds, so there are few: one busy channel must fit a share.
const SHARDS: usize = 16;

/// The histories. At a bound the one that was not used for the longest time is forgotten whole, with its position:
/// its clients then meet a new epoch and are told that they cannot recover.
pub(super) struct Streams {
    shards: Box<[Shard]>,
    hasher: RandomState,
    options: Options,
}

#[derive(Default)]
struct Shard {
    streams: Mutex<HashMap<ChannelKey, Arc<Mutex<Stream>>>>,
    bytes: AtomicUsize,
}

impl Streams {
    pub(super) fn new(options: Options) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::new(),
            options,
        }
    }

    /// Lets `work` have the stream of `channel`, made if need be, undisturbed. `work` must not come back here.
    pub(super) fn with<T>(&self, channel: &ChannelKey, now: Instant, work: impl FnOnce(&mut Stream) -> T) -> T {
        let shard = self.shard(channel);
        let done = loop {
            let entry = self.find_or_make(shard, channel, now);
            let mut stream = lock(&entry);
            if stream.evicted {
                continue;
            }
            let before = stream.bytes();
            let done = work(&mut stream);
            shard.bytes.fetch_add(stream.bytes(), Ordering::Relaxed);
            shard.bytes.fetch_sub(before, Ordering::Relaxed);
            break done;
        };
        if shard.bytes.load(Ordering::Relaxed) > self.options.history_bytes_max / SHARDS {
            self.evict(shard, &mut lock(&shard.streams), channel);
        }
        done
    }

    /// Forgets what is over its time.
    pub(super) fn sweep(&self, now: Instant) {
        for shard in &self.shards {
            lock(&shard.streams).retain(|_, entry| {
                let mut stream = lock(entry);
                let before = stream.bytes();
                stream.forget(now);
                stream.evicted = now.saturating_duration_since(stream.touched()) > self.options.position_ttl;
                let after = if stream.evicted { 0 } else { stream.bytes() };
                shard.bytes.fetch_sub(before - after, Ordering::Relaxed);
                !stream.evicted
            });
        }
    }

    /// How many streams there are, and the bytes that they remember.
    pub(super) fn size(&self) -> (usize, usize) {
        let streams = self.shards.iter().map(|shard| lock(&shard.streams).len()).sum();
        let bytes = self
            .shards
            .iter()
            .map(|shard| shard.bytes.load(Ordering::Relaxed))
            .sum();
        (streams, bytes)
    }

    fn find_or_make(&self, shard: &Shard, channel: &ChannelKey, now: Instant) -> Arc<Mutex<Stream>> {
        let mut streams = lock(&shard.streams);
        if let Some(stream) = streams.get(channel) {
            return Arc::clone(stream);
        }
        while streams.len() >= (self.options.streams_max / SHARDS).max(1) {
            self.evict(shard, &mut streams, channel);
        }
        let stream = Arc::new(Mutex::new(Stream::new(random_epoch(), now)));
        streams.insert(channel.clone(), Arc::clone(&stream));
        stream
    }

    /// Forgets the stream, other than `kept` if there is another, that was not used for the longest time.
    fn evict(&self, shard: &Shard, streams: &mut HashMap<ChannelKey, Arc<Mutex<Stream>>>, kept: &ChannelKey) {
        let oldest = streams
            .iter()
            .filter(|(channel, _)| *channel != kept)
            .min_by_key(|(_, entry)| lock(entry).touched());
        let Some(channel) = oldest
            .map_or_else(|| streams.keys().next(), |(channel, _)| Some(channel))
            .cloned()
        else {
            return;
        };
        if let Some(entry) = streams.remove(&channel) {
            let mut stream = lock(&entry);
            stream.evicted = true;
            shard.bytes.fetch_sub(stream.bytes(), Ordering::Relaxed);
        }
    }

    fn shard(&self, channel: &ChannelKey) -> &Shard {
        &self.shards[(self.hasher.hash_one(channel) % SHARDS as u64) as usize]
    }
}
