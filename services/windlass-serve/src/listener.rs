//! The `listener` section of a configuration file: how connections are taken, the same for every serving program.

use serde::Deserialize;

use crate::metrics::Metrics;
use crate::server::{Options, Windows};
use crate::tls::{self, Tls};

/// The default of `http2.memoryBytes`: 2,048 connections with the least window, and as much again for wider ones.
pub(crate) const HTTP2_MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// The default of `http2.streams`: what RFC 9113 section 6.5.2 recommends at least.
pub(crate) const HTTP2_STREAMS: u32 = 100;

/// The section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Certificate and key; plain HTTP when absent.
    pub tls: Option<tls::Settings>,
    /// The bounds of HTTP/2.
    pub http2: Http2,
}

/// The `listener.http2` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Http2 {
    /// What all connections together may have sent that nobody has read yet, bytes; 0 turns HTTP/2 off.
    pub memory_bytes: u64,
    /// Requests at once on one connection.
    pub streams: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            memory_bytes: HTTP2_MEMORY_BYTES,
            streams: HTTP2_STREAMS,
        }
    }
}

/// A section that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its certificate or key.
    #[error(transparent)]
    ConfigureTls(#[from] tls::Error),
    /// A number is zero.
    #[error("listener.{name} must not be 0")]
    RequirePositive {
        /// Which.
        name: &'static str,
    },
}

impl Settings {
    /// What the section says, on top of the defaults.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn options(&self, metrics: &Metrics) -> Result<Options, Error> {
        if self.http2.streams == 0 {
            return Err(Error::RequirePositive { name: "http2.streams" });
        }
        let tls = self.tls.as_ref().map(|settings| Tls::new(settings, metrics.clone()));
        Ok(Options {
            tls: tls.transpose()?,
            http2: Windows::new(self.http2.memory_bytes, metrics.clone()),
            http2_streams: self.http2.streams,
            metrics: metrics.clone(),
            ..Options::default()
        })
    }
}
