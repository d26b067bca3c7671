//! The documents of an upload: small objects of JSON, each created once.

use std::path::PathBuf;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::name::Name;
use super::retry::Patience;
use super::writer::Begin;
use super::{ObjectStorage, failed};
use crate::storage::Error;

impl ObjectStorage {
    /// Creates a document; the same one twice is one.
    pub(super) async fn create_document(&self, key: &str, document: &impl Serialize) -> Result<(), Error> {
        let bytes: Bytes = serde_json::to_vec(document)
            .map_err(|source| Error::EncodeDocument { source })?
            .into();
        let created = self.store.create(key, bytes.clone().into(), Patience::REQUEST).await;
        if created.map_err(failed(key))? {
            return Ok(());
        }
        // By somebody else, or by a try whose answer was lost.
        match self.store.get(key).await.map_err(failed(key))? {
            Some(there) if there == bytes => Ok(()),
            Some(_) | None => Err(Error::CreateDocument {
                path: PathBuf::from(key),
            }),
        }
    }

    pub(super) async fn read_document<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(bytes) = self.store.get(key).await.map_err(failed(key))? else {
            return Ok(None);
        };
        let read = serde_json::from_slice(&bytes).map_err(|source| Error::ReadDocument {
            path: PathBuf::from(key),
            source,
        });
        read.map(Some)
    }

    /// The documents that say where runs of parts began.
    pub(super) async fn read_begins(&self, folder: &str, names: &[Name]) -> Result<Vec<Begin>, Error> {
        let mut begins = Vec::new();
        for name in names.iter().filter(|name| matches!(name, Name::Begin { .. })) {
            begins.extend(self.read_document::<Begin>(&format!("{folder}{name}")).await?);
        }
        Ok(begins)
    }
}
