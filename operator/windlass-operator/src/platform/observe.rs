//! What is there: the Platform, the objects that are its own, those of others that have the names it wants, and what its
//! spec refers to. Read from the API server each time, never from a cache. Of a Secret only digests are kept.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::core::DynamicObject;
use kube::{Api, Client};
use windlass_api::{Platform, SecretKey};

use super::{KINDS, PLATFORM, plan, settings};
use crate::digest;
use crate::kind::{Identity, Kind};
use crate::objects::{self, Error, Owned};
use crate::watch::Reference;

/// A Secret's key that the spec refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The digest of its value.
    Value(String),
    /// The Secret is there and has no such key.
    NoKey,
    /// There is no such Secret.
    NoSecret,
}

/// What is there.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The Platform.
    pub platform: Platform,
    /// Its own objects, by kind and name.
    pub owned: BTreeMap<Identity, DynamicObject>,
    /// Names that it wants and that somebody else's objects have.
    pub foreign: BTreeSet<Identity>,
    /// Kinds that the cluster does not serve.
    pub unserved: BTreeSet<Kind>,
    /// What its spec refers to.
    pub secrets: BTreeMap<SecretKey, Found>,
    /// Whether the claim of its volume is there; `None` where it has no volume.
    pub claim: Option<bool>,
}

/// Reads all of it; `None` if there is no such Platform, or it is being deleted: what it owns goes with it.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn observe(client: &Client, reference: &Reference) -> Result<Option<Observed>, Error> {
    let api: Api<Platform> = Api::namespaced(client.clone(), &reference.namespace);
    let platform = api.get_opt(&reference.name).await.map_err(Error::of("the Platform"))?;
    let Some(platform) = platform.filter(|platform| platform.metadata.deletion_timestamp.is_none()) else {
        return Ok(None);
    };
    let uid = platform.metadata.uid.clone().unwrap_or_default();
    let wanted = plan::identities(&platform);
    let Owned {
        objects,
        foreign,
        unserved,
    } = objects::read(client, reference, (PLATFORM, &uid), &KINDS, &wanted).await?;
    let mut observed = Observed {
        platform,
        owned: objects,
        foreign,
        unserved,
        secrets: BTreeMap::new(),
        claim: None,
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &reference.namespace);
    let keys = settings::references(&observed.platform);
    let names: BTreeSet<_> = keys.iter().map(|key| key.name.clone()).collect();
    for name in names {
        let secret = secrets.get_opt(&name).await.map_err(Error::of("a Secret"))?;
        for key in keys.iter().filter(|key| key.name == name) {
            observed.secrets.insert(key.clone(), find(secret.as_ref(), &key.key));
        }
    }
    if let Some(volume) = &observed.platform.spec.storage.volume {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &reference.namespace);
        let claim = claims
            .get_metadata_opt(&volume.claim_name)
            .await
            .map_err(Error::of("the claim"))?;
        observed.claim = Some(claim.is_some());
    }
    Ok(Some(observed))
}

fn find(secret: Option<&Secret>, key: &str) -> Found {
    let Some(secret) = secret else {
        return Found::NoSecret;
    };
    match secret.data.as_ref().and_then(|data| data.get(key)) {
        Some(value) => Found::Value(digest::of_pieces([value.0.as_slice()])),
        None => Found::NoKey,
    }
}
