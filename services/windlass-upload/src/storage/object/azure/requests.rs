//! The requests on blobs and on their blocks.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue, Method, header};
use windlass_task::{PartNumber, UnixMillis};

use super::wire::{BlockList, Listing, block_id, commit, read_block_id};
use super::{Azure, Payload};
use crate::storage::object::exchange::{Call, Error};
use crate::storage::object::retry::Patience;
use crate::storage::object::store::{
    Finish, Listed, Object, Open, OpenPage, Place, Rules, Store, StoredPart, Tag, random_name,
};
use crate::storage::object::xml::read;

/// How many places of listings are remembered: enough for some that go through a container at once. With fewer, a listing
/// that goes on begins further ahead of where it stopped.
const PAGES_MAX: usize = 64;
/// Azure drops blocks a week after the last one came (Put Block, remarks).
const BLOCKS_STAY: Duration = Duration::from_secs(7 * 24 * 3_600);

#[async_trait]
impl Store for Azure {
    /// Blocks may be of any size up to 4000 MiB. Bytes are not copied inside of the store: a request that does would have
    /// to prove its right to the source a second time, which no emulator knows.
    fn rules(&self) -> Rules {
        Rules {
            name: "azure",
            part_bytes_min: 1,
            copy_bytes_max: 0,
            parts_stay: Some(BLOCKS_STAY),
        }
    }

    async fn put(&self, key: &str, payload: Payload, patience: Patience) -> Result<(), Error> {
        self.exchange
            .call(self.put_blob(key, payload, patience))
            .await
            .map(drop)
    }

    async fn create(&self, key: &str, payload: Payload, patience: Patience) -> Result<bool, Error> {
        let mut call = self.put_blob(key, payload, patience);
        call.headers.push(only_new());
        match self.exchange.call(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_taken() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        match self.exchange.call(self.request("GetBlob", Method::GET, key, &[])).await {
            Ok((_, body)) => Ok(Some(body)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, key: String, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        self.exchange.read(key, range).boxed()
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, Error> {
        let call = self.request("GetBlobProperties", Method::HEAD, key, &[]);
        self.exchange.size(call).await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        let call = self.request("DeleteBlob", Method::DELETE, key, &[]);
        match self.exchange.call(call).await {
            Err(error) if !error.is_missing() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// A listing goes on only where the store itself has marked it, so the marks of some pages are remembered; what comes
    /// before `after` is passed over.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Listed, Error> {
        let mut marker = after.and_then(|after| self.mark_before(prefix, after));
        loop {
            let page = self.list_page(prefix, marker.as_deref(), limit, "").await?;
            let last = page.blobs.blob.last().map(|blob| blob.name.clone());
            let next = Some(page.next_marker).filter(|next| !next.is_empty());
            if let (Some(last), Some(next)) = (last, &next) {
                self.remember(prefix, last, next.clone());
            }
            let mut objects = Vec::new();
            for blob in page.blobs.blob {
                if after.is_none_or(|after| blob.name.as_str() > after) {
                    objects.push(Object {
                        modified: parse_time(&blob.properties.last_modified).ok_or(Error::Read { operation: LIST })?,
                        size: blob.properties.content_length,
                        key: blob.name,
                    });
                }
            }
            if !objects.is_empty() || next.is_none() {
                return Ok(Listed {
                    objects,
                    more: next.is_some(),
                });
            }
            marker = next;
        }
    }

    /// The blob comes to be with its first block; until then there is nothing.
    async fn begin(&self, _key: &str) -> Result<String, Error> {
        Ok(random_name())
    }

    async fn put_part(&self, place: Place<'_>, payload: Payload) -> Result<Tag, Error> {
        let id = block_id(place.upload, place.number);
        let query = [("blockid", id.as_str()), ("comp", "block")];
        let call = Call {
            payload,
            patience: Patience::BYTES,
            ..self.request("PutBlock", Method::PUT, place.key, &query)
        };
        self.exchange.call(call).await?;
        Ok(Tag(id))
    }

    async fn copy_part(&self, _place: Place<'_>, _from: &str, _range: Range<u64>) -> Result<Option<Tag>, Error> {
        Ok(None)
    }

    /// A blob that is there was finished, and what came later is no part of it.
    async fn list_parts(&self, key: &str, upload: &str) -> Result<Option<Vec<StoredPart>>, Error> {
        let Some(list) = self.list_blocks(key).await? else {
            return Ok(None);
        };
        if !list.committed_blocks.block.is_empty() {
            return Ok(None);
        }
        let mut parts: Vec<StoredPart> = Vec::with_capacity(list.uncommitted_blocks.block.len());
        for block in list.uncommitted_blocks.block {
            let number = read_block_id(&block.name).and_then(|(of, number)| (of == upload).then_some(number));
            parts.extend(number.map(|number| StoredPart {
                number,
                tag: Tag(block.name),
                size: block.size,
            }));
        }
        parts.sort_by_key(|part| part.number);
        Ok(Some(parts))
    }

    async fn finish(&self, key: &str, _upload: &str, parts: &[(PartNumber, Tag)]) -> Result<Finish, Error> {
        let call = Call {
            headers: vec![
                (header::CONTENT_TYPE, HeaderValue::from_static("application/xml")),
                only_new(),
            ],
            payload: Bytes::from(commit(parts)).into(),
            patience: Patience::BYTES,
            ..self.request("PutBlockList", Method::PUT, key, &[("comp", "blocklist")])
        };
        match self.exchange.call(call).await {
            Ok(_) => Ok(Finish::Done),
            Err(error) if error.is_taken() => Ok(Finish::Gone),
            Err(error) if error.has_code("InvalidBlockList") => Ok(Finish::Stale),
            Err(error) => Err(error),
        }
    }

    /// Blocks go when a blob is made of none of them, which goes itself then. Where others have begun under the same name
    /// nothing is done: the store drops them within a week.
    async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        if self.open_of(key).await? != BTreeSet::from([upload.to_owned()]) {
            return Ok(());
        }
        match self.finish(key, upload, &[]).await? {
            Finish::Done => self.delete(key).await,
            Finish::Gone | Finish::Stale => Ok(()),
        }
    }

    /// The second of what a page is behind is the store's own mark.
    async fn list_open_page(&self, prefix: &str, after: Option<(&str, &str)>, limit: usize) -> Result<OpenPage, Error> {
        let marker = after.map(|(_, marker)| marker);
        let page = self.list_page(prefix, marker, limit, "uncommittedblobs").await?;
        let last = page.blobs.blob.last().map(|blob| blob.name.clone());
        let mut open = Vec::new();
        for blob in page.blobs.blob {
            if blob.properties.content_length > 0 {
                continue;
            }
            let began = parse_time(&blob.properties.last_modified).ok_or(Error::Read { operation: LIST })?;
            let of = self.open_of(&blob.name).await?;
            open.extend(of.into_iter().map(|upload| Open {
                key: blob.name.clone(),
                upload,
                began,
            }));
        }
        let next = Some(page.next_marker).filter(|next| !next.is_empty());
        Ok(OpenPage {
            open,
            next: next.map(|next| (last.unwrap_or_default(), next)),
        })
    }
}

/// The name of the request that lists.
const LIST: &str = "ListBlobs";

impl Azure {
    fn put_blob(&self, key: &str, payload: Payload, patience: Patience) -> Call {
        Call {
            payload,
            patience,
            headers: vec![(
                HeaderName::from_static("x-ms-blob-type"),
                HeaderValue::from_static("BlockBlob"),
            )],
            ..self.request("PutBlob", Method::PUT, key, &[])
        }
    }

    async fn list_page(
        &self,
        prefix: &str,
        marker: Option<&str>,
        limit: usize,
        include: &str,
    ) -> Result<Listing, Error> {
        let limit = limit.to_string();
        let mut query = vec![("comp", "list")];
        query.extend((!include.is_empty()).then_some(("include", include)));
        query.extend(marker.map(|marker| ("marker", marker)));
        query.extend([
            ("maxresults", limit.as_str()),
            ("prefix", prefix),
            ("restype", "container"),
        ]);
        let mut call = self.request(LIST, Method::GET, "", &query);
        // The container's own URL has no slash at its end.
        let path = call.url.path().trim_end_matches('/').to_owned();
        call.url.set_path(&path);
        let (_, body) = self.exchange.call(call).await?;
        read(&body).ok_or(Error::Read { operation: LIST })
    }

    /// The blocks of a blob; `None` when it has none.
    async fn list_blocks(&self, key: &str) -> Result<Option<BlockList>, Error> {
        let operation = "GetBlockList";
        let query = [("blocklisttype", "all"), ("comp", "blocklist")];
        match self
            .exchange
            .call(self.request(operation, Method::GET, key, &query))
            .await
        {
            Ok((_, body)) => read(&body).map(Some).ok_or(Error::Read { operation }),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What has blocks under a name where no blob is.
    async fn open_of(&self, key: &str) -> Result<BTreeSet<String>, Error> {
        let list = self.list_blocks(key).await?.unwrap_or_default();
        if !list.committed_blocks.block.is_empty() {
            return Ok(BTreeSet::new());
        }
        let blocks = list.uncommitted_blocks.block.iter();
        Ok(blocks
            .filter_map(|block| read_block_id(&block.name).map(|(upload, _)| upload))
            .collect())
    }

    /// The mark of the last page that is known to end at `after` or before.
    fn mark_before(&self, prefix: &str, after: &str) -> Option<String> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let to = (prefix.to_owned(), after.to_owned());
        let (_, mark) = pages.range((prefix.to_owned(), String::new())..=to).next_back()?;
        Some(mark.clone())
    }

    fn remember(&self, prefix: &str, last: String, mark: String) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.insert((prefix.to_owned(), last), mark);
        while pages.len() > PAGES_MAX {
            pages.pop_first();
        }
    }
}

fn only_new() -> (HeaderName, HeaderValue) {
    (header::IF_NONE_MATCH, HeaderValue::from_static("*"))
}

/// `Sun, 22 Nov 2026 20:00:00 GMT`.
fn parse_time(text: &str) -> Option<UnixMillis> {
    let at: SystemTime = httpdate::parse_http_date(text).ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(UnixMillis)
}
