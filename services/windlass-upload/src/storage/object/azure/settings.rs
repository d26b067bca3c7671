//! The settings of a container of Azure Blob Storage, and who the requests are from.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::azure::{AzureAccessKey, AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder, split_sas};
use reqwest::Url;
use serde::Deserialize;

use super::Azure;
use crate::storage::object::exchange::{Connector, Files};
use crate::storage::object::metrics::Metrics;
use crate::storage::object::settings::{Error, Opened, PARTS_MAX, Section, client, default_buffer_bytes, read};

/// A container of Azure Blob Storage.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AzureSettings {
    /// The storage account's name.
    pub account: String,
    /// The container's name.
    pub container: String,
    /// What every blob's name begins with, without a slash at either end; nothing when empty.
    #[serde(default)]
    pub prefix: String,
    /// The account's URL, without the container; Azure's own of the account when absent. Emulators have the account in
    /// its path.
    pub endpoint: Option<String>,
    /// Whether the endpoint may be plain HTTP elsewhere than on this machine.
    #[serde(default)]
    pub allow_http: bool,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The file with one of the account's keys.
    pub account_key_file: Option<PathBuf>,
    /// The file with a shared access signature, instead of a key.
    pub sas_token_file: Option<PathBuf>,
    /// What all uploads together may hold in memory on their way to the store, bytes.
    #[serde(default = "default_buffer_bytes")]
    pub buffer_bytes: usize,
}

const SECTION: Section = Section("azure");

impl AzureSettings {
    pub(in crate::storage::object) fn open(&self, metrics: Metrics) -> Result<Opened, Error> {
        // An account's name is the first label of a host's.
        if self.account.contains(['.', '_']) {
            return Err(Error::ParseName {
                section: SECTION.0,
                name: "account",
            });
        }
        SECTION.check_name("account", &self.account)?;
        SECTION.check_name("container", &self.container)?;
        let prefix = SECTION.prefix(&self.prefix)?;
        SECTION.check_buffer(self.buffer_bytes)?;
        let container = self.url()?;
        let http = client(self.ca_file.as_deref())?;
        let credentials = self.credentials(&http)?;
        let azure = Azure::new(http, container, self.account.clone(), credentials, metrics);
        Ok(Opened {
            store: Arc::new(azure),
            prefix,
            parts_max: PARTS_MAX,
            joins: true,
            buffer_bytes: self.buffer_bytes,
        })
    }

    /// The container's URL, with a slash at its end.
    fn url(&self) -> Result<Url, Error> {
        let own = || format!("https://{}.blob.core.windows.net", self.account);
        let endpoint = self.endpoint.clone().unwrap_or_else(own);
        let mut url = SECTION.endpoint(&endpoint, self.allow_http, true)?;
        let unusable = |()| Error::ParseEndpoint { section: SECTION.0 };
        let mut path = url.path_segments_mut().map_err(unusable)?;
        path.pop_if_empty().push(&self.container).push("");
        drop(path);
        Ok(url)
    }

    fn credentials(&self, http: &reqwest::Client) -> Result<AzureCredentialProvider, Error> {
        let (name, path, make): (_, _, fn(Vec<String>) -> _) = match (&self.account_key_file, &self.sas_token_file) {
            (Some(path), None) => ("accountKeyFile", path, key),
            (None, Some(path)) => ("sasTokenFile", path, signature),
            (Some(_), Some(_)) => return Err(Error::ChooseKey),
            (None, None) => {
                // Of all that the environment says of a store, only who asks: where it is, the configuration says.
                let store = MicrosoftAzureBuilder::from_env()
                    .with_account(&self.account)
                    .with_container_name("unused")
                    .with_http_connector(Connector(http.clone()))
                    .build();
                let store = store.map_err(Error::ReadEnvironment)?;
                return Ok(Arc::clone(store.credentials()));
            }
        };
        let text = String::from_utf8_lossy(&read(path)?).trim().to_owned();
        make(vec![text]).map_err(|source| Error::ReadCredential {
            section: SECTION.0,
            name,
            source,
        })?;
        Ok(Arc::new(Files::new(vec![path.clone()], make)))
    }
}

fn key(texts: Vec<String>) -> object_store::Result<AzureCredential> {
    Ok(AzureCredential::AccessKey(AzureAccessKey::try_new(&texts.concat())?))
}

fn signature(texts: Vec<String>) -> object_store::Result<AzureCredential> {
    Ok(AzureCredential::SASToken(split_sas(&texts.concat())?))
}
