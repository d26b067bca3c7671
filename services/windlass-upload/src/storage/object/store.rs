//! What the object storage asks of a store, whatever its dialect: whole objects, and the parts of one.
//!
//! Parts have numbers that a commit reserved before they are sent, with gaps where a writer died. Nothing is ever sent twice
//! under one number but the same bytes, so a store may replace a part that it has or keep it. What is finished names the
//! parts that it is made of, and nothing that arrives later changes it.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use windlass_task::{PartNumber, UnixMillis};

use super::exchange::{Error, Payload};
use super::retry::Patience;

/// The most that any of the stores lists at once.
pub(super) const PAGE_KEYS: usize = 1_000;

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) key: String,
    pub(super) size: u64,
    /// When it was written last, by the store's clock.
    pub(super) modified: UnixMillis,
}

/// A page of a listing, in the order of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) objects: Vec<Object>,
    /// Whether there are more behind the last one.
    pub(super) more: bool,
}

/// Parts that were begun and have become no object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) key: String,
    pub(super) upload: String,
    /// By the store's clock.
    pub(super) began: UnixMillis,
}

/// A page of them, and the key and the name behind which the next begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OpenPage {
    pub(super) open: Vec<Open>,
    pub(super) next: Option<(String, String)>,
}

/// What a store wants to be told of a part to make an object of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag(pub(super) String);

/// A part that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredPart {
    pub(super) number: PartNumber,
    pub(super) tag: Tag,
    pub(super) size: u64,
}

/// Where a part belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The object that the parts become.
    pub(super) key: &'a str,
    /// The store's name of these parts together.
    pub(super) upload: &'a str,
    pub(super) number: PartNumber,
}

/// What came of finishing an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// It is there.
    Done,
    /// There is nothing to finish: it was finished, perhaps by a try whose answer was lost, or its parts were dropped.
    Gone,
    /// A part is not the one that was named: they must be listed again.
    Stale,
}

/// What a store takes as parts of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// The name of this kind of store in segments.
    pub(super) name: &'static str,
    /// The least that a part must have, but for the last, bytes.
    pub(super) part_bytes_min: u64,
    /// The most that is made a part of bytes that are stored already, bytes; nothing is where it is zero.
    pub(super) copy_bytes_max: u64,
    /// How long parts that are not finished stay after the last one came; as long as nobody drops them where there is none.
    pub(super) parts_stay: Option<Duration>,
}

/// A bucket of some store, in its dialect. Each request is tried again from the same bytes, as long as there is patience.
#[async_trait]
pub(super) trait Store: fmt::Debug + Send + Sync + 'static {
    fn rules(&self) -> Rules;

    /// Writes an object, over whatever is there.
    async fn put(&self, key: &str, payload: Payload, patience: Patience) -> Result<(), Error>;

    /// Writes an object where there is none; answers whether it did. A try whose answer was lost may have written it:
    /// then it is there, and this says no.
    async fn create(&self, key: &str, payload: Payload, patience: Patience) -> Result<bool, Error>;

    /// Reads a small object; `None` when it is not there.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error>;

    /// The bytes `range` of an object that never changes.
    fn read(&self, key: String, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>>;

    /// The size of an object in bytes; `None` when it is not there.
    async fn head(&self, key: &str) -> Result<Option<u64>, Error>;

    /// Removes an object; what is not there is removed already.
    async fn delete(&self, key: &str) -> Result<(), Error>;

    /// At most `limit` objects whose keys begin with `prefix` and come after `after`.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Listed, Error>;

    /// All objects whose keys begin with `prefix`: for prefixes that belong to one upload, whose objects are few.
    async fn list_all(&self, prefix: &str) -> Result<Vec<Object>, Error> {
        let mut objects: Vec<Object> = Vec::new();
        loop {
            let after = objects.last().map(|last| last.key.clone());
            let page = self.list(prefix, after.as_deref(), PAGE_KEYS).await?;
            let more = page.more && !page.objects.is_empty();
            objects.extend(page.objects);
            if !more {
                return Ok(objects);
            }
        }
    }

    /// Begins an object of parts; answers the store's name of them. What is begun and not gone on with is nothing.
    async fn begin(&self, key: &str) -> Result<String, Error>;

    /// Sends a part.
    ///
    /// # Errors
    /// One for which [`Error::is_gone`] when there is nothing any more that it could be a part of.
    async fn put_part(&self, place: Place<'_>, payload: Payload) -> Result<Tag, Error>;

    /// Makes a part of bytes of another object, which do not leave the store; `None` where it can't be, and nothing was done.
    async fn copy_part(&self, place: Place<'_>, from: &str, range: Range<u64>) -> Result<Option<Tag>, Error>;

    /// The parts that are there, in the order of their numbers; `None` when there is nothing (any more) to finish.
    async fn list_parts(&self, key: &str, upload: &str) -> Result<Option<Vec<StoredPart>>, Error>;

    /// Makes an object of these parts, in the order of their numbers.
    async fn finish(&self, key: &str, upload: &str, parts: &[(PartNumber, Tag)]) -> Result<Finish, Error>;

    /// Drops parts that nobody will finish; what is not there is dropped already.
    async fn abort(&self, key: &str, upload: &str) -> Result<(), Error>;

    /// What was begun and neither finished nor dropped, of keys that begin with `prefix`, as (key, name of the parts): what
    /// the store itself tells of. Not every store tells of everything.
    async fn list_open(&self, prefix: &str) -> Result<Vec<(String, String)>, Error> {
        let mut open = Vec::new();
        let mut after: Option<(String, String)> = None;
        loop {
            let from = after.as_ref().map(|(key, upload)| (key.as_str(), upload.as_str()));
            let page = self.list_open_page(prefix, from, PAGE_KEYS).await?;
            open.extend(page.open.into_iter().map(|open| (open.key, open.upload)));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(open),
            }
        }
    }

    /// At most `limit` of them, behind the key and the name of the last page's last.
    async fn list_open_page(&self, prefix: &str, after: Option<(&str, &str)>, limit: usize) -> Result<OpenPage, Error>;
}

/// A name for the parts of an object, where the store gives none.
pub(super) fn random_name() -> String {
    let drawn = getrandom::u64().expect("the system's random source answers once the system has started");
    format!("{drawn:016x}")
}
