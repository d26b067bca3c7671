//! Where a node hears what is published: to its channels, and to itself.
//!
//! All of it comes from one connection's task, in the order in which Redis published it, and is put into the queues of
//! its receivers there: so a channel's publications cannot overtake each other. What takes longer is done elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::survey::Survey;
use super::{keys, wire};
use crate::broker::memory::lock;
use crate::broker::{NodeId, Receiver};
use crate::channel::ChannelKey;

/// What a message to a node begins with.
const CONTROL: u8 = b'c';
const QUESTION: u8 = b'q';
const ANSWER: u8 = b'a';

/// What a node hears.
pub(super) struct Ear {
    node: NodeId,
    own: String,
    receiver: Arc<dyn Receiver>,
    channels: Mutex<HashMap<String, ChannelKey>>,
    survey: Arc<Survey>,
}

impl Ear {
    pub(super) fn new(node: NodeId, receiver: Arc<dyn Receiver>, survey: Arc<Survey>) -> Self {
        Self {
            node,
            own: keys::node(node),
            receiver,
            channels: Mutex::default(),
            survey,
        }
    }

    /// Listens to a channel from now on; to the name under which it is published.
    pub(super) fn listen(&self, channel: &ChannelKey) -> String {
        let name = keys::publications(channel);
        lock(&self.channels).insert(name.clone(), channel.clone());
        name
    }

    /// Listens no more.
    pub(super) fn forget(&self, channel: &ChannelKey) -> String {
        let name = keys::publications(channel);
        lock(&self.channels).remove(&name);
        name
    }

    fn hear(&self, name: &str, message: &[u8]) {
        let Some(channel) = lock(&self.channels).get(name).cloned() else {
            return;
        };
        match wire::read(message) {
            Some(publication) => self.receiver.publication(&channel, &publication),
            // Another release's. Subscribers with a position have a gap now, and are told of it with the next one.
            None => tracing::warn!("a publication was not understood"),
        }
    }

    fn told(&self, message: &[u8]) {
        match message.split_first() {
            Some((&CONTROL, rest)) => self.receiver.control(Bytes::copy_from_slice(rest)),
            Some((&QUESTION, rest)) => self.survey.asked(self.node, &self.receiver, rest),
            Some((&ANSWER, rest)) => self.survey.answered(rest),
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

    fn stands(&self) {}
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
