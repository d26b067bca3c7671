//! Scripts by their digest, and commands ready to be sent.

use std::fmt::Write as _;

use redis::{Cmd, ToRedisArgs};
use sha1::{Digest as _, Sha1};

/// A script. Its digest is its version: a node of another release runs its own beside it.
///
/// A script must check everything before its first write, and touch keys of one hash slot only.
#[derive(Debug)]
pub struct Script {
    body: &'static str,
    sha: String,
}

impl Script {
    /// The script with this text.
    #[must_use]
    pub fn new(body: &'static str) -> Self {
        let sha = Sha1::digest(body).iter().fold(String::new(), |mut sha, byte| {
            write!(sha, "{byte:02x}").expect("a string takes what is written");
            sha
        });
        Self { body, sha }
    }

    /// A call of it with these keys; arguments are added to what is answered.
    #[must_use]
    pub fn call(&'static self, keys: &[&str]) -> Call {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.sha).arg(keys.len()).arg(keys);
        Call {
            script: Some(self),
            command,
        }
    }
}

/// A command that is ready to be sent, and sent again.
#[derive(Debug, Clone)]
pub struct Call {
    script: Option<&'static Script>,
    command: Cmd,
}

impl Call {
    /// Adds arguments.
    #[must_use]
    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn command(&self) -> &Cmd {
        &self.command
    }

    /// The same with the script's text, for a server that does not know its digest.
    pub(crate) fn in_full(&self) -> Option<Cmd> {
        let script = self.script?;
        let mut command = redis::cmd("EVAL");
        command.arg(script.body);
        for argument in self.command.args_iter().skip(2) {
            if let redis::Arg::Simple(argument) = argument {
                command.arg(argument);
            }
        }
        Some(command)
    }
}

impl From<Cmd> for Call {
    fn from(command: Cmd) -> Self {
        Self { script: None, command }
    }
}
