//! How much HTTP/2 clients may send before anybody reads it: a byte budget of the process.
//!
//! What a connection can have unread is bounded by its window (RFC 9113 section 5.2), whatever the number of its
//! streams, so the sum of all windows is the bound of the process. A window of 65,535 bytes cannot be withheld from a
//! connection, for it begins with that; half of the budget is kept for those. From the other half each newcomer gets a
//! share of what is left on top, so that a few connections are fast and many still fit.

use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::Metrics;

/// The window that each connection has from its beginning, bytes (RFC 9113 section 6.9.2).
pub(super) const FLOOR: u32 = 65_535;

/// The largest window of a connection, bytes: 400 Mbit/s over a way of 160 ms; more serves nobody, and one client could
/// hold more of the process's memory.
const CEILING: u32 = 8 * 1024 * 1024;

/// Which part of what is left a newcomer gets on top of its floor: 16 connections that come at once get at least a third
/// of what the first one got.
const SHARE: u64 = 16;

/// The budget of one process. Clones are the same.
#[derive(Debug, Clone)]
pub struct Windows {
    left: Arc<Mutex<Left>>,
    /// Whether there is HTTP/2 at all.
    any: bool,
    metrics: Metrics,
}

#[derive(Debug)]
struct Left {
    /// Connections that can still get their floor.
    floors: u64,
    /// Bytes that can still be given on top.
    spare: u64,
}

/// One connection's window, until it is dropped.
#[derive(Debug)]
pub(super) struct Grant {
    windows: Windows,
    /// Bytes on top of the floor.
    extra: u32,
}

impl Windows {
    /// A budget of so many bytes. With less than two least windows nobody speaks HTTP/2.
    #[must_use]
    pub fn new(bytes: u64, metrics: Metrics) -> Self {
        let floors = bytes / 2 / u64::from(FLOOR);
        let left = Left {
            floors,
            spare: bytes - floors * u64::from(FLOOR),
        };
        Self {
            left: Arc::new(Mutex::new(left)),
            any: floors > 0,
            metrics,
        }
    }

    /// The floor of one connection; `None` when there are too many connections.
    pub(super) fn grant(&self) -> Option<Grant> {
        let granted = self.with(|left| {
            left.floors = left.floors.checked_sub(1)?;
            Some(())
        });
        if granted.is_none() && self.any {
            self.metrics.http2_full();
        }
        granted?;
        self.metrics.http2_window(FLOOR.into());
        Some(Grant {
            windows: self.clone(),
            extra: 0,
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Left) -> T) -> T {
        change(&mut self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Grant {
    /// Takes a share on top of the floor, once.
    pub(super) fn widen(mut self) -> Self {
        self.extra += self.windows.with(|left| {
            let share = left.spare / SHARE;
            let extra = u32::try_from(share)
                .unwrap_or(u32::MAX)
                .min(CEILING - FLOOR - self.extra);
            left.spare -= u64::from(extra);
            extra
        });
        self.windows.metrics.http2_window(self.extra.into());
        self
    }

    /// The connection's window, bytes.
    pub(super) fn connection(&self) -> u32 {
        FLOOR + self.extra
    }

    /// Each stream's window, bytes: half of the connection's, so that one upload whose handler waits cannot stop the
    /// others.
    pub(super) fn stream(&self) -> u32 {
        self.connection() / 2
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.windows.metrics.http2_window(-i64::from(self.connection()));
        self.windows.with(|left| {
            left.floors += 1;
            left.spare += u64::from(self.extra);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_few_connections_get_much_and_thousands_still_fit() {
        let windows = Windows::new(256 * MIB, Metrics::default());
        let mut grants = Vec::new();
        while let Some(grant) = windows.grant() {
            grants.push(grant.widen());
        }
        assert_eq!(grants.len(), 2_048);
        assert!(
            u64::from(grants[0].connection()) > 7 * MIB,
            "{}",
            grants[0].connection()
        );
        assert!(u64::from(grants[15].connection()) > 3 * MIB);
        let all: u64 = grants.iter().map(|grant| u64::from(grant.connection())).sum();
        assert!(all <= 256 * MIB, "{all}");
        grants.pop();
        assert!(windows.grant().is_some());
    }

    proptest! {
        #[test]
        fn the_sum_of_all_windows_never_exceeds_the_budget_and_all_of_it_comes_back(
            bytes in 0..64 * MIB,
            moves in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            let windows = Windows::new(bytes, Metrics::default());
            let before = windows.with(|left| (left.floors, left.spare));
            let mut grants: Vec<Grant> = Vec::new();
            for (take, which) in moves {
                if take {
                    grants.extend(windows.grant().map(Grant::widen));
                } else if !grants.is_empty() {
                    grants.swap_remove(which.index(grants.len()));
                }
                let all: u64 = grants.iter().map(|grant| u64::from(grant.connection())).sum();
                prop_assert!(all <= bytes);
                prop_assert!(grants.iter().all(|grant| grant.connection() <= CEILING));
            }
            drop(grants);
            prop_assert_eq!(windows.with(|left| (left.floors, left.spare)), before);
        }
    }
}
