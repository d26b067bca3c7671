//! What is measured: one push process, or some that share their channels through a Redis of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use fixture_redis::{Redis, Settings};
use tokio::runtime::Runtime;

use crate::process::Process;

/// Processes that clients and publishers are divided among.
#[derive(Debug)]
pub struct Fleet {
    processes: Vec<Process>,
    redis: Option<Shared>,
}

/// A Redis of the machine's, as in production: what it is told is on the disk a second later.
#[derive(Debug)]
struct Shared {
    server: Redis,
    process: u32,
    _runtime: Runtime,
}

/// What a fleet has used until now.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time of the processes.
    pub cpu: Duration,
    /// CPU time of their Redis, if they share one.
    pub redis: Option<Duration>,
}

impl Fleet {
    /// Starts the floor of the push service.
    ///
    /// # Errors
    /// When it does not start.
    pub fn floor(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            processes: vec![Process::push_floor(dir)?],
            redis: None,
        })
    }

    /// Starts one process whose channels are its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn alone(binary: &Path, dir: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            processes: vec![Process::push(binary, dir, None)?],
            redis: None,
        })
    }

    /// Starts a Redis and so many processes that share their channels through it.
    ///
    /// # Errors
    /// When one does not start.
    pub fn shared(binary: &Path, dir: &Path, count: usize) -> anyhow::Result<Self> {
        let redis = Shared::start()?;
        let url = redis.server.url();
        let processes = (0..count).map(|_| Process::push(binary, dir, Some(&url)));
        Ok(Self {
            processes: processes.collect::<Result<_, _>>()?,
            redis: Some(redis),
        })
    }

    /// Where they listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.processes.iter().map(Process::address).collect()
    }

    /// What they have used.
    ///
    /// # Errors
    /// When one has ended.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let cpu = self.processes.iter().map(Process::cpu).sum::<Result<_, _>>()?;
        let redis = self.redis.as_ref().map(|redis| Process::cpu_of_other(redis.process));
        Ok(Usage {
            cpu,
            redis: redis.transpose()?,
        })
    }

    /// The memory of the processes that is resident now, bytes.
    ///
    /// # Errors
    /// When one has ended.
    pub fn memory(&self) -> anyhow::Result<u64> {
        self.processes.iter().map(Process::memory).sum()
    }

    /// Ends them.
    ///
    /// # Errors
    /// When one had ended by itself.
    pub fn end(self) -> anyhow::Result<()> {
        self.processes
            .into_iter()
            .try_for_each(|process| process.end().map(drop))
    }
}

impl Shared {
    fn start() -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let config = [("appendfsync", "everysec")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let server = runtime.block_on(Redis::with(Settings {
            config: config.to_vec(),
            ..Settings::default()
        }));
        let process = server
            .info("server", "process_id")
            .context("it says which process it is")?;
        Ok(Self {
            process: process.parse()?,
            server,
            _runtime: runtime,
        })
    }
}
