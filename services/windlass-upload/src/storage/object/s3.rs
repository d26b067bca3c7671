//! A thin client of S3 and of what speaks it: the dozen requests that uploads need, each tried again from the same bytes.
//!
//! Credentials and signatures are `object_store`'s. The requests are not: its part numbers begin anew with each writer,
//! it cannot list parts or copy into them, and it tries again by rules of its own.

mod address;
mod body;
mod connector;
mod credentials;
mod error;
mod multipart;
mod objects;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpRequestBody;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout};

pub(super) use address::Address;
pub use address::Addressing;
use body::Moving;
pub(super) use body::{Payload, Source};
pub(super) use connector::client;
pub(super) use credentials::{Credentials, provider};
pub use error::Error;
pub(super) use multipart::{ETag, StoredPart};
pub(super) use objects::Object;

use super::metrics::Metrics;
use super::retry::Patience;

/// How long a store may take to begin its answer, and how long a body on its way out may stand still.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a body on its way in may bring nothing.
pub(super) const SILENT_WITHIN: Duration = Duration::from_secs(10);
/// The largest answer that is read into memory: a page of 1000 keys or parts takes some hundred KiB.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

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
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    address: Address,
    region: String,
    credentials: AwsCredentialProvider,
    create_only: CreateOnly,
    metrics: Metrics,
    answer_within: Duration,
}

/// What one request says.
struct Call<'a> {
    operation: &'static str,
    method: Method,
    /// The object; empty for the bucket itself.
    key: &'a str,
    query: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    payload: Payload,
    patience: Patience,
}

impl<'a> Call<'a> {
    fn new(operation: &'static str, method: Method, key: &'a str) -> Self {
        Self {
            operation,
            method,
            key,
            query: Vec::new(),
            headers: Vec::new(),
            payload: Payload::default(),
            patience: Patience::REQUEST,
        }
    }
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
        Self {
            inner: Arc::new(Inner {
                http,
                address,
                region,
                credentials,
                create_only,
                metrics,
                answer_within: ANSWER_WITHIN,
            }),
        }
    }

    /// The same bucket with less time for each answer.
    #[cfg(test)]
    pub(super) fn answering_within(mut self, answer_within: Duration) -> Self {
        Arc::get_mut(&mut self.inner)
            .expect("it is not shared yet")
            .answer_within = answer_within;
        self
    }

    /// The same bucket with another way to create.
    #[cfg(test)]
    pub(super) fn creating(mut self, create_only: CreateOnly) -> Self {
        Arc::get_mut(&mut self.inner).expect("it is not shared yet").create_only = create_only;
        self
    }

    /// Makes a request until it is answered well or its patience ends, and reads the whole answer.
    async fn call(&self, call: Call<'_>) -> Result<(http::HeaderMap, Bytes), Error> {
        let mut tries = call.patience.begin();
        loop {
            let began = Instant::now();
            let done = self.try_call(&call).await;
            self.count(call.operation, began, done.as_ref().err());
            match done {
                Err(error) if error.is_temporary() && tries.wait().await => {}
                done => return done,
            }
        }
    }

    /// The same for an answer that is read as it comes.
    async fn open(&self, call: Call<'_>) -> Result<reqwest::Response, Error> {
        let mut tries = call.patience.begin();
        loop {
            let began = Instant::now();
            let done = self.begin(&call).await;
            self.count(call.operation, began, done.as_ref().err());
            match done {
                Err(error) if error.is_temporary() && tries.wait().await => {}
                done => return done,
            }
        }
    }

    async fn try_call(&self, call: &Call<'_>) -> Result<(http::HeaderMap, Bytes), Error> {
        let response = self.begin(call).await?;
        let headers = response.headers().clone();
        let body = self.in_time(call.operation, read_whole(response)).await?;
        // Some requests are answered before they are carried out, so that a failure comes as a body.
        match xml::error(&body) {
            Some(refusal) => Err(Error::refused(call.operation, http::StatusCode::OK, refusal)),
            None => Ok((headers, body)),
        }
    }

    fn count(&self, operation: &'static str, began: Instant, error: Option<&Error>) {
        let outcome = match error {
            None => "done",
            Some(error) if error.is_temporary() => "failed",
            Some(_) => "refused",
        };
        let seconds = began.elapsed().as_secs_f64();
        self.inner.metrics.requested(operation, outcome, seconds);
        if let Some(error) = error.filter(|error| error.is_temporary()) {
            tracing::debug!(
                operation,
                error = error as &dyn std::error::Error,
                "a request to the object store failed"
            );
        }
    }

    /// One try: signed, sent, and answered with a status that means success.
    async fn begin(&self, call: &Call<'_>) -> Result<reqwest::Response, Error> {
        let Inner {
            http, answer_within, ..
        } = &*self.inner;
        let moving = Moving::begin();
        let request = self.sign(call, &moving).await?;
        let answered = moving.watch(*answer_within, http.execute(request)).await;
        let response = answered
            .ok_or(Error::Await {
                operation: call.operation,
            })?
            .map_err(|source| Error::unsent(call.operation, source))?;
        let status = response.status();
        let asks_for_range = call.headers.iter().any(|(name, _)| name == header::RANGE);
        if asks_for_range && status == http::StatusCode::OK {
            // Whatever this is, it is not the bytes that were asked for.
            return Err(Error::Read {
                operation: call.operation,
            });
        }
        if status.is_success() {
            return Ok(response);
        }
        let body = self.in_time(call.operation, read_whole(response)).await?;
        Err(Error::refused(
            call.operation,
            status,
            xml::error(&body).unwrap_or_default(),
        ))
    }

    async fn sign(&self, call: &Call<'_>, moving: &Moving) -> Result<reqwest::Request, Error> {
        let Inner {
            address,
            region,
            credentials,
            ..
        } = &*self.inner;
        let url = address.url(call.key, &call.query);
        let credential = credentials
            .get_credential()
            .await
            .map_err(|source| Error::Sign { source })?;
        let mut signed = http::Request::new(HttpRequestBody::empty());
        *signed.method_mut() = call.method.clone();
        *signed.uri_mut() = url.as_str().parse().map_err(|_| Error::Name {
            key: call.key.to_owned(),
        })?;
        signed.headers_mut().extend(call.headers.iter().cloned());
        // The bytes of files are not read a second time for their digest: TLS protects them, and their length is checked.
        let digest = call.payload.small().map(Sha256::digest);
        AwsAuthorizer::new(&credential, "s3", region)
            .with_sign_payload(digest.is_some())
            .try_authorize(&mut signed, digest.as_deref())
            .map_err(|source| Error::Sign { source })?;
        let mut request = reqwest::Request::new(call.method.clone(), url);
        *request.headers_mut() = std::mem::take(signed.headers_mut());
        let carries = call.payload.size() > 0 || matches!(call.method, Method::PUT | Method::POST);
        if carries {
            request
                .headers_mut()
                .insert(header::CONTENT_LENGTH, call.payload.size().into());
            *request.body_mut() = Some(call.payload.body(self, moving));
        }
        Ok(request)
    }

    async fn in_time<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, Error> {
        let done = timeout(self.inner.answer_within, work).await;
        let done = done.map_err(|_| Error::Await { operation })?;
        done.map_err(|source| Error::Send {
            operation,
            source: source.without_url(),
        })
    }
}

async fn read_whole(mut response: reqwest::Response) -> Result<Bytes, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = ANSWER_BYTES_MAX.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
    }
    Ok(body.into())
}
