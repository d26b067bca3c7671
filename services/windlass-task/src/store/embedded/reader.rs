//! The embedded store as somebody reads it who is not its process: beside it, or while nobody has it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::DATABASE;
use super::database::Database;
use crate::id::TaskKey;
use crate::store::Error;
use crate::store::inventory::{Inventory, Keys, Known, Mark};

/// Reads what the store's process has committed. It changes no record, takes no lock that the process would wait for, and
/// sees each commit whole.
#[derive(Clone)]
pub struct EmbeddedReader {
    database: Arc<Mutex<Database>>,
}

impl EmbeddedReader {
    /// Reads the store in `directory`; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::UseDatabase`], [`Error::ReadSchema`].
    pub fn open(directory: &Path) -> Result<Option<Self>, Error> {
        let path = directory.join(DATABASE);
        if !path.is_file() {
            return Ok(None);
        }
        let database = Arc::new(Mutex::new(Database::open_to_read(&path)?));
        Ok(Some(Self { database }))
    }

    /// A question is some ten microseconds, and nobody else waits for this process's threads.
    fn ask<T>(&self, question: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        question(&self.database.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Inventory for EmbeddedReader {
    async fn keys(&self, after: Option<&Mark>, limit: usize) -> Result<Keys, Error> {
        self.ask(|database| database.keys(after, limit))
    }

    async fn known(&self, key: &TaskKey) -> Result<Known, Error> {
        self.ask(|database| {
            Ok(Known {
                entry: database.load(key)?,
                generation: database.generation(),
            })
        })
    }
}
