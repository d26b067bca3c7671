//! The real binary as a child process: started, killed, stopped and started again on the same port and data folder.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait::eventually;

/// The variable that names the binary.
pub const BINARY_VARIABLE: &str = "WINDLASS_BIN";

/// How long a server may take to start. It takes a tenth of a second; a busy machine may need more.
const START_WITHIN: Duration = Duration::from_secs(30);

/// How much of a log is printed when a test fails, bytes from its end.
const LOG_SHOWN: usize = 24 * 1024;

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The configuration file's text.
    pub config: String,
    /// More flags of `windlass dev`.
    pub flags: Vec<String>,
    /// The data folder; one of its own when there is none.
    pub data: Option<PathBuf>,
    /// The soft limit of open files; the test's own when there is none.
    pub open_files: Option<u64>,
    /// What is logged: `WINDLASS_LOG`.
    pub log: Option<String>,
    /// More variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Whether it is started with port 0 and says itself where it listens. It cannot be started again there.
    pub any_port: bool,
}

impl Settings {
    /// These lines as the `upload` section of the configuration.
    #[must_use]
    pub fn upload(lines: &[&str]) -> Self {
        let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        Self {
            config: format!("upload:\n{lines}"),
            ..Self::default()
        }
    }
}

/// A `windlass dev`, killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    address: SocketAddr,
    child: Option<Child>,
    stdout: Arc<Mutex<Vec<String>>>,
    folder: TempDir,
}

impl Server {
    /// A server with default settings and a data folder of its own, ready.
    pub async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// A server with these settings, ready.
    ///
    /// # Panics
    /// When it does not say that it is ready.
    pub async fn with(settings: Settings) -> Self {
        let port = if settings.any_port { 0 } else { unused_port() };
        let mut server = Self {
            settings,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            child: None,
            stdout: Arc::default(),
            folder: TempDir::new().expect("a temporary folder can be made"),
        };
        server.begin().await;
        server
    }

    /// Where it listens, the same after each restart.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder that it was started in, which holds its configuration, its log and, unless set otherwise, its data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.settings
            .data
            .clone()
            .unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// What it has printed to stdout since it was started last, by lines.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        lock(&self.stdout).clone()
    }

    /// What it has logged, over all restarts.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
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

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid is small")).expect("a pid is not 0");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it has not by the deadline.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let child = self.child.as_mut().expect("the server runs");
        let status = eventually(within, "the server's end", async || {
            child.try_wait().expect("a child can be waited for")
        })
        .await;
        self.child = None;
        status
    }

    /// Starts it again on the same port and data folder; it must not run.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        self.begin().await;
    }

    /// Starts it again with another configuration.
    pub async fn restart_with(&mut self, config: &str) {
        config.clone_into(&mut self.settings.config);
        self.restart().await;
    }

    /// Starts the binary with these settings beside this one and waits for its end, as a person would see it.
    ///
    /// # Panics
    /// When it is still there at the deadline; it is killed then.
    pub async fn run_to_end(settings: &Settings, listen: &str, within: Duration) -> (ExitStatus, String) {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let data = settings.data.clone().unwrap_or_else(|| folder.path().join("data"));
        let mut server = Self {
            settings: settings.clone(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            child: None,
            stdout: Arc::default(),
            folder,
        };
        server.spawn(listen, &data);
        let status = server.ended(within).await;
        (status, server.log())
    }

    async fn begin(&mut self) {
        let (listen, data) = (self.address.to_string(), self.data());
        self.spawn(&listen, &data);
        let (child, stdout) = (
            self.child.as_mut().expect("it was just started"),
            Arc::clone(&self.stdout),
        );
        let line = eventually(START_WITHIN, "the ready line on stdout", async || {
            let line = lock(&stdout).first().cloned();
            let ended = child.try_wait().expect("a child can be waited for");
            line.map(Ok).or_else(|| ended.map(Err))
        })
        .await;
        let line = line.unwrap_or_else(|ended| panic!("the server ended instead of starting: {ended}"));
        let address = line
            .strip_prefix("ready on http")
            .and_then(|rest| rest.split_once("://"));
        let address = address.and_then(|(_, text)| text.parse().ok());
        let address: SocketAddr = address.unwrap_or_else(|| panic!("no ready line: {line:?}"));
        assert!(
            address.port() > 0 && (self.settings.any_port || address == self.address),
            "{line:?}"
        );
        self.address = address;
    }

    fn spawn(&mut self, listen: &str, data: &Path) {
        let config = self.folder.path().join("windlass.yaml");
        std::fs::write(&config, &self.settings.config).expect("a file can be written");
        let log = File::options().create(true).append(true).open(self.log_path());
        let mut command = self.command();
        command
            .arg("dev")
            .args(["--listen", listen])
            .arg("--data-dir")
            .arg(data)
            .arg("--config")
            .arg(config)
            .args(&self.settings.flags)
            .envs(self.settings.log.iter().map(|level| ("WINDLASS_LOG", level)))
            .envs(self.settings.environment.iter().cloned())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("a log file can be made"));
        let mut child = command.spawn().expect("the binary can be started");
        lock(&self.stdout).clear();
        collect(child.stdout.take().expect("it is piped"), Arc::clone(&self.stdout));
        self.child = Some(child);
    }

    /// The binary, under a limit where one is set: a limit of a child alone can only be set from inside it, so a shell
    /// does it and becomes the binary.
    fn command(&self) -> Command {
        match self.settings.open_files {
            None => Command::new(binary()),
            Some(limit) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", r#"ulimit -Sn "$1" && shift && exec "$@""#, "sh"]);
                command.arg(limit.to_string()).arg(binary());
                command
            }
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("stderr.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A stopped process can be killed too.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(LOG_SHOWN);
            let from = (from..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("--- the server's stderr, its end ---\n{}--- end ---", &log[from..]);
        }
    }
}

/// Reads a child's lines on a thread of its own, which ends with the child.
fn collect(stdout: ChildStdout, lines: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            lock(&lines).push(line);
        }
    });
}

/// The binary under test.
///
/// # Panics
/// When there is none, saying how to make it.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os(BINARY_VARIABLE) {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "{BINARY_VARIABLE} is {}, and there is no such file: build it with `cargo build -p windlass`, or unset it",
            path.display(),
        );
        return path;
    }
    let own = std::env::current_exe().expect("a process knows its program");
    own.ancestors()
        .skip(1)
        .map(|folder| folder.join("windlass"))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "there is no `windlass` beside {}: run `cargo build -p windlass` first",
                own.display()
            )
        })
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections (Linux: from 32768): a
/// server that is down must find its port free when it comes back, and a client that calls in between must not be
/// connected to itself.
fn unused_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
