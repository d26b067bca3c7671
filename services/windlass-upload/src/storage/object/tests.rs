//! Tests of the object storage, against a real server of each kind of store.

mod client;
mod garbage;
mod harm;
mod proxy;
mod reading;
mod real;
mod uploads;

use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::aws::AwsCredential;
use prometheus_client::registry::Registry;

use super::exchange::client as http_client;
use super::metrics::Metrics;
use super::s3::{Address, Addressing, CreateOnly, S3};
use super::store::Store;
use super::{Budget, ObjectStorage};

fn s3(endpoint: &str, addressing: Addressing) -> S3 {
    s3_as(endpoint, addressing, bucket::ACCESS_KEY, bucket::SECRET_KEY)
}

fn s3_as(endpoint: &str, addressing: Addressing, key: &str, secret: &str) -> S3 {
    windlass_serve::tls::install_provider();
    let credential = AwsCredential {
        key_id: key.to_owned(),
        secret_key: secret.to_owned(),
        token: None,
    };
    S3::new(
        http_client(Vec::new()).unwrap(),
        Address::new(&endpoint.parse().unwrap(), bucket::NAME, addressing).unwrap(),
        bucket::REGION.to_owned(),
        Arc::new(StaticCredentialProvider::new(credential)),
        CreateOnly::IfNoneMatch,
        Metrics::register(&mut Registry::default()),
    )
}

/// A storage whose budget is half of a part.
fn storage_in(store: impl Store) -> ObjectStorage {
    let metrics = Metrics::register(&mut Registry::default());
    ObjectStorage {
        store: Arc::new(store),
        prefix: "of/tests/".into(),
        parts_max: 10_000,
        joins: true,
        budget: Budget::new(4 * 1024 * 1024, metrics.budget.clone()),
        metrics,
    }
}
