//! Starts the real `windlass dev` and does harm to it: the harness of the tests in `tests/it`.
//!
//! Main path: [`server::Server`] is the binary as a child process; [`wire::Wire`] speaks to it byte by byte, wrongly
//! where a test wants that; [`tus::Client`] uploads through it and enters every offset it is shown into a
//! [`ledger::Ledger`], which fails the test when one decreases.
//!
//! Nothing here knows the server's crates: what is tested is the program that users start. A harness fails by
//! panicking, with a sentence that says what was waited for.

pub mod content;
pub mod disk;
pub mod form;
pub mod ledger;
pub mod random;
pub mod receiver;
pub mod report;
pub mod secure;
pub mod server;
pub mod tmpfs;
pub mod token;
pub mod tus;
pub mod wait;
pub mod watch;
pub mod websocket;
pub mod wire;
