//! WebSocket (RFC 6455) over raw upgraded I/O, behind one type.
//!
//! [`handshake`] answers the upgrade request and hands out the bytes of the connection. [`Socket`] reads messages
//! from them and writes ready frames to them. Reading and framing are sans-I/O ([`reader`], [`frame`]), for two
//! reasons: an idle connection then has no buffer at all, and a frame of the server, which is not masked, is built
//! once and shared by all its receivers. Nothing here knows what the messages mean.

pub mod deflate;
pub mod frame;
pub mod handshake;
pub mod reader;
mod stream;

pub use reader::{Message, Reader, Violation};
pub use stream::{ReadError, Socket};
