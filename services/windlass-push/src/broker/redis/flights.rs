//! Reads that many ask for at once are made once for all of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::broker::memory::lock;

/// What is being read, and who waits for the next reading of it. There are never more waiting than callers.
#[derive(Debug)]
pub(super) struct Flights<K, V>(Mutex<HashMap<K, Vec<oneshot::Sender<V>>>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// What `read` gives, begun after this was called: who has just been put where deliveries come must not be given what
    /// was read before that. So who comes during a reading shares the next one. `None` only when `read` panics.
    pub(super) async fn join<R>(self: &Arc<Self>, key: K, read: impl Fn() -> R + Send + 'static) -> Option<V>
    where
        R: Future<Output = V> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        match lock(&self.0).entry(key.clone()) {
            Entry::Occupied(mut waiting) => waiting.get_mut().push(sender),
            Entry::Vacant(place) => {
                place.insert(vec![sender]);
                // A task of its own: whoever came first may lose patience, and the others go on waiting.
                tokio::spawn(Arc::clone(self).fly(key, read));
            }
        }
        answer.await.ok()
    }

    async fn fly<R>(self: Arc<Self>, key: K, read: impl Fn() -> R + Send + 'static)
    where
        R: Future<Output = V> + Send + 'static,
    {
        while let Some(waiting) = self.next(&key) {
            let value = read().await;
            for sender in waiting {
                // Who has lost patience wants nothing any more.
                let _ = sender.send(value.clone());
            }
        }
    }

    /// Who waits; nobody ends the flight.
    fn next(&self, key: &K) -> Option<Vec<oneshot::Sender<V>>> {
        let mut flights = lock(&self.0);
        let mut waiting = std::mem::take(flights.get_mut(key)?);
        waiting.retain(|sender| !sender.is_closed());
        if waiting.is_empty() {
            flights.remove(key);
            return None;
        }
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_comes_during_a_reading_shares_the_next_one() {
        let flights = Arc::new(Flights::<&str, u64>::default());
        let (reads, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (reads, gate) = (Arc::clone(&reads), Arc::clone(&gate));
            let read = move || {
                let (number, gate) = (reads.fetch_add(1, Ordering::SeqCst) + 1, Arc::clone(&gate));
                async move {
                    gate.acquire().await.unwrap().forget();
                    number
                }
            };
            let flights = Arc::clone(&flights);
            tokio::spawn(async move { flights.join("a", read).await })
        };
        let first = ask();
        while reads.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..100).map(|_| ask()).collect();
        while lock(&flights.0)["a"].len() < 100 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), Some(1));
        for other in others {
            assert_eq!(other.await.unwrap(), Some(2));
        }
        while !lock(&flights.0).is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(reads.load(Ordering::SeqCst), 2);
    }
}
