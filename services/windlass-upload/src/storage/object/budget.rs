//! The bytes that all uploads of a process together may hold on their way to an object store.
//!
//! What is charged carries its share with it and gives it back when its last copy is dropped, wherever that is: in a
//! buffer, in a request that is under way, in one that waits to be tried again. While nothing is left, sockets are not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
    room: Arc<Semaphore>,
    total: usize,
    waiting: AtomicUsize,
    held: Gauge,
}

/// Bytes that have paid.
struct Charged {
    bytes: Bytes,
    held: Gauge,
    share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.held.dec_by(self.share.num_permits() as i64);
    }
}

impl Budget {
    pub(super) fn new(total: usize, held: Gauge) -> Self {
        let total = total.min(Semaphore::MAX_PERMITS);
        Self {
            inner: Arc::new(Inner {
                room: Arc::new(Semaphore::new(total)),
                total,
                waiting: AtomicUsize::new(0),
                held,
            }),
        }
    }

    /// The bytes, charged, if there is room at once and nobody waits for it.
    ///
    /// # Errors
    /// With the bytes, when there is not.
    pub(crate) fn try_charge(&self, bytes: Bytes) -> Result<Bytes, Bytes> {
        if self.is_crowded() {
            return Err(bytes);
        }
        match Arc::clone(&self.inner.room).try_acquire_many_owned(self.price(&bytes)) {
            Ok(share) => Ok(self.charged(bytes, share)),
            Err(_) => Err(bytes),
        }
    }

    /// The bytes, charged, once there is room: first come, first served.
    pub(crate) async fn charge(self, bytes: Bytes) -> Bytes {
        let waiting = Waiting::new(&self.inner);
        let share = Arc::clone(&self.inner.room)
            .acquire_many_owned(self.price(&bytes))
            .await;
        drop(waiting);
        self.charged(bytes, share.expect("the semaphore is never closed"))
    }

    /// Whether somebody waits for room.
    pub(super) fn is_crowded(&self) -> bool {
        self.inner.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether there is room for what is durable already and only spares a later request. It gets half of the budget at
    /// most: the other half is for bytes that move.
    pub(super) fn has_room_to_keep(&self) -> bool {
        !self.is_crowded() && self.inner.room.available_permits() > self.inner.total / 2
    }

    /// A piece that is larger than the whole budget, which no socket brings, gets all of it.
    fn price(&self, bytes: &Bytes) -> u32 {
        u32::try_from((bytes.len() + PIECE_BYTES).min(self.inner.total)).unwrap_or(u32::MAX)
    }

    fn charged(&self, bytes: Bytes, share: OwnedSemaphorePermit) -> Bytes {
        let held = self.inner.held.clone();
        held.inc_by(share.num_permits() as i64);
        let bytes = if bytes.len() < COPIED_BELOW_BYTES {
            Bytes::copy_from_slice(&bytes)
        } else {
            bytes
        };
        Bytes::from_owner(Charged { bytes, held, share })
    }
}

/// Somebody who waits for room.
struct Waiting<'a>(&'a Inner);

impl<'a> Waiting<'a> {
    fn new(inner: &'a Inner) -> Self {
        inner.waiting.fetch_add(1, Ordering::Relaxed);
        Self(inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_comes_back_with_the_last_copy_and_in_the_order_of_asking() {
        let held = Gauge::default();
        let budget = Budget::new(20_000, held.clone());
        let first = budget.try_charge(Bytes::from(vec![1; 15_000])).unwrap();
        let slice = first.slice(10..20);
        assert!(budget.try_charge(Bytes::from(vec![2; 9_000])).is_err());
        let large = tokio::spawn(budget.clone().charge(Bytes::from(vec![3; 15_000])));
        tokio::task::yield_now().await;
        assert!(budget.is_crowded());
        // There would be room for this one, but somebody came before.
        assert!(budget.try_charge(Bytes::from_static(b"small")).is_err());
        drop(first);
        tokio::task::yield_now().await;
        assert!(!large.is_finished());
        drop(slice);
        assert_eq!(large.await.unwrap().len(), 15_000);
        assert!(!budget.is_crowded());
        assert_eq!(held.get(), 0);
    }
}
