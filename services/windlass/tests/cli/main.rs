//! The commands as a user runs them: real processes, real sockets, real harm.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not count as tests"
)]

mod command;
mod dev;
mod fake;
mod http;
mod proxy;
mod put;
mod server;
mod verify;
mod watch;

use std::time::{Duration, Instant};

/// How long any one wait of a test may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a value that comes of itself.
fn eventually<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Makes sure that something holds, and goes on holding for this long.
fn stays(duration: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        assert!(holds(), "no longer: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
