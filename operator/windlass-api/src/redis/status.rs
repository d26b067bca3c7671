//! `status`: what is decided, facts that were seen, and what follows from them.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was decided and seen last. Unlike most statuses this one cannot be made again from what is there: do not remove it,
/// and restore it with its resource.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RedisStatus {
    /// The version of the resource that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Progressing`, `Degraded`, `Paused`, `PrimaryAvailable` and `ReplicationHealthy`, each with a reason;
    /// docs/redis-operator.md lists the reasons.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How far the operator is with who is the primary, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<String>,
    /// Grows with each election and switchover: what `switchover.term` and `allowDataLoss` name.
    #[serde(default)]
    pub term: i64,
    /// The ordinal of the primary, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<i32>,
    /// How many members there are. They follow `spec.replicas` one at a time.
    #[serde(default)]
    pub replicas: i32,
    /// How many of them the primary of this term knows, from the first on. What was added since counts with `available` from the next
    /// term on.
    #[serde(default)]
    pub electors: i32,
    /// Each member as it was seen last.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["ordinal".into()]))]
    pub members: Vec<Member>,
}

/// One member.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The ordinal of its pod.
    pub ordinal: i32,
    /// What it is.
    pub role: MemberRole,
    /// Whether it has all data: the primary, and who is in step with it.
    pub in_step: bool,
    /// Whether its pod is of the newest version.
    pub updated: bool,
}

/// What a member is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum MemberRole {
    /// It takes writes, or is about to.
    Primary,
    /// It follows the primary.
    Replica,
    /// It waits for who will be the primary.
    Waiting,
    /// Its agent did not answer.
    Unknown,
}

impl MemberRole {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Waiting => "waiting",
            Self::Unknown => "unknown",
        }
    }
}
