//! The settings of a bucket of Google Cloud Storage, and who the requests are from.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder};
use serde::Deserialize;

use super::Gcs;
use crate::storage::object::exchange::Connector;
use crate::storage::object::metrics::Metrics;
use crate::storage::object::settings::{Error, Opened, PARTS_MAX, Section, client, default_buffer_bytes, read};

/// A bucket of Google Cloud Storage.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GcsSettings {
    /// Its name.
    pub bucket: String,
    /// What every key begins with, without a slash at either end; nothing when empty.
    #[serde(default)]
    pub prefix: String,
    /// The service's URL; Google's own when absent.
    #[serde(default = "default_endpoint")]
    pub endpoint: String,
    /// Whether the endpoint may be plain HTTP elsewhere than on this machine.
    #[serde(default)]
    pub allow_http: bool,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The file with a service account's key (JSON), read when the process starts.
    pub service_account_file: Option<PathBuf>,
    /// What all uploads together may hold in memory on their way to the store, bytes.
    #[serde(default = "default_buffer_bytes")]
    pub buffer_bytes: usize,
}

fn default_endpoint() -> String {
    "https://storage.googleapis.com".to_owned()
}

const SECTION: Section = Section("gcs");

impl GcsSettings {
    pub(in crate::storage::object) fn open(&self, metrics: Metrics) -> Result<Opened, Error> {
        SECTION.check_name("bucket", &self.bucket)?;
        let prefix = SECTION.prefix(&self.prefix)?;
        SECTION.check_buffer(self.buffer_bytes)?;
        let endpoint = SECTION.endpoint(&self.endpoint, self.allow_http, false)?;
        let http = client(self.ca_file.as_deref())?;
        let credentials = self.credentials(&http)?;
        let gcs = Gcs::new(http, endpoint, self.bucket.clone(), credentials, metrics);
        Ok(Opened {
            store: Arc::new(gcs),
            prefix,
            parts_max: PARTS_MAX,
            joins: true,
            buffer_bytes: self.buffer_bytes,
        })
    }

    fn credentials(&self, http: &reqwest::Client) -> Result<GcpCredentialProvider, Error> {
        let builder = match &self.service_account_file {
            Some(path) => {
                let text = String::from_utf8_lossy(&read(path)?).into_owned();
                GoogleCloudStorageBuilder::new().with_service_account_key(text)
            }
            // Of all that the environment says of a store, only who asks: where it is, the configuration says.
            None => GoogleCloudStorageBuilder::from_env(),
        };
        let store = builder
            .with_bucket_name("unused")
            .with_http_connector(Connector(http.clone()))
            .build();
        let store = store.map_err(|source| match self.service_account_file {
            Some(_) => Error::ReadCredential {
                section: SECTION.0,
                name: "serviceAccountFile",
                source,
            },
            None => Error::ReadEnvironment(source),
        })?;
        Ok(Arc::clone(store.credentials()))
    }
}
