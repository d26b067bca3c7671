//! The subscriptions of one connection.

use std::time::Instant;

use bytes::Bytes;

use crate::centrifuge::reply::SubscribeResult;
use crate::channel::ChannelKey;
use crate::codes::UnsubscribeCode;
use crate::few;
use crate::payload::Payload;
use crate::position::StreamPosition;
use crate::queue::{Class, Delivery, Slot};
use crate::variant::Frame;

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
    pub(super) deltas: Deltas,
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

/// Whether publications go out as the difference from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deltas {
    /// They do not.
    Off,
    /// The next one goes out whole: the client has not the one before.
    Whole,
    /// The client has the last one.
    On,
}

impl Deltas {
    /// What the client has once it is told of a subscription's beginning.
    pub(super) fn starting(result: &SubscribeResult) -> Self {
        match (result.delta, result.publications.is_empty()) {
            (false, _) => Self::Off,
            // It may have the last one from an earlier subscription, and it may not.
            (true, true) => Self::Whole,
            (true, false) => Self::On,
        }
    }

    /// What goes out of a publication, in the order of the stream.
    pub(super) fn choose(&mut self, frame: Frame, class: Class) -> Bytes {
        let before = *self;
        match class {
            Class::Stream(Some(_)) if before != Self::Off => *self = Self::On,
            // It is in no history: the next one is the difference from something else.
            Class::Stream(None) if before != Self::Off => {
                *self = Self::Whole;
                return frame.into_whole();
            }
            Class::Stream(_) | Class::Latest(_) | Class::Notice | Class::Top(_) => {}
        }
        match before {
            Self::On => frame.into_next(),
            Self::Off | Self::Whole => frame.into_whole(),
        }
    }
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
            deltas: Deltas::Off,
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
