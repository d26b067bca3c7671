//! `Redis`: one primary and its replicas, with an agent beside each, for the services of a Platform.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

mod network;
mod status;
mod storage;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::platform::PullPolicy;
pub use network::NetworkPolicy;
pub use status::{Member, MemberRole, RedisStatus};
pub use storage::{Ephemeral, Persistent, Storage};

/// One primary and its replicas. The operator decides which member is the primary, an agent in each pod carries that out.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "windlass.dev",
    version = "v1alpha1",
    kind = "Redis",
    plural = "redises",
    namespaced,
    status = "RedisStatus",
    derive = "PartialEq",
    shortname = "wlr",
    category = "windlass",
    doc = "Runs Redis with replicas in its namespace, and says which of them takes writes.",
    validation = (
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "write a name of at most 40 lower case letters, digits and -, beginning with a letter: Services are named after it"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Primary", type_ = "integer", json_path = ".status.primary"),
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "Term", type_ = "integer", json_path = ".status.term"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = (
    "!has(self.copies) || self.durability == 'strict'",
    "copies are counted with durability: strict only: write that, or leave copies out"
))]
#[x_kube(validation = (
    "self.durability != 'strict' || (has(self.copies) ? self.copies : 2) <= self.replicas",
    "more copies than members are wanted: write replicas of at least copies (2 when absent), or durability: available"
))]
#[x_kube(validation = (
    "self.durability == oldSelf.durability && (has(self.copies) ? self.copies : 2) == (has(oldSelf.copies) ? oldSelf.copies : 2)",
    "durability and copies cannot be changed, for what was acknowledged by the one rule is not safe by the other: write what they were, or make another Redis"
))]
#[x_kube(validation = (
    "self.replicas >= oldSelf.replicas",
    "replicas cannot be lowered, for the member that would go may have what another lacks: write what it was, or make another Redis"
))]
#[x_kube(validation = (
    "has(self.tls) == has(oldSelf.tls)",
    "tls cannot be turned on or off while members speak to each other: write what it was, or make another Redis"
))]
#[x_kube(validation = (
    "!has(self.switchover) || self.switchover.to < self.replicas",
    "switchover.to is no member: write an ordinal below replicas"
))]
#[serde(rename_all = "camelCase")]
pub struct RedisSpec {
    /// `true`: the operator writes nothing any more and decides nothing, until this is `false` again. The primary goes on;
    /// if it dies meanwhile, nobody follows it.
    #[serde(default)]
    pub suspend: bool,

    /// windlass-redis, with a tag or digest.
    #[x_kube(validation = (
        "self.contains('@sha256:') || (self.matches(':[A-Za-z0-9_][-A-Za-z0-9._]*$') && !self.endsWith(':latest'))",
        "write the image with its version or digest, such as registry.example/windlass-redis:0.1.0: what latest is changes under running pods"
    ))]
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// When it is pulled.
    #[serde(default)]
    pub image_pull_policy: PullPolicy,
    /// Names of Secrets with which it is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    pub image_pull_secrets: Vec<String>,

    /// How many members, the primary among them. It can be raised, not lowered.
    #[serde(default = "replicas")]
    #[schemars(range(min = 1, max = 7))]
    pub replicas: i32,

    /// What an acknowledged write survives.
    #[serde(default)]
    pub durability: Durability,
    /// With `strict`: how many members must have a write before it counts, the primary among them. 2 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7))]
    pub copies: Option<i32>,

    /// Where each member keeps its data. It cannot be changed.
    pub storage: Storage,

    /// What data may take in memory (`maxmemory`, with `noeviction`), in bytes. As much as there is when absent: then set a
    /// limit of memory with room for a copy of what changes while Redis writes its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16_777_216))]
    pub max_memory_bytes: Option<i64>,
    /// CPU and memory of one pod. Requests of 100m and 256Mi when absent; no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// With it Redis and the agents speak TLS only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// Makes a replica the primary, once: a planned switchover, which loses nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switchover: Option<Switchover>,

    /// The term (`status.term`) whose election may go by those who answer, whatever the others may have: what they alone have
    /// is lost. For when members are lost for good; it means nothing in any other term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub allow_data_loss: Option<i64>,

    /// How a new image or other change of the pods is brought to them.
    #[serde(default)]
    pub update_strategy: UpdateStrategy,

    /// Nodes with these labels only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that do not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub pod_annotations: BTreeMap<String, String>,

    /// Who may reach the pods, and whom they may reach.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
}

impl RedisSpec {
    /// How many members must have a write before it counts; `None` where the primary alone decides.
    #[must_use]
    pub fn copies(&self) -> Option<usize> {
        match self.durability {
            Durability::Strict => Some(usize::try_from(self.copies.unwrap_or(COPIES)).unwrap_or(1)),
            Durability::Available => None,
        }
    }
}

/// Two members have a write: the primary may be lost.
const COPIES: i32 = 2;

/// One member may be away, and two have each write.
fn replicas() -> i32 {
    3
}

/// What an acknowledged write survives.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Durability {
    /// The loss of as many members as have it, less one: a write counts when `copies` members have it, and nobody becomes the
    /// primary while it may lack one. While too few members are there, writes wait.
    #[default]
    Strict,
    /// What Redis itself promises: the last writes may go with the primary. Writes go on while one member is there.
    Available,
}

/// Certificates.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// A Secret with `tls.crt`, `tls.key` and `ca.crt`. The certificate is for `*.<name>-redis-members.<namespace>.svc` and
    /// `<name>-redis.<namespace>.svc`.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// A planned switchover.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Switchover {
    /// The ordinal of the member that is to be the primary.
    #[schemars(range(min = 0, max = 6))]
    pub to: i32,
    /// The present `status.term`. In any other term this means nothing, so it may stay where it is written.
    #[schemars(range(min = 1))]
    pub term: i64,
}

/// How a change of the pods is brought to them: replicas first, from the highest ordinal on, each in step before the next;
/// then a planned switchover; then the former primary.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// `true`: it stops before the switchover, which you make (`switchover`).
    #[serde(default)]
    pub supervised: bool,
}
