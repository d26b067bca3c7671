//! Scripts by their digest, and commands ready to be sent.

use std::fmt::Write as _;

use redis::{Cmd, ToRedisArgs};
use sha1::{Digest as _, Sha1};

use crate::slot::Slot;

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
            slot: keys.first().map(Slot::of),
            asking: false,
            command,
        }
    }
}

/// A command that is ready to be sent, and sent again. It goes to the primary that has its first key.
#[derive(Debug, Clone)]
pub struct Call {
    script: Option<&'static Script>,
    /// Where its keys are; any server will do when absent.
    slot: Option<Slot>,
    /// Whether the server has the slot only for who asks for it by name, since it is on its way there.
    asking: bool,
    command: Cmd,
}

impl Call {
    /// Adds arguments.
    #[must_use]
    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    /// Sends it to the primary that has this key. For commands whose key is not their first argument (`XREADGROUP`), and
    /// for those that have none and must be answered by the server of one (`TIME`).
    #[must_use]
    pub fn beside(mut self, key: impl AsRef<[u8]>) -> Self {
        self.slot = Some(Slot::of(key));
        self
    }

    /// The same for a server that the slot is on its way to.
    pub(crate) fn asking(&self) -> Self {
        Self {
            asking: true,
            ..self.clone()
        }
    }

    pub(crate) fn is_asking(&self) -> bool {
        self.asking
    }

    pub(crate) fn slot(&self) -> Option<Slot> {
        self.slot
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
    /// A command whose first argument is its key, as with most; without arguments it goes to any server.
    fn from(command: Cmd) -> Self {
        let first = match command.args_iter().nth(1) {
            Some(redis::Arg::Simple(key)) => Some(Slot::of(key)),
            Some(_) | None => None,
        };
        Self {
            script: None,
            slot: first,
            asking: false,
            command,
        }
    }
}
