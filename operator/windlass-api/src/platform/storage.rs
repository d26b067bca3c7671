//! `spec.storage`.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SecretKey;

/// Where the bytes of uploads are kept: exactly one of these. Where that is cannot be changed, for the uploads are there.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = (
    "[has(self.volume), has(self.s3), has(self.oss), has(self.gcs), has(self.azure)].filter(given, given).size() == 1",
    "write exactly one of volume, s3, oss, gcs and azure"
))]
#[x_kube(validation = (
    "has(self.volume) == has(oldSelf.volume) && has(self.s3) == has(oldSelf.s3) && has(self.oss) == has(oldSelf.oss) && has(self.gcs) == has(oldSelf.gcs) && has(self.azure) == has(oldSelf.azure)",
    "the kind of storage cannot be changed, for the uploads are there: write what it was, or make another Platform"
))]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// A folder that all pods mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// A bucket of S3, or of what speaks its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// A bucket of Alibaba Cloud OSS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oss: Option<Oss>,
    /// A bucket of Google Cloud Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcs: Option<Gcs>,
    /// A container of Azure Blob Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<Azure>,
}

/// A volume that stands already. The operator neither makes nor removes what holds uploads.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "self.claimName == oldSelf.claimName",
    "claimName cannot be changed, for the uploads are there: write what it was, or make another Platform"
))]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// A PersistentVolumeClaim of this namespace; `ReadWriteMany` where upload has more than one pod.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
}

/// A bucket of S3.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "self.bucket == oldSelf.bucket && (has(self.prefix) ? self.prefix : '') == (has(oldSelf.prefix) ? oldSelf.prefix : '')",
    "bucket and prefix cannot be changed, for the uploads are there: write what they were, or make another Platform"
))]
#[x_kube(validation = (
    "has(self.accessKeyId) == has(self.secretAccessKey)",
    "write both accessKeyId and secretAccessKey, or neither where the pods' ServiceAccount has a role"
))]
#[x_kube(validation = (
    "!has(self.endpoint) || self.allowHttp || self.endpoint.startsWith('https://')",
    "write an endpoint that begins with https://, or allowHttp: true where bytes may cross the network in the clear"
))]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// Its name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,255}$"))]
    pub bucket: String,
    /// What every key begins with, such as `site/a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^[A-Za-z0-9._/-]+$"))]
    pub prefix: Option<String>,
    /// What requests are signed for.
    #[serde(default = "s3_region")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$"))]
    pub region: String,
    /// The service without the bucket; S3's own of the region when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^https?://[^/\s]+/?$"))]
    pub endpoint: Option<String>,
    /// How requests name the bucket.
    #[serde(default)]
    pub addressing: Addressing,
    /// Whether the endpoint may be plain HTTP.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether all parts must be equal (R2).
    #[serde(default)]
    pub equal_parts: bool,
    /// Certificates (PEM) to trust besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKey>,
    /// The access key's id. Without keys the pods' ServiceAccount must have a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<SecretKey>,
    /// The secret access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<SecretKey>,
    /// What all uploads of a pod together hold in memory; 256 MiB when absent. The memory of the pods must be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16_777_216))]
    pub buffer_bytes: Option<i64>,
}

fn s3_region() -> String {
    "us-east-1".to_owned()
}

/// How requests name a bucket.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Addressing {
    /// `https://bucket.host/key`.
    #[default]
    VirtualHosted,
    /// `https://host/bucket/key`.
    Path,
}

/// A bucket of Alibaba Cloud OSS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "self.bucket == oldSelf.bucket && (has(self.prefix) ? self.prefix : '') == (has(oldSelf.prefix) ? oldSelf.prefix : '')",
    "bucket and prefix cannot be changed, for the uploads are there: write what they were, or make another Platform"
))]
#[serde(rename_all = "camelCase")]
pub struct Oss {
    /// Its name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,255}$"))]
    pub bucket: String,
    /// What every key begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^[A-Za-z0-9._/-]+$"))]
    pub prefix: Option<String>,
    /// Its region, such as `cn-hangzhou`.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,64}$"))]
    pub region: String,
    /// Whether the bucket is reached inside Alibaba Cloud's network, which costs nothing.
    #[serde(default)]
    pub internal: bool,
    /// The access key's id.
    pub access_key_id: SecretKey,
    /// The access key's secret.
    pub secret_access_key: SecretKey,
    /// What all uploads of a pod together hold in memory; 256 MiB when absent. The memory of the pods must be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16_777_216))]
    pub buffer_bytes: Option<i64>,
}

/// A bucket of Google Cloud Storage.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "self.bucket == oldSelf.bucket && (has(self.prefix) ? self.prefix : '') == (has(oldSelf.prefix) ? oldSelf.prefix : '')",
    "bucket and prefix cannot be changed, for the uploads are there: write what they were, or make another Platform"
))]
#[serde(rename_all = "camelCase")]
pub struct Gcs {
    /// Its name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,255}$"))]
    pub bucket: String,
    /// What every key begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^[A-Za-z0-9._/-]+$"))]
    pub prefix: Option<String>,
    /// A service account's key (JSON). Without it the pods' ServiceAccount must have a workload identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<SecretKey>,
    /// What all uploads of a pod together hold in memory; 256 MiB when absent. The memory of the pods must be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16_777_216))]
    pub buffer_bytes: Option<i64>,
}

/// A container of Azure Blob Storage.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "self.account == oldSelf.account && self.container == oldSelf.container && (has(self.prefix) ? self.prefix : '') == (has(oldSelf.prefix) ? oldSelf.prefix : '')",
    "account, container and prefix cannot be changed, for the uploads are there: write what they were, or make another Platform"
))]
#[x_kube(validation = (
    "!(has(self.accountKey) && has(self.sasToken))",
    "write accountKey or sasToken, not both; neither where the pods' ServiceAccount has a workload identity"
))]
#[serde(rename_all = "camelCase")]
pub struct Azure {
    /// The storage account's name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,255}$"))]
    pub account: String,
    /// The container's name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,255}$"))]
    pub container: String,
    /// What every blob's name begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^[A-Za-z0-9._/-]+$"))]
    pub prefix: Option<String>,
    /// One of the account's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_key: Option<SecretKey>,
    /// A shared access signature, instead of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sas_token: Option<SecretKey>,
    /// What all uploads of a pod together hold in memory; 256 MiB when absent. The memory of the pods must be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16_777_216))]
    pub buffer_bytes: Option<i64>,
}
