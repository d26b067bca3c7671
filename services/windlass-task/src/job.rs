//! Work that one process does for all of them, now and then: whose turn it is, and when the next one comes.
//!
//! A turn is an economy, not a fence: whoever has lost it without noticing does what another does too, so the work itself
//! must do no harm when it is done twice at once. [`Jobs::keep`] says when it is time to stop.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::epoch::random_bytes;
use crate::store::Error;

/// A kind of work, by the name that it has in keys and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Job(&'static str);

impl Job {
    /// Removing what no upload needs.
    pub const GARBAGE: Self = Self("garbage");

    /// Recording again what the store has forgotten.
    pub const REBUILD: Self = Self("rebuild");

    /// The work with this name: lowercase letters and hyphens.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self(name)
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One process's turn at a job, from [`Jobs::take`] to [`Jobs::end`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// At what.
    pub job: Job,
    /// How long it lasts after it was last kept.
    pub lasts: Duration,
    id: u64,
}

impl Turn {
    pub(crate) fn new(job: Job, lasts: Duration) -> Self {
        let id = u64::from_ne_bytes(random_bytes());
        Self { job, lasts, id }
    }

    /// A name that no other turn has.
    pub(crate) fn id(&self) -> String {
        format!("{:016x}", self.id)
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The work is done: it is due again after its interval.
    Done,
    /// It is not, and due at once, for whoever takes it.
    Undone,
}

/// Whose turn it is.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// Takes the turn at `job` if nobody has it and the last one that was done ended at least `every` ago.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn take(&self, job: Job, every: Duration, lasts: Duration) -> Result<Option<Turn>, Error>;

    /// Keeps the turn for as long again; answers whether it was still this process's.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn keep(&self, turn: &Turn) -> Result<bool, Error>;

    /// Ends the turn, if it is still this process's.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer; it ends by itself then.
    async fn end(&self, turn: &Turn, how: Ended) -> Result<(), Error>;
}

/// The jobs of a process that has the store alone. When they were last done is forgotten with it.
#[derive(Debug, Default)]
pub struct LocalJobs {
    states: Mutex<HashMap<Job, State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The turn, and how long it lasts.
    turn: Option<(u64, Instant)>,
    done: Option<Instant>,
}

impl LocalJobs {
    fn lock(&self) -> MutexGuard<'_, HashMap<Job, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Jobs for LocalJobs {
    async fn take(&self, job: Job, every: Duration, lasts: Duration) -> Result<Option<Turn>, Error> {
        let now = Instant::now();
        let mut states = self.lock();
        let state = states.entry(job).or_default();
        let is_taken = state.turn.is_some_and(|(_, until)| now < until);
        if is_taken || state.done.is_some_and(|done| now - done < every) {
            return Ok(None);
        }
        let turn = Turn::new(job, lasts);
        state.turn = Some((turn.id, now + lasts));
        Ok(Some(turn))
    }

    async fn keep(&self, turn: &Turn) -> Result<bool, Error> {
        let mut states = self.lock();
        let state = states.get_mut(&turn.job).and_then(|state| state.turn.as_mut());
        let own = state.filter(|(id, _)| *id == turn.id);
        Ok(own.map(|(_, until)| *until = Instant::now() + turn.lasts).is_some())
    }

    async fn end(&self, turn: &Turn, how: Ended) -> Result<(), Error> {
        if let Some(state) = self.lock().get_mut(&turn.job)
            && state.turn.take_if(|(id, _)| *id == turn.id).is_some()
            && how == Ended::Done
        {
            state.done = Some(Instant::now());
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod contract {
    use super::*;

    /// What all processes' jobs must do, wherever they are kept; `first` and `second` are two processes' ways to them.
    pub(crate) async fn run(first: &dyn Jobs, second: &dyn Jobs) {
        let (hour, job) = (Duration::from_secs(3_600), Job::named("contract"));
        let turn = first.take(job, hour, hour).await.unwrap().expect("it was never done");
        assert_eq!(second.take(job, Duration::ZERO, hour).await.unwrap(), None);
        assert!(first.keep(&turn).await.unwrap());
        first.end(&turn, Ended::Undone).await.unwrap();
        assert!(!first.keep(&turn).await.unwrap());

        // What was not done is due at once; what was, after its interval.
        let turn = second.take(job, hour, hour).await.unwrap().expect("it was not done");
        second.end(&turn, Ended::Done).await.unwrap();
        assert_eq!(first.take(job, hour, hour).await.unwrap(), None);
        let dead = first.take(job, Duration::ZERO, Duration::ZERO).await.unwrap();
        let dead = dead.expect("it is due at once");

        // The turn of a process that died is over when its time is; whatever it does later changes nothing.
        let turn = second.take(job, Duration::ZERO, hour).await.unwrap();
        let turn = turn.expect("its time is over");
        assert!(!first.keep(&dead).await.unwrap());
        first.end(&dead, Ended::Done).await.unwrap();
        assert!(second.keep(&turn).await.unwrap());
        assert!(first.take(Job::named("other"), hour, hour).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn the_jobs_of_one_process_have_their_turns() {
        let jobs = LocalJobs::default();
        run(&jobs, &jobs).await;
    }
}
