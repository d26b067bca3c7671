//! The `auth` section of a configuration file, and what can be wrong with it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::key::Fault;
use crate::config::Time;

/// Where the keys of tokens come from, and what a token must say.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Settings {
    /// The one place of the keys.
    pub keys: KeySource,
    /// What `iss` must be. None: it is not looked at.
    pub issuer: Option<String>,
    /// One of these must be in `aud`. Empty: a token that has an `aud` is refused, for it was made for somebody else.
    pub audience: Vec<String>,
    /// Only these of the algorithms that the key allows. None: all that it allows.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Whether a token must end. What never ends cannot be taken back; some issuers make it so all the same.
    pub needs_expiry: bool,
    /// The secret of signed upload links. None: no links.
    pub link_secret_file: Option<PathBuf>,
}

/// Where keys come from. What a key is decides which algorithms it verifies; a token only says which of those it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A shared secret, at least 32 bytes, for HS256 only.
    Hs256SecretFile(PathBuf),
    /// A shared secret for HS256, from 48 bytes on also HS384, from 64 on also HS512.
    HmacSecretFile(PathBuf),
    /// One public key in PEM: RSA, P-256, P-384 or Ed25519.
    PublicKeyFile(PathBuf),
    /// The same as [`KeySource::HmacSecretFile`], as a text that another program's configuration has.
    Secret {
        /// The option that has it, for errors.
        option: &'static str,
        /// The secret.
        secret: Secret,
    },
    /// The same as [`KeySource::PublicKeyFile`], as a text that another program's configuration has.
    PublicKey {
        /// The option that has it, for errors.
        option: &'static str,
        /// The key.
        pem: String,
    },
    /// A JSON Web Key Set (RFC 7517), read again from time to time.
    Jwks {
        /// Where the set is.
        place: JwksPlace,
        /// How often it is read without cause.
        refresh: Duration,
    },
}

/// A shared secret. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Where a key set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksPlace {
    /// In a file.
    File(PathBuf),
    /// Behind a URL, `https` or, for a neighbour in the cluster, `http`.
    Url {
        /// The URL, without user information.
        url: String,
        /// Certificates to trust instead of the system's, PEM.
        ca_file: Option<PathBuf>,
    },
}

/// How often a key set is read without cause, unless configured.
const REFRESH: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    hs256_secret_file: Option<PathBuf>,
    hmac_secret_file: Option<PathBuf>,
    public_key_file: Option<PathBuf>,
    jwks: Option<RawJwks>,
    issuer: Option<String>,
    audience: Option<OneOrMore>,
    algorithms: Option<Vec<Algorithm>>,
    link_secret_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawJwks {
    file: Option<PathBuf>,
    url: Option<String>,
    ca_file: Option<PathBuf>,
    refresh: Option<Time>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl TryFrom<Raw> for Settings {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let jwks = raw.jwks.map(KeySource::try_from).transpose()?;
        let mut sources = [
            raw.hs256_secret_file.map(KeySource::Hs256SecretFile),
            raw.hmac_secret_file.map(KeySource::HmacSecretFile),
            raw.public_key_file.map(KeySource::PublicKeyFile),
            jwks,
        ]
        .into_iter()
        .flatten();
        let (Some(keys), None) = (sources.next(), sources.next()) else {
            return Err(
                "auth: exactly one of hs256SecretFile, hmacSecretFile, publicKeyFile and jwks is needed".into(),
            );
        };
        let audience = match raw.audience {
            None => Vec::new(),
            Some(OneOrMore::One(one)) => vec![one],
            Some(OneOrMore::More(more)) => more,
        };
        if raw.algorithms.as_ref().is_some_and(Vec::is_empty) {
            return Err(
                "auth.algorithms: an empty list allows nothing; leave it out to allow what the key allows".into(),
            );
        }
        Ok(Self {
            keys,
            issuer: raw.issuer,
            audience,
            algorithms: raw.algorithms,
            needs_expiry: true,
            link_secret_file: raw.link_secret_file,
        })
    }
}

impl TryFrom<RawJwks> for KeySource {
    type Error = String;

    fn try_from(raw: RawJwks) -> Result<Self, String> {
        let place = match (raw.file, raw.url, raw.ca_file) {
            (Some(file), None, None) => JwksPlace::File(file),
            (None, Some(url), ca_file) => {
                JwksPlace::url(url, ca_file).map_err(|reason| format!("auth.jwks.url: {reason}"))?
            }
            _ => return Err("auth.jwks: exactly one of file and url is needed; caFile goes with url".into()),
        };
        let refresh = raw.refresh.map_or(REFRESH, |time| time.0);
        if refresh.is_zero() {
            return Err("auth.jwks.refresh: must be more than 0s".into());
        }
        Ok(Self::Jwks { place, refresh })
    }
}

impl KeySource {
    /// A key set behind a URL, read as often as one is unless configured.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn jwks_url(url: String) -> Result<Self, &'static str> {
        Ok(Self::Jwks {
            place: JwksPlace::url(url, None)?,
            refresh: REFRESH,
        })
    }
}

impl JwksPlace {
    fn url(url: String, ca_file: Option<PathBuf>) -> Result<Self, &'static str> {
        let parsed = reqwest::Url::parse(&url).map_err(|_| "not a URL")?;
        if !["http", "https"].contains(&parsed.scheme()) {
            return Err("only http and https");
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err("a key set is public, no password belongs into its URL");
        }
        Ok(Self::Url { url, ca_file })
    }
}

impl Settings {
    /// Tokens by HS256 with the secret in this file, and nothing else set.
    #[must_use]
    pub fn hs256(secret_file: PathBuf) -> Self {
        Self::of(KeySource::Hs256SecretFile(secret_file))
    }

    /// Tokens by these keys, and nothing else set.
    #[must_use]
    pub fn of(keys: KeySource) -> Self {
        Self {
            keys,
            issuer: None,
            audience: Vec::new(),
            algorithms: None,
            needs_expiry: true,
            link_secret_file: None,
        }
    }
}

/// A configuration that gives no authenticator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Anybody on the network could read and write everything.
    #[error(
        "{listen} can be reached from other machines, and no auth is configured: set auth.hs256SecretFile, \
         auth.hmacSecretFile, auth.publicKeyFile or auth.jwks in the --config file, or listen on a loopback address \
         such as 127.0.0.1:8080"
    )]
    RequireAuth {
        /// The address that was asked for.
        listen: SocketAddr,
    },
    /// A file that `auth` names cannot be read.
    #[error("cannot read {key} {}", path.display())]
    ReadFile {
        /// The key of the configuration file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The secret can be guessed.
    #[error("{place} holds {length} bytes, HMAC needs at least {least} (RFC 7518 section 3.2)")]
    ShortSecret {
        /// The key of the configuration file, and the file.
        place: String,
        /// Its length without a final newline.
        length: usize,
        /// What it should be.
        least: usize,
    },
    /// The file holds no key that can be used.
    #[error("{place}: {fault}")]
    ReadKey {
        /// The key of the configuration file, and the file.
        place: String,
        /// What is wrong.
        fault: Fault,
    },
    /// The key verifies none of the algorithms that are configured.
    #[error("auth.algorithms allows none of those that the key verifies: {}", names(allowed))]
    NoAlgorithm {
        /// What the key verifies.
        allowed: Vec<Algorithm>,
    },
    /// The HTTP client that would fetch the key set cannot be made.
    #[error("cannot make a client for auth.jwks.url")]
    MakeClient(#[source] reqwest::Error),
}

fn names(algorithms: &[Algorithm]) -> String {
    let names: Vec<String> = algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
    names.join(", ")
}
