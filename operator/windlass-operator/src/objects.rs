//! Objects that a resource owns: read, rendered, compared. The same for every kind of resource.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, TypeMeta};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use crate::digest;
use crate::drift;
use crate::effects::{Action, Cause, Seen};
use crate::kind::{Identity, Kind};
use crate::watch::Reference;

/// On each object: the digest of what is wanted of it, so that what is dropped from it is seen.
pub const DIGEST: &str = "windlass.dev/digest";
/// Objects of one kind that one resource may have: far more than it ever makes.
const OBJECTS_MAX: u32 = 100;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what}")]
pub struct Error {
    /// What.
    pub what: String,
    /// Why.
    #[source]
    pub source: kube::Error,
}

impl Error {
    /// Of a request for this.
    pub fn of(what: &str) -> impl FnOnce(kube::Error) -> Self {
        let what = what.to_owned();
        move |source| Self { what, source }
    }
}

/// What there is of the kinds that a resource makes.
#[derive(Debug, Clone, Default)]
pub struct Owned {
    /// Its own objects, by kind and name.
    pub objects: BTreeMap<Identity, DynamicObject>,
    /// Names that it wants and that somebody else's objects have.
    pub foreign: BTreeSet<Identity>,
    /// Kinds that the cluster does not serve.
    pub unserved: BTreeSet<Kind>,
}

/// Objects of a kind in the namespace of a resource.
#[must_use]
pub fn api(client: &Client, of: &Reference, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &of.namespace, &kind.resource())
}

/// Objects of a kind that carry a resource's name in `label`. `None` where the cluster does not serve the kind and need not.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn list(
    client: &Client,
    of: &Reference,
    label: &str,
    kind: Kind,
) -> Result<Option<Vec<DynamicObject>>, Error> {
    let parameters = ListParams::default()
        .labels(&format!("{label}={}", of.name))
        .limit(OBJECTS_MAX);
    let mut listed = match api(client, of, kind).list(&parameters).await {
        Ok(listed) => listed.items,
        // A group that is not there is answered 404 without a reason.
        Err(kube::Error::Api(status)) if status.code == 404 && kind.is_optional() => return Ok(None),
        Err(source) => return Err(Error::of(kind.as_str())(source)),
    };
    for object in &mut listed {
        // Entries of a list do not say what they are.
        object.types = Some(types(kind));
    }
    Ok(Some(listed))
}

/// Reads what there is of `kinds` that belongs to the resource with this uid, and who has the names it wants.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn read(
    client: &Client,
    of: &Reference,
    (label, uid): (&str, &str),
    kinds: &[Kind],
    wanted: &BTreeSet<Identity>,
) -> Result<Owned, Error> {
    let mut owned = Owned::default();
    for kind in kinds {
        let Some(listed) = list(client, of, label, *kind).await? else {
            owned.unserved.insert(*kind);
            continue;
        };
        for object in listed {
            let what = Identity {
                kind: *kind,
                name: object.name_any(),
            };
            if object.owner_references().iter().any(|owner| owner.uid == uid) {
                owned.objects.insert(what, object);
            }
        }
    }
    for what in wanted {
        if owned.objects.contains_key(what) || owned.unserved.contains(&what.kind) {
            continue;
        }
        let there = api(client, of, what.kind).get_metadata_opt(&what.name).await;
        if there.map_err(Error::of(what.kind.as_str()))?.is_some() {
            owned.foreign.insert(what.clone());
        }
    }
    Ok(owned)
}

/// Who an object belongs to, and how it is found.
#[derive(Debug, Clone)]
pub struct Belonging {
    /// Their namespace.
    pub namespace: Option<String>,
    /// The labels of the object.
    pub labels: BTreeMap<String, String>,
    /// The resource.
    pub owner: Option<OwnerReference>,
}

/// An object from its body, which may bring annotations in `metadata`.
///
/// # Panics
/// Never: objects are plain data.
#[must_use]
pub fn dress(what: &Identity, mut body: Value, belonging: Belonging) -> DynamicObject {
    let mut object = DynamicObject {
        types: Some(types(what.kind)),
        ..DynamicObject::new(&what.name, &what.kind.resource())
    };
    let given = body.as_object_mut().and_then(|fields| fields.remove("metadata"));
    let mut annotations: BTreeMap<String, String> = given
        .and_then(|metadata| serde_json::from_value(metadata["annotations"].clone()).ok())
        .unwrap_or_default();
    object.metadata.namespace = belonging.namespace;
    object.metadata.labels = Some(belonging.labels);
    object.metadata.owner_references = belonging.owner.map(|owner| vec![owner]);
    object.metadata.annotations = Some(annotations.clone());
    object.data = body;
    annotations.insert(DIGEST.to_owned(), digest::of_json(&as_json(&object)));
    object.metadata.annotations = Some(annotations);
    object
}

/// What to do so that an object is as wanted, if anything.
#[must_use]
pub fn difference(live: Option<&DynamicObject>, what: &Identity, object: DynamicObject) -> Option<Action> {
    let cause = match live {
        None => Cause::Missing,
        Some(live) => {
            let wanted = object.annotations().get(DIGEST);
            let applied = live.annotations().get(DIGEST);
            let path = drift::find(&as_json(live), &as_json(&object))?;
            if wanted == applied {
                Cause::Drifted(path)
            } else {
                Cause::Wanted
            }
        }
    };
    Some(Action::Apply {
        what: what.clone(),
        object: Box::new(object),
        seen: live.map(seen),
        cause,
    })
}

/// The version of an object that was read.
#[must_use]
pub fn seen(object: &DynamicObject) -> Seen {
    Seen {
        uid: object.uid().unwrap_or_default(),
        version: object.resource_version().unwrap_or_default(),
    }
}

fn types(kind: Kind) -> TypeMeta {
    let ApiResource { api_version, kind, .. } = kind.resource();
    TypeMeta { api_version, kind }
}

fn as_json(object: &DynamicObject) -> Value {
    serde_json::to_value(object).expect("an object is plain data")
}
