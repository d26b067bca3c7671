//! Measures what the push service costs: CPU time, memory and delay of the real server process, beside a floor.
//!
//! Main path: [`table::run`] goes through the rows, a few rounds each, floor and service in turn. [`fleet`] is what is
//! measured: one process, or some that share their channels through a Redis. [`swarm`] is the
//! clients: thousands of sockets that one thread of this process reads. [`publisher`] makes publications at a pace,
//! [`floor`] is a bare loop of writes of the same frames to as many sockets.
//!
//! The clients run beside the server on the same machine, so delays are those of a machine that does both.

pub mod fleet;
pub mod floor;
pub mod publisher;
pub mod swarm;
pub mod table;
pub mod websocket;
pub mod work;

use std::time::{Duration, Instant};

/// Where publications' moments are counted from; clients and publishers share one.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

/// When a publication was made: nanoseconds of a [`Clock`]. No two of a run have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Moment(u64);

/// What stands before the moment in a publication's data.
const MARK: &[u8] = b"\"at\":\"";
/// Digits of the moment: nanoseconds of some hundred years.
const DIGITS: usize = 20;
/// The size of a publication's data in bytes, which the rows promise.
const DATA_BYTES: usize = 64;

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The data of a publication that is made now: JSON of 64 bytes that says when.
    #[must_use]
    pub fn data(&self) -> String {
        let now = self.0.elapsed().as_nanos();
        let filling = DATA_BYTES - DIGITS - r#"{"at":"","is":""}"#.len();
        format!(r#"{{"at":"{now:0DIGITS$}","is":"{:x<filling$}"}}"#, "")
    }

    /// When the publication in `text` was made, and how long ago that was; `None` when there is none in it.
    #[must_use]
    pub fn made(&self, text: &[u8]) -> Option<(Moment, Duration)> {
        let place = text.windows(MARK.len()).position(|window| window == MARK)?;
        let digits = text.get(place + MARK.len()..)?.get(..DIGITS)?;
        let made = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let delay = self.0.elapsed().saturating_sub(Duration::from_nanos(made));
        Some((Moment(made), delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_is_found_in_a_frame_and_the_data_has_its_size() {
        let clock = Clock::start();
        let data = clock.data();
        assert_eq!(data.len(), DATA_BYTES);
        let push = format!(r#"{{"push":{{"channel":"bench","pub":{{"data":{data}}}}}}}"#);
        assert!(clock.made(push.as_bytes()).is_some());
        assert_eq!(clock.made(b"{}"), None);
    }
}
