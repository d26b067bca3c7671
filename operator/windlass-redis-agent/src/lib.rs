//! The agent: the first process of a pod of a `Redis`. It runs one `redis-server` as its child and does to it what
//! [`windlass_election::Member`] says, which is told by the operator's orders, by the lease, and by what Redis says of itself.
//!
//! Main path: [`http`] takes an order → [`agent`] asks the `Member` → [`volume`] keeps what it says, then [`redis`] does it.
//! [`lease`] is renewed, and [`peers`] are asked for promises, beside it; what comes of that is an event like any other.
//! [`renewal`] brings what is changed in its files. [`server`] is the child, and [`guard`] its end, should anything stand still for longer than the right to take writes.
//!
//! Nothing in here decides who is the primary, nothing acts before what it acts by is on the volume, and no command to
//! Redis waits without a deadline.

pub mod agent;
pub mod clock;
pub mod flags;
pub mod guard;
pub mod http;
pub mod lease;
pub mod metrics;
pub mod peers;
pub mod redis;
pub mod renewal;
pub mod server;
pub mod settings;
pub mod tls;
pub mod volume;
