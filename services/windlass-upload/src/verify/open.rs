//! Opening the places of an upload service to look at them: its records to be read only, its storage as it is.

use std::path::PathBuf;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use windlass_serve::{Shutdown, Tracker};
use windlass_task::store::{self, EmbeddedReader};
use windlass_task::{Inventory, RedisStore};

use super::{Rules, Verifier};
use crate::config::{self, Config};
use crate::embedded::{self, Places};
use crate::service::{Parts, Upload};
use crate::storage::{self, Disk, ObjectStorage, Storage, object};

/// Why nothing can be looked at.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting cannot be.
    #[error(transparent)]
    ReadConfig(#[from] config::Error),
    /// The store that pods share cannot be.
    #[error(transparent)]
    ConfigureStore(#[from] store::ConfigureError),
    /// The object store's settings cannot be.
    #[error(transparent)]
    ReadStorage(#[from] object::SettingsError),
    /// There are no records.
    #[error(
        "{} has no records: it is no data directory, or they are lost and come back when the service is started on it",
        path.display()
    )]
    FindRecords {
        /// Where they should be.
        path: PathBuf,
    },
    /// There is no storage beside the records.
    #[error("{} is missing", path.display())]
    FindStorage {
        /// Where it should be.
        path: PathBuf,
    },
    /// The records cannot be opened.
    #[error("cannot read the records")]
    OpenRecords(#[from] store::Error),
    /// The bytes' directory cannot be opened.
    #[error("cannot read the storage")]
    OpenStorage(#[from] storage::Error),
    /// The service that would apply a plan cannot be put together.
    #[error(transparent)]
    OpenService(#[from] embedded::Error),
}

/// Opens the places of a service, which may be running, to be looked at.
///
/// # Errors
/// [`OpenError`]; nothing was changed.
pub fn open(places: Places<'_>, config: &Config, digests: bool) -> Result<Verifier, OpenError> {
    let validated = config.validate()?;
    let storage: Arc<dyn Storage> = match places.bucket {
        Some(settings) => Arc::new(ObjectStorage::open(settings, &mut Registry::default())?),
        None => Arc::new(disk(places)?),
    };
    let inventory: Arc<dyn Inventory> = match &places.store.redis {
        Some(settings) => Arc::new(RedisStore::open(settings)?),
        None => Arc::new(records(places)?),
    };
    let rules = Rules {
        safe_age: validated.safe_age,
        lifetime: validated.lifetime,
        digests,
    };
    Ok(Verifier::new(inventory, storage, rules))
}

fn records(places: Places<'_>) -> Result<EmbeddedReader, OpenError> {
    EmbeddedReader::open(places.data_dir)?.ok_or_else(|| OpenError::FindRecords {
        path: places.data_dir.to_owned(),
    })
}

fn disk(places: Places<'_>) -> Result<Disk, OpenError> {
    let path = places.data_dir.join(embedded::UPLOADS);
    if path.is_dir() {
        Ok(Disk::open(&path, storage::Durability::Process)?)
    } else {
        Err(OpenError::FindStorage { path })
    }
}

/// Opens them as a service does, to apply a plan: the embedded store has one process, so it must not be running then.
///
/// # Errors
/// [`OpenError`]; nothing was changed.
pub fn open_to_apply(places: Places<'_>, config: &Config) -> Result<Arc<Upload>, OpenError> {
    if places.store.redis.is_none() {
        // A service would make what is missing.
        records(places)?;
    }
    if places.bucket.is_none() {
        disk(places)?;
    }
    let mut registry = Registry::default();
    let (records, storage) = embedded::open_places(places, config, &mut registry)?;
    let parts = Parts::of(&records, storage, Shutdown::new(), Tracker::new(), false);
    Ok(Upload::new(config, parts, &mut registry)?)
}
