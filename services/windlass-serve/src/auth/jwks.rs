//! A JSON Web Key Set (RFC 7517) that changes under us.
//!
//! It is read at the start, every [`KeySource::Jwks`](super::KeySource) `refresh`, and when a token names a key that is
//! not in it, but never more often than every [`COOLDOWN`]: made-up key ids cost the issuer nothing. A set that cannot
//! be read, is too large or holds no usable key changes nothing: the last good one stays.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::key::Key;
use crate::metrics::Metrics;

mod place;

pub(super) use place::Place;

/// The least time between two readings, whoever asks.
pub(super) const COOLDOWN: Duration = Duration::from_secs(5);

/// How long a request waits for newer keys.
const PATIENCE: Duration = Duration::from_secs(5);

/// Usable keys in one set; more are ignored. Identity providers publish two or three.
const KEYS: usize = 64;

/// The keys that are good now.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// A set, and the task that keeps it fresh.
pub(super) struct Rotation {
    shared: Arc<Shared>,
    /// The task ends when nobody verifies by this set any more.
    _stop: DropGuard,
}

struct Shared {
    place: Place,
    refresh: Duration,
    cooldown: Duration,
    algorithms: Option<Vec<Algorithm>>,
    keys: RwLock<Arc<KeySet>>,
    wish: Notify,
    attempt: watch::Sender<Attempt>,
    stop: CancellationToken,
    metrics: Metrics,
}

#[derive(Debug, Clone, Copy, Default)]
struct Attempt {
    /// When the latest one ended; none before the first.
    ended: Option<Instant>,
    /// Whether it gave keys.
    good: bool,
}

/// Why a set could not be had. For the log only.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot read it")]
    ReadFile(#[source] std::io::Error),
    #[error("cannot fetch it")]
    Fetch(#[source] reqwest::Error),
    #[error("answered {0}")]
    Answer(http::StatusCode),
    #[error("took longer than {0:?}")]
    Time(Duration),
    #[error("has more than {0} bytes")]
    Size(usize),
    #[error("is no key set")]
    Parse(#[source] serde_json::Error),
    #[error("holds no key that can verify a signature")]
    NoKey,
}

impl KeySet {
    /// Reads a set. Members of unknown kinds, symmetric ones and those for other uses are passed over (RFC 7517
    /// section 5).
    pub(super) fn parse(text: &[u8], algorithms: Option<&[Algorithm]>) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(text).map_err(Error::Parse)?;
        let usable = set.keys.into_iter().filter_map(|member| {
            let jwk: Jwk = serde_json::from_value(member).ok()?;
            let mut key = match Key::jwk(&jwk) {
                Ok(key) => key,
                Err(fault) => {
                    tracing::debug!(%fault, "a member of the key set is passed over");
                    return None;
                }
            };
            if let Some(wanted) = algorithms {
                key.keep(wanted);
            }
            (!key.algorithms.is_empty()).then_some(key)
        });
        let keys: Vec<Key> = usable.take(KEYS).collect();
        if keys.is_empty() {
            Err(Error::NoKey)
        } else {
            Ok(Self { keys })
        }
    }

    /// The keys that a token with this `kid` can be signed by: those of that name, or without one those that no
    /// name would tell apart.
    pub(super) fn named(&self, id: Option<&str>) -> Vec<&Key> {
        let fits = |key: &&Key| match (&key.id, id) {
            (Some(key), Some(id)) => key == id,
            (None, _) | (_, None) => true,
        };
        self.keys.iter().filter(fits).collect()
    }
}

impl Rotation {
    pub(super) fn new(place: Place, refresh: Duration, algorithms: Option<Vec<Algorithm>>, metrics: Metrics) -> Self {
        Self::with_cooldown(place, refresh, algorithms, metrics, COOLDOWN)
    }

    pub(super) fn with_cooldown(
        place: Place,
        refresh: Duration,
        algorithms: Option<Vec<Algorithm>>,
        metrics: Metrics,
        cooldown: Duration,
    ) -> Self {
        let stop = CancellationToken::new();
        Self {
            _stop: stop.clone().drop_guard(),
            shared: Arc::new(Shared {
                place,
                refresh,
                cooldown,
                algorithms,
                keys: RwLock::default(),
                wish: Notify::new(),
                attempt: watch::Sender::default(),
                stop,
                metrics,
            }),
        }
    }

    /// Begins to read. Must run inside a tokio runtime.
    pub(super) fn start(&self) {
        tokio::spawn(Arc::clone(&self.shared).run());
    }

    /// The keys that are good now; none before the first reading.
    pub(super) fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.shared.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the latest reading was good: then a key that is not in the set does not exist.
    pub(super) fn is_current(&self) -> bool {
        self.shared.attempt.borrow().good
    }

    /// Asks for a reading as soon as one is allowed.
    pub(super) fn wish(&self) {
        if !self.is_cool() {
            self.shared.wish.notify_one();
        }
    }

    /// Waits for a reading that begins after now, unless one has just been: at most [`PATIENCE`].
    pub(super) async fn refreshed(&self) {
        if self.is_cool() {
            return;
        }
        let mut attempts = self.shared.attempt.subscribe();
        self.shared.wish.notify_one();
        let _ = tokio::time::timeout(PATIENCE, attempts.changed()).await;
    }

    fn is_cool(&self) -> bool {
        let ended = self.shared.attempt.borrow().ended;
        ended.is_some_and(|ended| ended.elapsed() < self.shared.cooldown)
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut failures = 0_u32;
        loop {
            let result = tokio::select! {
                () = self.stop.cancelled() => return,
                result = self.place.read() => result,
            };
            let good = self.take(result);
            failures = if good { 0 } else { failures.saturating_add(1) };
            self.attempt.send_replace(Attempt {
                ended: Some(Instant::now()),
                good,
            });
            // What failed is tried again soon, at first with every cooldown, then half as often each time.
            let soon = self.cooldown.saturating_mul(1 << failures.min(6));
            let pause = if good { self.refresh } else { self.refresh.min(soon) };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.wanted() => {}
            }
        }
    }

    /// A wish, and the cooldown over.
    async fn wanted(&self) {
        let earliest = Instant::now() + self.cooldown;
        self.wish.notified().await;
        tokio::time::sleep_until(earliest).await;
    }

    fn take(&self, result: Result<Vec<u8>, Error>) -> bool {
        let result = result.and_then(|text| KeySet::parse(&text, self.algorithms.as_deref()));
        self.metrics.jwks_read(result.is_ok());
        match result {
            Ok(set) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
                true
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "key set cannot be had, keeping the last good one");
                false
            }
        }
    }
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation")
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
