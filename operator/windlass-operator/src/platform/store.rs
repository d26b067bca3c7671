//! How a Platform's services reach its Redis, whoever runs it.

use kube::ResourceExt as _;
use windlass_api::platform::{Durability, ExternalRedis};
use windlass_api::redis::RedisSpec;
use windlass_api::{Platform, SecretKey};
use windlass_redis_wire::Names;
use windlass_redis_wire::names::{REDIS_PORT, SERVICES};

/// The Redis as services are told of it.
pub(super) fn connection(platform: &Platform) -> ExternalRedis {
    let redis = &platform.spec.redis;
    match (&redis.external, &redis.managed) {
        (Some(external), _) => external.clone(),
        (None, Some(managed)) => of_managed(platform, managed),
        // The schema refuses it.
        (None, None) => to(String::new()),
    }
}

/// Whether the operator makes this key itself, with the Redis that it runs.
pub(super) fn makes(platform: &Platform, key: &SecretKey) -> bool {
    platform.spec.redis.managed.is_some() && *key == password(platform)
}

fn of_managed(platform: &Platform, managed: &RedisSpec) -> ExternalRedis {
    let scheme = if managed.tls.is_some() { "rediss" } else { "redis" };
    let redis = to(format!("{scheme}://{}:{REDIS_PORT}/0", names(platform).primary()));
    // A primary alone has each write anyway.
    let replicas = managed.copies().map_or(0, |copies| copies.saturating_sub(1));
    let strict = i32::try_from(replicas).ok().filter(|replicas| *replicas > 0);
    ExternalRedis {
        username: Some(SERVICES.to_owned()),
        password: Some(password(platform)),
        ca: managed.tls.as_ref().map(|tls| SecretKey {
            name: tls.secret_name.clone(),
            key: "ca.crt".to_owned(),
        }),
        durability: strict.map_or(Durability::Available, |_| Durability::Strict),
        replicas: strict.unwrap_or(redis.replicas),
        ..redis
    }
}

fn to(url: String) -> ExternalRedis {
    ExternalRedis {
        url,
        username: None,
        password: None,
        ca: None,
        durability: Durability::Available,
        replicas: 1,
        cluster: false,
        nodes: Vec::new(),
    }
}

fn password(platform: &Platform) -> SecretKey {
    SecretKey {
        name: names(platform).base().to_owned(),
        key: SERVICES.to_owned(),
    }
}

fn names(platform: &Platform) -> Names {
    Names::of(&platform.name_any(), &platform.namespace().unwrap_or_default())
}
