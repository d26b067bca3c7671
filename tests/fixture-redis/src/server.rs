//! `redis-server` as a child process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use redis::{ConnectionLike as _, RedisResult, Value};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::proxy::Proxy;

/// How long a server may take for what it is asked. It takes milliseconds; a busy machine may need more.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);
/// How often is looked.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How many ports are tried: another test may take one between its choice and its use.
const PORTS_TRIED: usize = 5;

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether it keeps nothing on the disk: killed, it comes back empty. Otherwise it appends to a log (AOF) before it
    /// answers, and waits for the disk: the usual `everysec` puts its writing off while the disk is busy, so that what
    /// `kill -9` leaves of the last second is a matter of luck. A test that wants that luck sets `appendfsync`.
    pub forgets: bool,
    /// More lines of its configuration, such as `["maxmemory", "8mb"]`.
    pub config: Vec<(String, String)>,
}

/// A `redis-server`, killed when it is dropped.
#[derive(Debug)]
pub struct Redis {
    settings: Settings,
    address: SocketAddr,
    primary: Option<SocketAddr>,
    child: Option<Child>,
    folder: TempDir,
}

impl Redis {
    /// A server with an empty data set that it keeps on the disk, ready.
    pub async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// A server with these settings, ready.
    ///
    /// # Panics
    /// When there is no `redis-server` or it does not answer.
    pub async fn with(settings: Settings) -> Self {
        Self::begin(settings, None).await
    }

    /// A server that replicates this one, in step with it.
    pub async fn replica(&self) -> Self {
        self.replica_by(self.address).await
    }

    /// A server that replicates this one through a proxy, in step with it: it lags when nothing passes.
    pub async fn replica_through(&self, proxy: &Proxy) -> Self {
        self.replica_by(proxy.address()).await
    }

    async fn replica_by(&self, address: SocketAddr) -> Self {
        let replica = Self::begin(self.settings.clone(), Some(address)).await;
        replica
            .until("a replica in step with its primary", |replica| {
                replica.info("replication", "master_link_status").as_deref() == Some("up")
            })
            .await;
        // The link is up before the primary counts what comes over it: `WAIT` would find no replica until then.
        let port = replica.address.port();
        self.until("a primary that has heard of its replica", |primary| {
            primary.has_heard(port)
        })
        .await;
        replica
    }

    /// Whether the replica that listens on this port has acknowledged anything.
    fn has_heard(&self, port: u16) -> bool {
        let port = format!(",port={port},");
        let mut replicas = (0..).map_while(|number| self.info("replication", &format!("slave{number}")));
        replicas.any(|replica| replica.contains(&port) && !replica.contains(",offset=0,"))
    }

    /// Where it listens, the same after each restart.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that clients are given.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// `kill -9`, and waits until the process is gone.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
    }

    /// Starts it again with the data that it had on its disk; it must not run.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        self.spawn();
        assert!(self.is_ready().await, "the server ended instead of starting again");
    }

    /// Starts it again with nothing; it must not run.
    pub async fn restart_empty(&mut self) {
        let data = self.folder.path().join("data");
        std::fs::remove_dir_all(&data).expect("a folder can be removed");
        self.restart().await;
    }

    /// Makes a replica a primary, whatever it has of its old one's data.
    pub fn promote(&mut self) {
        self.command(&["REPLICAOF", "NO", "ONE"]);
        self.primary = None;
    }

    /// A planned switchover: does these commands and hands over to a replica in one step, after which it takes no write any
    /// more, and waits until the replica is the primary and this one its replica.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn hand_over(&mut self, heir: &mut Self, last: &[Vec<String>]) {
        let (host, port) = (heir.address.ip().to_string(), heir.address.port().to_string());
        let client = redis::Client::open(self.url()).expect("the address is one");
        let mut connection = client
            .get_connection_with_timeout(WITHIN)
            .expect("the server can be reached");
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for words in last {
            pipeline.cmd(&words[0]).arg(&words[1..]);
        }
        pipeline.cmd("FAILOVER").arg("TO").arg(host).arg(port);
        pipeline.exec(&mut connection).expect("the server hands over");
        heir.primary = None;
        heir.until("a replica that is the primary", |heir| {
            heir.info("replication", "role").as_deref() == Some("master")
        })
        .await;
        self.primary = Some(heir.address);
        self.until("a former primary in step with its heir", |former| {
            former.info("replication", "master_link_status").as_deref() == Some("up")
        })
        .await;
        let port = self.address.port();
        heir.until("an heir that has heard of the former primary", |heir| {
            heir.has_heard(port)
        })
        .await;
    }

    /// Makes it a replica of another, whose data replace its own.
    pub fn follow(&mut self, primary: &Self) {
        let (host, port) = (primary.address.ip().to_string(), primary.address.port().to_string());
        self.command(&["REPLICAOF", &host, &port]);
        self.primary = Some(primary.address);
    }

    /// Stops the process (SIGSTOP): its port still accepts, nobody answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends one command and answers the reply.
    ///
    /// # Panics
    /// When it does not answer, or refuses.
    pub fn command(&self, words: &[&str]) -> Value {
        self.try_command(words)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Sends one command on a connection of its own.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub fn try_command(&self, words: &[&str]) -> RedisResult<Value> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_connection_with_timeout(WITHIN)?;
        connection.set_read_timeout(Some(WITHIN))?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        connection.req_command(&command).and_then(Value::extract_error)
    }

    /// A field of a section of `INFO`, if it answers and has it.
    #[must_use]
    pub fn info(&self, section: &str, field: &str) -> Option<String> {
        let reply = self.try_command(&["INFO", section]).ok()?;
        let text: String = redis::from_redis_value(reply).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.map(str::to_owned)
    }

    async fn begin(settings: Settings, primary: Option<SocketAddr>) -> Self {
        let mut server = Self {
            settings,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            primary,
            child: None,
            folder: TempDir::new().expect("a temporary folder can be made"),
        };
        for _ in 0..PORTS_TRIED {
            server.address.set_port(unused_port());
            server.spawn();
            if server.is_ready().await {
                return server;
            }
        }
        panic!("redis-server does not start; it said: {}", server.log());
    }

    fn spawn(&mut self) {
        let data = self.folder.path().join("data");
        std::fs::create_dir_all(&data).expect("a folder can be made");
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &self.address.port().to_string()])
            .args(["--bind", &self.address.ip().to_string()])
            .args(["--logfile", &self.log_path().to_string_lossy()])
            .args(["--save", ""])
            .args(["--appendonly", if self.settings.forgets { "no" } else { "yes" }])
            .args(["--appendfsync", "always"])
            // A replica is asked for at once, not after the five seconds in which more might come.
            .args(["--repl-diskless-sync-delay", "0"])
            .args(["--maxmemory-policy", "noeviction"])
            .arg("--dir")
            .arg(&data);
        if let Some(primary) = self.primary {
            command.args(["--replicaof", &primary.ip().to_string(), &primary.port().to_string()]);
        }
        for (name, value) in &self.settings.config {
            command.arg(format!("--{name}")).arg(value);
        }
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        self.child =
            Some(spawned.expect("`redis-server` can be started: Debian's package redis-server, or one on PATH"));
    }

    /// Whether it comes to answer; if it ends instead, another has its port.
    async fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + WITHIN;
        loop {
            let child = self.child.as_mut().expect("it was just started");
            if child.try_wait().expect("a child can be waited for").is_some() {
                self.child = None;
                return false;
            }
            // Whoever answers must be this child, not another server on the port.
            let process = self.info("server", "process_id");
            if process == self.child.as_ref().map(|child| child.id().to_string()) && self.is_loaded() {
                return true;
            }
            assert!(
                Instant::now() < deadline,
                "redis-server does not answer; it said: {}",
                self.log()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn is_loaded(&self) -> bool {
        self.info("persistence", "loading").as_deref() == Some("0")
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + WITHIN;
        while !holds(self) {
            assert!(
                Instant::now() < deadline,
                "waited {WITHIN:?} in vain: {what}; it said: {}",
                self.log()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid is small")).expect("a pid is not 0");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("redis.log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A stopped process can be killed too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections (Linux: from 32768): a server
/// that is down must find its port free when it comes back, and a client that calls in between must not be connected to
/// itself.
fn unused_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run together start far apart.
    let offset = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (offset.wrapping_mul(97).wrapping_add(step)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free from {FIRST} to {}", FIRST + COUNT);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(redis: &Redis, key: &str) -> Option<String> {
        redis::from_redis_value(redis.command(&["GET", key])).unwrap()
    }

    #[tokio::test]
    async fn what_was_answered_survives_kill_nine_and_a_restart_without_data_forgets_it() {
        let mut redis = Redis::start().await;
        redis.command(&["SET", "a", "1"]);
        redis.kill();
        redis.restart().await;
        assert_eq!(get(&redis, "a").as_deref(), Some("1"));
        redis.kill();
        redis.restart_empty().await;
        assert_eq!(get(&redis, "a"), None);
    }

    #[tokio::test]
    async fn a_replica_that_lags_forgets_when_it_is_promoted() {
        let primary = Redis::start().await;
        let proxy = Proxy::to(primary.address()).await;
        let mut replica = primary.replica_through(&proxy).await;
        proxy.hold();
        primary.command(&["SET", "a", "1"]);
        drop((primary, proxy));
        replica.promote();
        assert_eq!(get(&replica, "a"), None);
        assert_eq!(replica.info("replication", "role").as_deref(), Some("master"));
        replica.command(&["SET", "b", "1"]);
    }
}
