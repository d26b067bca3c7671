//! Web origins: what `--allow-origin` takes and what the `Origin` header gives.

use std::fmt;
use std::str::FromStr;

use super::host::Host;

/// `http://host[:port]` or `https://host[:port]`, compared by scheme, host and port with its default filled in.
/// `null` and wildcards are no origins: both stand for pages that nobody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

/// Which origins `--allow-origin` allows: one, or with `https://*.example.com[:PORT]` all that have exactly one label
/// in front. Only `https` (anybody on the way could speak for an `http` one), and at least two labels behind, for
/// `*.com` is everybody. Who else can have a name there is for who configures it to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPattern {
    /// This one.
    Exact(Origin),
    /// One label, a dot, and this one.
    Subdomains(Origin),
}

/// A text that is no pattern of origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an allowed origin is http://HOST[:PORT], https://HOST[:PORT] or https://*.DOMAIN[:PORT] with a dot in DOMAIN")]
pub struct PatternError;

impl OriginPattern {
    /// Whether a page of this origin is meant.
    #[must_use]
    pub fn allows(&self, origin: &Origin) -> bool {
        match self {
            Self::Exact(exact) => exact == origin,
            Self::Subdomains(parent) => {
                let label = origin
                    .host
                    .strip_suffix(&parent.host)
                    .and_then(|rest| rest.strip_suffix('.'));
                (origin.secure, origin.port) == (parent.secure, parent.port)
                    && label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
        }
    }
}

impl FromStr for OriginPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let Some(parent) = text.strip_prefix("https://*.") else {
            return text.parse().map(Self::Exact).map_err(|_| PatternError);
        };
        let parent: Origin = format!("https://{parent}").parse().map_err(|_| PatternError)?;
        // A number at the end is an address, whose left part says nothing of who it belongs to.
        let named = parent
            .host
            .rsplit('.')
            .next()
            .is_some_and(|top| top.parse::<u32>().is_err());
        let mut labels = parent.host.split('.');
        let whole = labels.clone().count() >= 2 && labels.all(|label| !label.is_empty());
        if named && whole && !parent.host.starts_with('[') {
            Ok(Self::Subdomains(parent))
        } else {
            Err(PatternError)
        }
    }
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

    /// Whether its scheme is `https`.
    pub(super) fn is_secure(&self) -> bool {
        self.secure
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
