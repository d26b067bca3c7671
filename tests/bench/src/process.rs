//! A server as a child process, and what the kernel says it has used.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bucket::Bucket;
use tempfile::TempDir;

use crate::work::MIB;

/// Linux counts a process's CPU time in hundredths of a second wherever it can be read (USER_HZ).
const TICKS_A_SECOND: f64 = 100.0;

/// A server with a folder of its own; both go when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Process {
    /// Starts the service, ready.
    ///
    /// # Errors
    /// When it does not start.
    pub fn service(binary: &Path, dir: &Path, survive_power_cut: bool) -> anyhow::Result<Self> {
        Self::configured(
            binary,
            folder(dir)?,
            &format!("upload: {{ survivePowerCut: {survive_power_cut} }}\n"),
        )
    }

    /// Starts the service with two tenants that may log in with a token signed with `secret`, the first with a rate.
    ///
    /// # Errors
    /// When it does not start.
    pub fn with_tenants(
        binary: &Path,
        dir: &Path,
        secret: &str,
        limited: &str,
        bytes_per_second: u64,
    ) -> anyhow::Result<Self> {
        let folder = folder(dir)?;
        let file = folder.path().join("secret");
        std::fs::write(&file, secret)?;
        let config = format!(
            "auth: {{ hs256SecretFile: {} }}\nupload:\n  tenants:\n    named: {{ {limited}: {{ bytesPerSecond: {bytes_per_second} }} }}\n",
            file.display()
        );
        Self::configured(binary, folder, &config)
    }

    /// Starts the service in front of a bucket.
    ///
    /// # Errors
    /// When it does not start.
    pub fn with_bucket(binary: &Path, dir: &Path, bucket: &Bucket, budget_mib: Option<u64>) -> anyhow::Result<Self> {
        let folder = folder(dir)?;
        let (id, secret) = (folder.path().join("id"), folder.path().join("key"));
        std::fs::write(&id, bucket::ACCESS_KEY)?;
        std::fs::write(&secret, bucket::SECRET_KEY)?;
        let budget = budget_mib.map(|mib| format!("    bufferBytes: {}\n", mib * MIB));
        let config = format!(
            "storage:\n  s3:\n    bucket: {}\n    endpoint: {}\n    addressing: path\n    accessKeyIdFile: {}\n    \
             secretAccessKeyFile: {}\n{}",
            bucket::NAME,
            bucket.endpoint(),
            id.display(),
            secret.display(),
            budget.unwrap_or_default(),
        );
        Self::configured(binary, folder, &config)
    }

    fn configured(binary: &Path, folder: TempDir, text: &str) -> anyhow::Result<Self> {
        let config = folder.path().join("windlass.yaml");
        std::fs::write(&config, text)?;
        let mut command = Command::new(binary);
        if binary.file_stem().is_some_and(|name| name == "windlass") {
            command.arg("dev");
        }
        command
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            .arg("--config")
            .arg(config);
        Self::start(command, folder)
    }

    /// Starts the floor, ready.
    ///
    /// # Errors
    /// When it does not start.
    pub fn floor(dir: &Path) -> anyhow::Result<Self> {
        let folder = folder(dir)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor").arg(folder.path());
        Self::start(command, folder)
    }

    /// Starts the push service, ready: clients may subscribe and publish, nothing is remembered, as Centrifugo's
    /// namespaces are by default. With the URL of a Redis its channels are shared through that.
    ///
    /// # Errors
    /// When it does not start.
    pub fn push(binary: &Path, dir: &Path, redis: Option<&str>) -> anyhow::Result<Self> {
        let folder = folder(dir)?;
        let config = folder.path().join("windlass.yaml");
        let channels = "{ allow_subscribe_for_client: true, allow_publish_for_client: true }";
        let store = redis.map(|url| format!("store: {{ redis: {{ url: \"{url}\" }} }}\n"));
        let text = format!("push: {{ channels: {channels} }}\n{}", store.unwrap_or_default());
        std::fs::write(&config, text)?;
        let mut command = Command::new(binary);
        if binary.file_stem().is_some_and(|name| name == "windlass") {
            command.arg("dev").arg("--data-dir").arg(folder.path().join("data"));
        }
        command
            .args(["--listen", "127.0.0.1:0", "--max-connections", "20000", "--config"])
            .arg(config);
        Self::start(command, folder)
    }

    /// Starts the floor of the push service, ready.
    ///
    /// # Errors
    /// When it does not start.
    pub fn push_floor(dir: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("push-floor");
        Self::start(command, folder(dir)?)
    }

    /// Starts the bare client of an object store, ready to be given bytes.
    ///
    /// # Errors
    /// When it does not start.
    pub fn bare(dir: &Path, bucket: &Bucket) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["s3-floor", &bucket.endpoint()]);
        Self::start(command, folder(dir)?)
    }

    fn start(mut command: Command, folder: TempDir) -> anyhow::Result<Self> {
        // The log is written as in production, to a file.
        let log = File::create(folder.path().join("stderr.log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("ready on http://").map(str::parse);
        let Some(Ok(address)) = address else {
            let _ = child.kill();
            let _ = child.wait();
            let log = std::fs::read_to_string(folder.path().join("stderr.log")).unwrap_or_default();
            anyhow::bail!("{command:?} is not ready: {line:?} {log}");
        };
        Ok(Self { child, address, folder })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time that it has used until now, its own and the kernel's for it, whatever thread.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(&self.proc("stat"))
    }

    /// The CPU time that another process of this machine has used until now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_of_other(id: u32) -> anyhow::Result<Duration> {
        cpu_of(&Path::new("/proc").join(id.to_string()).join("stat"))
    }

    /// The CPU time that this very process has used until now.
    ///
    /// # Errors
    /// When the kernel does not say it.
    pub fn own_cpu() -> anyhow::Result<Duration> {
        cpu_of(Path::new("/proc/self/stat"))
    }

    /// The most memory that was resident at any time, bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    /// The memory that is resident now, bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmRSS:")
    }

    fn status_bytes(&self, name: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib = kib.with_context(|| format!("status has no {name}"))?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    }

    /// Ends it, and gives its folder.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub fn end(mut self) -> anyhow::Result<TempDir> {
        ensure!(self.child.try_wait()?.is_none(), "the server ended by itself");
        self.child.kill()?;
        self.child.wait()?;
        Ok(std::mem::replace(&mut self.folder, tempfile::tempdir()?))
    }

    fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder(dir: &Path) -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("windlass-bench-").tempdir_in(dir)?)
}

/// The CPU time that a `stat` of the kernel tells.
fn cpu_of(stat: &Path) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(stat)?;
    // The program's name may hold spaces and parentheses; it ends at the last one (proc_pid_stat(5)).
    let (_, fields) = stat.rsplit_once(") ").context("stat has no name")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    // utime and stime are fields 14 and 15; what is left begins with field 3.
    let ticks = |field: usize| -> anyhow::Result<f64> { Ok(fields.get(field - 3).context("stat is short")?.parse()?) };
    Ok(Duration::from_secs_f64((ticks(14)? + ticks(15)?) / TICKS_A_SECOND))
}
