//! `spec.images`.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which images run, and how they are pulled.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Images {
    /// windlass-upload, with a tag or digest.
    #[x_kube(validation = (
        "self.contains('@sha256:') || (self.matches(':[A-Za-z0-9_][-A-Za-z0-9._]*$') && !self.endsWith(':latest'))",
        "write the image with its version or digest, such as registry.example/windlass-upload:0.1.0: what latest is changes under running pods"
    ))]
    #[schemars(length(min = 1, max = 512))]
    pub upload: String,
    /// windlass-push, with a tag or digest.
    #[x_kube(validation = (
        "self.contains('@sha256:') || (self.matches(':[A-Za-z0-9_][-A-Za-z0-9._]*$') && !self.endsWith(':latest'))",
        "write the image with its version or digest, such as registry.example/windlass-push:0.1.0: what latest is changes under running pods"
    ))]
    #[schemars(length(min = 1, max = 512))]
    pub push: String,
    /// When they are pulled.
    #[serde(default)]
    pub pull_policy: PullPolicy,
    /// Names of Secrets with which they are pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    pub pull_secrets: Vec<String>,
}

/// When an image is pulled.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time a pod starts.
    Always,
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// Never: the node has it.
    Never,
}

impl PullPolicy {
    /// As a pod has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}
