//! The lease in memory, as the API server keeps it: changed only by who knows its version.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use windlass_election::{Lease, Ordinal};
use windlass_redis_agent::lease::{Claim, LeaseStore, Unreached, claimed};

#[derive(Debug, Default)]
pub(crate) struct Api {
    lease: Mutex<(Lease, u64)>,
    is_away: AtomicBool,
}

impl Api {
    /// The lease with its version; nothing while the API is away.
    pub(crate) fn read(&self) -> Option<(Lease, u64)> {
        (!self.is_away.load(Ordering::SeqCst)).then(|| *self.lease.lock().unwrap())
    }

    pub(crate) fn write(&self, expected: u64, lease: Lease) -> bool {
        let mut kept = self.lease.lock().unwrap();
        let fits = kept.1 == expected && !self.is_away.load(Ordering::SeqCst);
        if fits {
            *kept = (lease, expected + 1);
        }
        fits
    }

    pub(crate) fn go_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }
}

#[async_trait]
impl LeaseStore for Api {
    async fn claim(&self, by: Ordinal, claim: Claim) -> Result<bool, Unreached> {
        let (lease, version) = self.read().ok_or_else(|| Unreached("it is away".into()))?;
        let Some(next) = claimed(lease, by, claim) else {
            return Ok(false);
        };
        match self.write(version, next) {
            true => Ok(true),
            false => Err(Unreached("another was faster".into())),
        }
    }
}
