//! Which events this process delivers, and how far each group has come: the partitions that it has leased, what it has
//! read of their streams, and the positions under which its groups know that.
//!
//! A [`Position`] is this process's own: the events of all its partitions stand in one log in the order in which they were
//! read, which within a partition is the order in which they were written. What survives the process is kept by
//! partition and stream id.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use windlass_redis::{Client, Subscriptions};

use super::keys;
use crate::epoch::HolderId;
use crate::event::Event;
use crate::id::Partition;
use crate::outbox::{Held, Position};
use crate::time::UnixMillis;

/// How many events are kept in memory for the slowest group; beyond it, the streams are read no further. A few
/// megabytes, and more than any group reads ahead.
pub(super) const LOG_MAX: usize = 4_096;

/// The id of an entry of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct StreamId {
    time: u64,
    sequence: u64,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time, self.sequence)
    }
}

/// A text that is no stream id.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoStreamId;

impl FromStr for StreamId {
    type Err = NoStreamId;

    fn from_str(text: &str) -> Result<Self, NoStreamId> {
        let (time, sequence) = text.split_once('-').ok_or(NoStreamId)?;
        Ok(Self {
            time: time.parse().map_err(|_| NoStreamId)?,
            sequence: sequence.parse().map_err(|_| NoStreamId)?,
        })
    }
}

/// The deliveries of this process.
pub(super) struct Delivery {
    pub(super) client: Client,
    /// The name under which this process leases partitions.
    pub(super) worker: String,
    pub(super) bell: Arc<Notify>,
    pub(super) state: Mutex<State>,
    /// One reads the streams at a time, or entries would stand twice in the log.
    pub(super) pulling: tokio::sync::Mutex<()>,
    /// Asks for a round of the leases now.
    pub(super) hurry: Notify,
    /// Asks for what is acknowledged to be written.
    pub(super) settled: Notify,
    /// Counts the rounds of the leases.
    pub(super) rounds: watch::Sender<u64>,
    subscriptions: OnceLock<Weak<Subscriptions>>,
    /// The tasks that keep the leases and write acknowledgements, once a group has joined.
    pub(super) working: OnceLock<[JoinHandle<()>; 2]>,
}

/// What is in memory.
#[derive(Default)]
pub(super) struct State {
    pub(super) owned: BTreeMap<Partition, Owned>,
    log: VecDeque<Logged>,
    /// The last position that was given.
    last: u64,
    groups: BTreeMap<&'static str, Group>,
    /// Owned partitions whose streams may have more.
    rung: BTreeSet<Partition>,
    held: HashMap<&'static str, BTreeMap<Position, HeldAt>>,
    /// What groups have taken and nobody has written yet.
    dirty: BTreeMap<Partition, BTreeMap<&'static str, StreamId>>,
}

/// A leased partition.
pub(super) struct Owned {
    /// The worker epoch.
    pub(super) epoch: String,
    /// Until when, by this process's clock.
    pub(super) until: Instant,
    /// How far its stream has been read.
    cursor: StreamId,
    /// What the groups had acknowledged when it was leased.
    acknowledged: HashMap<String, StreamId>,
}

struct Logged {
    position: Position,
    partition: Partition,
    id: StreamId,
    event: Arc<Event>,
}

#[derive(Default)]
struct Group {
    acknowledged: Position,
    /// Partitions went, or came with something held back: the group must begin again from what is acknowledged.
    moved: bool,
}

/// An event that is held back.
#[derive(Clone)]
pub(super) struct HeldAt {
    pub(super) partition: Partition,
    pub(super) id: StreamId,
    pub(super) since: UnixMillis,
    pub(super) lost: bool,
    pub(super) event: Arc<Event>,
}

impl Delivery {
    pub(super) fn new(client: Client) -> Arc<Self> {
        Arc::new(Self {
            client,
            worker: HolderId::random().to_string(),
            bell: Arc::default(),
            state: Mutex::default(),
            pulling: tokio::sync::Mutex::default(),
            hurry: Notify::new(),
            settled: Notify::new(),
            rounds: watch::Sender::new(0),
            subscriptions: OnceLock::new(),
            working: OnceLock::new(),
        })
    }

    /// By which subscriptions it learns of other processes' commits.
    pub(super) fn listen_by(&self, subscriptions: &Arc<Subscriptions>) {
        let _ = self.subscriptions.set(Arc::downgrade(subscriptions));
    }

    /// Subscribes to the bells of the owned partitions, and to no others.
    pub(super) fn subscribe_bells(&self) {
        let Some(subscriptions) = self.subscriptions.get().and_then(Weak::upgrade) else {
            return;
        };
        let owned: BTreeSet<Partition> = self.lock().owned.keys().copied().collect();
        let (wanted, unwanted): (Vec<_>, Vec<_>) = keys::partitions().partition(|partition| owned.contains(partition));
        subscriptions.want_all(wanted.into_iter().map(keys::outbox));
        for partition in unwanted {
            subscriptions.leave(&keys::outbox(partition));
        }
    }

    /// A partition's stream may have more.
    pub(super) fn ring(&self, partition: Partition) {
        let is_mine = {
            let mut state = self.lock();
            let is_mine = state.owned.contains_key(&partition);
            if is_mine {
                state.rung.insert(partition);
            }
            is_mine
        };
        if is_mine {
            self.bell.notify_waiters();
        }
    }

    /// Any stream may have more.
    pub(super) fn ring_all(&self) {
        {
            let mut state = self.lock();
            state.rung = state.owned.keys().copied().collect();
        }
        self.bell.notify_waiters();
    }

    /// Ends the tasks: the store is gone.
    pub(super) fn end(&self) {
        for task in self.working.get().into_iter().flatten() {
            task.abort();
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes a group known, and answers what it has acknowledged.
    pub(super) fn join(&mut self, name: &'static str) -> Position {
        let first = self.log.front().map_or(self.last + 1, |logged| logged.position.0);
        let group = self.groups.entry(name).or_insert_with(|| Group {
            acknowledged: Position(first - 1),
            moved: false,
        });
        group.moved = false;
        group.acknowledged
    }

    pub(super) fn leave(&mut self, name: &'static str) {
        self.groups.remove(name);
        self.shorten();
    }

    pub(super) fn groups(&self) -> Vec<&'static str> {
        self.groups.keys().copied().collect()
    }

    /// Whether the group must begin again.
    pub(super) fn has_moved(&self, name: &'static str) -> bool {
        self.groups.get(name).is_none_or(|group| group.moved)
    }

    /// A partition was leased: from its groups' acknowledgements on, it is read.
    pub(super) fn gain(
        &mut self,
        partition: Partition,
        epoch: String,
        until: Instant,
        acknowledged: HashMap<String, StreamId>,
        held: Vec<(String, HeldAt)>,
    ) {
        let cursor = acknowledged.values().min().copied().unwrap_or_default();
        let owned = Owned {
            epoch,
            until,
            cursor,
            acknowledged,
        };
        self.owned.insert(partition, owned);
        self.rung.insert(partition);
        for (name, at) in held {
            // Kept under the names of groups of this build only.
            if let Some((name, group)) = self.groups.iter_mut().find(|(known, _)| **known == name) {
                self.last += 1;
                group.moved = true;
                let position = Position(self.last);
                self.held.entry(name).or_default().insert(position, at);
            }
        }
    }

    /// A partition is another's: nothing of it is delivered here any more.
    pub(super) fn lose(&mut self, partition: Partition) {
        self.owned.remove(&partition);
        self.rung.remove(&partition);
        self.dirty.remove(&partition);
        self.log.retain(|logged| logged.partition != partition);
        for held in self.held.values_mut() {
            held.retain(|_, at| at.partition != partition);
        }
        for group in self.groups.values_mut() {
            group.moved = true;
        }
    }

    /// The partitions to read now, each after which entry.
    pub(super) fn take_rung(&mut self) -> Vec<(Partition, StreamId)> {
        if self.log.len() >= LOG_MAX {
            return Vec::new();
        }
        let rung = std::mem::take(&mut self.rung);
        let cursors = rung
            .into_iter()
            .map(|partition| (partition, self.owned.get(&partition)));
        cursors
            .filter_map(|(partition, owned)| Some((partition, owned?.cursor)))
            .collect()
    }

    pub(super) fn ring(&mut self, partition: Partition) {
        self.rung.insert(partition);
    }

    /// Adds what was read of a partition.
    pub(super) fn append(&mut self, partition: Partition, id: StreamId, event: Event) {
        let Some(owned) = self.owned.get_mut(&partition).filter(|owned| owned.cursor < id) else {
            return;
        };
        owned.cursor = id;
        self.last += 1;
        self.log.push_back(Logged {
            position: Position(self.last),
            partition,
            id,
            event: Arc::new(event),
        });
    }

    /// What a group has not had yet after a position.
    pub(super) fn after(&self, name: &'static str, after: Position, limit: usize) -> Vec<(Position, Arc<Event>)> {
        let held: BTreeSet<_> = self
            .held
            .get(name)
            .into_iter()
            .flatten()
            .map(|(_, at)| at.place())
            .collect();
        let from = self.log.partition_point(|logged| logged.position <= after);
        self.log
            .range(from..)
            .filter(|logged| !self.has_had(name, logged) && !held.contains(&(logged.partition, logged.id)))
            .take(limit)
            .map(|logged| (logged.position, Arc::clone(&logged.event)))
            .collect()
    }

    /// Whether the group had acknowledged it to an earlier worker.
    fn has_had(&self, name: &str, logged: &Logged) -> bool {
        let owned = self.owned.get(&logged.partition);
        owned
            .and_then(|owned| owned.acknowledged.get(name))
            .is_some_and(|acknowledged| *acknowledged >= logged.id)
    }

    /// Notes what a group has taken.
    pub(super) fn acknowledge(&mut self, name: &'static str, through: Position) {
        let Some(before) = self.groups.get(name).map(|group| group.acknowledged) else {
            return;
        };
        let from = self.log.partition_point(|logged| logged.position <= before);
        let to = self.log.partition_point(|logged| logged.position <= through);
        for index in from..to {
            let logged = &self.log[index];
            if !self.has_had(name, logged) {
                let taken = self.dirty.entry(logged.partition).or_default();
                taken.insert(name, logged.id);
            }
        }
        if let Some(group) = self.groups.get_mut(name) {
            group.acknowledged = group.acknowledged.max(through);
        }
        self.shorten();
    }

    /// Forgets what every group has taken.
    fn shorten(&mut self) {
        let Some(least) = self.groups.values().map(|group| group.acknowledged).min() else {
            return;
        };
        while self.log.front().is_some_and(|logged| logged.position <= least) {
            self.log.pop_front();
        }
    }

    /// What is to be written: for each partition its epoch and what groups have taken.
    pub(super) fn take_dirty(&mut self) -> Vec<(Partition, String, BTreeMap<&'static str, StreamId>)> {
        let dirty = std::mem::take(&mut self.dirty);
        let epochs = dirty.into_iter().map(|(partition, taken)| {
            let epoch = self.owned.get(&partition).map(|owned| owned.epoch.clone());
            (partition, epoch, taken)
        });
        epochs
            .filter_map(|(partition, epoch, taken)| Some((partition, epoch?, taken)))
            .collect()
    }

    /// It could not be written and must be later, unless more was taken meanwhile.
    pub(super) fn put_back(&mut self, partition: Partition, taken: BTreeMap<&'static str, StreamId>) {
        if !self.owned.contains_key(&partition) {
            return;
        }
        let dirty = self.dirty.entry(partition).or_default();
        for (name, id) in taken {
            let newest = dirty.entry(name).or_insert(id);
            *newest = id.max(*newest);
        }
    }

    /// The place and event of a position that a group has read.
    pub(super) fn find(&self, position: Position) -> Option<(Partition, StreamId, Arc<Event>)> {
        let index = self
            .log
            .binary_search_by_key(&position, |logged| logged.position)
            .ok()?;
        let logged = &self.log[index];
        Some((logged.partition, logged.id, Arc::clone(&logged.event)))
    }

    pub(super) fn hold(&mut self, name: &'static str, position: Position, at: HeldAt) {
        self.held.entry(name).or_default().insert(position, at);
    }

    pub(super) fn held_at(&self, name: &'static str, position: Position) -> Option<HeldAt> {
        self.held.get(name)?.get(&position).cloned()
    }

    pub(super) fn let_go(&mut self, name: &'static str, position: Position, lost: bool) {
        let Some(held) = self.held.get_mut(name) else { return };
        match held.get_mut(&position) {
            Some(at) if lost => at.lost = true,
            Some(_) | None => drop(held.remove(&position)),
        }
    }

    /// The events that are held back for a group, the oldest first.
    pub(super) fn held(&self, name: &'static str, limit: usize) -> Vec<Held> {
        let mut held: Vec<_> = self.held.get(name).into_iter().flatten().collect();
        held.sort_by_key(|(_, at)| at.id);
        let shown = held.into_iter().take(limit).map(|(position, at)| Held {
            position: *position,
            since: at.since,
            lost: at.lost,
            event: Event::clone(&at.event),
        });
        shown.collect()
    }
}

impl HeldAt {
    fn place(&self) -> (Partition, StreamId) {
        (self.partition, self.id)
    }
}

#[cfg(test)]
mod tests;
