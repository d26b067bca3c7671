//! The `storage` section of a configuration file, and what its stores have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::azure::AzureSettings;
use super::exchange;
use super::gcs::GcsSettings;
use super::metrics::Metrics;
use super::s3::S3Settings;
use super::store::Store;

/// Where bytes are kept other than on the disk beside the records: exactly one of these.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// A bucket of S3 or of what speaks its protocol.
    pub s3: Option<Box<S3Settings>>,
    /// A bucket of Google Cloud Storage.
    pub gcs: Option<Box<GcsSettings>>,
    /// A container of Azure Blob Storage.
    pub azure: Option<Box<AzureSettings>>,
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No store, or more than one.
    #[error("storage must have one of s3, gcs and azure")]
    ChooseStore,
    /// A name is outside what needs no encoding in a URL.
    #[error("storage.{section}.{name} must be made of letters, digits, `.`, `_` and `-`{}", if *name == "prefix" { ", with `/` between them" } else { "" })]
    ParseName {
        /// Of which store.
        section: &'static str,
        /// Which.
        name: &'static str,
    },
    /// The endpoint is no URL, or one that cannot carry the bucket.
    #[error(
        "storage.{section}.endpoint must be an http or https URL of a host alone{}",
        match *section {
            "s3" => ", with a name where addressing is virtualHosted",
            "azure" => ", or of a host and an account",
            _ => "",
        }
    )]
    ParseEndpoint {
        /// Of which store.
        section: &'static str,
    },
    /// Bytes and signatures would go over the network in the clear.
    #[error(
        "storage.{section}.endpoint must be https, or http on a loopback address; allowHttp: true takes it all the same"
    )]
    RequireTls {
        /// Of which store.
        section: &'static str,
    },
    /// One of two files is missing.
    #[error("storage.s3.accessKeyIdFile and secretAccessKeyFile go together")]
    PairKeys,
    /// Two files say who asks.
    #[error("storage.azure.accountKeyFile and sasTokenFile exclude one another")]
    ChooseKey,
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("storage.{section}.{name} does not name what it should")]
    ReadCredential {
        /// Of which store.
        section: &'static str,
        /// The setting that names it.
        name: &'static str,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// A number is too small.
    #[error("storage.{section}.{name} must be at least {least}")]
    RequireAtLeast {
        /// Of which store.
        section: &'static str,
        /// Which.
        name: &'static str,
        /// The smallest.
        least: u64,
    },
    /// An upload could live longer than its parts.
    #[error("upload.lifetime must be shorter than {} hours: this store drops unfinished parts after that", limit.as_secs() / 3_600)]
    ShortenLifetime {
        /// How long they stay.
        limit: Duration,
    },
    /// The HTTP client cannot be made.
    #[error("cannot make a client for the object store")]
    MakeClient(#[source] reqwest::Error),
    /// What the environment says of credentials cannot be used.
    #[error("the environment's credentials for the object store cannot be used")]
    ReadEnvironment(#[source] object_store::Error),
}

/// A store as the settings name it, and what is kept to in it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    /// What every key begins with; empty, or with a slash at its end.
    pub(super) prefix: String,
    pub(super) parts_max: u32,
    /// Whether several objects are made one.
    pub(super) joins: bool,
    pub(super) buffer_bytes: usize,
}

impl Settings {
    /// Nothing is sent yet.
    pub(super) fn open(&self, metrics: Metrics) -> Result<Opened, Error> {
        match (&self.s3, &self.gcs, &self.azure) {
            (Some(s3), None, None) => s3.open(metrics),
            (None, Some(gcs), None) => gcs.open(metrics),
            (None, None, Some(azure)) => azure.open(metrics),
            _ => Err(Error::ChooseStore),
        }
    }
}

/// The most parts of one object: S3, Alibaba OSS, R2 and MinIO take 10,000 (each vendor's limits page), Azure 50,000 blocks,
/// GCS any number of components.
pub(super) const PARTS_MAX: u32 = 10_000;
/// The smallest budget: what one part of the usual size takes, twice.
const BUFFER_BYTES_MIN: usize = 16 * 1024 * 1024;

/// Ten uploads at full speed, each with a part that fills and two under way, or a thousand slow ones.
pub(super) fn default_buffer_bytes() -> usize {
    256 * 1024 * 1024
}

/// Checks what the settings of each store have, with the store's name in what is refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section(pub(super) &'static str);

impl Section {
    pub(super) fn check_name(self, name: &'static str, text: &str) -> Result<(), Error> {
        if text.is_empty() || !is_plain(text) {
            return Err(Error::ParseName { section: self.0, name });
        }
        Ok(())
    }

    /// A prefix as keys begin with it.
    pub(super) fn prefix(self, text: &str) -> Result<String, Error> {
        if text.is_empty() {
            return Ok(String::new());
        }
        let mut pieces = text.split('/');
        if pieces.all(|piece| is_plain(piece) && !matches!(piece, "" | "." | "..")) {
            Ok(format!("{text}/"))
        } else {
            Err(Error::ParseName {
                section: self.0,
                name: "prefix",
            })
        }
    }

    pub(super) fn check_least(self, name: &'static str, value: u64, least: u64) -> Result<(), Error> {
        if value < least {
            return Err(Error::RequireAtLeast {
                section: self.0,
                name,
                least,
            });
        }
        Ok(())
    }

    pub(super) fn check_buffer(self, bytes: usize) -> Result<(), Error> {
        self.check_least("bufferBytes", bytes as u64, BUFFER_BYTES_MIN as u64)
    }

    /// The URL of the service, which may have a path only where `with_path`.
    pub(super) fn endpoint(self, text: &str, allow_http: bool, with_path: bool) -> Result<Url, Error> {
        let unusable = || Error::ParseEndpoint { section: self.0 };
        let endpoint: Url = text.parse().map_err(|_| unusable())?;
        let bare = (with_path || endpoint.path() == "/") && endpoint.query().is_none() && endpoint.fragment().is_none();
        let anonymous = endpoint.username().is_empty() && endpoint.password().is_none();
        if !matches!(endpoint.scheme(), "http" | "https") || !bare || !anonymous {
            return Err(unusable());
        }
        if endpoint.scheme() == "http" && !allow_http && !is_loopback(&endpoint) {
            return Err(Error::RequireTls { section: self.0 });
        }
        Ok(endpoint)
    }
}

/// A client that trusts the certificates of a file too.
pub(super) fn client(trusted: Option<&Path>) -> Result<reqwest::Client, Error> {
    let trusted = match trusted {
        None => Vec::new(),
        Some(path) => reqwest::Certificate::from_pem_bundle(&read(path)?).map_err(Error::MakeClient)?,
    };
    exchange::client(trusted).map_err(Error::MakeClient)
}

/// A file that must be there when the process starts.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::ReadFile {
        path: path.to_owned(),
        source,
    })
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    fn open(text: &str) -> Result<Opened, String> {
        let settings: Settings = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let metrics = Metrics::register(&mut Registry::default());
        settings.open(metrics).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bucket_alone_is_enough_and_what_cannot_be_is_refused_with_its_name() {
        for text in [
            "s3: { bucket: uploads }",
            "s3: { bucket: b, endpoint: 'http://127.0.0.1:9000', addressing: path, prefix: a/b }",
            "s3: { bucket: b, endpoint: 'http://minio.internal:9000', allowHttp: true }",
            "gcs: { bucket: uploads }",
            "gcs: { bucket: b, endpoint: 'http://127.0.0.1:4443', prefix: a/b }",
            "azure: { account: acme, container: uploads }",
            "azure: { account: a, container: b, endpoint: 'http://127.0.0.1:10000/a' }",
        ] {
            let opened = open(text);
            assert!(opened.is_ok(), "{text}: {opened:?}");
        }
        let azure: Settings = serde_yaml::from_str("azure: { account: a, container: b }").unwrap();
        let azure = super::super::ObjectStorage::open(&azure, &mut Registry::default()).unwrap();
        let day = Duration::from_secs(24 * 3_600);
        assert!(azure.check_lifetime(6 * day).is_ok() && azure.check_lifetime(7 * day).is_err());
        for (text, word) in [
            ("{}", "one of"),
            ("{ s3: { bucket: b }, gcs: { bucket: b } }", "one of"),
            ("s3: { bucket: '' }", "bucket"),
            ("s3: { bucket: a/b }", "bucket"),
            ("s3: { bucket: b, prefix: /a }", "prefix"),
            ("s3: { bucket: b, prefix: a/../b }", "prefix"),
            ("s3: { bucket: b, endpoint: 'http://minio.internal:9000' }", "https"),
            ("s3: { bucket: b, endpoint: 'http://127.0.0.1:9000' }", "endpoint"),
            ("s3: { bucket: b, endpoint: 'https://user:secret@host' }", "endpoint"),
            ("s3: { bucket: b, endpoint: 'https://host/path' }", "endpoint"),
            ("s3: { bucket: b, bufferBytes: 1 }", "bufferBytes"),
            ("s3: { bucket: b, accessKeyIdFile: /nowhere }", "go together"),
            ("s3: { bucket: b, buckets: c }", "buckets"),
            ("s4: { bucket: b }", "s4"),
            ("gcs: { bucket: a/b }", "storage.gcs.bucket"),
            ("gcs: { bucket: b, endpoint: 'http://gcs.internal' }", "https"),
            ("gcs: { bucket: b, endpoint: 'https://host/path' }", "endpoint"),
            ("gcs: { bucket: b, serviceAccountFile: /nowhere }", "/nowhere"),
            ("gcs: { bucket: b, bufferBytes: 1 }", "bufferBytes"),
            ("azure: { account: a }", "container"),
            ("azure: { account: a.b, container: c }", "account"),
            ("azure: { account: a, container: a/b }", "container"),
            (
                "azure: { account: a, container: c, endpoint: 'https://host?sig=x' }",
                "endpoint",
            ),
            (
                "azure: { account: a, container: c, accountKeyFile: /nowhere }",
                "/nowhere",
            ),
            (
                "azure: { account: a, container: c, accountKeyFile: /x, sasTokenFile: /y }",
                "exclude",
            ),
        ] {
            let error = open(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
