//! The `storage` section of a configuration file.

use std::path::PathBuf;

use reqwest::Url;
use serde::Deserialize;

use super::s3::{Address, Addressing, CreateOnly, Credentials};

/// Where bytes are kept other than on the disk beside the records.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// A bucket of S3 or of what speaks its protocol.
    pub s3: Box<S3Settings>,
}

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

/// Ten uploads at full speed, each with a part that fills and two under way, or a thousand slow ones.
fn default_buffer_bytes() -> usize {
    256 * 1024 * 1024
}

/// S3, Alibaba OSS, R2 and MinIO take 10,000 (each vendor's limits page).
fn default_parts_max() -> u32 {
    10_000
}

/// The smallest budget: what one part of the usual size takes, twice.
const BUFFER_BYTES_MIN: usize = 16 * 1024 * 1024;
/// Fewer parts would not do for what one multipart upload is used for here.
const PARTS_MIN: u32 = 100;

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name is outside what needs no encoding in a URL.
    #[error("storage.s3.{name} must be made of letters, digits, `.`, `_` and `-`{}", if *name == "prefix" { ", with `/` between them" } else { "" })]
    ParseName {
        /// Which.
        name: &'static str,
    },
    /// The endpoint is no URL, or one that cannot carry the bucket.
    #[error(
        "storage.s3.endpoint must be an http or https URL of a host alone, with a name where addressing is virtualHosted"
    )]
    ParseEndpoint,
    /// Bytes and signatures would go over the network in the clear.
    #[error("storage.s3.endpoint must be https, or http on a loopback address; allowHttp: true takes it all the same")]
    RequireTls,
    /// One of two files is missing.
    #[error("storage.s3.accessKeyIdFile and secretAccessKeyFile go together")]
    PairKeys,
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A number is too small.
    #[error("storage.s3.{name} must be at least {least}")]
    RequireAtLeast {
        /// Which.
        name: &'static str,
        /// The smallest.
        least: u64,
    },
    /// The HTTP client cannot be made.
    #[error("cannot make a client for the object store")]
    MakeClient(#[source] reqwest::Error),
    /// What the environment says of credentials cannot be used.
    #[error("the environment's credentials for the object store cannot be used")]
    ReadEnvironment(#[source] object_store::Error),
}

/// A bucket that can be.
#[derive(Debug)]
pub(super) struct Validated {
    pub(super) address: Address,
    pub(super) credentials: Credentials,
    pub(super) trusted: Vec<reqwest::Certificate>,
}

impl S3Settings {
    pub(super) fn validate(&self) -> Result<Validated, Error> {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        for (name, text) in [("bucket", &self.bucket), ("region", &self.region)] {
            if text.is_empty() || !plain(text) {
                return Err(Error::ParseName { name });
            }
        }
        let mut pieces = self.prefix.split('/');
        if !self.prefix.is_empty() && !pieces.all(|piece| plain(piece) && !matches!(piece, "" | "." | "..")) {
            return Err(Error::ParseName { name: "prefix" });
        }
        for (name, value, least) in [
            ("bufferBytes", self.buffer_bytes as u64, BUFFER_BYTES_MIN as u64),
            ("partsMax", u64::from(self.parts_max), u64::from(PARTS_MIN)),
        ] {
            if value < least {
                return Err(Error::RequireAtLeast { name, least });
            }
        }
        let credentials = match (&self.access_key_id_file, &self.secret_access_key_file) {
            (Some(id), Some(secret)) => {
                for path in [id, secret] {
                    std::fs::read(path).map_err(|source| read_failed(path, source))?;
                }
                Credentials::Files {
                    id: id.clone(),
                    secret: secret.clone(),
                }
            }
            (None, None) => Credentials::Environment,
            (Some(_), None) | (None, Some(_)) => return Err(Error::PairKeys),
        };
        let trusted = match &self.ca_file {
            None => Vec::new(),
            Some(path) => {
                let pem = std::fs::read(path).map_err(|source| read_failed(path, source))?;
                reqwest::Certificate::from_pem_bundle(&pem).map_err(Error::MakeClient)?
            }
        };
        Ok(Validated {
            address: self.address()?,
            credentials,
            trusted,
        })
    }

    fn address(&self) -> Result<Address, Error> {
        let own = || format!("https://s3.{}.amazonaws.com", self.region);
        let endpoint: Url = self
            .endpoint
            .clone()
            .unwrap_or_else(own)
            .parse()
            .map_err(|_| Error::ParseEndpoint)?;
        let bare = endpoint.path() == "/" && endpoint.query().is_none() && endpoint.fragment().is_none();
        let anonymous = endpoint.username().is_empty() && endpoint.password().is_none();
        if !matches!(endpoint.scheme(), "http" | "https") || !bare || !anonymous {
            return Err(Error::ParseEndpoint);
        }
        if endpoint.scheme() == "http" && !self.allow_http && !is_loopback(&endpoint) {
            return Err(Error::RequireTls);
        }
        Address::new(&endpoint, &self.bucket, self.addressing).ok_or(Error::ParseEndpoint)
    }
}

fn read_failed(path: &std::path::Path, source: std::io::Error) -> Error {
    Error::ReadFile {
        path: path.to_owned(),
        source,
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Validated, String> {
        let settings: Settings = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        settings.s3.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn a_bucket_alone_is_enough_and_what_cannot_be_is_refused_with_its_name() {
        assert!(read("s3: { bucket: uploads }").is_ok());
        assert!(read("s3: { bucket: b, endpoint: 'http://127.0.0.1:9000', addressing: path, prefix: a/b }").is_ok());
        assert!(read("s3: { bucket: b, endpoint: 'http://minio.internal:9000', allowHttp: true }").is_ok());
        for (text, word) in [
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
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
