//! Redis as the services use it: connections that come back, scripts that are there, outcomes that are honest.
//!
//! Main path: [`Client::run`] sends a [`Script`] to the primary and tells three endings apart, because what may be shown
//! to a user depends on it: it was done, it was certainly not done, or nobody can say ([`Error::is_unknown`]). A
//! connection that says `READONLY`, `LOADING` or the like is left and another made ([`Client`]). A new connection is
//! [`Prepare`]d before anybody uses it: that is where a store learns that Redis may have forgotten something
//! ([`Marker`]). What is published comes by [`Subscriptions`], which say when something may have been missed.
//!
//! One server or a cluster is one to callers: a call goes to the primary that has its first key's [`Slot`], follows the
//! slot while it is moved, and is never sent to a server that was not prepared for it.
//!
//! It knows no task and no channel, only keys that it is given.

mod access;
mod client;
mod error;
mod keeper;
mod map;
mod metrics;
mod node;
mod script;
mod session;
mod settings;
mod slot;
mod strict;
mod subscriptions;
mod topology;
mod view;

pub use client::Client;
pub use error::Error;
pub use redis::{Cmd, FromRedisValue, Value, cmd, from_redis_value};
pub use script::{Call, Script};
pub use session::{Marker, Prepare, Session};
pub use settings::{ConfigureError, Durability, Settings};
pub use slot::Slot;
pub use subscriptions::{Receiver, Subscriptions};

#[cfg(test)]
mod tests;
