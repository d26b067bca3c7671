//! What the operator and the agents of a Redis must agree on, and nothing else: what is asked and answered ([`order`]), how
//! the lease is written down ([`lease`]), what an agent is told by its file ([`configuration`]), and what things are called
//! ([`names`]). The agreement itself is in `windlass_election`.
//!
//! Operator and agents are upgraded one after the other: what is read here from the one's older or newer release must be
//! refused in words or be the same.

pub mod configuration;
pub mod lease;
pub mod names;
pub mod order;

pub use configuration::{Access, Configuration, Member, Tls, User};
pub use lease::{Unreadable, read, write};
pub use names::Names;
pub use order::{Answer, Link, Sight};
