//! A program that listens on a port of this machine, with a temporary folder of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The variable that names the folder of the programs that `tests/run tools` builds.
const TOOLS_VARIABLE: &str = "WINDLASS_TOOLS";
/// How long a program may take to listen. It takes a tenth of a second, on Node a second; a busy machine may need more.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How often is looked whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a request of a test itself may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How a program is started to listen at an address, with a folder of its own.
type Start = fn(SocketAddr, &Path) -> Command;

/// A program, running unless it was killed.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    child: Option<Child>,
    folder: TempDir,
    start: Start,
}

impl Server {
    /// One that listens, in a folder that was prepared.
    pub(crate) fn start(prepare: fn(&Path), start: Start) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        prepare(folder.path());
        let mut server = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, unused_port())),
            child: None,
            folder,
            start,
        };
        server.begin();
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `kill -9`, and waits until the process is gone.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
    }

    /// Starts it again on the same port with all that it had; it must not run.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        self.begin();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().expect("the server runs").id();
        let pid = Pid::from_raw(i32::try_from(id).expect("a pid is small")).expect("a pid is not 0");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    /// The whole answer to a request of a test itself.
    pub(crate) fn ask(&self, method: &str, target: &str) -> String {
        let mut socket = TcpStream::connect(self.address).expect("the server listens");
        socket
            .set_read_timeout(Some(ANSWER_WITHIN))
            .expect("a socket has a timeout");
        // HTTP/1.0: the answer ends with the connection and is in one piece.
        let request = format!(
            "{method} {target} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
            self.address
        );
        socket.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("the server answers");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "{method} {target}: {answer}");
        answer
    }

    fn begin(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_file());
        let log = log.expect("a log file can be made");
        let mut child = (self.start)(self.address, self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file has room for a second name"))
            .stderr(log)
            .spawn()
            .expect("the server can be started");
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(self.address).is_err() {
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the server ended instead of starting: {}", self.log());
            assert!(Instant::now() < deadline, "the server does not listen: {}", self.log());
            std::thread::sleep(LOOK_EVERY);
        }
        self.child = Some(child);
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A stopped process can be killed too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program: where the variable says, otherwise as `tests/run tools` built it last.
///
/// # Panics
/// When there is none, saying how to make it.
pub(crate) fn program(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os(TOOLS_VARIABLE) {
        let path = Path::new(&folder).join(name);
        assert!(
            path.is_file(),
            "{TOOLS_VARIABLE} names a folder without {name}: run `tests/run tools`, which says where it is"
        );
        return path;
    }
    newest("go", Path::new(name))
}

/// What was made last below a kind of the cache's folders.
///
/// # Panics
/// When there is none, saying how to make it.
pub(crate) fn newest(kind: &str, below: &Path) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("WINDLASS_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("windlass")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/windlass")));
    let folders = cache.map(|cache| std::fs::read_dir(cache.join(kind)));
    let made = folders.into_iter().flatten().flatten().flatten().filter_map(|folder| {
        let made = folder.metadata().and_then(|metadata| metadata.modified()).ok()?;
        let path = folder.path().join(below);
        path.exists().then_some((made, path))
    });
    let newest = made.max().map(|(_, path)| path);
    newest.unwrap_or_else(|| panic!("there is no {}: run `tests/run tools` first", below.display()))
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections (Linux: from 32768) and
/// below those that the other test servers take (from 20000): a server that is down must find its port free when it
/// comes back.
fn unused_port() -> u16 {
    const FIRST: u16 = 14_000;
    const COUNT: u16 = 6_000;
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
