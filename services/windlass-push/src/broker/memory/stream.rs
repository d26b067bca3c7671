//! One channel's history: a position, and the last publications as long as they are remembered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::broker::{History, Outgoing, Range, Retention, Version};
use crate::payload::Payload;
use crate::position::{StreamEpoch, StreamPosition};
use crate::publication::Message;

/// What a remembered publication costs beyond its data, in bytes: the message itself and its place.
const MESSAGE_BYTES: usize = 160;

/// A channel's stream. The position outlives the publications: a client that comes back when they are gone is told
/// so, instead of being given a stream that starts from nothing.
#[derive(Debug)]
pub(super) struct Stream {
    epoch: StreamEpoch,
    top: u64,
    messages: VecDeque<Message>,
    bytes: usize,
    /// When the publications are forgotten: some time after the last one, as Redis would expire the whole key.
    forgets: Instant,
    /// When it was last used.
    touched: Instant,
    /// The last version that was published, if any was told.
    version: Option<Version>,
    /// It has left the registry: whoever still holds it must look again.
    pub(super) evicted: bool,
}

impl Stream {
    pub(super) fn new(epoch: StreamEpoch, now: Instant) -> Self {
        Self {
            epoch,
            top: 0,
            messages: VecDeque::new(),
            bytes: 0,
            forgets: now,
            touched: now,
            version: None,
            evicted: false,
        }
    }

    /// Adds a publication and gives it its position.
    pub(super) fn append(&mut self, outgoing: Outgoing, retention: Retention, now: Instant) -> Message {
        self.forget(now);
        self.top += 1;
        let position = self.top();
        self.version = outgoing.version.or(self.version.take());
        let message = Message {
            data: outgoing.data,
            info: outgoing.info,
            tags: shared(outgoing.tags),
            position: Some(position),
        };
        self.bytes += cost(&message);
        self.messages.push_back(message.clone());
        while self.messages.len() > retention.size {
            let oldest = self.messages.pop_front();
            self.bytes -= oldest.as_ref().map_or(0, cost);
        }
        self.forgets = now + retention.ttl;
        self.touched = now;
        message
    }

    /// The data of the last publication, if it is remembered.
    pub(super) fn last(&mut self, now: Instant) -> Option<Payload> {
        self.forget(now);
        self.messages.back().map(|message| message.data.clone())
    }

    /// Reads a part of it.
    pub(super) fn read(&mut self, range: Range, now: Instant) -> History {
        self.forget(now);
        self.touched = now;
        let offset = |message: &&Message| message.position.map_or(0, |position| position.offset);
        let publications = if range.reverse {
            let before = range.since.unwrap_or(u64::MAX);
            let older = self.messages.iter().rev().filter(|message| offset(message) < before);
            older.take(range.limit).cloned().collect()
        } else {
            let after = range.since.unwrap_or(0);
            let newer = self.messages.iter().filter(|message| offset(message) > after);
            newer.take(range.limit).cloned().collect()
        };
        History {
            publications,
            top: self.top(),
        }
    }

    /// Where the last publication is.
    pub(super) fn top(&self) -> StreamPosition {
        StreamPosition {
            offset: self.top,
            epoch: self.epoch,
        }
    }

    /// Whether a version is no newer than the last one.
    pub(super) fn has_had(&self, version: &Version) -> bool {
        self.version.as_ref().is_some_and(|last| version.is_old_to(last))
    }

    /// Forgets the publications.
    pub(super) fn remove(&mut self) {
        self.messages = VecDeque::new();
        self.bytes = 0;
    }

    /// Forgets the publications if their time is over.
    pub(super) fn forget(&mut self, now: Instant) {
        if now >= self.forgets && !self.messages.is_empty() {
            self.remove();
        }
    }

    /// The bytes of what it remembers.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When it was last used.
    pub(super) fn touched(&self) -> Instant {
        self.touched
    }
}

fn cost(message: &Message) -> usize {
    let info = message.info.as_ref().map_or(0, |info| {
        info.user.len() + info.client.len() + info.conn_info.len() + info.chan_info.len()
    });
    let tags = message.tags.iter().flat_map(|tags| tags.iter());
    let tags: usize = tags.map(|(name, value)| name.len() + value.len()).sum();
    MESSAGE_BYTES + message.data.len() + info + tags
}

pub(super) fn shared(tags: BTreeMap<String, String>) -> Option<Arc<BTreeMap<String, String>>> {
    (!tags.is_empty()).then(|| Arc::new(tags))
}
