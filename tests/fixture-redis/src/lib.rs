//! A real `redis-server` for tests, and a proxy that loses what it says.
//!
//! [`Redis`] is Debian's `redis-server` as a child process on a free port, with a folder of its own: started, killed,
//! stopped and continued by signal, restarted with its data or without, given replicas, promoted. [`Proxy`] stands
//! between it and a client and does what a network does: delays, cuts, and above all delivers a request and loses its
//! reply; it can also swallow what subscribers are brought. [`Cluster`] is several of them as one, whose slots are moved and whose primaries are killed.
//!
//! It knows nothing of what is stored. A fixture fails by panicking, with a sentence that says what was waited for.

mod cluster;
mod deaf;
mod proxy;
mod server;

pub use cluster::Cluster;
pub use proxy::Proxy;
pub use server::{Redis, Settings};
