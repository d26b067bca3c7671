//! Reading objects as their bytes come.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::time::timeout;

use super::{Call, Error, Exchange, Patience};

impl Exchange {
    /// The bytes `range` of an object that never changes. Where they stop coming, the rest is asked for again, of that very
    /// object, until nothing has come for [`Patience::READING`]: whoever reads slowly, or a store that breaks off again and
    /// again, may take as long as it takes.
    pub(in crate::storage::object) fn read(
        &self,
        key: String,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let reading = Reading {
            exchange: self.clone(),
            key,
            range,
            first: None,
            response: None,
        };
        stream::try_unfold(reading, Reading::next)
    }
}

/// A download.
struct Reading {
    exchange: Exchange,
    key: String,
    /// What is left of it.
    range: Range<u64>,
    /// What the first answer said of the object.
    first: Option<HeaderMap>,
    response: Option<reqwest::Response>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        if self.range.is_empty() {
            return Ok(None);
        }
        // Each wait begins anew: bytes that come are what patience is for.
        let mut tries = Patience::READING.begin();
        loop {
            let error = match self.receive().await {
                Ok(bytes) => {
                    self.range.start += bytes.len() as u64;
                    return Ok(Some((bytes, self)));
                }
                Err(error) => error,
            };
            let was_open = self.response.take().is_some();
            let metrics = &self.exchange.inner.metrics;
            if !error.is_temporary() || !tries.wait().await {
                if self.first.is_some() {
                    metrics.reading_given_up();
                }
                return Err(error);
            }
            if was_open {
                metrics.reading_resumed();
                let error: &dyn std::error::Error = &error;
                tracing::debug!(
                    at = self.range.start,
                    error,
                    "a reading is gone on with where it stopped"
                );
            }
        }
    }

    /// What comes next, by the answer in hand or a new one.
    async fn receive(&mut self) -> Result<Bytes, Error> {
        let operation = self.exchange.inner.dialect.reading();
        let response = match &mut self.response {
            Some(response) => response,
            None => {
                let opened = self.open().await?;
                self.first.get_or_insert_with(|| opened.headers().clone());
                self.response.insert(opened)
            }
        };
        match timeout(self.exchange.inner.answer_within, response.chunk()).await {
            Ok(Ok(Some(bytes))) if bytes.len() as u64 <= self.range.end - self.range.start => Ok(bytes),
            // More than was asked for, or an end before its time.
            Ok(Ok(Some(_) | None)) => Err(Error::Read { operation }),
            Ok(Err(source)) => Err(Error::Send {
                operation,
                source: source.without_url(),
            }),
            Err(_) => Err(Error::Await { operation }),
        }
    }

    /// Asks for what is left, once.
    async fn open(&self) -> Result<reqwest::Response, Error> {
        let dialect = &self.exchange.inner.dialect;
        let value = format!("bytes={}-{}", self.range.start, self.range.end - 1);
        let value = HeaderValue::try_from(value).expect("digits are ASCII");
        let mut call = Call {
            headers: vec![(header::RANGE, value)],
            patience: Patience::ONCE,
            ..Call::new(dialect.reading(), Method::GET, dialect.object(&self.key))
        };
        if let Some(first) = &self.first {
            dialect.narrow(&mut call, first);
        }
        self.exchange.open(call).await
    }
}
