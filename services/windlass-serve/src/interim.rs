//! Interim responses (RFC 9110 section 15.2) on HTTP/1.1, which hyper does not send: queued by whoever handles the
//! request, written between hyper's own writes.
//!
//! A handler finds [`Informational`] among the extensions of its request, where the listener permits it, and sends until
//! its final response is on its way. Order on the wire: hyper has nothing left to write when it flushes, so that is when
//! the queue is written; and the final response is kept back until the queue is empty. A message that has gone out in
//! part goes out in whole before anything else.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::AsyncWrite;
use tokio::sync::watch;

/// What may wait to be written, bytes: some messages. A client that does not read gets no more of them.
const QUEUE_BYTES: usize = 8 * 1024;

/// Sends interim responses to one request: an extension of it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Informational {
    interim: Arc<Interim>,
    exchange: u64,
}

/// Why an interim response was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The final response is on its way.
    #[error("the final response is on its way")]
    TooLate,
    /// The client has not read what was sent before.
    #[error("the client does not read")]
    Full,
    /// Only 1xx but 100 and 101, which are the connection's own, can be sent.
    #[error("not an interim response of a handler")]
    Status,
}

/// The interim responses of one connection: filled by handlers, emptied by its socket.
#[derive(Debug)]
pub(crate) struct Interim {
    state: Mutex<State>,
    waits: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    queue: BytesMut,
    /// Whether the message at the queue's beginning has gone out in part.
    begun: bool,
    /// What is left of that message, bytes.
    begun_left: usize,
    /// The lengths of the messages, oldest first.
    lengths: std::collections::VecDeque<usize>,
    /// The exchange that may send, if one may.
    open: Option<u64>,
    exchanges: u64,
    /// The task that drives the connection.
    driver: Option<Waker>,
}

impl Informational {
    /// Queues an interim response with these fields. It is written when the connection is driven next; a client that
    /// goes away never sees it.
    ///
    /// # Errors
    /// [`NotSent`]; nothing was queued then.
    pub fn send(&self, status: StatusCode, fields: &HeaderMap) -> Result<(), NotSent> {
        if !status.is_informational() || matches!(status.as_u16(), 100 | 101) {
            return Err(NotSent::Status);
        }
        let message = message(status, fields);
        let driver = {
            let mut state = self.interim.lock();
            if state.open != Some(self.exchange) {
                return Err(NotSent::TooLate);
            }
            if state.queue.len() + message.len() > QUEUE_BYTES {
                return Err(NotSent::Full);
            }
            state.queue.extend_from_slice(&message);
            state.lengths.push_back(message.len());
            self.interim.waits.send_replace(true);
            state.driver.clone()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(())
    }

    /// Ends the exchange's interim responses, and waits until those that were queued are written. The connection's end
    /// is the end of whoever waits here.
    pub(crate) async fn close(self) {
        {
            let mut state = self.interim.lock();
            if state.open == Some(self.exchange) {
                state.open = None;
            }
        }
        // The sender lives in `self`, so the wait cannot end by its being dropped.
        let _ = self.interim.waits.subscribe().wait_for(|waits| !waits).await;
    }
}

impl Interim {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            waits: watch::Sender::new(false),
        })
    }

    /// Opens the next exchange.
    pub(crate) fn begin(self: &Arc<Self>) -> Informational {
        let mut state = self.lock();
        state.exchanges += 1;
        let exchange = state.exchanges;
        state.open = Some(exchange);
        drop(state);
        Informational {
            interim: Arc::clone(self),
            exchange,
        }
    }

    /// Writes all that is queued; to be called where the connection has nothing else to write.
    pub(crate) fn poll_write_all<W: AsyncWrite + ?Sized>(
        &self,
        cx: &mut Context<'_>,
        io: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        self.poll_write(cx, io, false)
    }

    /// Writes the rest of a message that has gone out in part.
    pub(crate) fn poll_write_begun<W: AsyncWrite + ?Sized>(
        &self,
        cx: &mut Context<'_>,
        io: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        self.poll_write(cx, io, true)
    }

    fn poll_write<W: AsyncWrite + ?Sized>(
        &self,
        cx: &mut Context<'_>,
        mut io: Pin<&mut W>,
        begun_only: bool,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        match &mut state.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        while !state.queue.is_empty() && (state.begun || !begun_only) {
            if !state.begun {
                state.begun_left = state.lengths.pop_front().unwrap_or(state.queue.len());
                state.begun = true;
            }
            let left = state.begun_left;
            let count = ready!(io.as_mut().poll_write(cx, &state.queue[..left]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            state.queue.advance(count);
            state.begun_left -= count;
            state.begun = state.begun_left > 0;
        }
        if state.queue.is_empty() && *self.waits.borrow() {
            state.queue = BytesMut::new();
            self.waits.send_replace(false);
        }
        Poll::Ready(Ok(()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message as it stands on the wire (RFC 9112 section 2.1).
fn message(status: StatusCode, fields: &HeaderMap) -> Vec<u8> {
    let reason = match status.as_u16() {
        104 => "Upload Resumption Supported",
        _ => status.canonical_reason().unwrap_or("Informational"),
    };
    let mut message = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in fields {
        message.extend_from_slice(name.as_str().as_bytes());
        message.extend_from_slice(b": ");
        // A header value has no line break: its type refuses them.
        message.extend_from_slice(value.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
    message
}
