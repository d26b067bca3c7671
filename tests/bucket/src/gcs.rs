//! A bucket of fake-gcs-server, behind what makes it do as Google does.

mod front;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::NAME;
use crate::gcs::front::Front;
use crate::server::{Server, program};

/// A bucket, its server running unless it was killed. It asks nobody for credentials and knows the JSON API alone.
#[derive(Debug)]
pub struct Gcs {
    front: Front,
    server: Server,
}

impl Gcs {
    /// A service account's key that asks nobody for a token.
    pub const SERVICE_ACCOUNT: &str =
        r#"{"client_email":"test","private_key":"none","private_key_id":"none","disable_oauth":true}"#;

    /// An empty bucket whose server listens.
    ///
    /// # Panics
    /// When there is no server, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        let server = Server::start(prepare, fake);
        Self {
            front: Front::start(server.address()),
            server,
        }
    }

    /// Where the server listens, the same after each restart.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// The server's URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The names of all objects, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let answer = self
            .server
            .ask("GET", &format!("/storage/v1/b/{NAME}/o?fields=items(name)"));
        let names = answer.split("\"name\":\"").skip(1);
        let names = names.filter_map(|rest| rest.split('"').next());
        names.map(str::to_owned).collect()
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

/// A bucket of this server is a directory.
fn prepare(folder: &Path) {
    std::fs::create_dir_all(folder.join("objects").join(NAME)).expect("a folder can be made");
}

fn fake(address: SocketAddr, folder: &Path) -> Command {
    let mut command = Command::new(program("fake-gcs-server"));
    command
        .args(["-scheme", "http", "-backend", "filesystem", "-log-level", "error"])
        .args(["-host", &address.ip().to_string()])
        .args(["-port", &address.port().to_string()])
        .arg("-filesystem-root")
        .arg(folder.join("objects"));
    command
}
