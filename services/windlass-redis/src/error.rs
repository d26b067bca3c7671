//! What can become of a command.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// A command that was not answered as it should be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no primary to send it to. Nothing was done.
    #[error("redis is away")]
    Reach,
    /// The server cannot be connected to, or is no primary. Nothing was sent.
    #[error("cannot connect to redis")]
    Connect(#[source] RedisError),
    /// The server refused it. Nothing was done: every script checks before it writes.
    #[error("redis refused the command")]
    Refuse(#[source] RedisError),
    /// It was sent and not answered: nobody can say whether it was done, or will be.
    #[error("redis did not answer")]
    Await(#[source] RedisError),
    /// It was done, and too few replicas have it: nobody can say whether it will stay so.
    #[error("{confirmed} of {wanted} replicas have the write")]
    Confirm {
        /// How many have it.
        confirmed: u32,
        /// How many should.
        wanted: u32,
    },
    /// The reply has another shape than the command's.
    #[error("redis answered with something else")]
    Read,
}

impl Error {
    /// Whether the command may have been done all the same.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Await(_) | Self::Confirm { .. } | Self::Read => true,
            Self::Reach | Self::Connect(_) | Self::Refuse(_) => false,
        }
    }

    /// What an error of the library means for a command that was sent.
    pub(crate) fn of(error: RedisError) -> Self {
        if is_answer(&error) {
            Self::Refuse(error)
        } else {
            Self::Await(error)
        }
    }
}

/// Where a command belongs that was not done, by the words of a cluster's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// To another server, as `host:port`, from now on.
    Moved(String),
    /// To another server this time: the slot is on its way there.
    Ask(String),
    /// To where it went, a little later: the slot's keys are not all in one place, or its server is being replaced.
    Later,
}

impl Redirect {
    /// What an answer says of where to go.
    pub(crate) fn of<T>(answer: &Result<T, Error>) -> Option<Self> {
        let Err(Error::Refuse(error)) = answer else { return None };
        let ErrorKind::Server(kind) = error.kind() else {
            return None;
        };
        let address = || error.redirect_node().map(|(address, _)| address.to_owned());
        match kind {
            ServerErrorKind::Moved => address().map(Self::Moved),
            ServerErrorKind::Ask => address().map(Self::Ask),
            ServerErrorKind::TryAgain | ServerErrorKind::ClusterDown => Some(Self::Later),
            _ => None,
        }
    }
}

/// Whether the server itself said it, instead of the command or its reply being lost on the way.
fn is_answer(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the connection is of no more use: it is lost, stuck, or to a server that is no primary. In a cluster it may
/// well be that the server has only this key no more.
pub(crate) fn breaks(error: &RedisError, in_cluster: bool) -> bool {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::NoPerm,
        ) => true,
        ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::Moved) => !in_cluster,
        // A password that was changed: a new connection reads it again.
        ErrorKind::Extension => matches!(error.code(), Some("NOAUTH" | "WRONGPASS")),
        ErrorKind::Server(_) => false,
        _ => true,
    }
}
