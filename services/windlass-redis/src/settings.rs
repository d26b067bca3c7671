//! Where Redis is, and what a write survives.

use std::path::PathBuf;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use serde::Deserialize;

use crate::access::{Access, Files};
use crate::view::Address;

/// The `redis` section of a configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// `redis://host:port/db`, or `rediss://` with TLS. It holds no password: it is printed.
    pub url: String,
    /// The ACL user; Redis's `default` when absent.
    #[serde(default)]
    pub username: Option<String>,
    /// The file that holds the ACL user, instead of `username`, so that it can change with the password.
    #[serde(default)]
    pub username_file: Option<PathBuf>,
    /// The file that holds the password; a line feed at its end does not count. Read again while it is in use.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The certificates, PEM, that the server's must come from; the system's when absent. Read again at each connection.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What an acknowledged write survives.
    #[serde(default)]
    pub durability: Durability,
    /// With `strict`: how many replicas must have a write before it counts.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Whether this is a Redis Cluster: `url` is one of its servers, which names the others.
    #[serde(default)]
    pub cluster: bool,
    /// More servers of the cluster, `HOST:PORT`, asked at the start while the first is away.
    #[serde(default)]
    pub nodes: Vec<String>,
}

fn one() -> u32 {
    1
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// What Redis itself promises: the last writes may be lost with the primary, and are found again in the storage.
    #[default]
    Available,
    /// The loss of the primary: a write counts when enough replicas have it.
    Strict,
}

/// A setting that cannot be; nothing of a password is said.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The URL is not one of Redis's.
    #[error("store.redis.url must be redis://HOST[:PORT][/DB] or rediss://…")]
    ParseUrl,
    /// The URL holds a password.
    #[error("store.redis.url must not hold a password: put it into passwordFile")]
    HidePassword,
    /// A file cannot be read.
    #[error("store.redis.{field}: the file cannot be read")]
    ReadFile {
        /// Which setting names it.
        field: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A user has one name.
    #[error("store.redis.username and usernameFile exclude each other")]
    NameUser,
    /// No replica could ever be too few.
    #[error("store.redis.replicas must be from 1 to 16")]
    CountReplicas,
    /// A cluster's server is no address, or there is no cluster.
    #[error("store.redis.nodes must be HOST:PORT each, and none without cluster: true")]
    ParseNode,
    /// A cluster has one data set.
    #[error("store.redis.url must not name a database with cluster: true")]
    ChooseDatabase,
    /// The certificates are none.
    #[error("store.redis.caFile holds no certificate")]
    ReadCertificates,
}

/// More replicas than any primary should have.
const REPLICAS_MAX: u32 = 16;

impl Settings {
    /// The settings of a server that asks for nothing.
    #[must_use]
    pub fn of(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            username: None,
            username_file: None,
            password_file: None,
            ca_file: None,
            durability: Durability::default(),
            replicas: one(),
            cluster: false,
            nodes: Vec::new(),
        }
    }

    /// Checks the settings and the files that they name.
    pub(crate) fn open(&self) -> Result<Access, ConfigureError> {
        if !(1..=REPLICAS_MAX).contains(&self.replicas) {
            return Err(ConfigureError::CountReplicas);
        }
        if self.username.is_some() && self.username_file.is_some() {
            return Err(ConfigureError::NameUser);
        }
        let is_redis = self.url.starts_with("redis://") || self.url.starts_with("rediss://");
        let info: ConnectionInfo = match self.url.as_str().into_connection_info() {
            Ok(info) if is_redis => info,
            Ok(_) | Err(_) => return Err(ConfigureError::ParseUrl),
        };
        if info.redis_settings().password().is_some() {
            return Err(ConfigureError::HidePassword);
        }
        if self.cluster && info.redis_settings().db() != 0 {
            return Err(ConfigureError::ChooseDatabase);
        }
        let first = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Address {
                host: host.clone(),
                port: *port,
            },
            _ => return Err(ConfigureError::ParseUrl),
        };
        let mut seeds = vec![first];
        for node in &self.nodes {
            let address = Address::read(node, &seeds[0]).filter(|_| self.cluster && !node.starts_with(':'));
            seeds.push(address.ok_or(ConfigureError::ParseNode)?);
        }
        let files = Files {
            username: self.username_file.clone(),
            password: self.password_file.clone(),
            authority: self.ca_file.clone(),
        };
        let access = Access::new(info, self.username.clone(), files, seeds);
        access.check()?;
        Ok(access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(settings: &Settings) -> String {
        settings.open().map(drop).unwrap_err().to_string()
    }

    #[test]
    fn settings_that_cannot_be_are_refused_without_saying_a_password() {
        for url in ["", "localhost", "http://localhost", "unix:///run/redis", "redis://"] {
            assert!(refusal(&Settings::of(url)).contains("store.redis.url"), "{url:?}");
        }
        let told = refusal(&Settings::of("redis://:geheim@localhost"));
        assert!(told.contains("passwordFile") && !told.contains("geheim"), "{told}");
        let absent = Settings {
            password_file: Some("/nonexistent/password".into()),
            ..Settings::of("redis://localhost")
        };
        assert!(refusal(&absent).contains("passwordFile"));
        let twice = Settings {
            username: Some("windlass".to_owned()),
            username_file: Some("/nonexistent/username".into()),
            ..Settings::of("redis://localhost")
        };
        assert!(refusal(&twice).contains("usernameFile"));
        let none = Settings {
            replicas: 0,
            ..Settings::of("redis://localhost")
        };
        assert!(refusal(&none).contains("replicas"));
        let cluster = |url: &str, nodes: &[&str]| Settings {
            cluster: true,
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
            ..Settings::of(url)
        };
        assert!(refusal(&cluster("redis://localhost/1", &[])).contains("database"));
        for node in ["", "other", ":7000", "other:port"] {
            assert!(
                refusal(&cluster("redis://localhost", &[node])).contains("nodes"),
                "{node:?}"
            );
        }
        let alone = Settings {
            nodes: vec!["other:7000".to_owned()],
            ..Settings::of("redis://localhost")
        };
        assert!(refusal(&alone).contains("cluster: true"));
        let seeds = cluster("redis://localhost:7000", &["other:7001"]).open().unwrap().seeds;
        assert_eq!(
            seeds.iter().map(Address::to_string).collect::<Vec<_>>(),
            ["localhost:7000", "other:7001"]
        );
    }

    #[tokio::test]
    async fn a_password_comes_from_its_file_without_the_line_feed_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "geheim\n").unwrap();
        let settings = Settings {
            username: Some("windlass".to_owned()),
            password_file: Some(file.path().to_owned()),
            ..Settings::of("redis://localhost:6379/3")
        };
        let access = settings.open().unwrap();
        let client = access.to(&access.seeds[0]).client().await.unwrap();
        let info = client.get_connection_info().redis_settings();
        assert_eq!(
            (info.username(), info.password(), info.db()),
            (Some("windlass"), Some("geheim"), 3)
        );
        std::fs::write(file.path(), "noch geheimer\n").unwrap();
        let client = access.to(&access.seeds[0]).client().await.unwrap();
        let password = client.get_connection_info().redis_settings().password();
        assert_eq!(password, Some("noch geheimer"));
    }
}
