//! Everything that the operator does to the world, as data, and the ways to do it: in a cluster ([`cluster`]), as a text
//! that says what would be done ([`mod@print`]), and into a list ([`record`]).
//!
//! A pass makes actions and hands them over; nothing else writes. So a plan that is printed is the plan that would have been
//! carried out: the same code made it.

pub mod cluster;
pub mod print;
pub mod record;

use std::fmt;

use kube::core::DynamicObject;
use serde_json::Value;
use windlass_election::{Order, Ordinal};

use crate::kind::Identity;

/// The version of an object that a decision was made on. A write names it, and is refused if there is another by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which object of this name.
    pub uid: String,
    /// Which version of it.
    pub version: String,
}

/// Why an object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It is not there.
    Missing,
    /// The resource says something else now.
    Wanted,
    /// Somebody has changed it, here.
    Drifted(String),
}

/// What kind of news an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// All is as it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// One thing to do.
#[derive(Debug, Clone)]
pub enum Action {
    /// Make an object as given, server-side. `None`: there is none yet.
    Apply {
        /// What.
        what: Identity,
        /// The object, with all that the operator wants of it and nothing else.
        object: Box<DynamicObject>,
        /// What is there.
        seen: Option<Seen>,
        /// Why.
        cause: Cause,
    },
    /// Remove an object that is not wanted any more.
    Remove {
        /// What.
        what: Identity,
        /// What is there.
        seen: Seen,
    },
    /// Write the status of the resource.
    Report(Value),
    /// Write the status of the resource, if that is as it was seen: something is decided by it.
    Commit {
        /// The whole status.
        status: Value,
        /// The resource.
        seen: Seen,
    },
    /// Make a Secret whose values nobody has chosen. One that is there stays as it is.
    Generate {
        /// Which.
        what: Identity,
        /// All of it but the values.
        object: Box<DynamicObject>,
        /// The keys that get a value.
        keys: Vec<&'static str>,
    },
    /// Set one label of an object that others write too.
    Label {
        /// Of what.
        what: Identity,
        /// What is there.
        seen: Seen,
        /// The label.
        key: &'static str,
        /// What it says from now on.
        value: &'static str,
    },
    /// Remove a pod that will be made anew.
    Restart {
        /// The pod.
        what: Identity,
        /// What is there.
        seen: Seen,
    },
    /// Say in a lease who holds it.
    Hold {
        /// The lease.
        what: Identity,
        /// What is there.
        seen: Seen,
        /// Who.
        holder: String,
        /// In which term.
        transitions: i32,
    },
    /// Tell an agent of the resource what to do. What it answers is for the next pass; that it does not is no failure.
    Order {
        /// Which.
        to: Ordinal,
        /// What.
        order: Order,
    },
    /// Tell people that something has changed.
    Tell {
        /// How good it is.
        mood: Mood,
        /// In one word.
        reason: String,
        /// In a sentence.
        note: String,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply {
                what,
                cause: Cause::Missing,
                ..
            } => write!(f, "+ {what}"),
            Self::Apply {
                what,
                cause: Cause::Wanted,
                ..
            } => write!(f, "~ {what}"),
            Self::Apply {
                what,
                cause: Cause::Drifted(path),
                ..
            } => write!(f, "~ {what}: somebody changed {path}"),
            Self::Remove { what, .. } => write!(f, "- {what}"),
            Self::Report(status) | Self::Commit { status, .. } => write!(f, "= status {status}"),
            Self::Generate { what, .. } => write!(f, "+ {what}"),
            Self::Label { what, key, value, .. } => write!(f, "~ {what}: {key}={value}"),
            Self::Restart { what, .. } => write!(f, "- {what}, to be made anew"),
            Self::Hold {
                what,
                holder,
                transitions,
                ..
            } => write!(f, "~ {what}: held by {holder:?} in term {transitions}"),
            Self::Order { to, order } => write!(f, "> member {to}: {order:?}"),
            Self::Tell { reason, note, .. } => write!(f, "! {reason}: {note}"),
        }
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This process does not lead any more.
    #[error("{action} was not done: another leads")]
    Lead {
        /// What.
        action: String,
    },
    /// The object is not as it was when this was decided, or somebody else owns a field of it.
    #[error("{action} was refused: the object has changed")]
    Overtaken {
        /// What.
        action: String,
    },
    /// The resource has no agents.
    #[error("{action} was not sent: there is nobody to order")]
    Order {
        /// What.
        action: String,
    },
    /// The API server did not do it.
    #[error("{action} failed")]
    Request {
        /// What.
        action: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
}

/// A way to do things for one resource.
pub trait Effects: Send + Sync {
    /// Does one thing. Twice is as good as once.
    fn carry_out(&self, action: Action) -> impl Future<Output = Result<(), Error>> + Send;
}
