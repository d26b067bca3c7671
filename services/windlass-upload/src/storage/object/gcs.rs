//! Google Cloud Storage: the parts of an object are objects of their own, which are composed into it and then removed.
//!
//! Each part is written where there is none (`ifGenerationMatch=0`), so that a number is never used twice even by mistake.
//! Composing takes 32 at once: more are composed in a tree, whose nodes have names that say what they are made of, so that
//! two that finish one object never mix what they know. What is finished is there, and its parts go.

mod parts;
mod requests;
mod settings;
mod wire;

use std::fmt;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use object_store::client::HttpRequestBody;
use object_store::gcp::GcpCredentialProvider;
use reqwest::Url;

pub use settings::GcsSettings;

use super::exchange::{Call, Dialect, Exchange, Payload, Refusal};
use super::metrics::Metrics;

/// Which generation of an object an answer is about; each writing of it begins another.
const GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");

/// One bucket. Clones share its connections.
#[derive(Debug, Clone)]
pub(super) struct Gcs {
    exchange: Exchange,
    address: Address,
}

/// Where a bucket is.
#[derive(Debug, Clone)]
struct Address {
    endpoint: Url,
    bucket: String,
}

impl Address {
    /// `…/b/BUCKET/o/KEY` of the JSON API, with each of the pieces encoded; of the whole bucket without a key.
    fn url<'a>(&'a self, pieces: &[&'a str]) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            path.extend(pieces);
        }
        url
    }

    fn objects(&self) -> Url {
        self.url(&["storage", "v1", "b", &self.bucket, "o"])
    }

    fn uploads(&self) -> Url {
        self.url(&["upload", "storage", "v1", "b", &self.bucket, "o"])
    }

    fn object(&self, key: &str) -> Url {
        self.url(&["storage", "v1", "b", &self.bucket, "o", key])
    }

    fn media(&self, key: &str) -> Url {
        let mut url = self.object(key);
        url.query_pairs_mut().append_pair("alt", "media");
        url
    }

    fn compose(&self, key: &str) -> Url {
        self.url(&["storage", "v1", "b", &self.bucket, "o", key, "compose"])
    }
}

/// How requests to it are signed and refused.
struct Signature {
    address: Address,
    credentials: GcpCredentialProvider,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Gcs {
    pub(super) fn new(
        http: reqwest::Client,
        endpoint: Url,
        bucket: String,
        credentials: GcpCredentialProvider,
        metrics: Metrics,
    ) -> Self {
        let address = Address { endpoint, bucket };
        let signature = Signature {
            address: address.clone(),
            credentials,
        };
        Self {
            exchange: Exchange::new(http, signature, metrics),
            address,
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
}

/// A request with what its query says.
fn request(operation: &'static str, method: Method, mut url: Url, query: &[(&str, &str)]) -> Call {
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Call::new(operation, method, url)
}

#[async_trait]
impl Dialect for Signature {
    async fn sign(
        &self,
        request: &mut http::Request<HttpRequestBody>,
        _payload: &Payload,
    ) -> Result<(), object_store::Error> {
        let credential = self.credentials.get_credential().await?;
        // An emulator takes requests from anybody.
        if !credential.bearer.is_empty() {
            let value = HeaderValue::try_from(format!("Bearer {}", credential.bearer));
            let mut value = value.map_err(|source| object_store::Error::Generic {
                store: "GCS",
                source: Box::new(source),
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(())
    }

    fn reading(&self) -> &'static str {
        "ObjectsGetMedia"
    }

    fn object(&self, key: &str) -> Url {
        self.address.media(key)
    }

    /// By its generation, which no other bytes ever have.
    fn narrow(&self, call: &mut Call, answered: &HeaderMap) {
        let generation = answered.get(GENERATION).and_then(|value| value.to_str().ok());
        if let Some(generation) = generation {
            call.url.query_pairs_mut().append_pair("generation", generation);
        }
    }

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        (!status.is_success()).then(|| wire::refusal(body))
    }
}
