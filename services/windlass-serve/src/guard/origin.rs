//! Web origins: what `--allow-origin` takes and what the `Origin` header gives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::host::Host;

/// `http://host[:port]` or `https://host[:port]`, compared by scheme, host and port with its default filled in.
/// `null` and wildcards are no origins: both stand for pages that nobody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

/// A text that is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an origin is http://HOST[:PORT] or https://HOST[:PORT], without a path")]
pub struct OriginError;

impl Origin {
    /// Whether a page served under `host` has this origin, its scheme aside.
    pub(super) fn is_of(&self, host: &Host) -> bool {
        self.host == host.name() && self.port == host.port_or(self.default_port())
    }

    /// Whether its scheme is `http`.
    pub(super) fn is_plain(&self) -> bool {
        !self.secure
    }

    fn default_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = text.split_once("://").ok_or(OriginError)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(OriginError),
        };
        let host = Host::parse(rest).ok_or(OriginError)?;
        let port = host.port_or(if secure { 443 } else { 80 });
        Ok(Self {
            secure,
            host: host.name().to_owned(),
            port,
        })
    }
}

impl fmt::Display for Origin {
    /// As a browser writes it: without the default port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == self.default_port() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
