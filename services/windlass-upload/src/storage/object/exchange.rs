//! One request to a store and its answer, whatever the dialect: signed, sent, watched, counted, and tried again from the same
//! bytes.
//!
//! Credentials and signatures are `object_store`'s. The requests are not: its part numbers begin anew with each writer, it
//! cannot list parts or copy into them, and it tries again by rules of its own.

mod body;
mod connector;
mod download;
mod error;
mod files;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use object_store::client::HttpRequestBody;
use reqwest::Url;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;
use windlass_serve::step;

use body::Moving;
pub(super) use body::{Payload, Source};
pub(super) use connector::{Connector, client};
pub use error::Error;
pub(super) use error::Refusal;
pub(super) use files::Files;

use super::metrics::Metrics;
use super::retry::Patience;

/// How long a store may take to begin its answer, and how long a body on its way, out or in, may stand still.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The largest answer that is read into memory: a page of 1000 keys, or a list of 10,000 parts, takes some hundred KiB.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What kinds of stores do each in their own way.
#[async_trait]
pub(super) trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// Adds to a request who asks, in its head or its URL, and what each request says besides.
    async fn sign(
        &self,
        request: &mut http::Request<HttpRequestBody>,
        payload: &Payload,
    ) -> Result<(), object_store::Error>;

    /// The name of the request that reads an object.
    fn reading(&self) -> &'static str;

    /// Where an object's bytes are read.
    fn object(&self, key: &str) -> Url;

    /// Narrows a request down to the very object that an earlier answer was about, where that said which it was: by its
    /// entity tag (RFC 9110 section 13.1.1), for which a weak one is not enough.
    fn narrow(&self, call: &mut Call, answered: &HeaderMap) {
        let tag = answered
            .get(header::ETAG)
            .filter(|tag| !tag.as_bytes().starts_with(b"W/"));
        call.headers.extend(tag.map(|tag| (header::IF_MATCH, tag.clone())));
    }

    /// The refusal that an answer is, if it says so. Some requests are answered before they are carried out, so that a
    /// failure comes as a body after a status of success.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refusal>;
}

/// The way to one store. Clones share its connections.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    dialect: Box<dyn Dialect>,
    metrics: Metrics,
    answer_within: Duration,
}

/// What one request says.
pub(super) struct Call {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) payload: Payload,
    pub(super) patience: Patience,
}

impl Call {
    pub(super) fn new(operation: &'static str, method: Method, url: Url) -> Self {
        Self {
            operation,
            method,
            url,
            headers: Vec::new(),
            payload: Payload::default(),
            patience: Patience::REQUEST,
        }
    }
}

impl Exchange {
    pub(super) fn new(http: reqwest::Client, dialect: impl Dialect, metrics: Metrics) -> Self {
        Self {
            inner: Arc::new(Inner {
                http,
                dialect: Box::new(dialect),
                metrics,
                answer_within: ANSWER_WITHIN,
            }),
        }
    }

    /// The same with less time for each answer.
    #[cfg(test)]
    pub(super) fn answering_within(mut self, answer_within: Duration) -> Self {
        Arc::get_mut(&mut self.inner)
            .expect("it is not shared yet")
            .answer_within = answer_within;
        self
    }

    /// Makes a request until it is answered well or its patience ends, and reads the whole answer.
    pub(super) async fn call(&self, call: Call) -> Result<(HeaderMap, Bytes), Error> {
        self.with_patience(&call, || self.try_call(&call)).await
    }

    /// Makes a HEAD request and reads the object's size in bytes out of the answer; `None` when it is not there.
    pub(super) async fn size(&self, call: Call) -> Result<Option<u64>, Error> {
        let operation = call.operation;
        match self.call(call).await {
            Ok((headers, _)) => {
                let size = headers.get(header::CONTENT_LENGTH);
                let size = size.and_then(|value| value.to_str().ok()?.parse().ok());
                size.map(Some).ok_or(Error::Read { operation })
            }
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`Exchange::call`], for an answer that is read as it comes.
    async fn open(&self, call: Call) -> Result<reqwest::Response, Error> {
        self.with_patience(&call, || self.begin(&call)).await
    }

    /// Tries as long as there is patience: one step of whatever trace it is part of, each try counted.
    async fn with_patience<T, F>(&self, call: &Call, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let span = step!(
            "object store",
            otel.kind = "client",
            otel.name = call.operation,
            bytes = call.payload.size()
        );
        let trying = async {
            let mut tries = call.patience.begin();
            loop {
                let began = Instant::now();
                let done = attempt().await;
                self.count(call.operation, began, done.as_ref().err());
                match done {
                    Err(error) if error.is_temporary() && tries.wait().await => {}
                    done => return done,
                }
            }
        };
        trying.instrument(span).await
    }

    async fn try_call(&self, call: &Call) -> Result<(HeaderMap, Bytes), Error> {
        let response = self.begin(call).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.in_time(call.operation, read_whole(response)).await?;
        match self.inner.dialect.refusal(status, &headers, &body) {
            Some(refusal) => Err(Error::refused(call.operation, StatusCode::OK, refusal)),
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
    async fn begin(&self, call: &Call) -> Result<reqwest::Response, Error> {
        let Inner {
            http,
            dialect,
            answer_within,
            ..
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
        if asks_for_range && status == StatusCode::OK {
            // Whatever this is, it is not the bytes that were asked for.
            return Err(Error::Read {
                operation: call.operation,
            });
        }
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let body = self.in_time(call.operation, read_whole(response)).await?;
        let refusal = dialect.refusal(status, &headers, &body).unwrap_or_default();
        Err(Error::refused(call.operation, status, refusal))
    }

    async fn sign(&self, call: &Call, moving: &Moving) -> Result<reqwest::Request, Error> {
        let mut signed = http::Request::new(HttpRequestBody::empty());
        let unnamed = || Error::Name {
            key: call.url.path().to_owned(),
        };
        *signed.method_mut() = call.method.clone();
        *signed.uri_mut() = call.url.as_str().parse().map_err(|_| unnamed())?;
        signed.headers_mut().extend(call.headers.iter().cloned());
        let signing = self.inner.dialect.sign(&mut signed, &call.payload);
        signing.await.map_err(|source| Error::Sign { source })?;
        let url = signed.uri().to_string().parse().map_err(|_| unnamed())?;
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
