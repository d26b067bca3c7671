//! The `upload.tusd` section: where tusd's uploads are, and what becomes of them.

use std::path::PathBuf;

use serde::Deserialize;
use windlass_task::{Owner, Tenant};

use crate::storage::Transfer;

/// First segments of paths that have a meaning of their own.
const RESERVED: [&str; 10] = [
    "tasks",
    "events",
    "ws",
    "connection",
    "emulation",
    "api",
    "metrics",
    "healthz",
    "readyz",
    "assets",
];

/// What is taken over from tusd.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// tusd's `-upload-dir`.
    pub directory: PathBuf,
    /// tusd's `-base-path`: the path under which its uploads' URLs are.
    #[serde(default = "base_path")]
    pub base_path: String,
    /// How the bytes come over.
    #[serde(default)]
    pub transfer: Transfer,
    /// Whose the uploads become.
    #[serde(default = "Tenant::default_tenant")]
    pub tenant: Tenant,
    /// Who is their owner: whose list of tasks has them, and whose token may watch them.
    #[serde(default = "Owner::local")]
    pub owner: Owner,
}

// tusd's default.
fn base_path() -> String {
    "/files/".to_owned()
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is none.
    #[error("upload.tusd.directory {} is no directory", path.display())]
    FindDirectory {
        /// What was given.
        path: PathBuf,
    },
    /// The base path is none.
    #[error(
        "upload.tusd.basePath must begin and end with a slash, have only letters, digits, '-', '.', '_' and '~' between \
         slashes, and be none of this server's own paths"
    )]
    ParseBasePath,
    /// The directory is out of reach of links.
    #[error(
        "upload.tusd.directory {} is on another file system than the data directory, so its files cannot be linked: \
         move one of the two, or set upload.tusd.transfer to copy", path.display()
    )]
    LinkDirectory {
        /// The directory.
        path: PathBuf,
    },
}

impl Settings {
    /// # Errors
    /// [`Error`] for whatever cannot be.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let inner = self
            .base_path
            .strip_prefix('/')
            .and_then(|path| path.strip_suffix('/'))
            .ok_or(Error::ParseBasePath)?;
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let plain =
            |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(unreserved);
        let own = RESERVED.iter().any(|name| inner.split('/').next() == Some(name));
        // Below `/files/` each path is an upload's already.
        if !inner.split('/').all(plain) || own || inner.starts_with("files/") {
            return Err(Error::ParseBasePath);
        }
        if !self.directory.is_dir() {
            let path = self.directory.clone();
            return Err(Error::FindDirectory { path });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_are_plain_and_take_no_path_of_the_servers_own() {
        let directory = tempfile::tempdir().unwrap();
        let valid = |base_path: &str| {
            let settings = Settings {
                directory: directory.path().to_owned(),
                base_path: base_path.to_owned(),
                transfer: Transfer::Link,
                tenant: Tenant::default_tenant(),
                owner: Owner::local(),
            };
            settings.validate().is_ok()
        };
        for good in ["/files/", "/uploads/", "/a/b-c.d/", "/v1/files/"] {
            assert!(valid(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "files",
            "/files",
            "files/",
            "//",
            "/a//b/",
            "/{id}/",
            "/../",
            "/tasks/",
            "/api/x/",
            "/files/x/",
            "/a b/",
        ] {
            assert!(!valid(bad), "{bad}");
        }
    }
}
