//! The holders of this process as other processes ask for them.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use windlass_task::TaskKey;
use windlass_task::peers::{Answer, Host};

use super::{Holders, PATIENCE, Release, ask, lock};

#[async_trait]
impl Host for Holders {
    async fn release(&self, key: &TaskKey) -> Answer {
        let (release, takeovers) = {
            let mut table = self.inner.lock();
            let Some(slot) = table.slots.get(key) else {
                return Answer::Idle;
            };
            let (release, moved) = (slot.release.clone(), *lock(&slot.moved));
            let now = Instant::now();
            if let Err(retry_after) = table.contend(key, now, moved) {
                return Answer::Kept { retry_after };
            }
            let takeovers = table.contentions.get(key).map(|contention| contention.takeovers(now));
            (release, takeovers.unwrap_or_default())
        };
        ask(&release, Release::TakenOver);
        match tokio::time::timeout(PATIENCE, release.closed()).await {
            Ok(()) => Answer::Released { takeovers },
            Err(_) => Answer::Silent,
        }
    }

    fn withdraw(&self, key: &TaskKey, revision: u64) {
        Self::withdraw(self, key, revision);
    }
}

impl Holders {
    /// Counts the takeovers that an upload had at other processes before it came here: two clients that fight through
    /// two processes are judged as through one.
    pub(crate) fn inherit(&self, key: &TaskKey, takeovers: &[Duration]) {
        if !takeovers.is_empty() {
            let mut table = self.inner.lock();
            let contention = table.contentions.entry(key.clone()).or_default();
            contention.inherit(Instant::now(), takeovers);
        }
    }
}
