//! Azure Blob Storage: the parts of an object are blocks of a blob that is not committed yet.
//!
//! A blob's blocks belong to its name alone, so each block's id says which beginning of the object it is of, and its
//! reserved number: whoever finishes the object names only those. Nothing is replaced, for the list is committed where there
//! is no blob. What is not committed costs until it is dropped, or until a week has passed without a block more, when it
//! is gone: uploads must not live longer.

mod requests;
mod settings;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode, header};
use object_store::azure::{AzureAuthorizer, AzureCredentialProvider};
use object_store::client::HttpRequestBody;
use reqwest::Url;

pub use settings::AzureSettings;

use super::exchange::{Call, Dialect, Exchange, Payload, Refusal};
use super::metrics::Metrics;
use super::xml;

/// One container. Clones share its connections.
#[derive(Debug, Clone)]
pub(super) struct Azure {
    exchange: Exchange,
    /// Ends with a slash.
    container: Url,
    pages: Arc<Mutex<Pages>>,
}

/// Where listings may go on: the store's own mark for what follows a key of a prefix.
type Pages = BTreeMap<(String, String), String>;

/// How requests to it are signed and refused.
struct Signature {
    container: Url,
    account: String,
    credentials: AzureCredentialProvider,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl Azure {
    /// The container at a URL that ends with a slash.
    pub(super) fn new(
        http: reqwest::Client,
        container: Url,
        account: String,
        credentials: AzureCredentialProvider,
        metrics: Metrics,
    ) -> Self {
        let signature = Signature {
            container: container.clone(),
            account,
            credentials,
        };
        Self {
            exchange: Exchange::new(http, signature, metrics),
            container,
            pages: Arc::default(),
        }
    }

    /// The same container with less time for each answer.
    #[cfg(test)]
    pub(super) fn answering_within(self, answer_within: std::time::Duration) -> Self {
        Self {
            exchange: self.exchange.answering_within(answer_within),
            ..self
        }
    }

    /// A request to a blob.
    fn request(&self, operation: &'static str, method: Method, key: &str, query: &[(&str, &str)]) -> Call {
        let mut url = blob(&self.container, key);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Call::new(operation, method, url)
    }
}

/// The URL of a blob. Keys are made of characters that mean themselves.
fn blob(container: &Url, key: &str) -> Url {
    let mut url = container.clone();
    let path = format!("{}{key}", url.path());
    url.set_path(&path);
    url
}

#[async_trait]
impl Dialect for Signature {
    async fn sign(
        &self,
        request: &mut http::Request<HttpRequestBody>,
        payload: &Payload,
    ) -> Result<(), object_store::Error> {
        let credential = self.credentials.get_credential().await?;
        if payload.size() > 0 {
            request
                .headers_mut()
                .insert(header::CONTENT_LENGTH, payload.size().into());
        }
        AzureAuthorizer::new(&credential, &self.account).try_authorize(request)
    }

    fn reading(&self) -> &'static str {
        "GetBlob"
    }

    fn object(&self, key: &str) -> Url {
        blob(&self.container, key)
    }

    /// The header says it too, and alone where there can be no body.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        if status.is_success() {
            return None;
        }
        let mut refusal = xml::error(body).unwrap_or_default();
        let code = headers.get("x-ms-error-code").and_then(|value| value.to_str().ok());
        if let Some(code) = code {
            code.clone_into(&mut refusal.code);
        }
        Some(refusal)
    }
}
