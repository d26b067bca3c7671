//! `spec.redis`.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{RedisSpec, SecretKey};

/// Where records and channels are kept: exactly one of these.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "has(self.external) != has(self.managed)",
    "write exactly one of external and managed"
))]
#[serde(rename_all = "camelCase")]
pub struct Redis {
    /// A Redis of 7.0 or later that somebody else runs, such as ElastiCache or Tair, with `maxmemory-policy noeviction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRedis>,
    /// A Redis that the operator runs: a resource of the kind `Redis` with the Platform's name and this spec. Who is to be its
    /// primary is said there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<RedisSpec>,
}

/// A Redis that somebody else runs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "self.cluster || !has(self.nodes) || self.nodes.size() == 0",
    "nodes are those of a Redis Cluster: write cluster: true, or leave nodes out"
))]
#[x_kube(validation = (
    "!has(self.ca) || self.url.startsWith('rediss://')",
    "ca is for TLS: write the url with rediss://, or leave ca out"
))]
#[serde(rename_all = "camelCase")]
pub struct ExternalRedis {
    /// `redis://HOST[:PORT][/DB]`, or `rediss://` for TLS.
    #[x_kube(validation = (
        "self.matches('^rediss?://[^/@ ]+(/[0-9]*)?$')",
        "write redis://HOST:PORT/DB, or rediss:// for TLS, without user and password: these are username and password"
    ))]
    #[schemars(length(min = 9, max = 512))]
    pub url: String,
    /// The ACL user; Redis's `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub username: Option<String>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretKey>,
    /// For `rediss://`: certificates (PEM) to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKey>,
    /// What an acknowledged write of a record survives.
    #[serde(default)]
    pub durability: Durability,
    /// With `strict`: how many replicas must have a write before it counts.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub replicas: i32,
    /// Whether it is a Redis Cluster: `url` is one of its servers, which names the others.
    #[serde(default)]
    pub cluster: bool,
    /// More of its servers, `HOST:PORT`, asked while the first is away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 262)))]
    pub nodes: Vec<String>,
}

fn one() -> i32 {
    1
}

/// What an acknowledged write of a record survives.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Durability {
    /// What Redis itself promises: the last writes may go with the primary, and are found again in the storage.
    #[default]
    Available,
    /// The loss of the primary: a write counts when enough replicas have it.
    Strict,
}
