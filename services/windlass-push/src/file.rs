//! The files that `windlass-push` is configured by: its own, and that of the Centrifugo whose place it takes.

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;
use windlass_serve::guard::OriginPattern;
use windlass_serve::{auth, config, listener};

use crate::Config;
use crate::centrifugo;

/// What the files say.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct File {
    /// How callers are known.
    pub auth: Option<auth::Settings>,
    /// How the listener speaks.
    pub listener: listener::Settings,
    /// Where the tasks are; none are seen when absent.
    pub store: windlass_task::store::Settings,
    /// The service itself.
    pub push: Option<Config>,
    /// Whose pages may connect, beside those that flags name.
    #[serde(skip)]
    pub origins: Vec<OriginPattern>,
}

/// Files that configure nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One cannot be read.
    #[error(transparent)]
    Read(#[from] config::Error),
    /// Centrifugo's cannot be taken over.
    #[error("cannot take {path} over")]
    TakeOver {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: centrifugo::Error,
    },
    /// Both say it.
    #[error("{section} stands in --config, and --centrifugo-config says it too: leave one of them out")]
    ChooseOne {
        /// The section of ours.
        section: &'static str,
    },
}

impl File {
    /// Reads them. What Centrifugo's has and is not taken is logged, a line an option.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(own: Option<&Path>, centrifugo: Option<&Path>) -> Result<Self, Error> {
        let mut file: Self = config::read_or_default(own)?;
        let Some(path) = centrifugo else {
            return Ok(file);
        };
        for (section, is_there) in [("auth", file.auth.is_some()), ("push", file.push.is_some())] {
            if is_there {
                return Err(Error::ChooseOne { section });
            }
        }
        let document: serde_json::Value = config::read(path)?;
        let refused = |source| Error::TakeOver {
            path: path.display().to_string(),
            source,
        };
        let taken = centrifugo::translate(&document).map_err(refused)?;
        for note in &taken.notes {
            tracing::warn!(
                option = note.option,
                advice = note.advice,
                "centrifugo option is not taken"
            );
        }
        file.auth = taken.auth().map_err(refused)?;
        file.push = Some(taken.config().map_err(refused)?);
        file.origins = taken.origins;
        Ok(file)
    }

    /// How callers are known on a listener of this address. Where a backend says who clients are, there need be no
    /// keys: then no token is good for anything, and whoever the backend does not know is nobody.
    #[must_use]
    pub fn auth_on(&self, listen: SocketAddr) -> Option<auth::Settings> {
        let asks = self.push.as_ref().is_some_and(Config::asks_who_connects);
        if self.auth.is_some() || listen.ip().is_loopback() || !asks {
            return self.auth.clone();
        }
        let mut secret = [0; 64];
        getrandom::fill(&mut secret).expect("the system's random source answers once the system has started");
        let secret = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(auth::Settings::of(auth::KeySource::Secret {
            option: "a secret that nobody knows",
            secret: auth::Secret(secret),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(own: &str, centrifugo: &str) -> Result<File, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("it is written");
            path
        };
        let (own, centrifugo) = (write("own.yaml", own), write("centrifugo", centrifugo));
        File::read(Some(&own), Some(&centrifugo)).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", source.unwrap_or_default()).replace(&folder.path().display().to_string(), "")
        })
    }

    const JSON: &str = r#"{
        "client": {"token": {"hmac_secret_key": "0123456789abcdef0123456789abcdef"}, "allowed_origins": ["https://a.example"]},
        "channel": {"namespaces": [{"name": "chat", "presence": true}]}
    }"#;
    const YAML: &str = "
client:
  token:
    hmac_secret_key: 0123456789abcdef0123456789abcdef
  allowed_origins:
    - https://a.example
channel:
  namespaces:
    - name: chat
      presence: true
";

    #[test]
    fn json_and_yaml_say_the_same() {
        for text in [JSON, YAML] {
            let file = read("listener:\n  http2: { streams: 7 }\n", text).expect("they fit together");
            assert!(file.auth.is_some_and(|auth| !auth.needs_expiry));
            assert_eq!(file.push.expect("it is there").namespaces[0].name, "chat");
            assert_eq!(file.origins, ["https://a.example".parse().expect("an origin")]);
        }
    }

    #[test]
    fn what_both_say_and_what_cannot_be_is_refused() {
        let both = read("push:\n  messages: true\n", JSON).expect_err("push stands twice");
        assert!(both.starts_with("push stands in --config"), "{both}");
        let weak = read("", r#"{"client": {"insecure": true}}"#).expect_err("it is open to everybody");
        assert!(
            weak.starts_with("cannot take /centrifugo over: client.insecure: "),
            "{weak}"
        );
        let wrong = read(
            "",
            r#"{"channel": {"namespaces": [{"name": "chat", "history_size": 3}]}}"#,
        );
        assert!(wrong.is_ok(), "whether it makes sense is for its own validation");
        let namespace = read(
            "",
            r#"{"channel": {"namespaces": [{"name": "chat", "channel_regex": "("}]}}"#,
        );
        assert!(namespace.expect_err("no pattern").contains("not a regular expression"));
    }
}
