//! Measures what the services cost: CPU time and memory of the real server process, beside a floor. The push service has
//! its own part, [`push`]; the rest is uploads. Those into an object store have another floor, [`s3`].
//!
//! Main path: [`table::run`] goes through the [`work::Work`]s, a few rounds each, floor and service in turn;
//! [`process::Process`] is the server or the floor as a child process, whose CPU time and peak memory are read from
//! the kernel; [`client`] drives either by raw sockets from threads of this process, whose CPU counts for nobody.
//!
//! Wall time is printed for orientation only: other work on the machine moves it, CPU time hardly.

mod arguments;
pub mod client;
pub mod floor;
pub mod neighbours;
pub mod process;
pub mod push;
pub mod s3;
pub mod table;
pub mod work;

pub use arguments::Arguments;
