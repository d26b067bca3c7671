//! `spec.routes`.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How clients reach the services, by one host: `/files` leads to upload, the rest that is served to push.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "has(self.gateway) || has(self.ingress)",
    "write gateway, ingress or both; or leave routes out, where you make routes yourself"
))]
#[serde(rename_all = "camelCase")]
pub struct Routes {
    /// The host's name, such as `up.example.org`.
    #[x_kube(validation = (
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "write a host's name in lower case, such as up.example.org, without scheme, port or path"
    ))]
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// The port that clients connect to, where it is not their scheme's own (443, or 80 without TLS). It is only in the URLs of
    /// uploads: which ports the gateway has is its own matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Whether clients use TLS, as they should: whether the URLs of uploads begin with `https`.
    #[serde(default = "tls")]
    pub tls: bool,
    /// Origins of pages that may use both services from a browser, such as `https://app.example.com` or
    /// `https://*.example.com`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 8, max = 300), regex(pattern = r"^https?://[^/\s]+$"))
    )]
    pub allow_origins: Vec<String>,
    /// An HTTPRoute of Gateway API on this Gateway, with requests that may take as long as they want
    /// (`timeouts.request: 0s`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// An Ingress, where there is no Gateway API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
}

fn tls() -> bool {
    true
}

/// A Gateway that stands already.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace; this one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// One of its listeners; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
}

/// An Ingress.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Whose it is; the cluster's default class when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// The Secret with the host's certificate; the controller's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret: Option<String>,
    /// Annotations for its controller: timeouts and buffering are theirs to set (see docs/operator.md).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
}
