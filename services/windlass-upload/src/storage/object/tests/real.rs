//! A real store of each kind, and the object storage in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bucket::{Azure as Azurite, Bucket, Gcs as FakeGcs};
use object_store::StaticCredentialProvider;
use object_store::azure::{AzureAccessKey, AzureCredential, split_sas};
use object_store::gcp::GcpCredential;

use super::proxy::{Fate, Proxy};
use super::*;
use crate::storage::object::azure::Azure;
use crate::storage::object::exchange::client as http_client;
use crate::storage::object::gcs::Gcs;

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    S3,
    Gcs,
    Azure,
}

/// Declares each of these as a test in each kind of store.
macro_rules! in_each_store {
    ($($name:ident),* $(,)?) => {
        in_each_store!(@ s3 S3: $($name),*);
        in_each_store!(@ gcs Gcs: $($name),*);
        in_each_store!(@ azure Azure: $($name),*);
    };
    (@ $store:ident $kind:ident: $($name:ident),*) => {
        mod $store {
            use super::super::real::Kind;
            $(#[tokio::test]
            async fn $name() {
                super::$name(Kind::$kind).await;
            })*
        }
    };
}
pub(super) use in_each_store;

enum Server {
    S3(Bucket),
    Gcs(FakeGcs),
    Azure(Azurite),
}

/// A store that is empty.
pub(super) struct Real {
    kind: Kind,
    server: Server,
}

impl Real {
    pub(super) fn start(kind: Kind) -> Self {
        let server = match kind {
            Kind::S3 => Server::S3(Bucket::start()),
            Kind::Gcs => Server::Gcs(FakeGcs::start()),
            Kind::Azure => Server::Azure(Azurite::start()),
        };
        Self { kind, server }
    }

    /// A proxy before it that does what a judge says.
    pub(super) async fn judged(&self, judge: impl Fn(&proxy::Asked) -> Fate + Send + Sync + 'static) -> Proxy {
        Proxy::start(self.address(), self.kind, judge).await
    }

    fn address(&self) -> SocketAddr {
        match &self.server {
            Server::S3(bucket) => bucket.address(),
            Server::Gcs(gcs) => gcs.address(),
            Server::Azure(azure) => azure.address(),
        }
    }

    /// The storage in it, with nothing before it.
    pub(super) fn storage(&self) -> ObjectStorage {
        storage_at(&format!("http://{}", self.address()), self.kind, None)
    }

    /// A proxy that does no harm.
    pub(super) async fn faithful(&self) -> Proxy {
        self.judged(|_| Fate::Pass).await
    }
}

/// The storage behind a proxy; its budget is half of a part.
pub(super) fn storage_behind(proxy: &Proxy, kind: Kind) -> ObjectStorage {
    storage_at(&proxy.endpoint(), kind, None)
}

/// The same with other patience for each answer.
pub(super) fn storage_that_waits(proxy: &Proxy, kind: Kind, answer: Duration) -> ObjectStorage {
    storage_at(&proxy.endpoint(), kind, Some(answer))
}

fn storage_at(endpoint: &str, kind: Kind, answer: Option<Duration>) -> ObjectStorage {
    match kind {
        Kind::S3 => {
            let store = s3(endpoint, Addressing::Path);
            storage_in(match answer {
                Some(answer) => store.answering_within(answer),
                None => store,
            })
        }
        Kind::Gcs => {
            let store = gcs(endpoint);
            storage_in(match answer {
                Some(answer) => store.answering_within(answer),
                None => store,
            })
        }
        Kind::Azure => {
            let store = azure(endpoint, key());
            storage_in(match answer {
                Some(answer) => store.answering_within(answer),
                None => store,
            })
        }
    }
}

pub(super) fn gcs(endpoint: &str) -> Gcs {
    windlass_serve::tls::install_provider();
    let bearer = "a token that nobody asks for".to_owned();
    Gcs::new(
        http_client(Vec::new()).unwrap(),
        endpoint.parse().unwrap(),
        bucket::NAME.to_owned(),
        Arc::new(StaticCredentialProvider::new(GcpCredential { bearer })),
        Metrics::register(&mut Registry::default()),
    )
}

pub(super) fn azure(endpoint: &str, credential: AzureCredential) -> Azure {
    windlass_serve::tls::install_provider();
    let container = format!("{endpoint}/{}/{}/", Azurite::ACCOUNT, bucket::NAME);
    Azure::new(
        http_client(Vec::new()).unwrap(),
        container.parse().unwrap(),
        Azurite::ACCOUNT.to_owned(),
        Arc::new(StaticCredentialProvider::new(credential)),
        Metrics::register(&mut Registry::default()),
    )
}

pub(super) fn key() -> AzureCredential {
    AzureCredential::AccessKey(AzureAccessKey::try_new(Azurite::KEY).unwrap())
}

pub(super) fn signature() -> AzureCredential {
    AzureCredential::SASToken(split_sas(Azurite::SIGNATURE).unwrap())
}

/// The keys of all that is there.
pub(super) async fn keys(storage: &ObjectStorage) -> Vec<String> {
    let objects = storage.store.list_all("").await.unwrap();
    objects.into_iter().map(|object| object.key).collect()
}

/// How much was begun and neither finished nor dropped.
pub(super) async fn count_open(storage: &ObjectStorage) -> usize {
    storage.store.list_open("").await.unwrap().len()
}
