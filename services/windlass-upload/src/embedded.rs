//! The service put together: records in an embedded store or in the Redis that its pods share, bytes on the disk or in a
//! bucket.

use std::path::Path;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use windlass_serve::Program;
use windlass_task::EmbeddedStore;
use windlass_task::store::{self, Options, Records};

use crate::config::{self, Config};
use crate::service::{Parts, Upload};
use crate::storage::{self, Disk, ObjectStorage, Storage, Transfer, object};
use crate::tusd;

/// The folder of the bytes, in the data directory.
pub(crate) const UPLOADS: &str = "uploads";

/// Where an upload service keeps what it has.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The folder for whatever is kept on this machine.
    pub data_dir: &'a Path,
    /// Where the records are, if not there.
    pub store: &'a store::Settings,
    /// Where the bytes are, if not there.
    pub bucket: Option<&'a object::Settings>,
}

/// What an upload service consists of.
pub struct Embedded {
    /// The records; whoever else speaks of tasks in this process shares them.
    pub records: Records,
    /// The service.
    pub upload: Arc<Upload>,
}

/// Why the service cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be.
    #[error(transparent)]
    ReadConfig(#[from] config::Error),
    /// The store that pods share cannot be.
    #[error(transparent)]
    ConfigureStore(#[from] store::ConfigureError),
    /// The object store's settings cannot be.
    #[error(transparent)]
    ReadStorage(#[from] object::SettingsError),
    /// The records cannot be opened.
    #[error("cannot use the data directory")]
    OpenStore(#[from] store::Error),
    /// The bytes' directory cannot be opened.
    #[error("cannot use the data directory")]
    OpenStorage(#[from] storage::Error),
}

/// Opens the places and puts the service together as part of `program`.
///
/// # Errors
/// [`Error`]; a setting is refused before anything is opened.
pub fn open(places: Places<'_>, config: &Config, program: &mut Program) -> Result<Embedded, Error> {
    let (records, storage) = open_places(places, config, program.registry())?;
    let demands_token = program.authenticator().demands_token();
    let (shutdown, tracker) = (program.shutdown(), program.tracker());
    let parts = Parts::of(&records, storage, shutdown, tracker, demands_token);
    let upload = Upload::new(config, parts, program.registry())?;
    Ok(Embedded { records, upload })
}

/// Opens the places; a setting is refused before anything is opened.
pub(crate) fn open_places(
    places: Places<'_>,
    config: &Config,
    registry: &mut Registry,
) -> Result<(Records, Arc<dyn Storage>), Error> {
    let Places {
        data_dir,
        store,
        bucket,
    } = places;
    config.validate()?;
    let bucket = bucket
        .map(|settings| ObjectStorage::open(settings, registry))
        .transpose()?;
    if let Some(bucket) = &bucket {
        bucket.check_lifetime(config.lifetime.0)?;
    }
    let (record, bytes) = if config.survive_power_cut {
        (store::Durability::PowerCut, storage::Durability::PowerCut)
    } else {
        (store::Durability::Process, storage::Durability::Process)
    };
    let options = Options {
        durability: record,
        ..Options::default()
    };
    let records: Records = match store.shared()? {
        Some(store) => {
            store.register(registry);
            store.into()
        }
        None if config.announce.is_some() => return Err(config::Error::AnnounceNowhere.into()),
        None => EmbeddedStore::open(data_dir, options)?.into(),
    };
    let storage: Arc<dyn Storage> = match bucket {
        Some(bucket) => Arc::new(bucket),
        None => {
            let disk = Disk::open(&data_dir.join(UPLOADS), bytes)?;
            if let Some(tusd) = &config.tusd
                && tusd.transfer == Transfer::Link
                && !disk.shares_file_system(&tusd.directory)?
            {
                let path = tusd.directory.clone();
                return Err(config::Error::from(tusd::settings::Error::LinkDirectory { path }).into());
            }
            Arc::new(disk)
        }
    };
    Ok((records, storage))
}
