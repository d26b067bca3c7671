//! Reading objects as their bytes come.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderValue, Method, header};
use tokio::time::timeout;

use super::{Call, Error, Exchange, Patience};

/// How long a body on its way in may bring nothing.
const SILENT_WITHIN: Duration = Duration::from_secs(10);
/// How often one download may break off and be gone on with where it stopped.
const RESUMES_MAX: usize = 5;

impl Exchange {
    /// The bytes `range` of an object that never changes: a download that breaks off is gone on with where it stopped.
    pub(in crate::storage::object) fn read(
        &self,
        key: String,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let reading = Reading {
            exchange: self.clone(),
            key,
            range,
            response: None,
            resumes: 0,
        };
        stream::try_unfold(reading, Reading::next)
    }

    async fn open_range(&self, key: &str, range: Range<u64>) -> Result<reqwest::Response, Error> {
        let value = format!("bytes={}-{}", range.start, range.end - 1);
        let value = HeaderValue::try_from(value).expect("digits are ASCII");
        let dialect = &self.inner.dialect;
        let call = Call {
            headers: vec![(header::RANGE, value)],
            patience: Patience::BYTES,
            ..Call::new(dialect.reading(), Method::GET, dialect.object(key))
        };
        self.open(call).await
    }
}

/// A download.
struct Reading {
    exchange: Exchange,
    key: String,
    /// What is left of it.
    range: Range<u64>,
    response: Option<reqwest::Response>,
    resumes: usize,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let operation = self.exchange.inner.dialect.reading();
        loop {
            if self.range.is_empty() {
                return Ok(None);
            }
            let response = match &mut self.response {
                Some(response) => response,
                None => self
                    .response
                    .insert(self.exchange.open_range(&self.key, self.range.clone()).await?),
            };
            let broken = match timeout(SILENT_WITHIN, response.chunk()).await {
                Ok(Ok(Some(bytes))) if bytes.len() as u64 > self.range.end - self.range.start => {
                    return Err(Error::Read { operation });
                }
                Ok(Ok(Some(bytes))) => {
                    self.range.start += bytes.len() as u64;
                    return Ok(Some((bytes, self)));
                }
                // It ended before its time.
                Ok(Ok(None)) => Error::Read { operation },
                Ok(Err(source)) => Error::Send {
                    operation,
                    source: source.without_url(),
                },
                Err(_) => Error::Await { operation },
            };
            self.response = None;
            self.resumes += 1;
            if self.resumes > RESUMES_MAX {
                return Err(broken);
            }
        }
    }
}
