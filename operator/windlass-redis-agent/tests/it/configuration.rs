//! What changes while it is in use: passwords, users, certificates.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use redis::aio::MultiplexedConnection;
use redis::{IntoConnectionInfo as _, RedisResult, TlsCertificates, cmd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use windlass_election::Ordinal;
use windlass_redis_agent::settings::{Certificates, Secret, Settings, User};

use crate::wait::eventually;
use crate::world::{Address, PASSWORD, USER, World, calm};

async fn login(address: &Address, user: &str, password: &str) -> RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{user}:{password}@{address}"))?;
    client.get_multiplexed_async_connection().await
}

async fn writes(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    cmd("SET").arg("upload:a").arg(1).query_async(connection).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_takes_anothers_place_while_both_are_in_use() {
    let mut world = World::start(calm()).await;
    let primary = world.settled("the primary").await;
    let address = world.address(primary);
    let mut old = login(&address, USER, PASSWORD).await.unwrap();
    writes(&mut old).await.unwrap();
    let former = (*world.places[&primary].settings).clone();
    let user = User {
        name: "windlass-b".to_owned(),
        password: Secret::new("a password", "newer").unwrap(),
        access: former.users[0].access,
    };
    let both = Settings {
        users: vec![former.users[0].clone(), user.clone()],
        replication: Secret::new("a password", "newer-replicas").unwrap(),
        ..former.clone()
    };
    configure(&mut world, &both).await;
    let mut new = login(&address, "windlass-b", "newer").await.unwrap();
    writes(&mut new).await.unwrap();
    writes(&mut old).await.unwrap();
    let one = Settings {
        users: vec![user],
        ..both
    };
    configure(&mut world, &one).await;
    writes(&mut old).await.unwrap_err();
    login(&address, USER, PASSWORD).await.unwrap_err();
    writes(&mut new).await.unwrap();
    // What may not be written by anybody but the agents.
    let marked: RedisResult<()> = cmd("HSET")
        .arg(windlass_redis_agent::redis::MARK)
        .arg("term")
        .arg(9)
        .query_async(&mut new)
        .await;
    marked.unwrap_err();
    // A replica has the users too, and lets none of them in.
    let other = world.other(primary);
    let mut closed = login(&world.address(other), "windlass-b", "newer").await.unwrap();
    let read: RedisResult<Option<u64>> = cmd("GET").arg("upload:a").query_async(&mut closed).await;
    read.unwrap_err();
    // Replicas come with the new password.
    let term = world.operator.standing().term;
    world.operator.want(other);
    eventually("a primary of a later term", async || {
        (world.operator.standing().term > term && world.operator.primary() == Some(other)).then_some(())
    })
    .await;
    world.settled("a primary that all follow").await;
    let mut new = login(&world.address(other), "windlass-b", "newer").await.unwrap();
    writes(&mut new).await.unwrap();
}

async fn configure(world: &mut World, settings: &Settings) {
    for (me, place) in &mut world.places {
        let settings = Settings {
            me: *me,
            data: place.settings.data.clone(),
            ..settings.clone()
        };
        place.configure(settings).await;
    }
}

/// An authority, and the files of a certificate of it for this machine.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.crt"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// Another certificate takes the place of the last.
    fn issue(&self) -> Certificates {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        // Of its issuer's name it would be taken for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, "member");
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let at = |name: &str| self.folder.path().join(name);
        fs::write(at("tls.crt"), certificate.pem()).unwrap();
        fs::write(at("tls.key"), key.serialize_pem()).unwrap();
        Certificates::read(at("tls.crt"), at("tls.key"), at("ca.crt")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_secure_both_ports_and_are_replaced_while_clients_are_connected() {
    let authority = Authority::new();
    let first = authority.issue();
    // The operator and the members speak to each other by it, and replicas follow.
    let mut world = World::start_with(calm(), Some(first.clone())).await;
    let primary = world.settled("the primary").await;
    let address = world.address(primary);
    let mut connection = secured(&address, &first.authority).await.unwrap();
    writes(&mut connection).await.unwrap();
    login(&address, USER, PASSWORD).await.unwrap_err();
    let agent = world.places[&primary].settings.own().agent_port;
    let shown = [
        leaf(address.port(), &first.authority).await,
        leaf(agent, &first.authority).await,
    ];
    let settings = Settings {
        certificates: Some(authority.issue()),
        ..(*world.places[&Ordinal::new(0)].settings).clone()
    };
    configure(&mut world, &settings).await;
    for (port, before) in [address.port(), agent].into_iter().zip(shown) {
        eventually("another certificate", async || {
            (leaf(port, &first.authority).await != before).then_some(())
        })
        .await;
    }
    writes(&mut connection).await.unwrap();
    assert_eq!(world.settled("the same primary").await, primary);
}

async fn secured(address: &Address, authority: &Path) -> RedisResult<MultiplexedConnection> {
    let info = format!("rediss://{USER}:{PASSWORD}@{address}").into_connection_info()?;
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(fs::read(authority).unwrap()),
    };
    let client = redis::Client::build_with_tls(info, certificates)?;
    client.get_multiplexed_async_connection().await
}

/// The certificate that a port shows.
async fn leaf(port: u16, authority: &Path) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from([127, 0, 0, 1])));
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}
