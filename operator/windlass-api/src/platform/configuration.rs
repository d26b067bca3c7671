//! The sections `upload` and `push` of the configuration file, as far as the platform does not decide them itself.
//!
//! The keys of a section are known here, so that a wrong one is refused when it is written and not by a pod that does not
//! start. What is below them is the service's to read: it is handed on as it is.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A part of a configuration file that is handed on as it is.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(transparent)]
pub struct Section(pub Map<String, Value>);

impl JsonSchema for Section {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Section".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true, "maxProperties": 256 })
    }
}

/// A list of such parts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(transparent)]
pub struct Entries(#[schemars(length(max = 256))] pub Vec<Section>);

/// `upload` of the configuration file. What is not here the platform says: `maxSizeBytes` and `tenants` are `limits`,
/// `origin` is `origin`, and `publicUrl` follows from `routes`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct UploadConfiguration {
    /// How long after its last acknowledged byte an unfinished upload expires, such as `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,9}(ms|s|m|h)$"))]
    pub lifetime: Option<String>,
    /// The longest time between two checkpoints inside one body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,9}(ms|s|m|h)$"))]
    pub checkpoint: Option<String>,
    /// A body that brings nothing for this long is answered 408.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,9}(ms|s|m|h)$"))]
    pub idle_timeout: Option<String>,
    /// A request waits this long for a store that is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,9}(ms|s|m|h)$"))]
    pub hold: Option<String>,
    /// Files in one form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub form_files_max: Option<i32>,
    /// The media types that are taken, as `image/*`; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    pub allowed_types: Option<Vec<String>>,
    /// `true`: finished files can be downloaded only after their release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<bool>,
    /// `true`: each checkpoint waits for the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survive_power_cut: Option<bool>,
    /// How what no upload needs is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub garbage: Option<Section>,
    /// Who is asked and told: docs/hooks.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Section>,
    /// Whose uploads go on here: docs/coming-from-tusd.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tusd: Option<Section>,
}

/// `push` of the configuration file. What is not here the platform says: `drain` is `drain`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PushConfiguration {
    /// How connections are kept alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Section>,
    /// The bounds of one connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Section>,
    /// Bounds on how many and how fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Section>,
    /// `message` between clients on `/ws`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<bool>,
    /// `true`: Centrifuge clients may connect without a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<bool>,
    /// The API for backends: `keyFile`, one of `files`, and `tenant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<Section>,
    /// Calls of the API that come by a stream in Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Section>,
    /// Channels without a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Section>,
    /// Channels whose names begin with `<name>:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Entries>,
    /// Backends that are asked about connections: docs/proxies.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Section>,
    /// Backends that are asked about channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Section>,
    /// Backends that clients call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc: Option<Section>,
    /// Backends that options refer to by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<Entries>,
}
