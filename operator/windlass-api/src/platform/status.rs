//! `status`: facts that were seen, and what follows from them.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was seen last.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlatformStatus {
    /// The version of the resource that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Progressing`, `Degraded` and `Paused`, each with a reason; docs/operator.md lists the reasons.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The pods that take uploads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<ServiceStatus>,
    /// The pods that push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<ServiceStatus>,
    /// Where clients reach both, if there are routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The pods of one service.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// How many there should be.
    pub wanted: i32,
    /// How many are of the newest version.
    pub updated: i32,
    /// How many serve.
    pub ready: i32,
}
