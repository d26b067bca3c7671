//! When two clients fight over one upload, each reconnecting as the other takes it: who keeps it. Pure.
//!
//! A takeover counts only when it interrupts a body that moved within the last second, so the HEAD and the PATCH of one
//! reconnect count once: after the HEAD nobody moves. From the fourth within ten seconds on, the holder keeps the
//! upload, and each further asker is sent away for longer.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The time in which takeovers are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// A body that brought nothing for longer is not being fought for.
const MOVING: Duration = Duration::from_secs(1);
/// The takeovers within [`WINDOW`] that are granted.
const GRANTED: usize = 3;
/// Two notes of a takeover that are closer than this are of the same one.
const SAME: Duration = Duration::from_millis(50);
/// The longest time for which an asker is sent away.
const AWAY_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Contention {
    granted: VecDeque<Instant>,
    refused: u32,
    last: Option<Instant>,
}

impl Contention {
    /// Grants a takeover of a holder whose body last moved at `moved`, or says how long the asker must stay away.
    pub(super) fn judge(&mut self, now: Instant, moved: Option<Instant>) -> Result<(), Duration> {
        let moving = moved.is_some_and(|moved| now.saturating_duration_since(moved) <= MOVING);
        if !moving {
            return Ok(());
        }
        self.last = Some(now);
        while self
            .granted
            .front()
            .is_some_and(|first| now.saturating_duration_since(*first) > WINDOW)
        {
            self.granted.pop_front();
        }
        if self.granted.len() < GRANTED {
            self.granted.push_back(now);
            self.refused = 0;
            return Ok(());
        }
        let away = Duration::from_secs(1 << self.refused.min(5)).min(AWAY_MAX);
        self.refused += 1;
        Err(away)
    }

    /// How long ago the granted takeovers were.
    pub(super) fn takeovers(&self, now: Instant) -> Vec<Duration> {
        let ago = |granted: &Instant| now.saturating_duration_since(*granted);
        self.granted.iter().map(ago).collect()
    }

    /// Adds takeovers that somebody else granted so long ago, unless they are known.
    pub(super) fn inherit(&mut self, now: Instant, takeovers: &[Duration]) {
        // What came back from where it had gone is known; the way took some milliseconds.
        let is_known = |at: &Instant| {
            let apart = |known: &Instant| known.max(at).saturating_duration_since(*known.min(at));
            self.granted.iter().any(|known| apart(known) < SAME)
        };
        let new = takeovers.iter().filter_map(|ago| now.checked_sub(*ago));
        let new: Vec<Instant> = new.filter(|at| !is_known(at)).collect();
        self.granted.extend(new);
        self.granted.make_contiguous().sort_unstable();
        self.last = Some(now);
    }

    /// Whether nothing that happened matters any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|last| now.saturating_duration_since(last) > WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_takeover_of_a_moving_body_is_refused_for_longer_each_time() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut contention = Contention::default();
        for second in 0..3 {
            assert_eq!(contention.judge(at(second), Some(at(second))), Ok(()));
        }
        let away: Vec<_> = (3..6)
            .map(|second| contention.judge(at(second), Some(at(second))))
            .collect();
        assert_eq!(away, [1, 2, 4].map(|seconds| Err(Duration::from_secs(seconds))));
        assert_eq!(
            contention.judge(at(11), Some(at(11))),
            Ok(()),
            "the first has left the window"
        );
    }

    #[test]
    fn takeovers_that_another_process_granted_count_and_count_once() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let (mut here, mut there) = (Contention::default(), Contention::default());
        assert_eq!(here.judge(at(1), Some(at(1))), Ok(()));
        there.inherit(at(1), &here.takeovers(at(1)));
        assert_eq!(there.judge(at(2), Some(at(2))), Ok(()));
        here.inherit(at(2), &there.takeovers(at(2)));
        assert_eq!(here.takeovers(at(2)).len(), 2);
        assert_eq!(here.judge(at(3), Some(at(3))), Ok(()));
        assert_eq!(here.judge(at(4), Some(at(4))), Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_body_at_rest_is_always_given_up() {
        let begin = Instant::now();
        let mut contention = Contention::default();
        for step in 0..100 {
            let now = begin + Duration::from_millis(1_001 + step);
            assert_eq!(contention.judge(now, Some(begin)), Ok(()));
            assert_eq!(contention.judge(now, None), Ok(()));
        }
        assert!(contention.is_over(begin));
    }
}
