//! The subscriptions of one connection.

use crate::channel::ChannelKey;
use crate::few;
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
}

/// How far a subscription is.
#[derive(Debug)]
pub(super) enum Progress {
    /// Its reply is not out; what comes is held.
    Starting(Held),
    /// The channel has no positions.
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
    pub(super) fn start(&mut self, channel: ChannelKey) -> Slot {
        let slot = Slot(self.next);
        self.next += 1;
        let subscription = Subscription {
            slot,
            channel,
            progress: Progress::Starting(Held::default()),
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

    fn place(&self, slot: Slot) -> Option<usize> {
        // Slots only grow, so the list is sorted.
        self.list
            .binary_search_by_key(&slot, |subscription| subscription.slot)
            .ok()
    }
}
