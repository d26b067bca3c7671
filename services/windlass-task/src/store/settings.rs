//! Which back end has the records, and what each gives.

use std::sync::Arc;

use serde::Deserialize;
use windlass_redis::ConfigureError;

use super::{EmbeddedStore, Inventory, RedisStore, TaskStore};
use crate::catalogue::Catalogue;
use crate::feed::{Feed, Follow};
use crate::job::{Jobs, LocalJobs};
use crate::outbox::Outbox;
use crate::peers::{Alone, Peers};
use crate::quota::{LocalQuotas, Quotas};
use crate::rebuild::Rebuild;

/// The `store` section of a configuration file. Empty: the embedded store, in one process.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The Redis that all processes of a region share.
    pub redis: Option<windlass_redis::Settings>,
}

impl Settings {
    /// The store that processes share, if there is one; it begins to connect at once.
    ///
    /// # Errors
    /// [`ConfigureError`] for a setting that cannot be.
    pub fn shared(&self) -> Result<Option<RedisStore>, ConfigureError> {
        self.redis.as_ref().map(RedisStore::open).transpose()
    }
}

/// What a back end gives to the services.
#[derive(Clone)]
pub struct Records {
    /// The tasks.
    pub store: Arc<dyn TaskStore>,
    /// All of them, for who checks them.
    pub inventory: Arc<dyn Inventory>,
    /// Their durable events.
    pub outbox: Arc<dyn Outbox>,
    /// The list of an owner's tasks.
    pub catalogue: Arc<dyn Catalogue>,
    /// What all processes count together for a tenant.
    pub quotas: Arc<dyn Quotas>,
    /// Whose turn it is at what one process does for all.
    pub jobs: Arc<dyn Jobs>,
    /// Their latest values.
    pub feed: Feed,
    /// Who sees that the feed tells of what other processes commit.
    pub follow: Arc<dyn Follow>,
    /// The other processes that may write to the tasks.
    pub peers: Arc<dyn Peers>,
    /// What has to be recorded again after something was forgotten.
    pub rebuild: Arc<dyn Rebuild>,
    /// The Redis that has all this, where processes share one: for what else they share.
    pub shared: Option<RedisStore>,
}

impl From<EmbeddedStore> for Records {
    fn from(store: EmbeddedStore) -> Self {
        let feed = store.feed().clone();
        let beside = Beside {
            quotas: Arc::new(LocalQuotas::default()),
            jobs: Arc::new(LocalJobs::default()),
            peers: Arc::new(Alone),
            redis: None,
        };
        Self::of(store, beside, feed)
    }
}

impl From<RedisStore> for Records {
    fn from(store: RedisStore) -> Self {
        let feed = store.feed().clone();
        let shared = Arc::new(store.clone());
        let beside = Beside {
            quotas: shared.clone(),
            jobs: shared.clone(),
            peers: shared,
            redis: Some(store.clone()),
        };
        Self::of(store, beside, feed)
    }
}

/// What processes have beside the records.
struct Beside {
    quotas: Arc<dyn Quotas>,
    jobs: Arc<dyn Jobs>,
    peers: Arc<dyn Peers>,
    redis: Option<RedisStore>,
}

impl Records {
    fn of(
        store: impl TaskStore + Inventory + Outbox + Catalogue + Follow + Rebuild,
        beside: Beside,
        feed: Feed,
    ) -> Self {
        let shared = Arc::new(store);
        Self {
            store: shared.clone(),
            inventory: shared.clone(),
            outbox: shared.clone(),
            catalogue: shared.clone(),
            quotas: beside.quotas,
            jobs: beside.jobs,
            feed,
            follow: shared.clone(),
            peers: beside.peers,
            rebuild: shared,
            shared: beside.redis,
        }
    }
}
