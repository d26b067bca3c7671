//! The configuration files of both services, and the files that they refer to. No secret is in them: a service reads it
//! from a file that is mounted from the Secret itself.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};
use windlass_api::platform::{
    Addressing, Auth, Durability, ExternalRedis, File, Limits, Listener, Service, Storage, TenantLimits,
};
use windlass_api::{Platform, SecretKey};

/// Where the configuration is mounted.
pub(super) const CONFIGURATION: &str = "/etc/windlass/configuration";
/// Where secrets of the platform's own settings are mounted.
pub(super) const SECRETS: &str = "/etc/windlass/secrets";
/// Where the files that a user's configuration names are mounted.
pub(super) const FILES: &str = "/etc/windlass/files";

/// One service's configuration.
#[derive(Debug)]
pub(super) struct Settings {
    /// The file, as YAML.
    pub(super) text: String,
    /// What is mounted below [`SECRETS`], by file name.
    pub(super) secrets: Vec<(String, SecretKey)>,
    /// What is mounted below [`FILES`], by file name.
    pub(super) files: Vec<(String, SecretKey)>,
}

/// Every key of a Secret that the platform's pods mount.
pub(super) fn references(platform: &Platform) -> BTreeSet<SecretKey> {
    let both = [upload(platform), push(platform)];
    both.into_iter()
        .flat_map(|settings| settings.secrets.into_iter().chain(settings.files))
        .map(|(_, key)| key)
        .collect()
}

pub(super) fn upload(platform: &Platform) -> Settings {
    let spec = &platform.spec;
    let mut files = Mounted::default();
    let mut section = object(spec.upload.configuration.as_ref());
    if let Some(limits) = &spec.limits {
        set_limits(&mut section, limits);
    }
    if let Some(origin) = &spec.origin {
        section.insert("origin".to_owned(), json!(origin));
    }
    if let Some(url) = super::routes::url(platform) {
        section.insert("publicUrl".to_owned(), json!(url));
    }
    let mut file = common(platform, spec.upload.listener.as_ref(), &mut files);
    file.insert("upload".to_owned(), Value::Object(section));
    if let Some(storage) = storage(&spec.storage, &mut files) {
        file.insert("storage".to_owned(), storage);
    }
    finish(file, files, &spec.upload)
}

pub(super) fn push(platform: &Platform) -> Settings {
    let spec = &platform.spec;
    let mut files = Mounted::default();
    let mut section = object(spec.push.configuration.as_ref());
    section.insert(
        "drain".to_owned(),
        json!({ "window": format!("{}s", spec.drain.window_seconds) }),
    );
    let mut file = common(platform, spec.push.listener.as_ref(), &mut files);
    file.insert("push".to_owned(), Value::Object(section));
    finish(file, files, &spec.push)
}

/// Files that a configuration refers to.
#[derive(Default)]
struct Mounted(Vec<(String, SecretKey)>);

impl Mounted {
    /// Mounts a key under a name, and returns its path.
    fn add(&mut self, name: &str, key: &SecretKey) -> Value {
        self.0.push((name.to_owned(), key.clone()));
        json!(format!("{SECRETS}/{name}"))
    }

    fn add_some(&mut self, name: &str, key: Option<&SecretKey>) -> Value {
        key.map_or(Value::Null, |key| self.add(name, key))
    }
}

fn finish<C>(file: Map<String, Value>, mounted: Mounted, service: &Service<C>) -> Settings {
    let file = without_nulls(Value::Object(file));
    let text = serde_yaml::to_string(&file).expect("JSON is YAML");
    let files = service
        .files
        .iter()
        .map(|File { name, secret }| (name.clone(), secret.clone()))
        .collect();
    Settings {
        text,
        secrets: mounted.0,
        files,
    }
}

/// `auth`, `listener` and `store`, which both services read alike.
fn common(platform: &Platform, own: Option<&Listener>, files: &mut Mounted) -> Map<String, Value> {
    let spec = &platform.spec;
    let mut listener = object(own);
    let drain = json!({
        "removal": format!("{}s", spec.drain.removal_seconds),
        "deadline": format!("{}s", spec.drain.deadline_seconds),
    });
    listener.insert("drain".to_owned(), drain);
    let mut file = Map::new();
    file.insert("auth".to_owned(), auth(&spec.auth, files));
    file.insert("listener".to_owned(), Value::Object(listener));
    file.insert(
        "store".to_owned(),
        json!({ "redis": redis(&super::store::connection(platform), files) }),
    );
    file
}

fn auth(auth: &Auth, files: &mut Mounted) -> Value {
    let jwks = auth.jwks.as_ref().map(|jwks| {
        json!({ "url": jwks.url, "refresh": jwks.refresh, "caFile": files.add_some("jwks-ca.pem", jwks.ca.as_ref()) })
    });
    json!({
        "hmacSecretFile": files.add_some("token-secret", auth.hmac_secret.as_ref()),
        "publicKeyFile": files.add_some("token-key.pem", auth.public_key.as_ref()),
        "jwks": jwks,
        "issuer": auth.issuer,
        "audience": Some(&auth.audience).filter(|audience| !audience.is_empty()),
        "algorithms": Some(&auth.algorithms).filter(|algorithms| !algorithms.is_empty()),
        "linkSecretFile": files.add_some("link-secret", auth.link_secret.as_ref()),
    })
}

fn redis(redis: &ExternalRedis, files: &mut Mounted) -> Value {
    json!({
        "url": redis.url,
        "username": redis.username,
        "passwordFile": files.add_some("redis-password", redis.password.as_ref()),
        "caFile": files.add_some("redis-ca.pem", redis.ca.as_ref()),
        "durability": match redis.durability {
            Durability::Available => "available",
            Durability::Strict => "strict",
        },
        "replicas": redis.replicas,
        "cluster": redis.cluster,
        "nodes": redis.nodes,
    })
}

fn storage(storage: &Storage, files: &mut Mounted) -> Option<Value> {
    let ca = "bucket-ca.pem";
    if let Some(s3) = &storage.s3 {
        return Some(json!({ "s3": {
            "bucket": s3.bucket,
            "prefix": s3.prefix,
            "region": s3.region,
            "endpoint": s3.endpoint,
            "addressing": match s3.addressing {
                Addressing::VirtualHosted => "virtualHosted",
                Addressing::Path => "path",
            },
            "allowHttp": s3.allow_http,
            "equalParts": s3.equal_parts,
            "caFile": files.add_some(ca, s3.ca.as_ref()),
            "accessKeyIdFile": files.add_some("access-key-id", s3.access_key_id.as_ref()),
            "secretAccessKeyFile": files.add_some("secret-access-key", s3.secret_access_key.as_ref()),
            "bufferBytes": s3.buffer_bytes,
        }}));
    }
    if let Some(oss) = &storage.oss {
        let network = if oss.internal { "-internal" } else { "" };
        // OSS speaks the protocol of S3, and says in a way of its own that it must not replace.
        return Some(json!({ "s3": {
            "bucket": oss.bucket,
            "prefix": oss.prefix,
            "region": format!("oss-{}", oss.region),
            "endpoint": format!("https://s3.oss-{}{network}.aliyuncs.com", oss.region),
            "createOnly": "ossForbidOverwrite",
            "accessKeyIdFile": files.add("access-key-id", &oss.access_key_id),
            "secretAccessKeyFile": files.add("secret-access-key", &oss.secret_access_key),
            "bufferBytes": oss.buffer_bytes,
        }}));
    }
    if let Some(gcs) = &storage.gcs {
        return Some(json!({ "gcs": {
            "bucket": gcs.bucket,
            "prefix": gcs.prefix,
            "serviceAccountFile": files.add_some("service-account.json", gcs.service_account.as_ref()),
            "bufferBytes": gcs.buffer_bytes,
        }}));
    }
    storage.azure.as_ref().map(|azure| {
        json!({ "azure": {
            "account": azure.account,
            "container": azure.container,
            "prefix": azure.prefix,
            "accountKeyFile": files.add_some("account-key", azure.account_key.as_ref()),
            "sasTokenFile": files.add_some("sas-token", azure.sas_token.as_ref()),
            "bufferBytes": azure.buffer_bytes,
        }})
    })
}

fn set_limits(section: &mut Map<String, Value>, limits: &Limits) {
    let tenant = |limits: &TenantLimits| Value::Object(object(Some(limits)));
    section.insert("maxSizeBytes".to_owned(), json!(limits.max_size_bytes));
    if let Some(tenants) = &limits.tenants {
        let named: Map<_, _> = tenants
            .named
            .iter()
            .map(|(name, limits)| (name.clone(), tenant(limits)))
            .collect();
        section.insert(
            "tenants".to_owned(),
            json!({ "default": tenant(&tenants.default), "named": named }),
        );
    }
}

fn object(value: Option<&impl Serialize>) -> Map<String, Value> {
    match value.map(|value| serde_json::to_value(value).expect("a type of the API is plain data")) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// What is not said is left out, so that the service's own default counts.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let said = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(said.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
