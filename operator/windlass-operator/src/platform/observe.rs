//! What is there: the Platform, the objects that are its own, those of others that have the names it wants, and what its
//! spec refers to. Read from the API server each time, never from a cache. Of a Secret only digests are kept.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, TypeMeta};
use kube::{Api, Client, ResourceExt as _};
use windlass_api::{Platform, SecretKey};

use super::{plan, settings};
use crate::digest;
use crate::kind::{Identity, Kind};
use crate::watch::{PLATFORM, Reference};

/// Objects of one kind that one Platform may have: far more than it ever makes.
const OBJECTS_MAX: u32 = 100;

/// Why it could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what}")]
pub struct Error {
    /// What.
    pub what: String,
    /// Why.
    #[source]
    pub source: kube::Error,
}

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
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| Error { what, source }
    };
    let platform = api.get_opt(&reference.name).await.map_err(failed("the Platform"))?;
    let Some(platform) = platform.filter(|platform| platform.metadata.deletion_timestamp.is_none()) else {
        return Ok(None);
    };
    let uid = platform.metadata.uid.clone().unwrap_or_default();
    let mut observed = Observed {
        owned: BTreeMap::new(),
        foreign: BTreeSet::new(),
        unserved: BTreeSet::new(),
        secrets: BTreeMap::new(),
        claim: None,
        platform,
    };
    for kind in Kind::ALL {
        let api = objects(client, reference, kind);
        let parameters = ListParams::default()
            .labels(&format!("{PLATFORM}={}", reference.name))
            .limit(OBJECTS_MAX);
        let listed = match api.list(&parameters).await {
            Ok(listed) => listed.items,
            // A group that is not there is answered 404 without a reason.
            Err(kube::Error::Api(status)) if status.code == 404 && kind.is_optional() => {
                observed.unserved.insert(kind);
                continue;
            }
            Err(source) => return Err(failed(kind.as_str())(source)),
        };
        for mut object in listed {
            // Entries of a list do not say what they are.
            let ApiResource {
                api_version,
                kind: name,
                ..
            } = kind.resource();
            object.types = Some(TypeMeta {
                api_version,
                kind: name,
            });
            let what = Identity {
                kind,
                name: object.name_any(),
            };
            if object.owner_references().iter().any(|owner| owner.uid == uid) {
                observed.owned.insert(what, object);
            }
        }
    }
    for what in plan::identities(&observed.platform) {
        if observed.owned.contains_key(&what) || observed.unserved.contains(&what.kind) {
            continue;
        }
        let there = objects(client, reference, what.kind).get_metadata_opt(&what.name).await;
        if there.map_err(failed(what.kind.as_str()))?.is_some() {
            observed.foreign.insert(what);
        }
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &reference.namespace);
    let keys = settings::references(&observed.platform);
    let names: BTreeSet<_> = keys.iter().map(|key| key.name.clone()).collect();
    for name in names {
        let secret = secrets.get_opt(&name).await.map_err(failed("a Secret"))?;
        for key in keys.iter().filter(|key| key.name == name) {
            observed.secrets.insert(key.clone(), find(secret.as_ref(), &key.key));
        }
    }
    if let Some(volume) = &observed.platform.spec.storage.volume {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &reference.namespace);
        let claim = claims
            .get_metadata_opt(&volume.claim_name)
            .await
            .map_err(failed("the claim"))?;
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

fn objects(client: &Client, reference: &Reference, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &reference.namespace, &kind.resource())
}
