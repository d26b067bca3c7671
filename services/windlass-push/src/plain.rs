//! The plain protocol on `/ws`: JSON that a page speaks without a library.
//!
//! Up: `{"type":"join"|"leave"|"pause"|"resume","fileId","token"?}`, `{"type":"message","to","data"}`. Down:
//! `{"fileId","progress"}`, `{"type":"error","code","message","fileId"?}`, `{"type":"reconnect","withinSeconds"}`,
//! `{"type":"message","from","data"}`. One message a frame.

mod message;
mod session;
mod tasks;

pub use message::{Down, ErrorCode, Up, decode, encode_publication};
pub use session::Plain;
