//! Buckets of real object stores, one process a test, gone when it is dropped: the Versity gateway on a directory for S3,
//! Azurite for Azure Blob Storage, fake-gcs-server for Google Cloud Storage.
//!
//! They are installed by `tests/run tools`. [`Bucket::kill`] and [`Bucket::restart`] are a store that dies and comes
//! back as it was; [`Bucket::pause`] and [`Bucket::resume`] one that is there and does not answer.

mod azure;
mod gcs;
mod server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

pub use azure::Azure;
pub use gcs::Gcs;
use server::{Server, program};

/// The bucket's name.
pub const NAME: &str = "uploads";
/// The region that requests are signed for.
pub const REGION: &str = "us-east-1";
/// The id of the key that may do everything.
pub const ACCESS_KEY: &str = "windlass-test";
/// That key.
pub const SECRET_KEY: &str = "not-a-secret-but-a-test";

/// A bucket of S3, its server running unless it was killed.
#[derive(Debug)]
pub struct Bucket {
    server: Server,
}

impl Bucket {
    /// An empty bucket whose server listens.
    ///
    /// # Panics
    /// When there is no gateway, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self {
            server: Server::start(prepare, gateway),
        }
    }

    /// Where the server listens, the same after each restart.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The server's URL, for requests that name the bucket in their path.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The server's URL, for requests that name the bucket in their host, before this one's.
    #[must_use]
    pub fn virtual_endpoint(&self) -> String {
        format!("http://s3.localhost:{}", self.address().port())
    }

    /// The directory whose files are the bucket's objects.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.server.folder().join("objects").join(NAME)
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
        self.server.kill();
    }

    /// Starts it again on the same port with all that it had; it must not run.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub fn restart(&mut self) {
        self.server.restart();
    }

    /// Lets it answer nothing from now on, with all its connections open.
    pub fn pause(&self) {
        self.server.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.server.signal(Signal::CONT);
    }
}

/// A bucket of this server is a directory. What belongs to objects and is no content lies beside them, for not every file
/// system that a temporary folder may be on has extended attributes.
fn prepare(folder: &Path) {
    for part in [format!("objects/{NAME}"), "attributes".to_owned()] {
        std::fs::create_dir_all(folder.join(part)).expect("a folder can be made");
    }
}

fn gateway(address: SocketAddr, folder: &Path) -> Command {
    let mut command = Command::new(program("versitygw"));
    command
        .args(["--port", &address.to_string(), "--region", REGION])
        .args(["--access", ACCESS_KEY, "--secret", SECRET_KEY])
        .args(["--virtual-domain", "s3.localhost", "--keep-alive", "--quiet"])
        .args(["posix", "--sidecar"])
        .arg(folder.join("attributes"))
        .arg(folder.join("objects"));
    command
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

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

    #[test]
    fn the_other_stores_begin_with_nothing_in_them() {
        assert!(Azure::start().keys().is_empty());
        assert!(Gcs::start().keys().is_empty());
    }
}
