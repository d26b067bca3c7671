//! `spec.auth`.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside of a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SecretKey;

/// Where the keys of tokens come from, exactly one of `hmacSecret`, `publicKey` and `jwks`, and what a token must say.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "[has(self.hmacSecret), has(self.publicKey), has(self.jwks)].filter(given, given).size() == 1",
    "write exactly one of hmacSecret, publicKey and jwks"
))]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// A shared secret of at least 32 bytes, for HS256; from 48 bytes on also HS384, from 64 on also HS512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac_secret: Option<SecretKey>,
    /// A public key in PEM: RSA (2048 to 4096 bits), P-256, P-384 or Ed25519.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<SecretKey>,
    /// A JSON Web Key Set that rotates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Jwks>,
    /// What `iss` of a token must be; not looked at when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: Option<String>,
    /// One of these must be in `aud` of a token. Without any, a token that has an `aud` is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 1024)))]
    pub audience: Vec<String>,
    /// Only these algorithms of those that the key is for, as `RS256`; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 16)))]
    pub algorithms: Vec<String>,
    /// The secret, at least 32 bytes, of signed upload links; no links when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_secret: Option<SecretKey>,
}

/// A JSON Web Key Set.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Jwks {
    /// Where it is, over `https`.
    #[schemars(length(min = 9, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub url: String,
    /// How often it is read again, such as `5m`, which it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,9}(ms|s|m|h)$"))]
    pub refresh: Option<String>,
    /// Certificates (PEM) to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKey>,
}
