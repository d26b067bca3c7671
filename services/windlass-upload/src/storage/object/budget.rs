//! The bytes that all uploads of a process together may hold on their way to an object store.
//!
//! What is charged carries its share with it and gives it back when its last copy is dropped, wherever that is: in a
//! buffer, in a request that is under way, in one that waits to be tried again. While nothing is left, sockets are not read.
//! Tenants share it evenly as far as they want it (`ledger`), and none holds more than its own limit, nor than this process's
//! part of what it may hold in all of them.

mod ledger;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;
use windlass_task::Tenant;

use self::ledger::{Ledger, Need, Wish};

/// What one piece costs besides its bytes, for what administers it: many tiny pieces must not hold more than they pay for.
const PIECE_BYTES: usize = 128;
/// A piece below this is copied: it would pin the whole buffer that it was read into.
const COPIED_BELOW_BYTES: usize = 8 * 1024;

/// The budget of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    gauges: Gauges,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    /// Who is told when his wish is fulfilled.
    waiting: HashMap<Wish, (Tenant, oneshot::Sender<Share>)>,
}

/// What a budget shows.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauges {
    /// Bytes that are held now.
    pub(super) held: Gauge,
    /// The most that were.
    pub(super) held_most: Gauge,
    /// The whole budget.
    pub(super) total: Gauge,
}

/// A tenant's way to the budget.
#[derive(Debug, Clone)]
pub struct Purse {
    budget: Budget,
    tenant: Tenant,
    limit: usize,
}

/// Room that is held until this is dropped.
#[derive(Debug)]
struct Share {
    inner: Arc<Inner>,
    tenant: Tenant,
    price: usize,
}

/// Bytes that have paid.
struct Charged {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Budget {
    pub(super) fn new(total: usize, gauges: Gauges) -> Self {
        gauges.total.set(i64::try_from(total).unwrap_or(i64::MAX));
        let state = State {
            ledger: Ledger::new(total),
            waiting: HashMap::new(),
        };
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                gauges,
            }),
        }
    }

    /// The way of a tenant to it, which may hold at most `limit` bytes at once. A piece that is larger gets all of it.
    pub(crate) fn purse(&self, tenant: &Tenant, limit: Option<u64>) -> Purse {
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Purse {
            budget: self.clone(),
            tenant: tenant.clone(),
            limit,
        }
    }

    /// Gives a tenant a part of what it may hold in all processes: at most so many bytes, and one piece in any case; `None`
    /// when it needs no part any more.
    pub(crate) fn allot(&self, tenant: &Tenant, bytes: Option<u64>) {
        let bytes = bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        self.inner.lock().ledger.allot(tenant, bytes);
        self.inner.hand_out();
    }

    /// What a tenant with a part needs.
    pub(crate) fn need(&self, tenant: &Tenant) -> Need {
        self.inner.lock().ledger.need(tenant)
    }

    /// Whether there is room for what is durable already and only spares a later request. It gets half of the budget at
    /// most: the other half is for bytes that move.
    pub(super) fn has_room_to_keep(&self) -> bool {
        let ledger = &self.inner.lock().ledger;
        !ledger.is_crowded() && ledger.free() > ledger.total() / 2
    }

    #[cfg(test)]
    fn is_crowded(&self) -> bool {
        self.inner.lock().ledger.is_crowded()
    }
}

impl Purse {
    /// The bytes, charged, if there is room at once and nobody waits for it.
    ///
    /// # Errors
    /// With the bytes, when there is not.
    pub(crate) fn try_charge(&self, bytes: Bytes) -> Result<Bytes, Bytes> {
        let inner = &self.budget.inner;
        let mut state = inner.lock();
        if state.ledger.is_crowded() {
            return Err(bytes);
        }
        let price = price(&bytes, state.ledger.total());
        let wish = state.ledger.ask(&self.tenant, price, self.limit);
        if state.ledger.grant().is_none_or(|(granted, _)| granted != wish) {
            state.ledger.withdraw(&self.tenant, wish);
            return Err(bytes);
        }
        drop(state);
        Ok(charged(bytes, inner.share(&self.tenant, price)))
    }

    /// The bytes, charged, once there is room for them.
    pub(crate) async fn charge(self, bytes: Bytes) -> Bytes {
        let inner = &self.budget.inner;
        let (told, mut share) = oneshot::channel();
        let waiting = {
            let mut state = inner.lock();
            let price = price(&bytes, state.ledger.total());
            let wish = state.ledger.ask(&self.tenant, price, self.limit);
            state.waiting.insert(wish, (self.tenant.clone(), told));
            Waiting {
                inner,
                tenant: &self.tenant,
                wish,
            }
        };
        inner.hand_out();
        let share = (&mut share).await;
        drop(waiting);
        charged(bytes, share.expect("who waits is told, or waits for ever"))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(self: &Arc<Self>, tenant: &Tenant, price: usize) -> Share {
        let bytes = i64::try_from(price).unwrap_or(i64::MAX);
        let before = self.gauges.held.inc_by(bytes);
        let most = self.gauges.held_most.inner();
        most.fetch_max(before + bytes, std::sync::atomic::Ordering::Relaxed);
        Share {
            inner: Arc::clone(self),
            tenant: tenant.clone(),
            price,
        }
    }

    /// Gives room to who waits, as far as there is some.
    fn hand_out(self: &Arc<Self>) {
        let mut told = Vec::new();
        let mut state = self.lock();
        while let Some((wish, price)) = state.ledger.grant() {
            if let Some((tenant, tell)) = state.waiting.remove(&wish) {
                told.push((tell, self.share(&tenant, price)));
            }
        }
        drop(state);
        for (tell, share) in told {
            // Who has gone away meanwhile gives it back.
            drop(tell.send(share));
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.inner
            .gauges
            .held
            .dec_by(i64::try_from(self.price).unwrap_or(i64::MAX));
        self.inner.lock().ledger.give_back(&self.tenant, self.price);
        self.inner.hand_out();
    }
}

/// Somebody who waits for room.
struct Waiting<'a> {
    inner: &'a Arc<Inner>,
    tenant: &'a Tenant,
    wish: Wish,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        if state.waiting.remove(&self.wish).is_some() {
            state.ledger.withdraw(self.tenant, self.wish);
            drop(state);
            // It may have stood in another's way.
            self.inner.hand_out();
        }
    }
}

/// A piece that is larger than the whole budget, which no socket brings, gets all of it.
fn price(bytes: &Bytes, total: usize) -> usize {
    (bytes.len() + PIECE_BYTES).min(total)
}

fn charged(bytes: Bytes, share: Share) -> Bytes {
    let bytes = if bytes.len() < COPIED_BELOW_BYTES {
        Bytes::copy_from_slice(&bytes)
    } else {
        bytes
    };
    Bytes::from_owner(Charged { bytes, _share: share })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purse(budget: &Budget, tenant: &str) -> Purse {
        budget.purse(&tenant.parse().unwrap(), None)
    }

    #[tokio::test]
    async fn room_comes_back_with_the_last_copy_and_in_the_order_of_asking() {
        let gauges = Gauges::default();
        let budget = Budget::new(20_000, gauges.clone());
        let own = purse(&budget, "default");
        let first = own.try_charge(Bytes::from(vec![1; 15_000])).unwrap();
        let slice = first.slice(10..20);
        assert!(own.try_charge(Bytes::from(vec![2; 9_000])).is_err());
        let large = tokio::spawn(own.clone().charge(Bytes::from(vec![3; 15_000])));
        tokio::task::yield_now().await;
        assert!(budget.is_crowded());
        // There would be room for this one, but somebody came before.
        assert!(own.try_charge(Bytes::from_static(b"small")).is_err());
        drop(first);
        tokio::task::yield_now().await;
        assert!(!large.is_finished());
        drop(slice);
        assert_eq!(large.await.unwrap().len(), 15_000);
        assert!(!budget.is_crowded());
        assert_eq!((gauges.held.get(), gauges.held_most.get()), (0, 15_128));
    }

    #[tokio::test]
    async fn who_comes_late_is_served_before_who_holds_everything() {
        let budget = Budget::new(20_000, Gauges::default());
        let (greedy, late) = (purse(&budget, "greedy"), purse(&budget, "late"));
        let held = [(); 2].map(|()| greedy.try_charge(Bytes::from(vec![1; 9_000])).unwrap());
        let more = tokio::spawn(greedy.clone().charge(Bytes::from(vec![2; 9_000])));
        tokio::task::yield_now().await;
        let first = tokio::spawn(late.clone().charge(Bytes::from(vec![3; 9_000])));
        tokio::task::yield_now().await;
        let [one, other] = held;
        drop(one);
        assert_eq!(first.await.unwrap(), vec![3; 9_000]);
        assert!(!more.is_finished(), "who held everything was served first");
        drop(other);
        assert_eq!(more.await.unwrap(), vec![2; 9_000]);
    }

    #[tokio::test]
    async fn a_tenant_at_its_limit_waits_for_itself_alone() {
        let budget = Budget::new(100_000, Gauges::default());
        let limited = budget.purse(&"limited".parse().unwrap(), Some(10_000));
        let held = limited.try_charge(Bytes::from(vec![1; 9_000])).unwrap();
        let more = tokio::spawn(limited.clone().charge(Bytes::from(vec![2; 9_000])));
        tokio::task::yield_now().await;
        assert!(!budget.is_crowded() && !more.is_finished());
        assert!(purse(&budget, "other").try_charge(Bytes::from(vec![3; 80_000])).is_ok());
        // One that stops waiting is forgotten.
        let given_up = tokio::spawn(limited.clone().charge(Bytes::from(vec![4; 9_000])));
        tokio::task::yield_now().await;
        given_up.abort();
        assert!(given_up.await.is_err());
        drop(held);
        assert_eq!(more.await.unwrap(), vec![2; 9_000]);
        let alone = limited.charge(Bytes::from(vec![5; 20_000])).await;
        assert_eq!(alone.len(), 20_000, "a piece larger than the limit never goes out");
    }
}
