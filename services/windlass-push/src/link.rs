//! What carries the messages of one connection in, and its ready frames out.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::socket::{Message, ReadError};

/// One connection's way to and fro, for its driver.
pub(crate) trait Link {
    /// Whether the other end answers a farewell, so that it is worth waiting for.
    const ANSWERS_FAREWELL: bool;

    /// The next message; `None` at the end of the connection.
    ///
    /// # Errors
    /// [`ReadError`], after which nothing more can be read.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, ReadError>>>;

    /// Puts a whole frame after those that wait to be written.
    fn enqueue(&mut self, frame: Bytes);

    /// The bytes that wait to be written.
    fn outgoing_bytes(&self) -> usize;

    /// Writes what waits.
    ///
    /// # Errors
    /// The connection's: it is gone.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the sending side.
    ///
    /// # Errors
    /// The connection's: it is gone.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}
