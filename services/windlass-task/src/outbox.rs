//! Durable events on their way to those who listen: written with the change that caused them, delivered at least
//! once, in order for each task, to each group on its own.

mod lanes;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

pub use lanes::{Bounds, Lanes, run_lanes};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::event::Event;
use crate::store::Error;
use crate::time::UnixMillis;

/// How many events a worker reads at once, under a kilobyte each.
const BATCH: usize = 256;
/// How often a worker looks for new events while there are any, on average: a few are delivered at once, and of thousands
/// a second tens share one look. Nobody waits for an event but for a listing, which may lag.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How many looks may follow one another at once.
const LOOKS_AT_ONCE: u32 = 16;
/// How long what was delivered may go unacknowledged: under load hundreds of events share one write. What is not
/// acknowledged when the process dies comes again.
const ACKNOWLEDGE_AFTER: Duration = Duration::from_millis(20);
/// The first wait after a delivery that failed; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest wait between two tries of the same event.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A position in the outbox: greater for what was written later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position(pub u64);

/// An event that is held back for a group.
#[derive(Debug, Clone)]
pub struct Held {
    /// Where it stood.
    pub position: Position,
    /// Since when, by the store's clock.
    pub since: UnixMillis,
    /// Whether it was given up; the next event of its task carries `gap` then.
    pub lost: bool,
    /// The event.
    pub event: Event,
}

/// Where committed events wait. A group that has joined gets every event after its joining, across restarts; an
/// event is kept until every group has acknowledged it.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Makes `group` known, and answers what it has acknowledged: from here on, nothing is trimmed that it has not.
    /// Idempotent.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn join(&self, group: &'static str) -> Result<Position, Error>;

    /// Makes `group` unknown: nothing is kept for it any more but what is held back. Idempotent.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn leave(&self, group: &'static str) -> Result<(), Error>;

    /// The oldest events after a position that `group` has not had, in order, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer; [`Error::MoveOutbox`] when the group has to join again, for its events
    /// were divided anew between processes.
    async fn read(
        &self,
        group: &'static str,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, Arc<Event>)>, Error>;

    /// Records that `group` has taken everything up to `through`, and trims what every group has.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn acknowledge(&self, group: &'static str, through: Position) -> Result<(), Error>;

    /// Takes an unacknowledged event out of `group`'s way: it is kept for it whatever is acknowledged, until it is
    /// let go. Idempotent.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn hold_back(&self, group: &'static str, position: Position) -> Result<(), Error>;

    /// The events that are held back for `group`, in order, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn held(&self, group: &'static str, limit: usize) -> Result<Vec<Held>, Error>;

    /// Ends the holding back of an event: it was delivered, or, with `lost`, given up. What was given up stays to be
    /// looked at, and is found by [`Outbox::held`], until it is let go once more.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn let_go(&self, group: &'static str, position: Position, lost: bool) -> Result<(), Error>;

    /// Rung after each commit that left an event.
    fn bell(&self) -> Arc<Notify>;

    /// Gives back what this process has in hand, so that another goes on with it at once. Nobody reads any more.
    async fn close(&self) {}
}

/// Somebody who takes durable events.
#[async_trait]
pub trait Subscriber: Send + Sync + 'static {
    /// The group's name; it must not change between releases.
    fn group(&self) -> &'static str;

    /// Takes one event. A repeated one carries the same id.
    ///
    /// # Errors
    /// Why it must come again; the words are logged.
    async fn deliver(&self, event: &Event) -> Result<(), String>;

    /// Takes events in order, and answers how many before it failed, if it did. One that can do them together overrides
    /// this.
    async fn deliver_all(&self, events: &[Arc<Event>]) -> (usize, Result<(), String>) {
        for (count, event) in events.iter().enumerate() {
            if let Err(error) = self.deliver(event).await {
                return (count, Err(error));
            }
        }
        (events.len(), Ok(()))
    }
}

/// Delivers the outbox to `subscriber` until it is cancelled. What was delivered but not acknowledged when the
/// process dies is delivered again.
pub async fn run(outbox: Arc<dyn Outbox>, subscriber: Arc<dyn Subscriber>) {
    let group = subscriber.group();
    let mut backoff = Backoff::default();
    loop {
        let Err(error) = deliver(&*outbox, &*subscriber, &mut backoff).await;
        let wait = backoff.next();
        tracing::warn!(
            group,
            error,
            wait_seconds = wait.as_secs_f64(),
            "outbox delivery failed"
        );
        tokio::time::sleep(wait).await;
    }
}

/// Delivers from where the group stands until something fails.
async fn deliver(
    outbox: &dyn Outbox,
    subscriber: &dyn Subscriber,
    backoff: &mut Backoff,
) -> Result<Infallible, String> {
    let (group, words) = (subscriber.group(), |error: Error| error.to_string());
    let bell = outbox.bell();
    let mut at = outbox.join(group).await.map_err(words)?;
    let (mut acknowledged, mut due) = (at, None);
    let mut pace = Pace(Instant::now());
    loop {
        let rung = bell.notified();
        tokio::pin!(rung);
        // Enabled before the look: a commit between the look and the wait is not missed.
        rung.as_mut().enable();
        let read = outbox.read(group, at, BATCH).await.map_err(words)?;
        let (positions, events): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        let (delivered, result) = subscriber.deliver_all(&events).await;
        if let Some(through) = delivered.checked_sub(1).and_then(|last| positions.get(last)) {
            at = *through;
            due.get_or_insert_with(|| Instant::now() + ACKNOWLEDGE_AFTER);
            *backoff = Backoff::default();
        }
        if at > acknowledged && (result.is_err() || due.is_some_and(|due| due <= Instant::now())) {
            outbox.acknowledge(group, at).await.map_err(words)?;
            (acknowledged, due) = (at, None);
        }
        result?;
        if events.is_empty() {
            tokio::select! {
                () = rung => {}
                () = async { tokio::time::sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {}
            }
        } else if let Some(rest) = pace.rest(Instant::now()) {
            tokio::time::sleep_until(rest).await;
        }
    }
}

/// Spaces looks [`LOOK_EVERY`] apart, after [`LOOKS_AT_ONCE`] that are free: when the next one is due by the average.
struct Pace(Instant);

impl Pace {
    /// Until when to rest after a look, if at all.
    fn rest(&mut self, now: Instant) -> Option<Instant> {
        let burst = LOOK_EVERY * LOOKS_AT_ONCE;
        self.0 = self.0.max(now) + LOOK_EVERY;
        self.0.checked_sub(burst).filter(|rest| *rest > now)
    }
}

/// Exponential, with full jitter, capped.
#[derive(Default)]
struct Backoff(u32);

impl Backoff {
    /// The wait before the next try.
    fn next(&mut self) -> Duration {
        let ceiling = RETRY_MIN.saturating_mul(1 << self.0.min(16)).min(RETRY_MAX);
        self.0 += 1;
        let share = f64::from(u32::from_le_bytes(crate::epoch::random_bytes())) / f64::from(u32::MAX);
        RETRY_MIN + ceiling.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_looks_are_free_and_many_keep_their_distance() {
        let mut pace = Pace(Instant::now());
        let begun = Instant::now();
        for _ in 0..LOOKS_AT_ONCE {
            assert_eq!(pace.rest(Instant::now()), None);
        }
        for _ in 0..100 {
            let rest = pace.rest(Instant::now()).unwrap();
            tokio::time::sleep_until(rest).await;
        }
        let expected = LOOK_EVERY * 100;
        assert!(begun.elapsed().abs_diff(expected) < LOOK_EVERY, "{:?}", begun.elapsed());
        // Who has rested may hurry again.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(pace.rest(Instant::now()), None);
    }
}
