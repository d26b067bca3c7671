//! Delivery in lanes: one lane a task, in order within it, many at once beside each other.
//!
//! An event whose first delivery fails is held back durably, so that the group's position goes on without it; only
//! later events of the same task wait for it. It is tried again with a growing wait until it is delivered or given
//! up. When [`Bounds::lanes`] tasks are held back, nothing new is read until one of them goes: the outbox on the disk
//! grows then, not this process.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Backoff, Held, Outbox, Position, Subscriber};
use crate::event::Event;
use crate::id::TaskKey;
use crate::store::Error;
use crate::time::UnixMillis;

/// How many events are read ahead of the oldest unacknowledged one.
const WINDOW: usize = 512;

/// How much is done at once, and for how long it is tried.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Deliveries at once.
    pub deliveries: usize,
    /// Tasks in hand at once, most of them waiting for their next try.
    pub lanes: usize,
    /// How long after its first failure an event is given up.
    pub give_up_after: Duration,
}

/// What the caller wants to know of the delivery.
pub trait Lanes: Subscriber {
    /// An event was given up: `gap` stands on the task's next one.
    fn given_up(&self, event: &Event, error: &str);

    /// So many events are held back now.
    fn holding(&self, events: usize);
}

/// Delivers the outbox to `subscriber` until it is cancelled.
pub async fn run_lanes(outbox: Arc<dyn Outbox>, subscriber: Arc<dyn Lanes>, bounds: Bounds) {
    let mut backoff = Backoff::default();
    loop {
        let mut dispatcher = Dispatcher::new(Arc::clone(&outbox), Arc::clone(&subscriber), bounds);
        let Err(error) = dispatcher.run().await;
        // The store does not answer: what is in hand is read again.
        let wait = backoff.next();
        tracing::warn!(
            group = subscriber.group(),
            error = &error as &dyn std::error::Error,
            wait_seconds = wait.as_secs_f64(),
            "outbox delivery is held up"
        );
        tokio::time::sleep(wait).await;
    }
}

struct Waiting {
    position: Position,
    event: Arc<Event>,
    /// When it failed first, if it is held back.
    held_since: Option<UnixMillis>,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    backoff: Backoff,
    running: bool,
}

struct Delivered {
    key: TaskKey,
    result: Result<(), String>,
}

struct Dispatcher {
    outbox: Arc<dyn Outbox>,
    subscriber: Arc<dyn Lanes>,
    bounds: Bounds,
    lanes: HashMap<TaskKey, Lane>,
    /// Lanes whose head may be delivered now, in the order in which they became so.
    ready: VecDeque<TaskKey>,
    /// Lanes that wait for their next try.
    resting: BTreeMap<(Instant, u64), TaskKey>,
    rests: u64,
    running: JoinSet<Delivered>,
    /// How far the outbox has been read.
    at: Position,
    /// Positions that were read and not acknowledged; true once they may be.
    open: BTreeMap<Position, bool>,
    /// Tasks that lack an event, with the positions of what was given up.
    gaps: HashMap<TaskKey, Vec<Position>>,
    held: BTreeSet<Position>,
}

impl Dispatcher {
    fn new(outbox: Arc<dyn Outbox>, subscriber: Arc<dyn Lanes>, bounds: Bounds) -> Self {
        Self {
            outbox,
            subscriber,
            bounds,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            resting: BTreeMap::new(),
            rests: 0,
            running: JoinSet::new(),
            at: Position(0),
            open: BTreeMap::new(),
            gaps: HashMap::new(),
            held: BTreeSet::new(),
        }
    }

    async fn run(&mut self) -> Result<std::convert::Infallible, Error> {
        let group = self.subscriber.group();
        self.at = self.outbox.join(group).await?;
        // All of them: a later event of a task must not pass one that is held back.
        for held in self.outbox.held(group, usize::MAX).await? {
            self.take_held(held);
        }
        self.subscriber.holding(self.held.len());
        let bell = self.outbox.bell();
        loop {
            let rung = bell.notified();
            tokio::pin!(rung);
            // Enabled before the look: a commit between the look and the wait is not missed.
            rung.as_mut().enable();
            let full = self.read().await?;
            self.start();
            let due = self.resting.keys().next().map(|(due, _)| *due);
            tokio::select! {
                Some(done) = self.running.join_next() => match done {
                    Ok(done) => self.settle(done).await?,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                () = &mut rung, if !full => {}
                () = async { tokio::time::sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {
                    if let Some((_, key)) = self.resting.pop_first() {
                        self.ready.push_back(key);
                    }
                }
            }
        }
    }

    fn take_held(&mut self, held: Held) {
        let key = held.event.key();
        if held.lost {
            self.gaps.entry(key).or_default().push(held.position);
            return;
        }
        self.held.insert(held.position);
        self.enqueue(
            key,
            Waiting {
                position: held.position,
                event: Arc::new(held.event),
                held_since: Some(held.since),
            },
        );
    }

    fn enqueue(&mut self, key: TaskKey, waiting: Waiting) {
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.waiting.push_back(waiting);
        if lane.waiting.len() == 1 && !lane.running {
            self.ready.push_back(key);
        }
    }

    /// Reads what is new. Answers whether there is no room for more.
    async fn read(&mut self) -> Result<bool, Error> {
        if self.lanes.len() >= self.bounds.lanes || self.open.len() >= WINDOW {
            return Ok(true);
        }
        let group = self.subscriber.group();
        for (position, event) in self.outbox.read(group, self.at, WINDOW - self.open.len()).await? {
            self.at = position;
            self.open.insert(position, false);
            let key = event.key();
            // Already held back by an earlier life of this process that died before it acknowledged.
            if self.held.contains(&position) {
                self.open.insert(position, true);
                continue;
            }
            if self.gaps.values().any(|lost| lost.contains(&position)) {
                self.open.insert(position, true);
                continue;
            }
            let behind = self.lanes.get(&key).and_then(|lane| lane.waiting.front());
            // What follows a held event is held as well, or it would hold up the group's position.
            let held_since = if behind.is_some_and(|head| head.held_since.is_some()) {
                self.outbox.hold_back(group, position).await?;
                self.held.insert(position);
                self.open.insert(position, true);
                Some(UnixMillis::now())
            } else {
                None
            };
            self.enqueue(
                key,
                Waiting {
                    position,
                    event,
                    held_since,
                },
            );
        }
        self.acknowledge().await?;
        Ok(self.open.len() >= WINDOW)
    }

    fn start(&mut self) {
        while self.running.len() < self.bounds.deliveries {
            let Some(key) = self.ready.pop_front() else { return };
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let Some(head) = lane.waiting.front() else { continue };
            lane.running = true;
            let mut event = Event::clone(&head.event);
            event.gap = self.gaps.contains_key(&key);
            let subscriber = Arc::clone(&self.subscriber);
            self.running.spawn(async move {
                let result = subscriber.deliver(&event).await;
                Delivered { key, result }
            });
        }
    }

    async fn settle(&mut self, Delivered { key, result }: Delivered) -> Result<(), Error> {
        let group = self.subscriber.group();
        let Some(lane) = self.lanes.get_mut(&key) else {
            return Ok(());
        };
        lane.running = false;
        let Some(head) = lane.waiting.front_mut() else {
            return Ok(());
        };
        let position = head.position;
        match result {
            Ok(()) => {
                lane.backoff = Backoff::default();
                lane.waiting.pop_front();
                if self.held.remove(&position) {
                    self.outbox.let_go(group, position, false).await?;
                }
                for lost in self.gaps.remove(&key).unwrap_or_default() {
                    self.outbox.let_go(group, lost, false).await?;
                }
                self.next(key);
            }
            Err(error) => {
                let now = UnixMillis::now();
                let since = head.held_since.unwrap_or(now);
                // All that waits in the lane: none of it may hold up the group's position.
                for waiting in &mut lane.waiting {
                    if waiting.held_since.is_none() {
                        self.outbox.hold_back(group, waiting.position).await?;
                        self.held.insert(waiting.position);
                        self.open.insert(waiting.position, true);
                        waiting.held_since = Some(now);
                    }
                }
                let Some(head) = lane.waiting.front() else {
                    return Ok(());
                };
                if now.since(since) >= self.bounds.give_up_after {
                    self.subscriber.given_up(&head.event, &error);
                    self.outbox.let_go(group, position, true).await?;
                    lane.waiting.pop_front();
                    lane.backoff = Backoff::default();
                    self.held.remove(&position);
                    self.gaps.entry(key.clone()).or_default().push(position);
                    self.next(key);
                } else {
                    let wait = lane.backoff.next();
                    tracing::warn!(
                        group,
                        task = %key.id,
                        error,
                        wait_seconds = wait.as_secs_f64(),
                        "outbox delivery failed"
                    );
                    self.rests += 1;
                    self.resting.insert((Instant::now() + wait, self.rests), key);
                }
            }
        }
        self.subscriber.holding(self.held.len());
        if let Some(settled) = self.open.get_mut(&position) {
            *settled = true;
        }
        self.acknowledge().await
    }

    /// The lane goes on with its next event, or ends.
    fn next(&mut self, key: TaskKey) {
        match self.lanes.get(&key) {
            Some(lane) if lane.waiting.is_empty() => {
                self.lanes.remove(&key);
            }
            Some(_) => self.ready.push_back(key),
            None => {}
        }
    }

    /// Acknowledges everything below the oldest position that is still in hand.
    async fn acknowledge(&mut self) -> Result<(), Error> {
        let mut through = None;
        while let Some(entry) = self.open.first_entry() {
            if !*entry.get() {
                break;
            }
            through = Some(*entry.key());
            entry.remove();
        }
        match through {
            Some(position) => self.outbox.acknowledge(self.subscriber.group(), position).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
