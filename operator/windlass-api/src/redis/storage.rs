//! `spec.storage`.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where each member keeps its data: exactly one of these.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = (
    "has(self.persistent) != has(self.ephemeral)",
    "write exactly one of persistent and ephemeral"
))]
#[x_kube(validation = (
    "self == oldSelf",
    "storage cannot be changed, for the data is there: write what it was, or make another Redis"
))]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// A volume of its own, which outlives its pod and the Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent: Option<Persistent>,
    /// The pod's: a pod that is replaced begins empty, and gets all data from the primary. What all members lose at once is
    /// lost, and so is everything that one lone member had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<Ephemeral>,
}

/// A volume a member.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Persistent {
    /// How large, such as `10Gi`: the data, its log and a copy of both while they are rewritten.
    #[x_kube(validation = (
        "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
        "write a size, such as 10Gi"
    ))]
    #[schemars(length(min = 1, max = 32))]
    pub size: String,
    /// What makes it; the cluster's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

/// A folder of the pod.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Ephemeral {}
