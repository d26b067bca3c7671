//! The `listener` section of a configuration file: how connections are taken, the same for every serving program.

use std::time::Duration;

use serde::Deserialize;

use crate::config::Time;
use crate::metrics::Metrics;
use crate::server::{Floor, Options, Windows};
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
    /// The least that a request body must bring.
    pub body_rate: BodyRate,
    /// Whether 104 (Upload Resumption Supported) is sent, on HTTP/1.1, to who asks for it.
    pub interim_responses: bool,
    /// How the listener is closed.
    pub drain: Drain,
}

/// The `listener.drain` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drain {
    /// How long the process still accepts when it is not ready any more: load balancers notice meanwhile.
    pub removal: Time,
    /// How long what is open has to end after that; what is left is cut.
    pub deadline: Time,
}

impl Default for Drain {
    /// No wait, as fits a process without a load balancer in front; and with what Kubernetes needs itself within the 30 s
    /// that it gives a pod unless told otherwise.
    fn default() -> Self {
        Self {
            removal: Time(Duration::ZERO),
            deadline: Time(Duration::from_secs(25)),
        }
    }
}

/// The `listener.bodyRate` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BodyRate {
    /// On average; 0 turns the bound off.
    pub bytes_per_second: u64,
    /// The time of waiting over which it is averaged.
    pub window: Time,
}

impl Default for BodyRate {
    /// What Apache asks for (mod_reqtimeout), but over a time that is longer than a phone is silent in a tunnel, which
    /// `upload.idleTimeout` bounds: each slow connection then costs its owner 60 kB in two minutes.
    fn default() -> Self {
        Self {
            bytes_per_second: 500,
            window: Time(Duration::from_secs(120)),
        }
    }
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
        if self.body_rate.window.0.is_zero() {
            return Err(Error::RequirePositive {
                name: "bodyRate.window",
            });
        }
        let floor = Floor {
            bytes_per_second: self.body_rate.bytes_per_second,
            window: self.body_rate.window.0,
        };
        let tls = self.tls.as_ref().map(|settings| Tls::new(settings, metrics.clone()));
        Ok(Options {
            tls: tls.transpose()?,
            http2: Windows::new(self.http2.memory_bytes, metrics.clone()),
            http2_streams: self.http2.streams,
            body_floor: (floor.bytes_per_second > 0).then_some(floor),
            interim: self.interim_responses,
            drain_deadline: self.drain.deadline.0,
            metrics: metrics.clone(),
            ..Options::default()
        })
    }
}
