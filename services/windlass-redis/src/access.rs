//! How a server is reached: by whom, and with which certificates. Both are in files that change while they are in use.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redis::{ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisError, TlsCertificates};

use crate::settings::ConfigureError;
use crate::view::Address;

/// Files that are read at each connection.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) username: Option<PathBuf>,
    pub(crate) password: Option<PathBuf>,
    pub(crate) authority: Option<PathBuf>,
}

/// How servers are reached: all in the same way.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    info: ConnectionInfo,
    username: Option<String>,
    files: Arc<Files>,
    /// The servers that the settings name, at least one.
    pub(crate) seeds: Vec<Address>,
}

/// The way to one server.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    access: Access,
    address: Address,
}

/// Who one is to a server. Nothing of it is printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl Access {
    pub(crate) fn new(info: ConnectionInfo, username: Option<String>, files: Files, seeds: Vec<Address>) -> Self {
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Self {
            info: info.set_redis_settings(redis),
            username,
            files: Arc::new(files),
            seeds,
        }
    }

    /// Whether connections are encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.info.addr(), ConnectionAddr::TcpTls { .. })
    }

    /// The way to a server.
    pub(crate) fn to(&self, address: &Address) -> Way {
        Way {
            access: self.clone(),
            address: address.clone(),
        }
    }

    /// Whether the files can be read and used, before anything runs by them.
    pub(crate) fn check(&self) -> Result<(), ConfigureError> {
        let files = [
            ("usernameFile", &self.files.username),
            ("passwordFile", &self.files.password),
            ("caFile", &self.files.authority),
        ];
        let mut contents = [None, None, None];
        for ((field, path), content) in files.into_iter().zip(&mut contents) {
            let read = path.as_deref().map(std::fs::read).transpose();
            *content = read.map_err(|source| ConfigureError::ReadFile { field, source })?;
        }
        let [_, _, authority] = contents;
        match authority {
            None => redis::Client::open(self.info.clone())
                .map(drop)
                .map_err(|_| ConfigureError::ParseUrl),
            Some(authority) => trusting(self.info.clone(), authority)
                .map(drop)
                .map_err(|_| ConfigureError::ReadCertificates),
        }
    }
}

impl Way {
    /// Who one is now.
    pub(crate) async fn credentials(&self) -> io::Result<Credentials> {
        let files = &self.access.files;
        let username = match &files.username {
            Some(path) => Some(read_line(path).await?),
            None => self.access.username.clone(),
        };
        let password = match &files.password {
            Some(path) => Some(read_line(path).await?),
            None => None,
        };
        Ok(Credentials { username, password })
    }

    /// A client of the server, by what the files say now.
    pub(crate) async fn client(&self) -> Result<redis::Client, RedisError> {
        let credentials = self.credentials().await?;
        self.client_as(&credentials).await
    }

    /// A client of the server, as somebody.
    pub(crate) async fn client_as(&self, credentials: &Credentials) -> Result<redis::Client, RedisError> {
        let info = &self.access.info;
        let (host, port) = (self.address.host.clone(), self.address.port);
        let there = match info.addr() {
            ConnectionAddr::TcpTls {
                insecure, tls_params, ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let mut redis = info.redis_settings().clone();
        if let Some(username) = &credentials.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &credentials.password {
            redis = redis.set_password(password);
        }
        let info = info.clone().set_addr(there).set_redis_settings(redis);
        match &self.access.files.authority {
            None => redis::Client::open(info),
            Some(path) => trusting(info, tokio::fs::read(path).await?),
        }
    }
}

impl Credentials {
    /// What makes a connection that stands theirs (`AUTH`); nothing for who has no password.
    pub(crate) fn command(&self) -> Option<redis::Cmd> {
        let password = self.password.as_ref()?;
        let mut auth = redis::cmd("AUTH");
        if let Some(username) = &self.username {
            auth.arg(username);
        }
        Some(auth.arg(password).take())
    }
}

/// The text of a file but for the line feed at its end.
async fn read_line(path: &Path) -> io::Result<String> {
    let text = tokio::fs::read_to_string(path).await?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A client that trusts these certificates instead of the system's.
fn trusting(info: ConnectionInfo, authority: Vec<u8>) -> Result<redis::Client, RedisError> {
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(authority),
    };
    redis::Client::build_with_tls(info, certificates)
}
