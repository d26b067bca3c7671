//! A receiver behind TLS whose certificate only `caFile` vouches for.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::Server;

/// An authority, and a certificate of its own for `localhost`.
struct Authority {
    pem: String,
    server: ServerConfig,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        Self { pem, server }
    }
}

/// Answers every call by agreeing; its URL.
async fn receiver(config: ServerConfig) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust the certificate goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut read = Vec::new();
            while !is_whole(&read) && stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {}
            let agree = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
            let _ = stream.write_all(agree).await;
            let _ = stream.shutdown().await;
        }
    });
    format!("https://localhost:{port}/hooks")
}

fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()) == Some(body.len())
}

#[tokio::test]
async fn a_receiver_behind_tls_is_trusted_by_its_authority_and_no_other() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let url = receiver(authority.server).await;
    let folder = TempDir::new().unwrap();
    for (name, pem, status) in [("right", &authority.pem, 201), ("wrong", &stranger.pem, 503)] {
        let file = folder.path().join(name);
        std::fs::write(&file, pem).unwrap();
        let server = Server::start(&url, &format!("    caFile: {}\n", file.display()));
        let created = server
            .tus("POST", "/files/", &[("upload-length", "0")])
            .send()
            .await
            .unwrap();
        assert_eq!(created.status(), status, "{name}: {}", server.log());
    }
}
