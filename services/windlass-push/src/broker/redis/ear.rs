//! Where a node hears what is published: to its channels, and to itself.
//!
//! All of it comes from one connection's task, in the order in which Redis published it, and is put into the queues of
//! its receivers there: so a channel's publications cannot overtake each other. What takes longer is done elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::survey::Survey;
use super::wire::Said;
use super::{keys, wire};
use crate::broker::memory::lock;
use crate::broker::{NodeId, Receiver, Sight};
use crate::channel::ChannelKey;
use crate::position::StreamPosition;
use crate::publication::Publication;

/// What a message to a node begins with.
const CONTROL: u8 = b'c';
const QUESTION: u8 = b'q';
const ANSWER: u8 = b'a';
const PROBE: u8 = b'p';

/// What a node hears.
pub(super) struct Ear {
    node: NodeId,
    own: String,
    receiver: Arc<dyn Receiver>,
    channels: Mutex<HashMap<String, Heard>>,
    survey: Arc<Survey>,
    sight: Arc<Sight>,
    /// Rung when subscriptions stand anew: something may have been missed.
    pub(super) stood: Notify,
}

/// What was heard of one channel.
struct Heard {
    channel: ChannelKey,
    /// Whether it has positions, as far as is known.
    is_positioned: bool,
    /// Up to where it was brought.
    brought: Option<StreamPosition>,
    /// When its position was last heard.
    at: Instant,
}

impl Heard {
    fn new(channel: &ChannelKey) -> Self {
        Self {
            channel: channel.clone(),
            is_positioned: false,
            brought: None,
            at: Instant::now(),
        }
    }

    /// Notes what was heard; whether anybody has to be told.
    fn note(&mut self, said: &Said) -> bool {
        let position = match said {
            Said::Publication(Publication::Message { message, .. }) => message.position,
            Said::Publication(Publication::Task(_) | Publication::Joined(_) | Publication::Left(_)) => None,
            Said::Top(top) => Some(*top),
        };
        if position.is_none() {
            return true;
        }
        self.is_positioned = true;
        self.at = Instant::now();
        let before = std::mem::replace(&mut self.brought, position);
        // Everybody has been brought all of it, or was told of a gap.
        !(matches!(said, Said::Top(_)) && before == position)
    }
}

impl Ear {
    pub(super) fn new(node: NodeId, receiver: Arc<dyn Receiver>, survey: Arc<Survey>, sight: Arc<Sight>) -> Self {
        Self {
            node,
            own: keys::node(node),
            receiver,
            channels: Mutex::default(),
            survey,
            sight,
            stood: Notify::new(),
        }
    }

    /// Listens to a channel from now on; to the name under which it is published.
    pub(super) fn listen(&self, channel: &ChannelKey) -> String {
        let name = keys::publications(channel);
        let heard = || Heard::new(channel);
        lock(&self.channels).entry(name.clone()).or_insert_with(heard);
        name
    }

    /// Listens no more.
    pub(super) fn forget(&self, channel: &ChannelKey) -> String {
        let name = keys::publications(channel);
        lock(&self.channels).remove(&name);
        name
    }

    /// Says that somebody here has a position in a channel.
    pub(super) fn position(&self, channel: &ChannelKey) {
        if let Some(heard) = lock(&self.channels).get_mut(&keys::publications(channel)) {
            heard.is_positioned = true;
        }
    }

    /// The channels with positions of which none was heard for as long as this.
    pub(super) fn unheard_for(&self, long: Duration) -> Vec<ChannelKey> {
        let channels = lock(&self.channels);
        let unheard = channels
            .values()
            .filter(|heard| heard.is_positioned && heard.at.elapsed() >= long);
        unheard.map(|heard| heard.channel.clone()).collect()
    }

    /// The names of everything that is listened to.
    pub(super) fn names(&self) -> Vec<String> {
        let own = [self.own.clone(), keys::EVERYBODY.to_owned()];
        lock(&self.channels).keys().cloned().chain(own).collect()
    }

    fn hear(&self, name: &str, message: &[u8]) {
        let Some(said) = wire::read(message) else {
            // Another release's. Subscribers with a position have a gap now, and are told of it with the next one.
            tracing::warn!("a publication was not understood");
            return;
        };
        let channel = {
            let mut channels = lock(&self.channels);
            let Some(heard) = channels.get_mut(name) else { return };
            if !heard.note(&said) {
                return;
            }
            heard.channel.clone()
        };
        match said {
            Said::Publication(publication) => self.receiver.publication(&channel, &publication),
            Said::Top(top) => self.receiver.top(&channel, top),
        }
    }

    fn told(&self, message: &[u8]) {
        match message.split_first() {
            Some((&CONTROL, rest)) => self.receiver.control(Bytes::copy_from_slice(rest)),
            Some((&QUESTION, rest)) => self.survey.asked(self.node, &self.receiver, rest),
            Some((&ANSWER, rest)) => self.survey.answered(rest),
            Some((&PROBE, _)) => self.sight.see(),
            _ => tracing::debug!("a message of another node was not understood"),
        }
    }
}

impl windlass_redis::Receiver for Ear {
    fn message(&self, channel: &str, payload: &[u8]) {
        if channel == self.own || channel == keys::EVERYBODY {
            self.told(payload);
        } else {
            self.hear(channel, payload);
        }
    }

    fn stands(&self) {
        self.stood.notify_one();
    }
}

/// What a node tells itself.
pub(super) fn probe() -> Vec<u8> {
    framed(PROBE, &[])
}

/// What another node is told.
pub(super) fn control(message: &[u8]) -> Vec<u8> {
    framed(CONTROL, &[message])
}

/// What all nodes are asked.
pub(super) fn question(head: &str, question: &[u8]) -> Vec<u8> {
    framed(QUESTION, &[head.as_bytes(), question])
}

/// What the asking node is answered.
pub(super) fn answer(head: &str, answer: &[u8]) -> Vec<u8> {
    framed(ANSWER, &[head.as_bytes(), answer])
}

fn framed(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(parts.iter().copied().flatten());
    bytes
}
