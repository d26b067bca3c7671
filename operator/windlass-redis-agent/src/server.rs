//! `redis-server` as a child, with its own children: started, watched, ended.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpgid};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::settings::{Secret, Settings};

pub mod configuration;

/// The program, looked for as a shell does.
const PROGRAM: &str = "redis-server";
/// How long a killed process may take to go: it goes at once, unless it waits for a disk that does not answer.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Redis cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine gives no randomness.
    #[error("cannot draw a password")]
    Draw(#[source] getrandom::Error),
    /// There is no program, or no more processes.
    #[error("cannot start redis-server")]
    Start(#[source] io::Error),
    /// It was killed and is still there: nothing may be done as if it were gone.
    #[error("redis-server does not end")]
    End,
}

/// A child that runs, or has ended and was not waited for. Killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    group: Pid,
    socket: PathBuf,
    password: Secret,
}

impl Server {
    /// Starts it; it answers when it has loaded its files. The socket's folder is the agent's alone.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start(settings: &Settings, socket: PathBuf) -> Result<Self, Error> {
        let password = draw()?;
        let text = configuration::text(settings, &socket, &password);
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new(PROGRAM);
        command
            .arg("-")
            // It and what it forks to write its files are ended together.
            .process_group(0)
            .stdin(Stdio::piped())
            // Its log goes where the agent's goes.
            .stdout(Stdio::from(io::stderr()))
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(Error::Start)?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .ok_or_else(|| Error::Start(io::ErrorKind::NotFound.into()))?;
        let mut input = child
            .stdin
            .take()
            .ok_or_else(|| Error::Start(io::ErrorKind::BrokenPipe.into()))?;
        // It is shorter than a pipe holds. One that ends before it has read it is seen by its end.
        let _ = input.write_all(text.as_bytes()).await;
        Ok(Self {
            child,
            group,
            socket,
            password,
        })
    }

    /// Where it is spoken to, and as whom: [`configuration::AGENT_USER`] with this password.
    #[must_use]
    pub fn door(&self) -> (PathBuf, Secret) {
        (self.socket.clone(), self.password.clone())
    }

    /// The process, which leads a group with what it forks.
    #[must_use]
    pub fn group(&self) -> Pid {
        self.group
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it at once, with what it forked, and waits until it is gone.
    ///
    /// # Errors
    /// It is not gone.
    pub async fn kill(mut self) -> Result<(), Error> {
        let _ = kill_process_group(self.group, Signal::KILL);
        let gone = tokio::time::timeout(GONE_WITHIN, self.child.wait()).await;
        self.reap();
        gone.map_err(|_| Error::End).map(drop)
    }

    /// Asks it to write its files and end; kills it when it has not by then.
    ///
    /// # Errors
    /// It is not gone.
    pub async fn stop(mut self, within: Duration) -> Result<(), Error> {
        let _ = kill_process(self.group, Signal::TERM);
        let _ = tokio::time::timeout(within, self.child.wait()).await;
        self.kill().await
    }

    /// What a process forked is the first process's when it dies, and would stay in the table of processes.
    fn reap(&self) {
        while let Ok(Some(_)) = waitpgid(self.group, WaitOptions::NOHANG) {}
    }
}

fn draw() -> Result<Secret, Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(Error::Draw)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Secret::new("a password", &text).expect("it is of digits and letters"))
}
