//! The Centrifuge protocol, as its client libraries speak it.
//!
//! [`codec`] makes typed commands of bytes and bytes of typed replies; [`engine`] decides, knowing neither bytes nor
//! I/O; [`session`] joins the two for a connection's driver.

pub mod codec;
pub mod command;
pub mod delta;
pub mod dialect;
pub mod engine;
pub mod peer;
pub mod push;
pub mod recovery;
pub mod reply;
pub mod session;
