//! A real `windlass dev`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::command::{Ended, Running, start};
use crate::eventually;
use crate::http::ask;

/// A server with its data, which survives its process.
pub(crate) struct Server {
    pub(crate) home: TempDir,
    pub(crate) address: SocketAddr,
    process: Option<Running>,
    arguments: Vec<String>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::configured("")
    }

    /// With this configuration file.
    pub(crate) fn configured(yaml: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("windlass.yaml");
        std::fs::write(&config, yaml).unwrap();
        let data = home.path().join("data");
        let arguments = [
            "dev",
            "--config",
            config.to_str().unwrap(),
            "--data-dir",
            data.to_str().unwrap(),
            "--listen",
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        let mut server = Self {
            home,
            address: ([127, 0, 0, 1], 0).into(),
            process: None,
            arguments,
        };
        server.start();
        server
    }

    /// On the port it had before, if it ran before.
    pub(crate) fn start(&mut self) {
        let listen = self.address.to_string();
        let process = start(self.home.path(), self.arguments.iter().chain([&listen]));
        self.address = eventually("it is ready", || {
            let line = process.out();
            line.strip_prefix("ready on http://")?.strip_suffix('\n')?.parse().ok()
        });
        self.process = Some(process);
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    pub(crate) fn terminate(&mut self) -> Ended {
        let process = self.process.take().unwrap();
        process.terminate();
        process.wait()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The only task there is; the catalogue hears of a new one a moment later.
    pub(crate) fn only_task(&self) -> String {
        eventually("the task is listed", || {
            let tasks = ask(self.address, "GET", "/tasks", &[]).json();
            let tasks = tasks["tasks"].as_array()?.clone();
            assert!(tasks.len() < 2, "{tasks:?}");
            Some(tasks.first()?["taskId"].as_str()?.to_owned())
        })
    }

    /// The digest of what a `Location` gives.
    pub(crate) fn digest(&self, location: &str) -> [u8; 32] {
        let path = location.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap();
        let answer = ask(self.address, "GET", &path, &[]);
        assert_eq!(answer.status, 200);
        Sha256::digest(answer.body).into()
    }

    /// A file of this many bytes that compress to nothing else, in the server's own folder.
    pub(crate) fn file(&self, name: &str, bytes: usize) -> PathBuf {
        let path = self.home.path().join(name);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut content = vec![0; bytes];
        for piece in content.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.copy_from_slice(&state.to_le_bytes()[..piece.len()]);
        }
        std::fs::write(&path, content).unwrap();
        path
    }
}

pub(crate) fn digest_of(path: &Path) -> [u8; 32] {
    Sha256::digest(std::fs::read(path).unwrap()).into()
}
