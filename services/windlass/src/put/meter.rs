//! How far one upload's sending is, and since when nothing moved.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by the body that is sent, the watch over it, and the progress bar.
#[derive(Debug)]
pub(crate) struct Meter {
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// The offset up to which bytes were handed to the connection.
    handed: u64,
    /// Where the body ends.
    end: u64,
    /// When the connection last took something.
    moved: Instant,
    /// Whether the disk is what is being waited for.
    reading: bool,
}

/// How long what may stand still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StallLimits {
    /// The connection takes no more bytes.
    pub(crate) sending: Duration,
    /// Everything is sent and no answer comes.
    pub(crate) answer: Duration,
}

/// What stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stall {
    Sending(Duration),
    Answer(Duration),
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                handed: 0,
                end: 0,
                moved: Instant::now(),
                reading: false,
            }),
        }
    }
}

impl Meter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A body from `offset` to `end` begins.
    pub(crate) fn begin(&self, offset: u64, end: u64) {
        *self.state() = State {
            handed: offset,
            end,
            moved: Instant::now(),
            reading: false,
        };
    }

    /// The connection asked for more.
    pub(crate) fn took(&self) {
        self.state().moved = Instant::now();
    }

    /// The connection got this many bytes.
    pub(crate) fn handed(&self, bytes: u64) {
        self.state().handed += bytes;
    }

    /// While the disk is waited for, nothing counts as a stall.
    pub(crate) fn set_reading(&self, reading: bool) {
        let mut state = self.state();
        state.reading = reading;
        state.moved = Instant::now();
    }

    /// The offset up to which bytes were handed over.
    pub(crate) fn offset(&self) -> u64 {
        self.state().handed
    }

    #[cfg(test)]
    pub(crate) fn is_all_handed(&self) -> bool {
        let state = self.state();
        state.handed == state.end
    }

    /// Waits until something has stood still for longer than it may.
    pub(crate) async fn stalled(&self, limits: StallLimits) -> Stall {
        loop {
            let state = *self.state();
            let sending = state.handed < state.end;
            let limit = if sending { limits.sending } else { limits.answer };
            let deadline = if state.reading {
                Instant::now() + limit
            } else {
                state.moved + limit
            };
            if deadline <= Instant::now() {
                return if sending {
                    Stall::Sending(limit)
                } else {
                    Stall::Answer(limit)
                };
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: StallLimits = StallLimits {
        sending: Duration::from_secs(10),
        answer: Duration::from_secs(30),
    };

    #[tokio::test(start_paused = true)]
    async fn sending_and_waiting_have_limits_of_their_own() {
        let meter = Meter::default();
        meter.begin(0, 100);
        let begun = Instant::now();
        assert_eq!(meter.stalled(LIMITS).await, Stall::Sending(LIMITS.sending));
        assert_eq!(begun.elapsed(), LIMITS.sending);
        meter.begin(0, 100);
        meter.handed(100);
        assert_eq!(meter.stalled(LIMITS).await, Stall::Answer(LIMITS.answer));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_that_moves_is_no_stall_and_neither_is_a_slow_disk() {
        let meter = Meter::default();
        meter.begin(0, 100);
        let begun = Instant::now();
        let moves = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                meter.took();
            }
            meter.set_reading(true);
            tokio::time::sleep(Duration::from_secs(60)).await;
            meter.set_reading(false);
        };
        let ((), stall) = tokio::join!(moves, meter.stalled(LIMITS));
        assert_eq!(stall, Stall::Sending(LIMITS.sending));
        assert!(begun.elapsed() >= Duration::from_secs(115), "{:?}", begun.elapsed());
    }
}
