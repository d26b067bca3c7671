//! What is there: the Redis, its lease, its pods and what their agents say; and, less often, all objects that are its own.
//! Read each time, never from a cache: a pass that did not read the objects plans nothing for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use windlass_api::Redis;
use windlass_election::{Ordinal, Report, State};
use windlass_redis_wire::names::ROLE;
use windlass_redis_wire::{Unreadable, lease};

use super::memory::{Memory, Now};
use super::record::Record;
use super::{KINDS, REDIS, render};
use crate::effects::Seen;
use crate::kind::Kind;
use crate::objects::{self, Error, Owned};
use crate::watch::Reference;

/// What is there.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The Redis.
    pub redis: Redis,
    /// Its objects; `None` in a pass that only looks who is the primary.
    pub objects: Option<Objects>,
    /// The pods of its members.
    pub pods: BTreeMap<Ordinal, Pod>,
    /// Its lease, if there is one and it is its own.
    pub lease: Option<Held>,
    /// For how long this process has seen the standing as it is.
    pub standing_for: Duration,
    /// What members say now.
    pub states: BTreeMap<Ordinal, State>,
    /// What they said lately.
    pub recent: BTreeMap<Ordinal, State>,
    /// What they have reported in the standing's term.
    pub reports: BTreeMap<Ordinal, Report>,
}

/// What a Redis is made of.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// Of the kinds that are applied.
    pub owned: Owned,
    /// Its Secret, if there is one of its name.
    pub secret: Option<Keys>,
    /// The Secret of its certificates, if there is one of that name.
    pub tls: Option<Keys>,
}

/// What is in a Secret, without the values.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Whether the Redis owns it.
    pub is_own: bool,
    /// The keys that have a value.
    pub keys: BTreeSet<String>,
}

/// A member's pod.
#[derive(Debug, Clone)]
pub struct Pod {
    /// The version of it.
    pub seen: Seen,
    /// What its label says that it is.
    pub role: Option<String>,
    /// Whether it is being deleted.
    pub is_leaving: bool,
    /// Whether its container does not run and will not by itself: it has no node, no image, or ends each time.
    pub is_stuck: bool,
    /// The version of the template that it was made from.
    pub revision: Option<String>,
    /// Its address, once it has one.
    pub address: Option<std::net::IpAddr>,
}

/// The lease as it was read.
#[derive(Debug, Clone)]
pub struct Held {
    /// Which version.
    pub seen: Seen,
    /// What it says.
    pub lease: Result<windlass_election::Lease, Unreadable>,
    /// For how long it has not changed, as far as this process has seen.
    pub unchanged_for: Duration,
}

/// What the API server has of a Redis.
#[derive(Debug)]
pub struct Read {
    /// What there is; nothing of the agents yet.
    pub observed: Observed,
    /// The Secret's values that the operator itself uses.
    pub access: Option<Access>,
}

/// What is needed to speak to agents.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// The token of orders.
    pub token: String,
    /// With TLS: whom their certificates are signed by (PEM).
    pub authority: Option<Vec<u8>>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access(..)")
    }
}

/// Reads the Redis; `None` if there is none, or it is being deleted: what it owns goes with it.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn redis(client: &Client, of: &Reference) -> Result<Option<Redis>, Error> {
    let api: Api<Redis> = Api::namespaced(client.clone(), &of.namespace);
    let redis = api.get_opt(&of.name).await.map_err(Error::of("the Redis"))?;
    Ok(redis.filter(|redis| redis.metadata.deletion_timestamp.is_none()))
}

/// Reads what the API server has of it; with all its objects if `whole`. `clock` is this process's own.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn observe(
    client: &Client,
    redis: Redis,
    whole: bool,
    memory: &mut Memory,
    clock: impl Fn() -> Now,
) -> Result<Read, Error> {
    let of = Reference {
        namespace: redis.namespace().unwrap_or_default(),
        name: redis.name_any(),
    };
    let uid = redis.uid().unwrap_or_default();
    let names = render::names(&redis);
    let asked = clock();
    let leases: Api<Lease> = Api::namespaced(client.clone(), &of.namespace);
    let lease = leases.get_opt(names.base()).await.map_err(Error::of("the lease"))?;
    let heard = clock();
    let lease = lease
        .filter(|lease| lease.owner_references().iter().any(|owner| owner.uid == uid))
        .map(|lease| held(&lease, |version| memory.saw_lease(version, asked, heard)));
    let standing = redis.status.as_ref().and_then(|status| status.standing.as_deref());
    let standing_for = memory.saw_standing(standing.unwrap_or_default(), asked, heard);
    let pods = objects::list(client, &of, REDIS, Kind::Pod).await?.unwrap_or_default();
    let pods = pods
        .iter()
        .filter_map(|object| Some((names.member(&object.name_any())?, pod(object))))
        .collect();
    let (mut objects, mut access) = (None, None);
    if whole {
        let (found, values) = read_objects(client, &of, &redis, &uid).await?;
        (objects, access) = (Some(found), values);
    }
    let term = Record::read(&redis)
        .ok()
        .flatten()
        .map(|record| record.standing.term)
        .unwrap_or_default();
    let observed = Observed {
        redis,
        objects,
        pods,
        lease,
        standing_for,
        states: BTreeMap::new(),
        recent: memory.recent(heard),
        reports: memory.reports(term),
    };
    Ok(Read { observed, access })
}

async fn read_objects(
    client: &Client,
    of: &Reference,
    redis: &Redis,
    uid: &str,
) -> Result<(Objects, Option<Access>), Error> {
    let wanted = render::identities(redis);
    let owned = objects::read(client, of, (REDIS, uid), &KINDS, &wanted).await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &of.namespace);
    let names = render::names(redis);
    let secret = secrets.get_opt(names.base()).await.map_err(Error::of("the Secret"))?;
    let tls = match &redis.spec.tls {
        Some(tls) => secrets
            .get_opt(&tls.secret_name)
            .await
            .map_err(Error::of("the certificates"))?,
        None => None,
    };
    let token = secret
        .as_ref()
        .and_then(|secret| value(secret, windlass_redis_wire::names::TOKEN));
    let access = token
        .and_then(|token| String::from_utf8(token).ok())
        .map(|token| Access {
            token,
            authority: tls.as_ref().and_then(|tls| value(tls, "ca.crt")),
        });
    let objects = Objects {
        owned,
        secret: secret.as_ref().map(|secret| keys(secret, uid)),
        tls: tls.as_ref().map(|tls| keys(tls, uid)),
    };
    Ok((objects, access))
}

fn held(lease: &Lease, unchanged_for: impl FnOnce(&str) -> Duration) -> Held {
    let spec = lease.spec.clone().unwrap_or_default();
    let version = lease.resource_version().unwrap_or_default();
    Held {
        unchanged_for: unchanged_for(&version),
        lease: lease::read(spec.holder_identity.as_deref(), spec.lease_transitions),
        seen: Seen {
            uid: lease.uid().unwrap_or_default(),
            version,
        },
    }
}

fn pod(object: &DynamicObject) -> Pod {
    let text = |pointer: &str| object.data.pointer(pointer).and_then(|value| value.as_str());
    Pod {
        seen: objects::seen(object),
        role: object.labels().get(ROLE).cloned(),
        is_leaving: object.metadata.deletion_timestamp.is_some(),
        is_stuck: is_stuck(&object.data["status"]),
        revision: object.labels().get("controller-revision-hash").cloned(),
        address: text("/status/podIP").and_then(|address| address.parse().ok()),
    }
}

fn is_stuck(status: &Value) -> bool {
    // What every pod waits for at first.
    const COMING: [&str; 2] = ["ContainerCreating", "PodInitializing"];
    let container = &status["containerStatuses"][0]["state"];
    let waits = container["waiting"]["reason"]
        .as_str()
        .is_some_and(|reason| !COMING.contains(&reason));
    let conditions = status["conditions"].as_array();
    let is_unscheduled = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
    waits || is_unscheduled
}

fn keys(secret: &Secret, uid: &str) -> Keys {
    Keys {
        is_own: secret.owner_references().iter().any(|owner| owner.uid == uid),
        keys: secret
            .data
            .iter()
            .flatten()
            .filter(|(_, value)| !value.0.is_empty())
            .map(|(key, _)| key.clone())
            .collect(),
    }
}

fn value(secret: &Secret, key: &str) -> Option<Vec<u8>> {
    Some(secret.data.as_ref()?.get(key)?.0.clone())
}
