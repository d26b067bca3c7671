//! The last resort: a thread that ends Redis when its right to take writes has, and nobody has said that it may go on.
//!
//! The agent fences by itself in time; the guard is for when it does not come to that: a disk that does not answer, a process
//! that was stopped and goes on, a bug. It takes no lock that is held across a wait, and asks nobody.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use windlass_election::Moment;

use crate::clock::Clock;

/// How often it looks: a small part of the time between a right's end and the lease's.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The guard; it goes with its last clone.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    watched: Mutex<Watched>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Watched {
    /// Redis and its children.
    group: Option<Pid>,
    /// After this it must not take writes any more.
    until: Option<Moment>,
    is_over: bool,
    has_killed: bool,
}

impl Guard {
    /// A guard that has nothing to guard yet.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(clock: Clock) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            watched: Mutex::default(),
            ended: Condvar::new(),
        });
        let watching = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("guard".to_owned())
            .spawn(move || watch(&watching, clock))?;
        Ok(Self(shared))
    }

    /// The group of processes that is killed; none while there is none, which must be said before its leader is waited for.
    pub fn watch(&self, group: Option<Pid>) {
        let mut watched = self.0.watched.lock().unwrap_or_else(PoisonError::into_inner);
        (watched.group, watched.until, watched.has_killed) = (group, None, false);
    }

    /// Until when it may take writes; none while it takes none.
    pub fn allow(&self, until: Option<Moment>) {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner).until = until;
    }

    /// Whether it killed the group that it watches.
    #[must_use]
    pub fn has_killed(&self) -> bool {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner).has_killed
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.0.ended.notify_all();
    }
}

fn watch(shared: &Shared, clock: Clock) {
    let mut watched = shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
    while !watched.is_over {
        let is_late = watched.until.is_some_and(|until| clock.now() >= until);
        if let (true, Some(group)) = (is_late, watched.group) {
            // Whoever waits for the child sees that it ended; one that is gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
            watched.until = None;
            watched.has_killed = true;
        }
        let waited = shared.ended.wait_timeout(watched, LOOK_EVERY);
        watched = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}
