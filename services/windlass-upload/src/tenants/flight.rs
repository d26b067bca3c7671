//! This process's part of what a tenant may have in memory over all processes: leased beforehand, renewed while a body needs
//! it, given back after the last.
//!
//! A tenant with bodies in one process gets its whole limit there. When another process wants some, each comes down to what
//! it is entitled to as its bytes become durable, so that all together never hold more, but for one piece a process, without
//! which a body could stand still. A process that cannot renew its lease lets it end: another may have the room by then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use windlass_task::quota::{Claim, Quotas};
use windlass_task::{HolderId, Tenant};

use crate::storage::Budget;

/// How often a lease is renewed: another process waits as long for its part, and a tenant costs so many questions to the store.
const RENEW_EVERY: Duration = Duration::from_millis(500);
/// How long a lease lasts: what a process that dies had is free after it. Some renewals may fail within.
const LASTS: Duration = Duration::from_secs(5);
/// A process that needs less is given twice what it needed, but this at least: a few pieces, so that its next ones do not wait
/// for a renewal.
const WANTED_MIN_BYTES: u64 = 1024 * 1024;

/// The parts of all tenants that have a limit and bodies here.
#[derive(Debug)]
pub(super) struct Flights {
    quotas: Arc<dyn Quotas>,
    /// How many bodies each has.
    bodies: Mutex<HashMap<Tenant, u64>>,
}

/// A body that is under way.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Arc<Flights>,
    tenant: Tenant,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(bodies) = self.flights.lock().get_mut(&self.tenant) {
            *bodies -= 1;
        }
    }
}

impl Flights {
    pub(super) fn new(quotas: Arc<dyn Quotas>) -> Self {
        Self {
            quotas,
            bodies: Mutex::default(),
        }
    }

    /// Counts a body of a tenant; with the first begins who sees to the tenant's part.
    pub(super) fn take_off(self: &Arc<Self>, tenant: &Tenant, limit: u64, budget: &Budget) -> Flight {
        let mut bodies = self.lock();
        match bodies.get_mut(tenant) {
            Some(bodies) => *bodies += 1,
            None => {
                bodies.insert(tenant.clone(), 1);
                // Nothing is leased yet.
                budget.allot(tenant, Some(0));
                let keeper = Keeper {
                    flights: Arc::clone(self),
                    tenant: tenant.clone(),
                    limit,
                    budget: budget.clone(),
                    process: HolderId::random(),
                };
                tokio::spawn(keeper.run());
            }
        }
        Flight {
            flights: Arc::clone(self),
            tenant: tenant.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Tenant, u64>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees to a tenant's part until it has no body here.
struct Keeper {
    flights: Arc<Flights>,
    tenant: Tenant,
    limit: u64,
    budget: Budget,
    /// Of this keeper's own, so that one that ends late gives nothing back that the next one has.
    process: HolderId,
}

impl Keeper {
    async fn run(self) {
        let mut part = 0;
        let mut wanted = self.limit;
        // Counted from before it was asked for.
        let mut ends = Instant::now();
        while !self.is_over() {
            let asked = Instant::now();
            match self.lease(wanted).await {
                Ok(leased) => (part, ends) = (leased, asked + LASTS),
                Err(error) => {
                    tracing::warn!(
                        tenant = %self.tenant,
                        error = &error as &dyn std::error::Error,
                        "a part of a tenant's memory is not leased"
                    );
                    if asked + RENEW_EVERY >= ends {
                        part = 0;
                    }
                }
            }
            self.budget.allot(&self.tenant, Some(part));
            sleep(RENEW_EVERY).await;
            wanted = wanted_after(self.need().1, part, self.limit);
        }
        if let Err(error) = self.lease(0).await {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(
                error,
                "a part of a tenant's memory is not given back, it ends by itself"
            );
        }
    }

    async fn lease(&self, wanted: u64) -> Result<u64, windlass_task::store::Error> {
        let claim = Claim {
            process: self.process,
            // What a keeper before this one let in is none of its lease.
            held: if wanted == 0 { 0 } else { self.need().0 },
            wanted,
        };
        self.flights.quotas.lease(&self.tenant, self.limit, claim, LASTS).await
    }

    /// What is held, and the most that was needed since this was asked last.
    fn need(&self) -> (u64, u64) {
        let need = self.budget.need(&self.tenant);
        (need.held as u64, need.most as u64)
    }

    /// Whether no body is left; if so, the next one finds nobody who sees to the part.
    fn is_over(&self) -> bool {
        let mut bodies = self.flights.lock();
        let is_over = bodies.get(&self.tenant).is_none_or(|bodies| *bodies == 0);
        if is_over {
            bodies.remove(&self.tenant);
            self.budget.allot(&self.tenant, None);
        }
        is_over
    }
}

/// What to ask for after `most` was needed of a part: everything, if it may have been too little.
fn wanted_after(most: u64, part: u64, limit: u64) -> u64 {
    if most.saturating_mul(2) >= part {
        limit
    } else {
        most.saturating_mul(2).max(WANTED_MIN_BYTES).min(limit)
    }
}
