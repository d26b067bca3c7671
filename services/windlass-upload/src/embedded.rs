//! The service on one machine: records in an embedded store, bytes on the disk beside it.

use std::path::Path;
use std::sync::Arc;

use windlass_serve::Program;
use windlass_task::EmbeddedStore;
use windlass_task::quota::LocalQuotas;
use windlass_task::store::{self, Options};

use crate::config::{self, Config};
use crate::service::{Parts, Upload};
use crate::storage::{self, Disk, Transfer};
use crate::tusd;

/// What an upload service on one machine consists of.
pub struct Embedded {
    /// The records; whoever else speaks of tasks in this process shares it.
    pub store: EmbeddedStore,
    /// The service.
    pub upload: Arc<Upload>,
}

/// Why the service cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be.
    #[error(transparent)]
    ReadConfig(#[from] config::Error),
    /// The records cannot be opened.
    #[error("cannot use the data directory")]
    OpenStore(#[from] store::Error),
    /// The bytes' directory cannot be opened.
    #[error("cannot use the data directory")]
    OpenStorage(#[from] storage::Error),
}

/// Opens `data_dir`, and puts the service together as part of `program`.
///
/// # Errors
/// [`Error`]; a setting is refused before anything is opened.
pub fn open(data_dir: &Path, config: &Config, program: &mut Program) -> Result<Embedded, Error> {
    config.validate()?;
    let (record, bytes) = if config.survive_power_cut {
        (store::Durability::PowerCut, storage::Durability::PowerCut)
    } else {
        (store::Durability::Process, storage::Durability::Process)
    };
    let store = EmbeddedStore::open(
        data_dir,
        Options {
            durability: record,
            ..Options::default()
        },
    )?;
    let disk = Disk::open(&data_dir.join("uploads"), bytes)?;
    if let Some(tusd) = &config.tusd
        && tusd.transfer == Transfer::Link
        && !disk.shares_file_system(&tusd.directory)?
    {
        let path = tusd.directory.clone();
        return Err(config::Error::from(tusd::settings::Error::LinkDirectory { path }).into());
    }
    let shared = Arc::new(store.clone());
    let parts = Parts {
        store: shared.clone(),
        outbox: shared.clone(),
        catalogue: shared,
        quotas: Arc::new(LocalQuotas::default()),
        feed: store.feed().clone(),
        storage: Arc::new(disk),
        shutdown: program.shutdown(),
        tracker: program.tracker(),
        demands_token: program.authenticator().demands_token(),
    };
    let upload = Upload::new(config, parts, program.registry())?;
    Ok(Embedded { store, upload })
}
