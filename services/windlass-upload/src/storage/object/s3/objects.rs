//! The requests on whole objects.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderValue, Method, header};
use tokio::time::timeout;
use windlass_task::UnixMillis;

use super::{Call, Error, Patience, Payload, S3, SILENT_WITHIN, xml};

/// How often one download may break off and be gone on with where it stopped.
const RESUMES_MAX: usize = 5;

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage::object) struct Object {
    pub(in crate::storage::object) key: String,
    pub(in crate::storage::object) size: u64,
    /// When it was written last, by the store's clock.
    pub(in crate::storage::object) modified: UnixMillis,
}

/// A page of a listing, in the order of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage::object) struct Listed {
    pub(in crate::storage::object) objects: Vec<Object>,
    /// Whether there are more behind the last one.
    pub(in crate::storage::object) more: bool,
}

impl S3 {
    /// Writes an object, over whatever is there.
    pub(in crate::storage::object) async fn put(
        &self,
        key: &str,
        payload: Payload,
        patience: Patience,
    ) -> Result<(), Error> {
        let call = Call {
            payload,
            patience,
            ..Call::new("PutObject", Method::PUT, key)
        };
        self.call(call).await.map(drop)
    }

    /// Writes an object where there is none; answers whether it did. A try whose answer was lost may have written it:
    /// then it is there, and this says no.
    pub(in crate::storage::object) async fn create(
        &self,
        key: &str,
        payload: Payload,
        patience: Patience,
    ) -> Result<bool, Error> {
        let call = Call {
            payload,
            patience,
            headers: vec![self.inner.create_only.header()],
            ..Call::new("PutObject", Method::PUT, key)
        };
        match self.call(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_taken() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a small object; `None` when it is not there.
    pub(in crate::storage::object) async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        match self.call(Call::new("GetObject", Method::GET, key)).await {
            Ok((_, body)) => Ok(Some(body)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The size of an object in bytes; `None` when it is not there.
    pub(in crate::storage::object) async fn head(&self, key: &str) -> Result<Option<u64>, Error> {
        match self.call(Call::new("HeadObject", Method::HEAD, key)).await {
            Ok((headers, _)) => {
                let size = headers
                    .get(header::CONTENT_LENGTH)
                    .and_then(|value| value.to_str().ok());
                let size = size.and_then(|text| text.parse().ok());
                size.map(Some).ok_or(Error::Read {
                    operation: "HeadObject",
                })
            }
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes an object; what is not there is removed already.
    pub(in crate::storage::object) async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.call(Call::new("DeleteObject", Method::DELETE, key)).await {
            Err(error) if !error.is_missing() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// At most `limit` objects whose keys begin with `prefix` and come after `after`.
    pub(in crate::storage::object) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listed, Error> {
        let operation = "ListObjectsV2";
        let mut query = vec![
            ("list-type", "2".to_owned()),
            ("max-keys", limit.to_string()),
            ("prefix", prefix.to_owned()),
        ];
        query.extend(after.map(|after| ("start-after", after.to_owned())));
        let call = Call {
            query,
            ..Call::new(operation, Method::GET, "")
        };
        let (_, body) = self.call(call).await?;
        let page: xml::Objects = xml::read(&body).ok_or(Error::Read { operation })?;
        let objects = page.contents.into_iter().map(|content| {
            let modified = parse_time(&content.last_modified).ok_or(Error::Read { operation })?;
            Ok(Object {
                key: content.key,
                size: content.size,
                modified,
            })
        });
        Ok(Listed {
            objects: objects.collect::<Result<_, Error>>()?,
            more: page.is_truncated,
        })
    }

    /// All objects whose keys begin with `prefix`: for prefixes that belong to one upload, whose objects are few.
    pub(in crate::storage::object) async fn list_all(&self, prefix: &str) -> Result<Vec<Object>, Error> {
        let mut objects: Vec<Object> = Vec::new();
        loop {
            let after = objects.last().map(|last| last.key.clone());
            let page = self.list(prefix, after.as_deref(), 1_000).await?;
            let more = page.more && !page.objects.is_empty();
            objects.extend(page.objects);
            if !more {
                return Ok(objects);
            }
        }
    }

    /// The bytes `range` of an object that never changes: a download that breaks off is gone on with where it stopped.
    pub(in crate::storage::object) fn read(
        &self,
        key: String,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let reading = Reading {
            store: self.clone(),
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
        let call = Call {
            headers: vec![(header::RANGE, value)],
            patience: Patience::BYTES,
            ..Call::new("GetObject", Method::GET, key)
        };
        self.open(call).await
    }
}

/// A download.
struct Reading {
    store: S3,
    key: String,
    /// What is left of it.
    range: Range<u64>,
    response: Option<reqwest::Response>,
    resumes: usize,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let operation = "GetObject";
        loop {
            if self.range.is_empty() {
                return Ok(None);
            }
            let response = match &mut self.response {
                Some(response) => response,
                None => self
                    .response
                    .insert(self.store.open_range(&self.key, self.range.clone()).await?),
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

/// `2026-11-22T20:00:00.000Z`.
fn parse_time(text: &str) -> Option<UnixMillis> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000)
        .ok()
        .map(UnixMillis)
}
