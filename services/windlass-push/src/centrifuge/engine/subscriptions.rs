//! The subscriptions of one connection.

use std::time::Instant;

use crate::channel::ChannelKey;
use crate::codes::UnsubscribeCode;
use crate::few;
use crate::payload::Payload;
use crate::position::StreamPosition;
use crate::queue::{Delivery, Slot};

/// The subscriptions, in the order in which they were made: few, and most connections have one.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    list: Vec<Subscription>,
    next: u32,
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) slot: Slot,
    pub(super) channel: ChannelKey,
    pub(super) progress: Progress,
    pub(super) maker: Maker,
    /// When it ends unless it is refreshed.
    pub(super) ends: Option<Instant>,
    /// What others see of the user in this channel.
    pub(super) info: Payload,
    /// It is to be ended as soon as its reply is out.
    pub(super) stopped: Option<UnsubscribeCode>,
}

impl Subscription {
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.progress, Progress::Starting(_))
    }

    /// When it ends; nothing ends before its reply is out.
    fn end(&self) -> Option<Instant> {
        self.ends.filter(|_| !self.is_starting())
    }
}

/// Who made a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// The client asked for it.
    Client,
    /// The server, without being asked.
    Server,
}

/// How far a subscription is.
#[derive(Debug)]
pub(super) enum Progress {
    /// Its reply is not out; what comes is held.
    Starting(Held),
    /// The channel has no positions, or the client wants none.
    Unpositioned,
    /// The client has everything up to here.
    Stream(StreamPosition),
    /// The client has the value of this revision.
    Latest(u64),
}

/// What came before the reply was out.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) deliveries: Vec<Delivery>,
    bytes: usize,
    /// Something is missing: it did not fit here, or not in the connection's queue.
    pub(super) incomplete: bool,
}

impl Held {
    pub(super) fn hold(&mut self, delivery: Delivery, bytes_max: usize) {
        self.bytes += delivery.frame.len();
        if self.bytes > bytes_max {
            self.give_up();
        } else if !self.incomplete {
            self.deliveries.push(delivery);
        }
    }

    pub(super) fn give_up(&mut self) {
        self.incomplete = true;
        self.deliveries = Vec::new();
    }
}

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds one, starting.
    pub(super) fn start(&mut self, channel: ChannelKey, maker: Maker, ends: Option<Instant>, info: Payload) -> Slot {
        let slot = Slot(self.next);
        self.next += 1;
        let subscription = Subscription {
            slot,
            channel,
            progress: Progress::Starting(Held::default()),
            maker,
            ends,
            info,
            stopped: None,
        };
        few::push(&mut self.list, subscription);
        slot
    }

    pub(super) fn named(&self, name: &str) -> Option<&Subscription> {
        self.list
            .iter()
            .find(|subscription| subscription.channel.name() == name)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Subscription> {
        let place = self.place(slot)?;
        self.list.get_mut(place)
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Subscription> {
        let place = self.place(slot)?;
        Some(self.list.remove(place))
    }

    /// When the first of them ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.list.iter().filter_map(Subscription::end).min()
    }

    /// One that has ended by now and whose reply is out.
    pub(super) fn expired(&self, now: Instant) -> Option<Slot> {
        let over = |subscription: &&Subscription| subscription.end().is_some_and(|ends| now >= ends);
        self.list.iter().find(over).map(|subscription| subscription.slot)
    }

    fn place(&self, slot: Slot) -> Option<usize> {
        // Slots only grow, so the list is sorted.
        self.list
            .binary_search_by_key(&slot, |subscription| subscription.slot)
            .ok()
    }
}
