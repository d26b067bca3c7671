//! The settings of a bucket of S3.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::{Address, Addressing, CreateOnly, Credentials, S3, provider};
use crate::storage::object::metrics::Metrics;
use crate::storage::object::settings::{Error, Opened, PARTS_MAX, Section, client, default_buffer_bytes, read};

/// A bucket of S3.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3Settings {
    /// Its name.
    pub bucket: String,
    /// What every key begins with, without a slash at either end; nothing when empty.
    #[serde(default)]
    pub prefix: String,
    /// The region that requests are signed for.
    #[serde(default = "default_region")]
    pub region: String,
    /// The service's URL without the bucket; S3's own of the region when absent.
    pub endpoint: Option<String>,
    /// How requests name the bucket.
    #[serde(default)]
    pub addressing: Addressing,
    /// How the store is told to create and never to replace.
    #[serde(default)]
    pub create_only: CreateOnly,
    /// Whether the endpoint may be plain HTTP elsewhere than on this machine.
    #[serde(default)]
    pub allow_http: bool,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The file with the access key's id; with [`S3Settings::secret_access_key_file`], or neither.
    pub access_key_id_file: Option<PathBuf>,
    /// The file with the secret access key.
    pub secret_access_key_file: Option<PathBuf>,
    /// Whether all parts of an object must be equal, as on R2: several objects are then not made one by copying.
    #[serde(default)]
    pub equal_parts: bool,
    /// What all uploads together may hold in memory on their way to the store, bytes.
    #[serde(default = "default_buffer_bytes")]
    pub buffer_bytes: usize,
    /// The most parts that the store takes in one multipart upload.
    #[serde(default = "default_parts_max")]
    pub parts_max: u32,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_parts_max() -> u32 {
    PARTS_MAX
}

/// Fewer parts would not do for what one multipart upload is used for here.
const PARTS_MIN: u32 = 100;
const SECTION: Section = Section("s3");

impl S3Settings {
    pub(in crate::storage::object) fn open(&self, metrics: Metrics) -> Result<Opened, Error> {
        SECTION.check_name("bucket", &self.bucket)?;
        SECTION.check_name("region", &self.region)?;
        let prefix = SECTION.prefix(&self.prefix)?;
        SECTION.check_buffer(self.buffer_bytes)?;
        SECTION.check_least("partsMax", self.parts_max.into(), PARTS_MIN.into())?;
        let credentials = self.credentials()?;
        let address = self.address()?;
        let http = client(self.ca_file.as_deref())?;
        let credentials = provider(credentials, &self.region, &http).map_err(Error::ReadEnvironment)?;
        let s3 = S3::new(
            http,
            address,
            self.region.clone(),
            credentials,
            self.create_only,
            metrics,
        );
        Ok(Opened {
            store: Arc::new(s3),
            prefix,
            parts_max: self.parts_max,
            joins: !self.equal_parts,
            buffer_bytes: self.buffer_bytes,
        })
    }

    fn credentials(&self) -> Result<Credentials, Error> {
        match (&self.access_key_id_file, &self.secret_access_key_file) {
            (Some(id), Some(secret)) => {
                for path in [id, secret] {
                    read(path)?;
                }
                Ok(Credentials::Files {
                    id: id.clone(),
                    secret: secret.clone(),
                })
            }
            (None, None) => Ok(Credentials::Environment),
            (Some(_), None) | (None, Some(_)) => Err(Error::PairKeys),
        }
    }

    fn address(&self) -> Result<Address, Error> {
        let own = || format!("https://s3.{}.amazonaws.com", self.region);
        let endpoint = self.endpoint.clone().unwrap_or_else(own);
        let endpoint = SECTION.endpoint(&endpoint, self.allow_http, false)?;
        let address = Address::new(&endpoint, &self.bucket, self.addressing);
        address.ok_or(Error::ParseEndpoint { section: SECTION.0 })
    }
}
