//! Parts as objects, and their composition.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderValue, Method, StatusCode, header};
use sha2::{Digest as _, Sha256};
use windlass_task::PartNumber;

use super::requests::ONLY_NEW;
use super::wire::Compose;
use super::{Gcs, Payload, request};
use crate::storage::object::exchange::{Call, Error, Refusal};
use crate::storage::object::name::Name;
use crate::storage::object::retry::Patience;
use crate::storage::object::store::{Finish, Place, Store as _, StoredPart, Tag};

/// How many objects are composed at once (Google's limit).
const COMPONENTS_MAX: usize = 32;
/// How many requests for the parts of one object are under way at once: ten thousand parts must not be removed one by one.
const AT_ONCE: usize = 8;

impl Gcs {
    /// A part that is there was written by a try whose answer was lost: nobody else has its number. It is not believed.
    pub(super) async fn put_component(&self, place: Place<'_>, payload: Payload) -> Result<Tag, Error> {
        let name = Name::Part {
            upload: place.upload.to_owned(),
            number: place.number,
        };
        let key = beside(place.key, &name);
        if !self.create(&key, payload.clone(), Patience::BYTES).await? {
            self.check_same(&key, &payload).await?;
        }
        Ok(Tag(key))
    }

    /// Refuses an object of other bytes than these.
    async fn check_same(&self, key: &str, payload: &Payload) -> Result<(), Error> {
        let there = self.describe(key).await?;
        let ours = BASE64_STANDARD.encode(payload.crc32c(&self.exchange, "ObjectsInsert").await?.to_be_bytes());
        if there.is_some_and(|there| there.size == payload.size().to_string() && there.crc32c == ours) {
            return Ok(());
        }
        let refusal = Refusal {
            code: "conditionNotMet".to_owned(),
            message: "the part's number is taken by other bytes".to_owned(),
        };
        Err(Error::refused(
            "ObjectsInsert",
            StatusCode::PRECONDITION_FAILED,
            refusal,
        ))
    }

    /// The parts are listed before the object is looked for: while it is not there, nobody has removed any.
    pub(super) async fn list_components(&self, key: &str, upload: &str) -> Result<Option<Vec<StoredPart>>, Error> {
        let folder = folder(key);
        let objects = self.list_all(&format!("{folder}part-{upload}-")).await?;
        if objects.is_empty() || self.head(key).await?.is_some() {
            return Ok(None);
        }
        let parts = objects.into_iter().filter_map(|object| {
            let name = object.key.strip_prefix(folder)?.parse().ok()?;
            let Name::Part { number, .. } = name else { return None };
            Some(StoredPart {
                number,
                tag: Tag(object.key),
                size: object.size,
            })
        });
        let mut parts: Vec<StoredPart> = parts.collect();
        parts.sort_by_key(|part| part.number);
        Ok(Some(parts))
    }

    pub(super) async fn compose_all(
        &self,
        key: &str,
        upload: &str,
        parts: &[(PartNumber, Tag)],
    ) -> Result<Finish, Error> {
        let mut level: Vec<String> = parts.iter().map(|(_, tag)| tag.0.clone()).collect();
        while level.len() > COMPONENTS_MAX {
            let mut nodes = Vec::with_capacity(level.len().div_ceil(COMPONENTS_MAX));
            for components in level.chunks(COMPONENTS_MAX) {
                nodes.push(self.compose_node(key, upload, components.to_vec()));
            }
            let composed: Vec<Option<String>> = stream::iter(nodes).buffered(AT_ONCE).try_collect().await?;
            match composed.into_iter().collect::<Option<Vec<String>>>() {
                Some(next) => level = next,
                None => return Ok(Finish::Stale),
            }
        }
        let finish = self.compose(key, &level).await?;
        if finish == Finish::Done {
            let (store, key, upload) = (self.clone(), key.to_owned(), upload.to_owned());
            tokio::spawn(async move {
                if let Err(error) = store.remove_components(&key, &upload).await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "parts that are not needed stay"
                    );
                }
            });
        }
        Ok(finish)
    }

    /// Composes some components under a name that says which; `None` when one is not there (any more).
    async fn compose_node(&self, key: &str, upload: &str, components: Vec<String>) -> Result<Option<String>, Error> {
        if let [alone] = components.as_slice() {
            return Ok(Some(alone.clone()));
        }
        let digest = Sha256::digest(components.join("\n"));
        let digest = digest
            .iter()
            .take(8)
            .fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
        let name = Name::Composed {
            upload: upload.to_owned(),
            digest,
        };
        let node = beside(key, &name);
        Ok(match self.compose(&node, &components).await? {
            Finish::Done | Finish::Gone => Some(node),
            Finish::Stale => None,
        })
    }

    /// Composes an object where there is none.
    async fn compose(&self, key: &str, components: &[String]) -> Result<Finish, Error> {
        let operation = "ObjectsCompose";
        let body = serde_json::to_vec(&Compose::of(components)).map_err(|_| Error::Name { key: key.to_owned() })?;
        let call = Call {
            headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            payload: Bytes::from(body).into(),
            patience: Patience::BYTES,
            ..request(operation, Method::POST, self.address.compose(key), &[ONLY_NEW])
        };
        match self.exchange.call(call).await {
            Ok(_) => Ok(Finish::Done),
            Err(error) if error.is_taken() => Ok(Finish::Gone),
            Err(error) if error.is_missing() => Ok(Finish::Stale),
            Err(error) => Err(error),
        }
    }

    /// Removes the parts of one beginning of an object, and what was composed on the way; not objects of others that became
    /// components.
    pub(super) async fn remove_components(&self, key: &str, upload: &str) -> Result<(), Error> {
        let folder = folder(key);
        for kind in ["part", "composed"] {
            let objects = self.list_all(&format!("{folder}{kind}-{upload}-")).await?;
            let deleting = objects
                .into_iter()
                .map(|object| async move { self.delete(&object.key).await });
            let deleting: Vec<_> = deleting.collect();
            stream::iter(deleting)
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await?;
        }
        Ok(())
    }
}

/// What the keys of all an upload's objects begin with, told from one of them.
fn folder(key: &str) -> &str {
    let end = key.rfind('/').map_or(0, |slash| slash + 1);
    key.get(..end).unwrap_or_default()
}

fn beside(key: &str, name: &Name) -> String {
    format!("{}{name}", folder(key))
}
