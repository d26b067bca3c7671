//! What all processes of a deployment count together for a tenant: its allowance of bytes, and its open uploads.
//!
//! A process takes its part of the allowance beforehand, in blocks, so that no byte waits for a question to the store.
//! Bytes are measured by the generic cell rate algorithm (ITU-T I.371): one time for each tenant, which every grant moves
//! on by what the granted bytes last at the tenant's rate, and which may be at most [`BURST`] ahead.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::id::{TaskId, TaskKey, Tenant};
use crate::store::Error;
use crate::time::UnixMillis;

/// How much of a tenant's rate may be used at once after a rest: a second's worth.
pub const BURST: Duration = Duration::from_secs(1);

/// What became of a wish for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// They may be taken.
    Given,
    /// None may, for this long.
    After(Duration),
}

/// Counts for all tenants, over all processes that share it.
#[async_trait]
pub trait Quotas: std::fmt::Debug + Send + Sync + 'static {
    /// Takes `bytes` of a tenant's allowance of `rate` bytes a second, all of them or none.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer; nothing was taken then, or it is lost.
    async fn grant(&self, tenant: &Tenant, rate: u64, bytes: u64) -> Result<Grant, Error>;

    /// Counts an upload as open for at most `lifetime`, unless the tenant has `limit` others; whether it is counted.
    /// One that is counted already stays so, and lives as long again.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn add_open(&self, key: &TaskKey, limit: u64, lifetime: Duration) -> Result<bool, Error>;

    /// Counts it no more. One that was not counted is no error.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn remove_open(&self, key: &TaskKey) -> Result<(), Error>;
}

/// Decides over a wish at `now`, in microseconds of any clock that all askers share: the tenant's time after the grant,
/// or how long none can be given. `used_until` is the tenant's time before.
///
/// A wish that lasts longer than [`BURST`] by itself is granted when the tenant has rested for as long as that.
///
/// # Errors
/// How long to wait.
pub fn decide(used_until: u64, now: u64, rate: u64, bytes: u64) -> Result<u64, Duration> {
    const MICROS_PER_SECOND: u128 = 1_000_000;
    let lasts = (u128::from(bytes) * MICROS_PER_SECOND).div_ceil(u128::from(rate.max(1)));
    let lasts = u64::try_from(lasts).unwrap_or(u64::MAX);
    let burst = u64::try_from(BURST.as_micros()).unwrap_or(u64::MAX).max(lasts);
    let then = used_until.max(now).saturating_add(lasts);
    match then.checked_sub(now.saturating_add(burst)) {
        None | Some(0) => Ok(then),
        Some(wait) => Err(Duration::from_micros(wait)),
    }
}

/// The quotas of one process. What was open before it started is counted when it goes on.
#[derive(Debug, Default)]
pub struct LocalQuotas {
    tenants: Mutex<HashMap<Tenant, Used>>,
}

#[derive(Debug, Default)]
struct Used {
    until: u64,
    open: BTreeMap<TaskId, UnixMillis>,
}

impl LocalQuotas {
    fn lock(&self) -> MutexGuard<'_, HashMap<Tenant, Used>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Quotas for LocalQuotas {
    async fn grant(&self, tenant: &Tenant, rate: u64, bytes: u64) -> Result<Grant, Error> {
        let now = UnixMillis::now().0.saturating_mul(1_000);
        let mut tenants = self.lock();
        let used = tenants.entry(tenant.clone()).or_default();
        Ok(match decide(used.until, now, rate, bytes) {
            Ok(until) => {
                used.until = until;
                Grant::Given
            }
            Err(wait) => Grant::After(wait),
        })
    }

    async fn add_open(&self, key: &TaskKey, limit: u64, lifetime: Duration) -> Result<bool, Error> {
        let now = UnixMillis::now();
        let mut tenants = self.lock();
        let open = &mut tenants.entry(key.tenant.clone()).or_default().open;
        open.retain(|_, until| *until > now);
        let has_room = open.contains_key(&key.id) || (open.len() as u64) < limit;
        if has_room {
            open.insert(key.id.clone(), now.after(lifetime));
        }
        Ok(has_room)
    }

    async fn remove_open(&self, key: &TaskKey) -> Result<(), Error> {
        if let Some(used) = self.lock().get_mut(&key.tenant) {
            used.open.remove(&key.id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Origin;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_pattern_of_wishes_gets_more_than_its_rate_and_one_burst(
            rate in 1_000_u64..100_000_000,
            wishes in prop::collection::vec((0_u64..500_000, 1_u64..2_000), 1..200),
        ) {
            let (mut until, mut now, mut granted) = (0, 5_000_000, 0_u64);
            let begun = now;
            for (pause, share) in wishes {
                now += pause;
                let bytes = (rate * share / 2_000).max(1);
                match decide(until, now, rate, bytes) {
                    Ok(then) => { until = then; granted += bytes; }
                    Err(wait) => prop_assert!(
                        decide(until, now + wait.as_micros() as u64, rate, bytes).is_ok(),
                        "the wait that was told was too short"
                    ),
                }
            }
            let seconds = (now - begun) as f64 / 1e6 + BURST.as_secs_f64();
            prop_assert!(granted as f64 <= rate as f64 * seconds + 200.0);
        }
    }

    #[test]
    fn a_wish_larger_than_a_burst_is_granted_after_a_rest() {
        assert!(decide(0, 10_000_000, 1_000, 5_000).is_ok());
        assert_eq!(
            decide(10_500_000, 10_000_000, 1_000, 5_000),
            Err(Duration::from_millis(500))
        );
    }

    #[tokio::test]
    async fn a_tenant_has_so_many_open_uploads_and_another_as_many() {
        let quotas = LocalQuotas::default();
        let key = |tenant: &str| TaskKey {
            tenant: tenant.parse().unwrap(),
            id: TaskId::generate(&Origin::local()),
        };
        let hour = Duration::from_secs(3_600);
        let first = key("acme");
        assert!(quotas.add_open(&first, 2, hour).await.unwrap());
        assert!(quotas.add_open(&key("acme"), 2, hour).await.unwrap());
        assert!(!quotas.add_open(&key("acme"), 2, hour).await.unwrap());
        assert!(quotas.add_open(&first, 2, hour).await.unwrap(), "it is one of the two");
        assert!(quotas.add_open(&key("other"), 2, hour).await.unwrap());
        quotas.remove_open(&first).await.unwrap();
        assert!(quotas.add_open(&key("acme"), 2, Duration::ZERO).await.unwrap());
        assert!(
            quotas.add_open(&key("acme"), 2, hour).await.unwrap(),
            "the time of the last one is over"
        );
    }
}
