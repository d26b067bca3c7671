//! A container of Azurite.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::NAME;
use crate::server::{Server, newest};

/// The variable that names the folder of Azurite's package.
const VARIABLE: &str = "WINDLASS_AZURITE";
/// The program of it that serves blobs, and nothing else.
const PROGRAM: &str = "dist/src/blob/main.js";

/// A container, its server running. It keeps everything in memory: what is killed is lost.
#[derive(Debug)]
pub struct Azure {
    server: Server,
}

impl Azure {
    /// The storage account's name.
    pub const ACCOUNT: &str = "windlass";
    /// Its key, which may do everything.
    pub const KEY: &str = "bm90LWEtc2VjcmV0LWJ1dC1hLXRlc3Q=";
    /// A shared access signature made with that key: any object, any act on it, until 2099.
    pub const SIGNATURE: &str = "sv=2019-12-12&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00%3A00%3A00Z\
        &sig=3UgAZTDs0LY6tWN1Ap2GBcRhayFHtDoxrM5o7KFuY7w%3D";

    /// An empty container whose server listens.
    ///
    /// # Panics
    /// When there is no Azurite, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        let azure = Self {
            server: Server::start(|_| {}, azurite),
        };
        azure.server.ask("PUT", &azure.target("restype=container"));
        azure
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The account's URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}/{}", self.address(), Self::ACCOUNT)
    }

    /// The names of all blobs, sorted. What is not committed is none.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let answer = self.server.ask("GET", &self.target("restype=container&comp=list"));
        let names = answer.split("<Name>").skip(1);
        let names = names.filter_map(|rest| rest.split("</Name>").next());
        names.map(str::to_owned).collect()
    }

    /// Lets it answer nothing from now on, with all its connections open.
    pub fn pause(&self) {
        self.server.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.server.signal(Signal::CONT);
    }

    fn target(&self, query: &str) -> String {
        format!("/{}/{NAME}?{query}&{}", Self::ACCOUNT, Self::SIGNATURE)
    }
}

fn azurite(address: SocketAddr, _folder: &Path) -> Command {
    let package = std::env::var_os(VARIABLE).map(PathBuf::from);
    let package = package.unwrap_or_else(|| newest("npm", Path::new("node_modules/azurite")));
    let mut command = Command::new("node");
    command
        .env("AZURITE_ACCOUNTS", format!("{}:{}", Azure::ACCOUNT, Azure::KEY))
        .arg(package.join(PROGRAM))
        .args(["--blobHost", &address.ip().to_string()])
        .args(["--blobPort", &address.port().to_string()])
        .args(["--inMemoryPersistence", "--silent", "--disableTelemetry"]);
    command
}
