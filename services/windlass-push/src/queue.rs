//! What waits for one connection: one queue in order, bounded in bytes, of three classes.
//!
//! - **Control** (orders to the connection, notices of overflow) is never dropped.
//! - **Stream** publications may not have gaps. When they do not fit, the subscription that holds the most bytes
//!   is given up as a whole and a notice takes its place: the client is told to subscribe again and recovers from
//!   the history, which costs less than a new connection and does not touch its other subscriptions.
//! - **Latest values** are conflated: a newer one takes the place of the one that waits, so a slow reader gets
//!   fewer of them, never an older one after a newer one, and always the last.
//!
//! When even that does not keep the queue under its hard bound, the connection is to be closed as slow.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::codes::Disconnect;
use crate::position::StreamPosition;
use crate::session::Instruction;
use crate::variant::Frame;

/// What one waiting item costs beyond its frame, in bytes: the item itself, rounded up, so that a flood of tiny
/// frames cannot take much more memory than the bound says.
const ITEM_BYTES: usize = 96;

/// The hard bound, in multiples of the soft one. Only latest values of many channels and orders can pass the soft
/// bound; at twice its size the client is not merely behind.
const HARD_FACTOR: usize = 2;

/// One subscription of a connection; the number is never used again in the connection's life, so what still
/// waits for an ended subscription can be told from what belongs to its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// How a publication is to be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// One of a stream without gaps, at its position if the stream has a history.
    Stream(Option<StreamPosition>),
    /// The latest value, by its revision; newer ones are greater.
    Latest(u64),
    /// Who came or went: of no position, and as a stream's otherwise.
    Notice,
    /// Where the stream's top is, and nothing to write: whoever is not there by then has missed something.
    Top(StreamPosition),
}

/// Whether a channel goes on after a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It does.
    Open,
    /// This is the last value; it stays.
    Final,
    /// What the channel is about exists no more, and the subscription has no sense any more.
    Gone,
}

/// A publication on its way to one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The subscription.
    pub slot: Slot,
    /// How it is treated.
    pub class: Class,
    /// Whether more may follow.
    pub end: End,
    /// The frame to write, shared with all who get the same.
    pub frame: Frame,
}

/// What the service wants of a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// Go elsewhere: the server is about to leave. What speaks a protocol that can move without a gap has this
    /// long for it.
    Leave(Duration),
    /// Change what the connection has.
    Instruct(Instruction),
    /// Close now, whatever waits.
    Disconnect(Disconnect),
}

/// What a connection takes from its queue.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// An order.
    Order(Order),
    /// This subscription did not fit; everything that waited for it is gone.
    Overflow(Slot),
    /// A publication.
    Delivery(Delivery),
}

/// What became of something that was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It waits.
    Queued,
    /// It took the place of an older value.
    Conflated,
    /// A newer value waits already, or the subscription or the connection has been given up.
    Ignored,
    /// A subscription had to be given up for it.
    Overflowed,
    /// The connection is given up.
    GivenUp,
}

/// The queue of one connection.
#[derive(Debug)]
pub struct Queue {
    /// `None` where something was taken out of the middle, so that places do not move.
    items: VecDeque<Option<Item>>,
    /// How many places have been taken from the front so far: item `n` of all is at `n - taken`.
    taken: u64,
    /// Where the waiting latest value of a subscription is, counted as `taken` counts.
    latest: HashMap<Slot, u64>,
    /// Subscriptions whose overflow notice waits.
    overflowed: Vec<Slot>,
    bytes: usize,
    bytes_max: usize,
    given_up: Option<Disconnect>,
}

impl Queue {
    /// A queue of about `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            items: VecDeque::new(),
            taken: 0,
            latest: HashMap::new(),
            overflowed: Vec::new(),
            bytes: 0,
            bytes_max,
            given_up: None,
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Why the connection has been given up, if it has.
    #[must_use]
    pub fn given_up(&self) -> Option<Disconnect> {
        self.given_up.clone()
    }

    /// The bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts an order in.
    pub fn order(&mut self, order: Order) -> Put {
        if self.given_up.is_some() {
            return Put::Ignored;
        }
        match order {
            Order::Disconnect(disconnect) => self.give_up(disconnect),
            Order::Leave(_) | Order::Instruct(_) => {
                self.append(Item::Order(order));
                self.check_hard_bound(Put::Queued)
            }
        }
    }

    /// Puts a publication in.
    pub fn deliver(&mut self, delivery: Delivery) -> Put {
        if self.given_up.is_some() || self.overflowed.contains(&delivery.slot) {
            return Put::Ignored;
        }
        match delivery.class {
            Class::Latest(revision) => self.deliver_latest(delivery, revision),
            Class::Stream(_) | Class::Notice | Class::Top(_) => self.deliver_stream(delivery),
        }
    }

    /// Takes the next item out.
    pub fn take(&mut self) -> Option<Item> {
        loop {
            let place = self.items.pop_front()?;
            let number = self.taken;
            self.taken += 1;
            if self.items.is_empty() {
                // A burst's buffer is given back: most connections are idle most of the time.
                self.items = VecDeque::new();
            }
            let Some(item) = place else { continue };
            self.bytes -= cost(&item);
            match &item {
                Item::Delivery(Delivery {
                    slot,
                    class: Class::Latest(_),
                    ..
                }) => {
                    if self.latest.get(slot) == Some(&number) {
                        self.latest.remove(slot);
                    }
                }
                Item::Overflow(slot) => self.overflowed.retain(|waiting| waiting != slot),
                Item::Order(_) | Item::Delivery(_) => {}
            }
            return Some(item);
        }
    }

    fn deliver_latest(&mut self, delivery: Delivery, revision: u64) -> Put {
        let Some(place) = self.waiting_value(delivery.slot) else {
            self.latest.insert(delivery.slot, self.taken + self.items.len() as u64);
            self.append(Item::Delivery(delivery));
            let overflowed = self.make_room();
            return self.check_hard_bound(if overflowed { Put::Overflowed } else { Put::Queued });
        };
        let Some(Some(Item::Delivery(waiting))) = self.items.get_mut(place) else {
            return Put::Ignored;
        };
        if matches!(waiting.class, Class::Latest(older) if older >= revision) {
            return Put::Ignored;
        }
        self.bytes = self.bytes + delivery.frame.len() - waiting.frame.len();
        *waiting = delivery;
        self.check_hard_bound(Put::Conflated)
    }

    fn deliver_stream(&mut self, delivery: Delivery) -> Put {
        self.append(Item::Delivery(delivery));
        let overflowed = self.make_room();
        self.check_hard_bound(if overflowed { Put::Overflowed } else { Put::Queued })
    }

    fn append(&mut self, item: Item) {
        self.bytes += cost(&item);
        self.items.push_back(Some(item));
    }

    fn waiting_value(&self, slot: Slot) -> Option<usize> {
        let number = self.latest.get(&slot)?;
        usize::try_from(number - self.taken).ok()
    }

    /// Gives stream subscriptions up, the heaviest first, until the rest fits.
    fn make_room(&mut self) -> bool {
        let mut overflowed = false;
        while self.bytes > self.bytes_max {
            let Some(slot) = self.heaviest_stream() else { break };
            for place in &mut self.items {
                if place.as_ref().is_some_and(|item| is_stream_of(item, slot)) {
                    self.bytes -= place.take().as_ref().map_or(0, cost);
                }
            }
            self.overflowed.push(slot);
            self.append(Item::Overflow(slot));
            overflowed = true;
        }
        overflowed
    }

    fn heaviest_stream(&self) -> Option<Slot> {
        let mut weights: HashMap<Slot, usize> = HashMap::new();
        for item in self.items.iter().flatten() {
            if let Item::Delivery(Delivery {
                slot,
                class: Class::Stream(_) | Class::Notice | Class::Top(_),
                ..
            }) = item
            {
                *weights.entry(*slot).or_default() += cost(item);
            }
        }
        weights
            .into_iter()
            .max_by_key(|(slot, weight)| (*weight, *slot))
            .map(|(slot, _)| slot)
    }

    fn check_hard_bound(&mut self, put: Put) -> Put {
        if self.bytes <= self.bytes_max.saturating_mul(HARD_FACTOR) {
            return put;
        }
        self.give_up(Disconnect::Slow)
    }

    /// Forgets everything that waits but the one order that is left to give.
    fn give_up(&mut self, disconnect: Disconnect) -> Put {
        self.taken += self.items.len() as u64;
        self.items.clear();
        self.latest.clear();
        self.overflowed.clear();
        self.bytes = 0;
        self.given_up = Some(disconnect.clone());
        self.append(Item::Order(Order::Disconnect(disconnect)));
        Put::GivenUp
    }
}

fn cost(item: &Item) -> usize {
    ITEM_BYTES
        + match item {
            Item::Delivery(delivery) => delivery.frame.len(),
            Item::Order(_) | Item::Overflow(_) => 0,
        }
}

fn is_stream_of(item: &Item, wanted: Slot) -> bool {
    matches!(
        item,
        Item::Delivery(Delivery { slot, class: Class::Stream(_) | Class::Notice | Class::Top(_), .. })
            if *slot == wanted
    )
}

#[cfg(test)]
mod tests;
