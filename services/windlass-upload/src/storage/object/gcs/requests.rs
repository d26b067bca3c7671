//! The requests on objects.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{HeaderValue, Method, header};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use windlass_task::{PartNumber, UnixMillis};

use super::wire::{Described, Listing};
use super::{Gcs, Payload, request};
use crate::storage::object::exchange::{Call, Error};
use crate::storage::object::retry::Patience;
use crate::storage::object::store::{
    Finish, Listed, Object, OpenPage, Place, Rules, Store, StoredPart, Tag, random_name,
};

/// What every object is said to be: what a file is, its record says.
pub(super) const CONTENT_TYPE: &str = "application/octet-stream";
/// Only where there is no object (RFC 9110 section 13.1.2 in Google's words).
pub(super) const ONLY_NEW: (&str, &str) = ("ifGenerationMatch", "0");

#[async_trait]
impl Store for Gcs {
    /// Components may be of any size. What is copied is not: an object becomes a component as it is.
    fn rules(&self) -> Rules {
        Rules {
            name: "gcs",
            part_bytes_min: 1,
            copy_bytes_max: u64::MAX,
            parts_stay: None,
        }
    }

    async fn put(&self, key: &str, payload: Payload, patience: Patience) -> Result<(), Error> {
        let call = self.insert(key, payload, patience, &[]);
        self.exchange.call(call).await.map(drop)
    }

    async fn create(&self, key: &str, payload: Payload, patience: Patience) -> Result<bool, Error> {
        let call = self.insert(key, payload, patience, &[ONLY_NEW]);
        match self.exchange.call(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_taken() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let call = request("ObjectsGetMedia", Method::GET, self.address.media(key), &[]);
        match self.exchange.call(call).await {
            Ok((_, body)) => Ok(Some(body)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, key: String, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        self.exchange.read(key, range).boxed()
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, Error> {
        let operation = "ObjectsGet";
        let Some(described) = self.describe(key).await? else {
            return Ok(None);
        };
        described.size.parse().map(Some).map_err(|_| Error::Read { operation })
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        let call = request("ObjectsDelete", Method::DELETE, self.address.object(key), &[]);
        match self.exchange.call(call).await {
            Err(error) if !error.is_missing() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// A listing begins with the key that it is to come after: one more is asked for.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Listed, Error> {
        let operation = "ObjectsList";
        let most = (limit + 1).to_string();
        let mut query = vec![
            ("fields", "items(name,size,updated),nextPageToken"),
            ("maxResults", most.as_str()),
            ("prefix", prefix),
        ];
        query.extend(after.map(|after| ("startOffset", after)));
        let mut token: Option<String> = None;
        loop {
            let mut query = query.clone();
            query.extend(token.as_deref().map(|token| ("pageToken", token)));
            let call = request(operation, Method::GET, self.address.objects(), &query);
            let (_, body) = self.exchange.call(call).await?;
            let page: Listing = serde_json::from_slice(&body).map_err(|_| Error::Read { operation })?;
            let items = page.items.into_iter();
            let items = items.filter(|item| after.is_none_or(|after| item.name.as_str() > after));
            let objects = items.map(|item| {
                let size = item.size.parse().map_err(|_| Error::Read { operation })?;
                let modified = parse_time(&item.updated).ok_or(Error::Read { operation })?;
                Ok(Object {
                    key: item.name,
                    size,
                    modified,
                })
            });
            let mut objects: Vec<Object> = objects.collect::<Result<_, Error>>()?;
            token = page.next_page_token.filter(|token| !token.is_empty());
            // A page may be empty although more follow.
            if !objects.is_empty() || token.is_none() {
                let more = token.is_some() || objects.len() > limit;
                objects.truncate(limit);
                return Ok(Listed { objects, more });
            }
        }
    }

    /// Nothing is there before the first part.
    async fn begin(&self, _key: &str) -> Result<String, Error> {
        Ok(random_name())
    }

    async fn put_part(&self, place: Place<'_>, payload: Payload) -> Result<Tag, Error> {
        self.put_component(place, payload).await
    }

    async fn copy_part(&self, _place: Place<'_>, from: &str, range: Range<u64>) -> Result<Option<Tag>, Error> {
        let whole = range.start == 0 && self.head(from).await? == Some(range.end);
        Ok(whole.then(|| Tag(from.to_owned())))
    }

    async fn list_parts(&self, key: &str, upload: &str) -> Result<Option<Vec<StoredPart>>, Error> {
        self.list_components(key, upload).await
    }

    async fn finish(&self, key: &str, upload: &str, parts: &[(PartNumber, Tag)]) -> Result<Finish, Error> {
        self.compose_all(key, upload, parts).await
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        self.remove_components(key, upload).await
    }

    /// Parts are objects, which are listed as such.
    async fn list_open_page(
        &self,
        _prefix: &str,
        _after: Option<(&str, &str)>,
        _limit: usize,
    ) -> Result<OpenPage, Error> {
        Ok(OpenPage {
            open: Vec::new(),
            next: None,
        })
    }
}

impl Gcs {
    /// What is said of an object; `None` when it is not there.
    pub(super) async fn describe(&self, key: &str) -> Result<Option<Described>, Error> {
        let operation = "ObjectsGet";
        let url = self.address.object(key);
        let call = request(operation, Method::GET, url, &[("fields", "crc32c,size")]);
        match self.exchange.call(call).await {
            Ok((_, body)) => {
                let described = serde_json::from_slice(&body);
                described.map(Some).map_err(|_| Error::Read { operation })
            }
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn insert(&self, key: &str, payload: Payload, patience: Patience, more: &[(&str, &str)]) -> Call {
        let mut query = vec![("name", key), ("uploadType", "media")];
        query.extend(more);
        Call {
            headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))],
            payload,
            patience,
            ..request("ObjectsInsert", Method::POST, self.address.uploads(), &query)
        }
    }
}

/// `2026-11-22T20:00:00.000Z`.
fn parse_time(text: &str) -> Option<UnixMillis> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000)
        .ok()
        .map(UnixMillis)
}
