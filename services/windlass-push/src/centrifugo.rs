//! Coming from Centrifugo: its configuration file (version 6, YAML or JSON) as ours.
//!
//! Every option that is set and is not taken is told, by its path and with what to do instead; what would make the
//! server less safe if it were passed over is an error. Options that stand at what they are here anyway are no news.
//! Nothing here reads a file or the environment: a document comes in, a [`Translated`] goes out.

mod duration;
mod options;
mod proxies;

use serde_json::{Map, Value, json};
use windlass_serve::auth;
use windlass_serve::guard::OriginPattern;

use self::options::Fate;
use crate::Config;

/// A Centrifugo configuration in our terms.
#[derive(Clone, PartialEq)]
pub struct Translated {
    /// Where the keys of tokens come from; `None` when there is no token to be had.
    pub keys: Option<Keys>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What `aud` must be.
    pub audience: Option<String>,
    /// Origins whose pages may connect.
    pub origins: Vec<OriginPattern>,
    /// The key of the HTTP API.
    pub api_key: Option<auth::Secret>,
    /// The `push` section, by the names of `docs/configuration.md`.
    pub push: Value,
    /// What is set and not taken, in the document's order.
    pub notes: Vec<Note>,
}

impl std::fmt::Debug for Translated {
    /// Nothing of `push`: where backends are and what they are shown may be secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Translated")
            .field("keys", &self.keys)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("origins", &self.origins)
            .field("api_key", &self.api_key)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

/// The keys that tokens are verified with, inline as Centrifugo has them. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Keys {
    /// A shared secret.
    Hmac(String),
    /// A public key in PEM.
    Public(String),
    /// A JSON Web Key Set behind a URL.
    Jwks(String),
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Hmac(_) => "Hmac(…)",
            Self::Public(_) => "Public(…)",
            Self::Jwks(_) => "Jwks(…)",
        })
    }
}

/// An option that is set and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its path, as `client.pong_timeout` or `channel.namespaces[chat].subscribe_proxy_name`.
    pub option: String,
    /// What to do instead.
    pub advice: &'static str,
}

/// A configuration that cannot be taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not made of sections.
    #[error("not a Centrifugo configuration: the document is no mapping")]
    ReadDocument,
    /// An option must not be passed over.
    #[error("{option}: {reason}")]
    RefuseOption {
        /// Its path.
        option: String,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// A value is not of the option's type.
    #[error("{option} must be {expected}")]
    ReadOption {
        /// Its path.
        option: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Tokens are verified by one kind of key here.
    #[error(
        "client.token has several keys; here it is one of hmac_secret_key, rsa_public_key, ecdsa_public_key and \
         jwks_public_endpoint"
    )]
    ChooseKey,
    /// What came of it is no configuration of ours.
    #[error("an option has a value that cannot be: {reason}")]
    ReadConfig {
        /// Which, and why.
        reason: String,
    },
}

impl Translated {
    /// How callers are known, if by tokens. As with Centrifugo, a token need not end.
    ///
    /// # Errors
    /// [`Error::RefuseOption`] for a URL that no keys can be read from.
    pub fn auth(&self) -> Result<Option<auth::Settings>, Error> {
        let keys = match &self.keys {
            None => return Ok(None),
            Some(Keys::Hmac(secret)) => auth::KeySource::Secret {
                option: "client.token.hmac_secret_key",
                secret: auth::Secret(secret.clone()),
            },
            Some(Keys::Public(pem)) => auth::KeySource::PublicKey {
                option: "client.token.rsa_public_key or ecdsa_public_key",
                pem: pem.clone(),
            },
            Some(Keys::Jwks(url)) => auth::KeySource::jwks_url(url.clone()).map_err(|reason| Error::RefuseOption {
                option: "client.token.jwks_public_endpoint".to_owned(),
                reason,
            })?,
        };
        Ok(Some(auth::Settings {
            issuer: self.issuer.clone(),
            audience: self.audience.iter().cloned().collect(),
            needs_expiry: false,
            ..auth::Settings::of(keys)
        }))
    }

    /// The `push` section.
    ///
    /// # Errors
    /// [`Error::ReadConfig`].
    pub fn config(&self) -> Result<Config, Error> {
        let config: Config = serde_json::from_value(self.push.clone()).map_err(|error| Error::ReadConfig {
            reason: error.to_string(),
        })?;
        Ok(Config {
            api_key: self.api_key.clone(),
            ..config
        })
    }
}

/// Translates a document.
///
/// # Errors
/// See [`Error`].
pub fn translate(document: &Value) -> Result<Translated, Error> {
    let document = document.as_object().ok_or(Error::ReadDocument)?;
    let mut translation = Translation::default();
    translation.walk("", document)?;
    translation.finish()
}

#[derive(Default)]
struct Translation {
    keys: Vec<Keys>,
    issuer: Option<String>,
    audience: Option<String>,
    origins: Vec<OriginPattern>,
    api_key: Option<auth::Secret>,
    push: Map<String, Value>,
    notes: Vec<Note>,
}

impl Translation {
    fn walk(&mut self, prefix: &str, section: &Map<String, Value>) -> Result<(), Error> {
        for (name, value) in section {
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            match (path.as_str(), value) {
                ("channel.without_namespace", Value::Object(options)) => {
                    let options = self.channel_options(&path, options)?;
                    self.push.insert("channels".into(), Value::Object(options));
                }
                ("channel.namespaces", Value::Array(namespaces)) => self.namespaces(&path, namespaces)?,
                (section, Value::Object(proxy)) if proxies::is_one(section) => {
                    let proxy = self.proxy(&path, proxy)?;
                    self.place(&path, Value::Object(proxy));
                }
                ("rpc.without_namespace", Value::Object(options)) => {
                    let options = self.rpc_options(&path, options)?;
                    self.place(&path, Value::Object(options));
                }
                ("rpc.namespaces", Value::Array(namespaces)) => self.rpc_namespaces(&path, namespaces)?,
                ("proxies", Value::Array(proxies)) => self.named_proxies(&path, proxies)?,
                (_, Value::Object(section)) => self.walk(&path, section)?,
                (_, value) if is_off(value) => {}
                (_, value) => self.option(&path, value)?,
            }
        }
        Ok(())
    }

    fn option(&mut self, path: &str, value: &Value) -> Result<(), Error> {
        match path {
            "client.token.hmac_secret_key" => self.keys.push(Keys::Hmac(text(path, value)?)),
            "client.token.rsa_public_key" | "client.token.ecdsa_public_key" => {
                self.keys.push(Keys::Public(text(path, value)?));
            }
            "client.token.jwks_public_endpoint" => self.keys.push(Keys::Jwks(text(path, value)?)),
            "client.token.issuer" => self.issuer = Some(text(path, value)?),
            "client.token.audience" => self.audience = Some(text(path, value)?),
            "http_api.key" => self.api_key = Some(auth::Secret(text(path, value)?)),
            "client.allowed_origins" => {
                let list = value.as_array().ok_or_else(|| wrong(path, "a list of origins"))?;
                for origin in list {
                    match text(path, origin)?.parse() {
                        Ok(origin) => self.origins.push(origin),
                        Err(_) => self.note(path, "an origin is https://HOST or https://*.DOMAIN, never *"),
                    }
                }
            }
            path => match options::fate(path) {
                Fate::Becomes(place) => {
                    let value = options::convert(path, place, value)?;
                    self.place(place.path, value);
                }
                Fate::Fine => {}
                Fate::Fixed(fixed) | Fate::Required(fixed) if options::is(fixed, value) => {}
                Fate::Fixed(_) => self.note(path, "it is Centrifugo's default here, always"),
                Fate::Required(_) => {
                    return Err(Error::RefuseOption {
                        option: path.to_owned(),
                        reason: "it is Centrifugo's default here, always: names would get other rights",
                    });
                }
                Fate::Instead(advice) => self.note(path, advice),
                Fate::Refused(reason) => {
                    return Err(Error::RefuseOption {
                        option: path.to_owned(),
                        reason,
                    });
                }
                Fate::Unknown => self.note(path, "it is not known here"),
            },
        }
        Ok(())
    }

    fn namespaces(&mut self, path: &str, namespaces: &[Value]) -> Result<(), Error> {
        let mut taken = Vec::new();
        for namespace in namespaces {
            let namespace = namespace.as_object().ok_or_else(|| wrong(path, "a list of mappings"))?;
            let name = namespace.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| wrong(path, "a list of mappings, each with a name"))?;
            let mut options = self.channel_options(&format!("{path}[{name}]"), namespace)?;
            options.insert("name".into(), name.into());
            taken.push(Value::Object(options));
        }
        if !taken.is_empty() {
            self.push.insert("namespaces".into(), Value::Array(taken));
        }
        Ok(())
    }

    /// The options of channels have the same names here.
    fn channel_options(&mut self, path: &str, given: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
        let mut taken = Map::new();
        for (name, value) in given {
            let option = format!("{path}.{name}");
            if name == "name" || is_off(value) {
                continue;
            }
            match options::of_channel(name) {
                Fate::Becomes(place) => {
                    taken.insert(place.path.to_owned(), options::convert(&option, place, value)?);
                }
                Fate::Refused(reason) => return Err(Error::RefuseOption { option, reason }),
                Fate::Instead(advice) => self.note(&option, advice),
                Fate::Fine => {}
                Fate::Fixed(_) | Fate::Required(_) | Fate::Unknown => {
                    self.note(&option, "it is not known here");
                }
            }
        }
        Ok(taken)
    }

    /// Sets `push.<path>`.
    fn place(&mut self, path: &str, value: Value) {
        let mut section = &mut self.push;
        let (sections, name) = path.rsplit_once('.').map_or(("", path), |parts| parts);
        for part in sections.split('.').filter(|part| !part.is_empty()) {
            let inner = section.entry(part).or_insert_with(|| json!({}));
            section = inner.as_object_mut().expect("only sections are put where sections are");
        }
        section.insert(name.to_owned(), value);
    }

    fn note(&mut self, option: &str, advice: &'static str) {
        self.notes.push(Note {
            option: option.to_owned(),
            advice,
        });
    }

    fn finish(self) -> Result<Translated, Error> {
        let mut keys = self.keys.into_iter();
        let key = keys.next();
        if keys.next().is_some() {
            return Err(Error::ChooseKey);
        }
        Ok(Translated {
            keys: key,
            issuer: self.issuer,
            audience: self.audience,
            origins: self.origins,
            api_key: self.api_key,
            push: Value::Object(self.push),
            notes: self.notes,
        })
    }
}

/// What Centrifugo takes for an option that is not set.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_off),
    }
}

fn text(path: &str, value: &Value) -> Result<String, Error> {
    let text = value.as_str().ok_or_else(|| wrong(path, "a text"))?;
    Ok(text.to_owned())
}

fn wrong(path: &str, expected: &'static str) -> Error {
    Error::ReadOption {
        option: path.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests;
