//! Credentials in files, read again as they change.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use object_store::CredentialProvider;
use tokio::time::Instant;

/// How often the files are looked at: a rotated secret is in use within this.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What makes a credential of the texts of the files, in their order.
type Make<T> = fn(Vec<String>) -> object_store::Result<T>;

/// A credential that is made of the texts of files.
pub(in crate::storage::object) struct Files<T> {
    paths: Vec<PathBuf>,
    make: Make<T>,
    read: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Files<T> {
    pub(in crate::storage::object) fn new(paths: Vec<PathBuf>, make: Make<T>) -> Self {
        Self {
            paths,
            make,
            read: Mutex::default(),
        }
    }
}

/// Where they are, and never what is in them.
impl<T> fmt::Debug for Files<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<T: Send + Sync> CredentialProvider for Files<T> {
    type Credential = T;

    async fn get_credential(&self) -> object_store::Result<Arc<T>> {
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, credential)) = known
            && at.elapsed() < LOOK_EVERY
        {
            return Ok(credential);
        }
        let mut texts = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let text = tokio::fs::read_to_string(path).await;
            let text = text.map_err(|source| object_store::Error::Generic {
                store: "files",
                source: Box::new(source),
            })?;
            texts.push(text.trim().to_owned());
        }
        let credential = Arc::new((self.make)(texts)?);
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), Arc::clone(&credential)));
        Ok(credential)
    }
}
