//! How the program is told what to do.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;

/// Runs one Redis as the operator says
///
/// The first process of a pod of a Redis. Starts redis-server as its child, takes orders over HTTP, and keeps the lease of
/// the primary. Logs go to stderr, Redis' own too.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Arguments {
    /// What all members of this Redis are told
    #[arg(long, value_name = "FILE")]
    pub configuration: PathBuf,
    /// Folder of passwords and of the orders' token
    #[arg(long, value_name = "DIR")]
    pub secrets: PathBuf,
    /// Folder of Redis' files and of what this member has promised
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder of certificates, where the configuration has TLS
    #[arg(long, value_name = "DIR")]
    pub tls: Option<PathBuf>,
    /// Listen on this address only; on all without it
    #[arg(long, value_name = "IP")]
    pub listen: Option<IpAddr>,
    /// The pod's name: NAME-redis-ORDINAL
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub pod: String,
    /// The pod's namespace, which the lease is in
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    pub namespace: String,
}

/// Sends the process's logs to stderr, a JSON object a line; `WINDLASS_LOG=debug` and the like set the level.
pub fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| "info".into());
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).json();
    lines.flatten_event(true).with_env_filter(filter).init();
}
