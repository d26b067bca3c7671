//! S3 and what speaks its protocol: parts are those of a multipart upload.

mod address;
mod credentials;
mod requests;
mod settings;
mod xml;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpRequestBody;
use reqwest::Url;
use sha2::{Digest as _, Sha256};

pub(super) use address::Address;
pub use address::Addressing;
use credentials::{Credentials, provider};
pub use settings::S3Settings;

use super::exchange::{Call, Dialect, Error, Exchange, Payload, Refusal};
use super::metrics::Metrics;

/// How a store is told to create an object and never to replace one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CreateOnly {
    /// `If-None-Match: *` (RFC 9110 section 13.1.2): S3, R2, MinIO, Versity.
    #[default]
    IfNoneMatch,
    /// `x-oss-forbid-overwrite: true`: Alibaba OSS, which does not know the other.
    OssForbidOverwrite,
}

impl CreateOnly {
    fn header(self) -> (HeaderName, HeaderValue) {
        match self {
            Self::IfNoneMatch => (header::IF_NONE_MATCH, HeaderValue::from_static("*")),
            Self::OssForbidOverwrite => (
                HeaderName::from_static("x-oss-forbid-overwrite"),
                HeaderValue::from_static("true"),
            ),
        }
    }
}

/// One bucket. Clones share its connections.
#[derive(Debug, Clone)]
pub(super) struct S3 {
    exchange: Exchange,
    address: Address,
    create_only: CreateOnly,
}

/// How requests to it are signed and refused.
#[derive(Debug)]
struct Signature {
    address: Address,
    region: String,
    credentials: AwsCredentialProvider,
}

impl S3 {
    pub(super) fn new(
        http: reqwest::Client,
        address: Address,
        region: String,
        credentials: AwsCredentialProvider,
        create_only: CreateOnly,
        metrics: Metrics,
    ) -> Self {
        let signature = Signature {
            address: address.clone(),
            region,
            credentials,
        };
        Self {
            exchange: Exchange::new(http, signature, metrics),
            address,
            create_only,
        }
    }

    /// The same bucket with less time for each answer.
    #[cfg(test)]
    pub(super) fn answering_within(self, answer_within: std::time::Duration) -> Self {
        Self {
            exchange: self.exchange.answering_within(answer_within),
            ..self
        }
    }

    /// The same bucket with another way to create.
    #[cfg(test)]
    pub(super) fn creating(self, create_only: CreateOnly) -> Self {
        Self { create_only, ..self }
    }

    /// A request to an object; to the bucket for an empty key.
    fn request(&self, operation: &'static str, method: Method, key: &str, query: &[(&str, String)]) -> Call {
        Call::new(operation, method, self.address.url(key, query))
    }

    async fn call(&self, call: Call) -> Result<(HeaderMap, Bytes), Error> {
        self.exchange.call(call).await
    }
}

#[async_trait]
impl Dialect for Signature {
    async fn sign(
        &self,
        request: &mut http::Request<HttpRequestBody>,
        payload: &Payload,
    ) -> Result<(), object_store::Error> {
        let credential = self.credentials.get_credential().await?;
        // The bytes of files are not read a second time for their digest: TLS protects them, and their length is checked.
        let digest = payload.small().map(Sha256::digest);
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .with_sign_payload(digest.is_some())
            .try_authorize(request, digest.as_deref())
    }

    fn reading(&self) -> &'static str {
        "GetObject"
    }

    fn object(&self, key: &str) -> Url {
        self.address.url(key, &[])
    }

    fn refusal(&self, _status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        super::xml::error(body)
    }
}
