//! A bucket of a real S3 server: the Versity gateway on a directory, one process a test, gone when it is dropped.
//!
//! The gateway is built by `tests/run tools`. [`Bucket::kill`] and [`Bucket::restart`] are a store that dies and comes
//! back as it was; [`Bucket::pause`] and [`Bucket::resume`] one that is there and does not answer.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The bucket's name.
pub const NAME: &str = "uploads";
/// The region that requests are signed for.
pub const REGION: &str = "us-east-1";
/// The id of the key that may do everything.
pub const ACCESS_KEY: &str = "windlass-test";
/// That key.
pub const SECRET_KEY: &str = "not-a-secret-but-a-test";

/// The variable that names the folder of the programs that `tests/run tools` builds.
const TOOLS_VARIABLE: &str = "WINDLASS_TOOLS";
const PROGRAM: &str = "versitygw";
/// How long the gateway may take to listen. It takes a tenth of a second; a busy machine may need more.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How often is looked whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A bucket, its server running unless it was killed.
#[derive(Debug)]
pub struct Bucket {
    address: SocketAddr,
    child: Option<Child>,
    folder: TempDir,
}

impl Bucket {
    /// An empty bucket whose server listens.
    ///
    /// # Panics
    /// When there is no gateway, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        // A bucket of this server is a directory. What belongs to objects and is no content lies beside them, for not
        // every file system that a temporary folder may be on has extended attributes.
        for part in [format!("objects/{NAME}"), "attributes".to_owned()] {
            std::fs::create_dir_all(folder.path().join(part)).expect("a folder can be made");
        }
        let mut bucket = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, unused_port())),
            child: None,
            folder,
        };
        bucket.begin();
        bucket
    }

    /// Where the server listens, the same after each restart.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's URL, for requests that name the bucket in their path.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The server's URL, for requests that name the bucket in their host, before this one's.
    #[must_use]
    pub fn virtual_endpoint(&self) -> String {
        format!("http://s3.localhost:{}", self.address.port())
    }

    /// The directory whose files are the bucket's objects.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("objects").join(NAME)
    }

    /// The keys of all objects, sorted. Parts of multipart uploads that are not completed are none.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let root = self.objects();
        let mut keys = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()) {
                let key = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
                match path.is_dir() {
                    // The gateway's own.
                    true if key.starts_with(".sgwtmp") => {}
                    true => folders.push(path),
                    false => keys.push(key),
                }
            }
        }
        keys.sort();
        keys
    }

    /// How many multipart uploads are open.
    #[must_use]
    pub fn open_multipart_uploads(&self) -> usize {
        // `.sgwtmp/multipart/<digest of the key>/<id of the upload>`
        let entries = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let keys = entries(&self.objects().join(".sgwtmp/multipart"));
        keys.iter().map(|key| entries(key).len()).sum()
    }

    /// `kill -9`, and waits until the process is gone.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the gateway runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
    }

    /// Starts it again on the same port with all that it had; it must not run.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the gateway runs already");
        self.begin();
    }

    /// Lets it answer nothing from now on, with all its connections open.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().expect("the gateway runs").id();
        let pid = Pid::from_raw(i32::try_from(id).expect("a pid is small")).expect("a pid is not 0");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    fn begin(&mut self) {
        let log = self.folder.path().join("gateway.log");
        let log = File::options().create(true).append(true).open(log);
        let log = log.expect("a log file can be made");
        let mut child = Command::new(program())
            .args(["--port", &self.address.to_string(), "--region", REGION])
            .args(["--access", ACCESS_KEY, "--secret", SECRET_KEY])
            .args([
                "--virtual-domain",
                "s3.localhost",
                "--keep-alive",
                "--quiet",
                "posix",
                "--sidecar",
            ])
            .arg(self.folder.path().join("attributes"))
            .arg(self.folder.path().join("objects"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file has room for a second name"))
            .stderr(log)
            .spawn()
            .expect("the gateway can be started");
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(self.address).is_err() {
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the gateway ended instead of starting: {}", self.log());
            assert!(Instant::now() < deadline, "the gateway does not listen: {}", self.log());
            std::thread::sleep(LOOK_EVERY);
        }
        self.child = Some(child);
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("gateway.log")).unwrap_or_default()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A stopped process can be killed too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The gateway: where the variable says, otherwise as `tests/run tools` built it last.
///
/// # Panics
/// When there is none, saying how to make it.
fn program() -> PathBuf {
    if let Some(folder) = std::env::var_os(TOOLS_VARIABLE) {
        let path = Path::new(&folder).join(PROGRAM);
        assert!(path.is_file(), "{TOOLS_VARIABLE} names a folder without {PROGRAM}");
        return path;
    }
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("WINDLASS_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("windlass")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/windlass")));
    let folders = cache.map(|cache| std::fs::read_dir(cache.join("go")));
    let built = folders.into_iter().flatten().flatten().flatten().filter_map(|folder| {
        let made = folder.metadata().and_then(|metadata| metadata.modified()).ok()?;
        let path = folder.path().join(PROGRAM);
        path.is_file().then_some((made, path))
    });
    let newest = built.max().map(|(_, path)| path);
    newest.unwrap_or_else(|| panic!("there is no {PROGRAM}: run `tests/run tools` first"))
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn the_gateway_answers_again_on_its_port_after_a_kill() {
        let mut bucket = Bucket::start();
        for _ in 0..2 {
            let mut socket = TcpStream::connect(bucket.address()).unwrap();
            socket
                .write_all(b"GET /uploads HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            assert!(answer.contains("AccessDenied"), "{answer}");
            bucket.kill();
            bucket.restart();
        }
        assert!(bucket.keys().is_empty() && bucket.open_multipart_uploads() == 0);
    }
}
