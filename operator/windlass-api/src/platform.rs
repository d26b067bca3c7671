//! `Platform`: upload and push of one region, or of one tenant alone.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

mod auth;
mod configuration;
mod drain;
mod images;
mod limits;
mod network;
mod redis;
mod routes;
mod service;
mod status;
mod storage;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use auth::{Auth, Jwks};
pub use configuration::{Entries, PushConfiguration, Section, UploadConfiguration};
pub use drain::Drain;
pub use images::{Images, PullPolicy};
pub use limits::{Limits, TenantLimits, Tenants};
pub use network::{NetworkPolicy, Peer};
pub use redis::{Durability, ExternalRedis, Redis};
pub use routes::{Gateway, Ingress, Routes};
pub use service::{File, Listener, Service};
pub use status::{PlatformStatus, ServiceStatus};
pub use storage::{Addressing, Azure, Gcs, Oss, S3, Storage, Volume};

/// Upload and push services, their store of records and bytes, and the routes to them: all that takes resumable uploads
/// and shows their progress, in one namespace.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "windlass.dev",
    version = "v1alpha1",
    kind = "Platform",
    namespaced,
    status = "PlatformStatus",
    derive = "PartialEq",
    shortname = "wlp",
    category = "windlass",
    doc = "Runs windlass-upload and windlass-push in its namespace, with what they need to be reached.",
    validation = (
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "write a name of at most 40 lower case letters, digits and -, beginning with a letter: Services are named after it"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Upload", type_ = "integer", json_path = ".status.upload.ready"),
    printcolumn(name = "Push", type_ = "integer", json_path = ".status.push.ready"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PlatformSpec {
    /// `true`: the operator writes nothing any more, until this is `false` again. What runs goes on, and the status is
    /// still kept up to date.
    #[serde(default)]
    pub suspend: bool,

    /// What the ids of new uploads begin with: where they were born, such as a region's name. `local` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "write lower case letters, digits and -, such as eu-central-1"
    ))]
    #[schemars(length(max = 32))]
    pub origin: Option<String>,

    /// Which images run.
    pub images: Images,

    /// Who may upload and watch: where the keys of their tokens are.
    pub auth: Auth,

    /// Where records and channels are kept.
    pub redis: Redis,

    /// Where the bytes of uploads are kept.
    pub storage: Storage,

    /// How much may be uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// The service that takes uploads: `/files`.
    #[serde(default)]
    pub upload: Service<UploadConfiguration>,

    /// The service that pushes: `/connection`, `/ws`, `/events`, `/tasks`.
    #[serde(default)]
    pub push: Service<PushConfiguration>,

    /// How clients reach both. Absent: by their Services only, `<name>-upload` and `<name>-push`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Routes>,

    /// How long a pod that goes takes to be left by its clients.
    #[serde(default)]
    pub drain: Drain,

    /// Who may reach the pods, and whom they may reach.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
}
