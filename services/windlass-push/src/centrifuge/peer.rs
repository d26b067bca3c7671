//! The other end of one connection, as far as it is known when it opens.

use super::dialect::Dialect;
use crate::broker::NodeId;
use crate::client::ClientId;
use crate::emulation::SessionId;

/// Who is to be spoken with, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The connection's id.
    pub client: ClientId,
    /// What it speaks.
    pub dialect: Dialect,
    /// Where it sends its commands, if the connection itself carries only what comes to it.
    pub route: Option<Box<Route>>,
}

/// The way to a session whose connection goes one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The node that has it.
    pub node: NodeId,
    /// Which it is there.
    pub session: SessionId,
}

impl Peer {
    /// A connection that goes both ways.
    #[must_use]
    pub fn new(client: ClientId, dialect: Dialect) -> Self {
        Self {
            client,
            dialect,
            route: None,
        }
    }
}
