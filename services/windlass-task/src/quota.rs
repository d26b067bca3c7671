//! What all processes of a deployment count together for a tenant: its allowance of bytes, its open uploads, and what of it
//! is in memory.
//!
//! A process takes its part of the allowance beforehand, in blocks, so that no byte waits for a question to the store.
//! Bytes are measured by the generic cell rate algorithm (ITU-T I.371): one time for each tenant, which every grant moves
//! on by what the granted bytes last at the tenant's rate, and which may be at most [`BURST`] ahead. Of what may be in memory
//! a process leases a part, which it renews as long as it needs it and which ends by itself when it dies.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::epoch::HolderId;
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

/// What a process says of a tenant's bytes in its memory when it asks for its part of what all may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Who asks.
    pub process: HolderId,
    /// What it holds, bytes, and cannot give back at once.
    pub held: u64,
    /// What it would like to hold, bytes. 0 with nothing held gives its part back.
    pub wanted: u64,
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

    /// Leases a part of the `limit` bytes that a tenant may have in the memory of all processes, for as long as `lasts`
    /// says; answers how many bytes. The parts of all whose leases last are never more than the limit, but for what was held
    /// without one.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer; an earlier lease lasts as long as it did.
    async fn lease(&self, tenant: &Tenant, limit: u64, claim: Claim, lasts: Duration) -> Result<u64, Error>;
}

/// What one of several is entitled to of `limit`, who each want something: what he wants if that is not more than an even part
/// of what the modest leave, and that part otherwise.
#[must_use]
pub fn entitle(limit: u64, wanted: u64, others: &[u64]) -> u64 {
    let mut all: Vec<u64> = others.iter().copied().chain([wanted]).collect();
    all.sort_unstable();
    let mut left = limit;
    for (index, want) in all.iter().enumerate() {
        let even = left / (all.len() - index) as u64;
        // Whoever follows wants no less.
        if *want >= even {
            return wanted.min(even);
        }
        if *want == wanted {
            return wanted;
        }
        left -= want;
    }
    wanted
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

    /// There is nobody to share with.
    async fn lease(&self, _: &Tenant, limit: u64, claim: Claim, _: Duration) -> Result<u64, Error> {
        Ok(claim.wanted.min(limit).max(claim.held))
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

    proptest! {
        #[test]
        fn nobody_gets_more_than_he_wants_and_nothing_is_left_that_somebody_wants(
            limit in 0_u64..1_000,
            wants in prop::collection::vec(0_u64..600, 1..6),
        ) {
            let parts: Vec<u64> = (0..wants.len()).map(|index| {
                let mut others = wants.clone();
                let wanted = others.remove(index);
                entitle(limit, wanted, &others)
            }).collect();
            let all: u64 = parts.iter().sum();
            prop_assert!(all <= limit);
            let most = parts.iter().max().copied().unwrap_or(0);
            for (part, want) in parts.iter().zip(&wants) {
                prop_assert!(part <= want);
                // Who gets less than he wants gets as much as anybody.
                prop_assert!(part == want || *part == most, "{parts:?} of {limit} for {wants:?}");
            }
            // Even parts are cut to whole bytes.
            let satisfied = parts == wants;
            prop_assert!(satisfied || limit - all < wants.len() as u64, "{parts:?} of {limit} for {wants:?}");
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
