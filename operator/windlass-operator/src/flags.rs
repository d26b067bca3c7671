//! How the program is told what to do.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Parser;

use crate::election::Times;

/// Runs what resources of windlass.dev say
///
/// Finds the API server as kubectl does, or as a pod. Of several processes one leads; the others wait. Logs go to stderr.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// Look after this namespace only; after all without it
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Namespace of the lease by which one process leads
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", default_value = "default")]
    pub lease_namespace: String,
    /// Seconds that a silent leader's lease still counts; it stops to lead at two thirds of them
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = clap::value_parser!(u32).range(3..=300))]
    pub lease_seconds: u32,
    /// Resources looked after at once
    #[arg(long, value_name = "N", default_value = "4")]
    pub concurrency: NonZeroUsize,
    /// Serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub admin_listen: SocketAddr,
}

impl Arguments {
    /// Of the lease. A renewal is tried five times before the leader stops to lead.
    #[must_use]
    pub fn times(&self) -> Times {
        let duration = Duration::from_secs(self.lease_seconds.into());
        Times {
            duration,
            deadline: duration * 2 / 3,
            retry: duration * 2 / 15,
        }
    }
}

/// Sends the process's logs to stderr, a JSON object a line; `WINDLASS_LOG=debug` and the like set the level.
pub fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| "info".into());
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).json();
    lines.flatten_event(true).with_env_filter(filter).init();
}
