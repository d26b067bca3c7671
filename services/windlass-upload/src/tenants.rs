//! What each tenant may have: how large an upload, how many open at once, how many bytes a second and in memory.
//!
//! Counts refuse a creation; a rate is kept by not reading the socket, so a client only finds its line slow (DESIGN
//! section 5), and so is what is in memory (`flight`). What a tenant uses is counted over all processes, and a process takes
//! its part of a rate, and of that memory, beforehand.

mod flight;
pub mod settings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Turn;
use windlass_task::quota::{BURST, Grant, Quotas};
use windlass_task::{TaskKey, Tenant};

pub(crate) use self::flight::Flight;
use self::flight::Flights;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::storage::Budget;

pub use self::settings::{Limits, Settings};

/// A block of an allowance lasts this long at the tenant's rate: short beside [`BURST`], so that processes share it
/// evenly, and long beside a question to the store.
const BLOCK_LASTS: Duration = Duration::from_millis(125);
/// Below this a block would be asked for with every piece of a body.
const BLOCK_BYTES_MIN: u64 = 64 * 1024;
/// When to come again with a creation that was one too many: an upload of seconds may have ended by then.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The tenants' limits as this process keeps them.
#[derive(Debug)]
pub(crate) struct Tenants {
    settings: Settings,
    quotas: Arc<dyn Quotas>,
    /// What was granted to this process and not used, by tenant; only of those that have a rate.
    allowances: Mutex<HashMap<Tenant, Arc<Allowance>>>,
    flights: Arc<Flights>,
    metrics: Metrics,
}

/// A tenant's bytes in hand. Less than 0 after a piece that was larger than what was left.
#[derive(Debug, Default)]
struct Allowance(Turn<i64>);

impl Tenants {
    pub(crate) fn new(settings: Settings, quotas: Arc<dyn Quotas>, metrics: Metrics) -> Self {
        Self {
            settings,
            flights: Arc::new(Flights::new(Arc::clone(&quotas))),
            quotas,
            allowances: Mutex::default(),
            metrics,
        }
    }

    /// The largest upload of a tenant, bytes.
    pub(crate) fn max_size(&self, tenant: &Tenant) -> Option<u64> {
        self.settings.of(tenant).max_size_bytes
    }

    /// How many bytes of a tenant may be in memory, of all processes together.
    pub(crate) fn bytes_in_flight(&self, tenant: &Tenant) -> Option<u64> {
        self.settings.of(tenant).bytes_in_flight.map(std::num::NonZeroU64::get)
    }

    /// Sees to this process's part of that as long as the answer is kept; `None` for a tenant that has no limit.
    pub(crate) fn take_off(&self, tenant: &Tenant, budget: &Budget) -> Option<Flight> {
        let limit = self.bytes_in_flight(tenant)?;
        Some(self.flights.take_off(tenant, limit, budget))
    }

    /// Counts a new upload.
    ///
    /// # Errors
    /// [`Error::CountUploads`] when the tenant has as many as it may, or that the store does not answer.
    pub(crate) async fn open(&self, key: &TaskKey, lifetime: Duration) -> Result<(), Error> {
        let Some(limit) = self.settings.of(&key.tenant).uploads else {
            return Ok(());
        };
        if self.quotas.add_open(key, limit, lifetime).await? {
            return Ok(());
        }
        self.metrics.tenant_refused();
        Err(Error::CountUploads {
            limit,
            retry_after: RETRY_AFTER,
        })
    }

    /// Counts an upload that goes on; none is refused for that.
    pub(crate) async fn go_on(&self, key: &TaskKey, lifetime: Duration) {
        if self.settings.of(&key.tenant).uploads.is_some()
            && let Err(error) = self.quotas.add_open(key, u64::MAX, lifetime).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "an open upload is not counted"
            );
        }
    }

    /// Counts an upload no more.
    pub(crate) async fn close(&self, key: &TaskKey) -> Result<(), windlass_task::store::Error> {
        if self.settings.of(&key.tenant).uploads.is_none() {
            return Ok(());
        }
        self.quotas.remove_open(key).await
    }

    /// What paces the bodies of a tenant; `None` for one without a rate.
    pub(crate) fn pace(self: &Arc<Self>, tenant: &Tenant) -> Option<Pace> {
        let rate = self.settings.of(tenant).bytes_per_second?.get();
        let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        let allowance = allowances.entry(tenant.clone()).or_default();
        Some(Pace {
            tenants: Arc::clone(self),
            tenant: tenant.clone(),
            rate,
            allowance: Arc::clone(allowance),
        })
    }
}

/// Paces one body.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    tenants: Arc<Tenants>,
    tenant: Tenant,
    rate: u64,
    allowance: Arc<Allowance>,
}

impl Pace {
    /// Waits until the tenant may have taken `bytes`, which it has. Given up, nothing is paid and nothing is lost.
    pub(crate) async fn pay(&self, bytes: u64) {
        // Who waits for a block holds the turn; the tenant's other bodies queue up behind it.
        let mut left = self.allowance.0.lock().await;
        while *left <= 0 {
            let block = self.block();
            match self.tenants.quotas.grant(&self.tenant, self.rate, block).await {
                Ok(Grant::Given) => *left += i64::try_from(block).unwrap_or(i64::MAX),
                Ok(Grant::After(wait)) => {
                    self.tenants.metrics.tenant_paced(wait.as_secs_f64());
                    tokio::time::sleep(wait).await;
                }
                Err(error) => {
                    // Nobody is slowed down by a store that is away; without it nothing is acknowledged anyway.
                    tracing::warn!(error = &error as &dyn std::error::Error, "a tenant's rate is not kept");
                    *left += i64::try_from(block).unwrap_or(i64::MAX);
                    tokio::time::sleep(BLOCK_LASTS).await;
                }
            }
        }
        *left -= i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// How many bytes are taken beforehand.
    fn block(&self) -> u64 {
        let shares = u64::try_from(BURST.as_millis() / BLOCK_LASTS.as_millis()).unwrap_or(1);
        (self.rate / shares).max(BLOCK_BYTES_MIN.min(self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_task::quota::LocalQuotas;

    #[tokio::test]
    async fn who_stops_waiting_has_paid_nothing() {
        let limits = Limits {
            bytes_per_second: std::num::NonZeroU64::new(1_000),
            ..Limits::default()
        };
        let mut registry = prometheus_client::registry::Registry::default();
        let settings = Settings {
            default: limits,
            ..Settings::default()
        };
        let quotas = Arc::new(LocalQuotas::default());
        let tenants = Arc::new(Tenants::new(settings, quotas, Metrics::register(&mut registry)));
        let pace = tenants.pace(&Tenant::default_tenant()).unwrap();
        pace.pay(3_000).await;
        assert!(
            tokio::time::timeout(Duration::from_millis(20), pace.pay(1))
                .await
                .is_err()
        );
        assert_eq!(*pace.allowance.0.lock().await, -2_000);
    }
}
