//! The `upload.hooks` section: as it is written, and what of it cannot be.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Uri};
use serde::Deserialize;
use windlass_serve::config::Time;

/// When a hook is called, by tusd's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Before an upload is created; may refuse it or replace its metadata.
    PreCreate,
    /// After it was created.
    PostCreate,
    /// While bytes come, at most once a second an append; may stop the upload.
    PostReceive,
    /// With every byte there, before the upload counts as finished; may refuse it.
    PreFinish,
    /// After it was finished.
    PostFinish,
    /// Before its owner ends it; may refuse that.
    PreTerminate,
    /// After its owner ended it.
    PostTerminate,
}

impl Kind {
    /// tusd's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreCreate => "pre-create",
            Self::PostCreate => "post-create",
            Self::PostReceive => "post-receive",
            Self::PreFinish => "pre-finish",
            Self::PostFinish => "post-finish",
            Self::PreTerminate => "pre-terminate",
            Self::PostTerminate => "post-terminate",
        }
    }
}

/// The receiver's URL, which may hold a secret: it is never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Endpoint(pub String);

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint(…)")
    }
}

/// Where hooks go and what may be spent on them.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Where they are POSTed to.
    pub url: Endpoint,
    /// Certificates (PEM) to trust instead of the system's, for an `https://` URL.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Which are sent.
    pub events: Vec<Kind>,
    /// How long one call may take.
    #[serde(default = "timeout")]
    pub timeout: Time,
    /// How often a call that failed is repeated at once. A `post-*` hook comes again later as well.
    #[serde(default = "retries")]
    pub retries: u32,
    /// Headers of the client's request that are copied to the hook's.
    #[serde(default)]
    pub forward_headers: Vec<String>,
    /// The largest answer that is read.
    #[serde(default = "max_response_bytes")]
    pub max_response_bytes: usize,
    /// How long after its first failure a `post-*` hook is given up.
    #[serde(default = "give_up_after")]
    pub give_up_after: Time,
    /// Calls at once; a further one waits.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
}

// tusd's defaults, so that a receiver made for it meets what it knows.
fn timeout() -> Time {
    Time(Duration::from_secs(15))
}

fn retries() -> u32 {
    3
}

/// An answer is stored with the upload's record, so it is small.
fn max_response_bytes() -> usize {
    5 * 1024
}

/// A receiver that is down over a weekend loses nothing.
fn give_up_after() -> Time {
    Time(Duration::from_secs(72 * 3_600))
}

fn concurrency() -> usize {
    64
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is none.
    #[error("upload.hooks.url must be an http:// or https:// URL")]
    ParseUrl,
    /// A number is zero.
    #[error("upload.hooks.{name} must not be 0")]
    RequirePositive {
        /// Which.
        name: &'static str,
    },
    /// No event is named.
    #[error("upload.hooks.events names no event")]
    NameEvent,
    /// The name of a header is none.
    #[error("upload.hooks.forwardHeaders: {name:?} is no header's name")]
    ParseHeader {
        /// The name.
        name: String,
    },
    /// The certificates cannot be read.
    #[error("upload.hooks.caFile: cannot read {}", path.display())]
    ReadCertificates {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The HTTP client cannot be made.
    #[error("upload.hooks: cannot start the HTTP client, or to trust caFile")]
    BuildClient(#[source] reqwest::Error),
}

impl Settings {
    /// The names of the headers that are forwarded.
    ///
    /// # Errors
    /// [`Error`] for whatever cannot be.
    pub(crate) fn validate(&self) -> Result<Vec<HeaderName>, Error> {
        let uri: Uri = self.url.0.parse().map_err(|_| Error::ParseUrl)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(Error::ParseUrl);
        }
        for (name, is_zero) in [
            ("timeout", self.timeout.0.is_zero()),
            ("giveUpAfter", self.give_up_after.0.is_zero()),
            ("maxResponseBytes", self.max_response_bytes == 0),
            ("concurrency", self.concurrency == 0),
        ] {
            if is_zero {
                return Err(Error::RequirePositive { name });
            }
        }
        if self.events.is_empty() {
            return Err(Error::NameEvent);
        }
        let header = |name: &String| name.parse().map_err(|_| Error::ParseHeader { name: name.clone() });
        self.forward_headers.iter().map(header).collect()
    }
}
