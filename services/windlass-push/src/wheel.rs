//! One timing wheel for the deadlines of all connections.
//!
//! A timer of its own costs each connection memory, and a wake of a worker thread at its own moment; at ten thousand
//! connections the threads do little else than fall asleep. Here all deadlines of one tick are met together, so the pings
//! of many connections go out in one go and their answers come back in one go.
//!
//! A connection's [`Alarm`] wakes the task that waits for its [`Outbox`], which then looks at its deadline itself. So an
//! alarm may go off too early, and a deadline that has moved on, as with every sign of life, need not be told: the alarm
//! is set again when it has gone off. It never goes off more than two ticks late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::outbox::Outbox;

/// How often the wheel moves on. The shortest interval of pings is 5 s and a drain's grace 2 s: a tenth of a second late is
/// nothing to them. Longer would meet more deadlines at once, shorter would wake the process more often.
const TICK: Duration = Duration::from_millis(100);

/// The wheel's places: 102 s, beyond every interval and read deadline (DESIGN section 6). What is due later stays in its
/// place for more than one turn.
const PLACES: usize = 1_024;

/// The wheel.
#[derive(Debug)]
pub(crate) struct Wheel {
    start: Instant,
    /// How many ticks have been met.
    met: AtomicU64,
    rim: Mutex<Rim>,
    /// Told when the first alarm comes: nothing moves while there is none.
    first: Notify,
}

#[derive(Debug)]
struct Rim {
    /// At each place the alarms to look at, by their numbers. One that was set again is in two places; its `due` says
    /// which counts.
    places: Box<[Vec<usize>]>,
    alarms: Slab<Entry>,
}

#[derive(Debug)]
struct Entry {
    outbox: Arc<Outbox>,
    /// The tick at which it goes off.
    due: u64,
}

/// One connection's place on the wheel; dropping it takes the connection off.
#[derive(Debug)]
pub(crate) struct Alarm {
    wheel: Arc<Wheel>,
    number: usize,
    /// The tick for which it was set last; 0 before it was set.
    due: u64,
}

impl Wheel {
    /// A wheel that stands still until somebody [turns](Self::turn) it.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            met: AtomicU64::new(0),
            rim: Mutex::new(Rim {
                places: (0..PLACES).map(|_| Vec::new()).collect(),
                alarms: Slab::new(),
            }),
            first: Notify::new(),
        })
    }

    /// An alarm that wakes the task that waits for `outbox`.
    pub(crate) fn alarm(self: &Arc<Self>, outbox: &Arc<Outbox>) -> Alarm {
        let mut rim = self.lock();
        let entry = Entry {
            outbox: Arc::clone(outbox),
            due: 0,
        };
        let number = rim.alarms.insert(entry);
        let is_first = rim.alarms.len() == 1;
        drop(rim);
        if is_first {
            self.first.notify_one();
        }
        Alarm {
            wheel: Arc::clone(self),
            number,
            due: 0,
        }
    }

    /// Turns it as time passes. Never returns.
    pub(crate) async fn turn(&self) {
        loop {
            if self.lock().alarms.is_empty() {
                self.first.notified().await;
            }
            let next = self.met.load(Ordering::Relaxed) + 1;
            let until = u32::try_from(next).map_or(Duration::MAX, |ticks| TICK * ticks);
            tokio::time::sleep_until(self.start + until).await;
            for outbox in self.advance(self.tick_at(Instant::now())) {
                outbox.wake();
            }
        }
    }

    /// Moves on to tick `now`; whose deadlines are met. Woken by the caller, for that takes longer than the lock may.
    fn advance(&self, now: u64) -> Vec<Arc<Outbox>> {
        let mut rim = self.lock();
        let before = self.met.load(Ordering::Relaxed);
        let mut woken = Vec::new();
        // After a long sleep each place is looked at once.
        for tick in (before + 1..=now).rev().take(PLACES) {
            rim.meet(place_of(tick), now, &mut woken);
        }
        self.met.store(now.max(before), Ordering::Release);
        woken
    }

    /// The last tick that is over at `moment`.
    fn tick_at(&self, moment: Instant) -> u64 {
        let ticks = moment.saturating_duration_since(self.start).as_millis() / TICK.as_millis();
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Rim> {
        self.rim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rim {
    /// Takes from one place what is due by tick `now`; what is there for a later turn stays.
    fn meet(&mut self, place: usize, now: u64, woken: &mut Vec<Arc<Outbox>>) {
        let Self { places, alarms } = self;
        places[place].retain(|number| match alarms.get(*number) {
            Some(entry) if entry.due <= now => {
                woken.push(Arc::clone(&entry.outbox));
                false
            }
            // Set again for another place, or taken off.
            Some(entry) => place_of(entry.due) == place,
            None => false,
        });
    }
}

impl Alarm {
    /// Makes it go off at `deadline` or before.
    ///
    /// For the one task that waits for the outbox, after it has registered with it: what goes off meanwhile wakes it.
    pub(crate) fn set(&mut self, deadline: Instant) {
        let met = self.wheel.met.load(Ordering::Acquire);
        // The first tick that is not before the deadline, and never one that has been met.
        let due = (self.wheel.tick_at(deadline) + 1).max(met + 1);
        if self.due > met && self.due <= due {
            return;
        }
        let mut rim = self.wheel.lock();
        // Looked at again under the lock, which the wheel holds while it moves.
        let due = due.max(self.wheel.met.load(Ordering::Relaxed) + 1);
        self.due = due;
        if let Some(entry) = rim.alarms.get_mut(self.number) {
            entry.due = due;
        }
        rim.places[place_of(due)].push(self.number);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.wheel.lock().alarms.remove(self.number);
    }
}

fn place_of(tick: u64) -> usize {
    (tick % PLACES as u64) as usize
}

#[cfg(test)]
mod tests;
