//! The configuration with the files that it names, read and judged once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use windlass_election::{Ordinal, Roster};
use windlass_redis_wire::names::{REPLICATION, TOKEN};
use windlass_redis_wire::{Access, Configuration, Member};

use crate::flags::Arguments;

/// What does not let an agent start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that must be there.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The configuration is not one.
    #[error("cannot understand {path}")]
    Understand {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A name or a password that would be read as something else where it goes.
    #[error("{what} must be of letters, digits and any of -_.~+/=, and not empty")]
    Spell {
        /// Whose.
        what: String,
    },
    /// A pod of another Redis, or one too many.
    #[error("{pod} is no member of {lease}")]
    Belong {
        /// The pod.
        pod: String,
        /// The name that members begin with.
        lease: String,
    },
    /// The configuration has TLS, the command line has no folder for it.
    #[error("the configuration has TLS: say --tls DIR")]
    FindCertificates,
}

/// A password or a token; it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// One that can stand in a line of Redis' configuration.
    ///
    /// # Errors
    /// It has other characters than those that nobody quotes.
    pub fn new(what: &str, text: &str) -> Result<Self, Error> {
        spelled(what, text).map(|()| Self(text.to_owned()))
    }

    /// Its text, for whom it is meant for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// A user of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Secret,
    /// What it may do while the member is open.
    pub access: Access,
}

/// Where the files of TLS are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The chain (PEM).
    pub chain: PathBuf,
    /// The key (PEM).
    pub key: PathBuf,
    /// What other members' are signed by (PEM).
    pub authority: PathBuf,
    /// Tells what is in the files from what was (SHA-256).
    pub digest: [u8; 32],
}

impl Certificates {
    /// Those in these files.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(chain: PathBuf, key: PathBuf, authority: PathBuf) -> Result<Self, Error> {
        let mut digest = Sha256::new();
        for path in [&chain, &key, &authority] {
            let text = std::fs::read(path).map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
            // A length before each: none can be mistaken for parts of others.
            digest.update(text.len().to_le_bytes());
            digest.update(text);
        }
        Ok(Self {
            chain,
            key,
            authority,
            digest: digest.finalize().into(),
        })
    }
}

/// What an agent goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The member that it is.
    pub me: Ordinal,
    /// Where all members are reached.
    pub members: BTreeMap<Ordinal, Member>,
    /// The Kubernetes lease's name.
    pub lease: String,
    /// `maxmemory`, in bytes.
    pub max_memory_bytes: Option<u64>,
    /// Who else may use Redis.
    pub users: Vec<User>,
    /// What orders come with.
    pub token: Secret,
    /// What replicas say to their primary.
    pub replication: Secret,
    /// With it all ports speak TLS.
    pub certificates: Option<Certificates>,
    /// Where it listens, if not everywhere.
    pub listen: Option<IpAddr>,
    /// The folder of data.
    pub data: PathBuf,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// What keeps the agent from starting.
    pub fn read(arguments: &Arguments) -> Result<Self, Error> {
        let path = arguments.configuration.clone();
        let text = std::fs::read(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let configuration: Configuration =
            serde_json::from_slice(&text).map_err(|source| Error::Understand { path, source })?;
        let secret = |name: &Path| read_secret(&arguments.secrets.join(name));
        let user = |user: &windlass_redis_wire::User| {
            spelled("a user's name", &user.name)?;
            Ok(User {
                name: user.name.clone(),
                password: secret(&user.password)?,
                access: user.access,
            })
        };
        let users = configuration.users.iter().map(user).collect::<Result<_, Error>>()?;
        let certificates = match (&configuration.tls, &arguments.tls) {
            (None, _) => None,
            (Some(_), None) => return Err(Error::FindCertificates),
            (Some(tls), Some(folder)) => Some(Certificates::read(
                folder.join(&tls.certificate),
                folder.join(&tls.key),
                folder.join(&tls.authority),
            )?),
        };
        for member in configuration.members.values() {
            spelled("a member's host", &member.host.replace([':', '%'], "-"))?;
        }
        Ok(Self {
            me: member(&arguments.pod, &configuration)?,
            members: configuration.members,
            lease: configuration.lease,
            max_memory_bytes: configuration.max_memory_bytes,
            users,
            token: secret(Path::new(TOKEN))?,
            replication: secret(Path::new(REPLICATION))?,
            certificates,
            listen: arguments.listen,
            data: arguments.data.clone(),
        })
    }

    /// All members there are.
    #[must_use]
    pub fn roster(&self) -> Roster {
        Roster::of(self.members.keys().copied())
    }

    /// Where this member is reached by others.
    ///
    /// # Panics
    /// Never: [`Settings::read`] found it among the members.
    #[must_use]
    pub fn own(&self) -> &Member {
        self.members.get(&self.me).expect("this member is one of them")
    }
}

/// The member whose pod this is: pods of a set are numbered, and the lease has the set's name.
fn member(pod: &str, configuration: &Configuration) -> Result<Ordinal, Error> {
    let number = pod
        .strip_prefix(&configuration.lease)
        .and_then(|rest| rest.strip_prefix('-')?.parse().ok());
    let ordinal = number.map(Ordinal::new);
    ordinal
        .filter(|ordinal| configuration.members.contains_key(ordinal))
        .ok_or_else(|| Error::Belong {
            pod: pod.to_owned(),
            lease: configuration.lease.clone(),
        })
}

fn read_secret(path: &Path) -> Result<Secret, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    // A line feed at the end is an editor's.
    Secret::new(&format!("what is in {}", path.display()), text.trim_end_matches('\n'))
}

/// Whether it can stand in a line of Redis' configuration, or in a URL, as it is.
fn spelled(what: &str, text: &str) -> Result<(), Error> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_plain) {
        return Err(Error::Spell { what: what.to_owned() });
    }
    Ok(())
}
