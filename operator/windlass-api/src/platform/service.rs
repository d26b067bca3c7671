//! `spec.upload` and `spec.push`: what both services have.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements, Toleration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::SecretKey;

/// How one service runs.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", bound(deserialize = "C: Deserialize<'de>"))]
pub struct Service<C> {
    /// How many pods.
    #[serde(default = "replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Connections of one pod at once; beyond it newcomers wait. 10000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<i32>,
    /// CPU and memory of one pod. When absent: requests of 100m and 128Mi for push, 512Mi for upload, whose buffers take
    /// 256 MiB in front of a bucket; no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
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
    /// A ServiceAccount to run as that you made, such as one with a role of the cloud. One without rights when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account: Option<String>,
    /// Environment variables, such as `WINDLASS_LOG` and `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub env: Vec<EnvVar>,
    /// Files that the configuration refers to, as `/etc/windlass/files/<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub files: Vec<File>,
    /// What `listener` of the configuration file has besides `drain` and `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<Listener>,
    /// The service's own section of the configuration file: docs/configuration.md says what each key means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<C>,
}

impl<C> Default for Service<C> {
    fn default() -> Self {
        Self {
            replicas: replicas(),
            max_connections: None,
            resources: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            pod_annotations: BTreeMap::new(),
            service_account: None,
            env: Vec::new(),
            files: Vec::new(),
            listener: None,
            configuration: None,
        }
    }
}

/// One pod can be replaced while the other serves.
fn replicas() -> i32 {
    2
}

/// A file of the pods.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Its name, without a path.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9]([-._a-zA-Z0-9]{0,62}[a-zA-Z0-9])?$"))]
    pub name: String,
    /// What is in it.
    pub secret: SecretKey,
}

/// What a listener is told besides how it drains.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// `memoryBytes` and `streams` of HTTP/2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http2: Option<Section>,
    /// `bytesPerSecond` and `window`: a slower body is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_rate: Option<Section>,
    /// `true`: 104 to clients of the IETF protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interim_responses: Option<bool>,
}
