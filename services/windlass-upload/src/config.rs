//! The configuration of the upload service: as it is written, and as it is used after validation.

use std::time::Duration;

use serde::Deserialize;
use windlass_serve::config::Time;

use crate::{announce, content, garbage, hooks, tenants, tusd};

/// The `upload` section of a configuration file. Times are texts such as `500ms`, `15s`, `5m`, `24h`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The largest upload that is taken; none when absent.
    pub max_size_bytes: Option<u64>,
    /// How long after its last acknowledged byte an unfinished upload expires.
    pub lifetime: Time,
    /// How long a body may bring nothing before its request is answered 408.
    pub idle_timeout: Time,
    /// How long a request is held while the store or the storage does not answer, before the client hears of it.
    pub hold: Time,
    /// The longest time between two checkpoints inside one body (promise P1); the storage's own when absent.
    pub checkpoint: Option<Time>,
    /// The most files that one form may have.
    pub form_files_max: usize,
    /// The URL under which clients reach the server, for absolute `Location`s; path-absolute when absent.
    pub public_url: Option<String>,
    /// The origin that new tasks' ids carry.
    pub origin: String,
    /// Whether acknowledged bytes also survive a power cut; each checkpoint then waits for the disk.
    pub survive_power_cut: bool,
    /// What each tenant may have.
    pub tenants: tenants::Settings,
    /// The media types that are taken, by what the bytes are; any when absent.
    pub allowed_types: Option<Vec<content::MediaRange>>,
    /// Whether finished uploads can be read only after somebody with the right to release them has done so.
    pub quarantine: bool,
    /// How what no upload needs is removed; `null`: not at all.
    pub garbage: Option<garbage::Settings>,
    /// Who is asked and told of what happens to uploads; nobody when absent.
    pub hooks: Option<hooks::Settings>,
    /// Where tusd's uploads are that go on here; none when absent.
    pub tusd: Option<tusd::Settings>,
    /// Where durable events are announced to other services; nowhere when absent.
    pub announce: Option<announce::Settings>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_size_bytes: None,
            // DESIGN section 3: 24 hours after the last acknowledged byte.
            lifetime: Time(Duration::from_secs(24 * 3_600)),
            // Mobile networks stall for tens of seconds in a tunnel; common proxies give up at 60 s.
            idle_timeout: Time(Duration::from_secs(60)),
            // DESIGN section 5: under the 15 s and more after which common proxies give up.
            hold: Time(Duration::from_secs(10)),
            checkpoint: None,
            form_files_max: 1_000,
            public_url: None,
            origin: "local".to_owned(),
            survive_power_cut: false,
            tenants: tenants::Settings::default(),
            allowed_types: None,
            quarantine: false,
            garbage: Some(garbage::Settings::default()),
            hooks: None,
            tusd: None,
            announce: None,
        }
    }
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The origin is outside its grammar.
    #[error("upload.origin: {0}")]
    ParseOrigin(#[source] windlass_task::id::Error),
    /// The public URL is not one.
    #[error("upload.publicUrl must begin with http:// or https:// and have no query")]
    ParsePublicUrl,
    /// The hooks cannot be.
    #[error(transparent)]
    ReadHooks(#[from] hooks::settings::Error),
    /// There is no stream that other services read.
    #[error("upload.announce needs store.redis, where the stream is")]
    AnnounceNowhere,
    /// What is taken over from tusd cannot be.
    #[error(transparent)]
    ReadTusd(#[from] tusd::settings::Error),
    /// What is about to be recorded would be taken for garbage.
    #[error("upload.garbage.safeAge must be longer than upload.hold, for as long may an upload take to be recorded")]
    RequireSafeAge,
    /// A time or size is zero.
    #[error("upload.{name} must not be 0")]
    RequirePositive {
        /// Which.
        name: &'static str,
    },
}

/// Settings that were checked.
#[derive(Debug, Clone)]
pub(crate) struct Validated {
    pub(crate) max_size: Option<u64>,
    pub(crate) lifetime: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) hold: Duration,
    pub(crate) checkpoint: Option<Duration>,
    pub(crate) form_files_max: usize,
    pub(crate) public_url: Option<String>,
    pub(crate) origin: windlass_task::Origin,
    pub(crate) content: content::Rules,
    pub(crate) quarantine: bool,
    pub(crate) garbage: Option<garbage::settings::Validated>,
    /// As in `garbage`, also where nothing is collected.
    pub(crate) safe_age: Duration,
}

impl Config {
    pub(crate) fn validate(&self) -> Result<Validated, Error> {
        for (name, is_zero) in [
            ("lifetime", self.lifetime.0.is_zero()),
            ("idleTimeout", self.idle_timeout.0.is_zero()),
            ("checkpoint", self.checkpoint.is_some_and(|time| time.0.is_zero())),
            (
                "garbage.every",
                self.garbage.is_some_and(|garbage| garbage.every.0.is_zero()),
            ),
            ("maxSizeBytes", self.max_size_bytes == Some(0)),
            ("formFilesMax", self.form_files_max == 0),
        ] {
            if is_zero {
                return Err(Error::RequirePositive { name });
            }
        }
        let safe_age = self.garbage.unwrap_or_default().safe_age.0;
        if safe_age <= self.hold.0 {
            return Err(Error::RequireSafeAge);
        }
        if let Some(hooks) = &self.hooks {
            hooks.validate()?;
        }
        if let Some(tusd) = &self.tusd {
            tusd.validate()?;
        }
        if let Some(url) = &self.public_url {
            let web = url.starts_with("https://") || url.starts_with("http://");
            if !web || url.contains(['?', '#']) || url.bytes().any(|b| !b.is_ascii_graphic()) {
                return Err(Error::ParsePublicUrl);
            }
        }
        Ok(Validated {
            max_size: self.max_size_bytes,
            lifetime: self.lifetime.0,
            idle_timeout: self.idle_timeout.0,
            hold: self.hold.0,
            checkpoint: self.checkpoint.map(|time| time.0),
            form_files_max: self.form_files_max,
            public_url: self.public_url.clone(),
            origin: self.origin.parse().map_err(Error::ParseOrigin)?,
            content: content::Rules::new(self.allowed_types.clone()),
            quarantine: self.quarantine,
            garbage: self.garbage.as_ref().map(garbage::Settings::validated),
            safe_age,
        })
    }
}
