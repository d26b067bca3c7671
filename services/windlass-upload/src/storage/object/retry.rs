//! Trying a request again: exponential waits with full jitter, as long as its caller has patience.

use std::time::Duration;

use tokio::time::Instant;

/// The longest first wait.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// The longest wait at all: a store that comes back is noticed within this.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// How long a request is tried again from when it was first made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience(pub(super) Duration);

impl Patience {
    /// For bytes that a body has brought: a store that is away for a while is a pause to the client, whose socket is not
    /// read meanwhile, and no error.
    pub(super) const BYTES: Self = Self(Duration::from_secs(30));
    /// For documents and whatever else a request waits for that is held by its own rules (DESIGN section 5).
    pub(super) const REQUEST: Self = Self(Duration::from_secs(2));
    /// For the next bytes of an object that is being read, from when they were wanted. A proxy between us and who downloads
    /// waits as long for them, so that more would serve nobody; with less, a store that stalls cuts downloads off.
    pub(super) const READING: Self = Self(Duration::from_secs(60));
    /// For what is tried again by its caller.
    pub(super) const ONCE: Self = Self(Duration::ZERO);
}

/// The tries of one request. What it sends each time is the same.
#[derive(Debug)]
pub(super) struct Tries {
    deadline: Instant,
    longest: Duration,
}

impl Patience {
    /// Begins with the first try.
    pub(super) fn begin(self) -> Tries {
        Tries {
            deadline: Instant::now() + self.0,
            longest: WAIT_MIN,
        }
    }
}

impl Tries {
    /// Waits before the next try; answers false at once when patience would end before it.
    pub(super) async fn wait(&mut self) -> bool {
        // Anywhere up to the longest: clients that failed together come back apart.
        let wait = self.longest.mul_f64(random_share());
        if Instant::now() + wait >= self.deadline {
            return false;
        }
        tokio::time::sleep(wait).await;
        self.longest = (self.longest * 2).min(WAIT_MAX);
        true
    }
}

/// A random number from 0 to 1.
fn random_share() -> f64 {
    let drawn = getrandom::u32().expect("the system's random source answers once the system has started");
    f64::from(drawn) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_to_their_bound_and_end_with_patience() {
        let began = Instant::now();
        let mut tries = Patience::BYTES.begin();
        let mut waits = 0;
        while tries.wait().await {
            waits += 1;
        }
        assert!((10..200).contains(&waits), "{waits}");
        assert!(began.elapsed() <= Patience::BYTES.0);
        assert_eq!(tries.longest, WAIT_MAX);
    }
}
