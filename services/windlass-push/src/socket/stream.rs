//! The bytes of one upgraded connection: messages in, ready frames out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::link::Link;

use super::reader::{Message, Reader, Violation};

/// How many bytes one read takes at most. The buffer is one a thread: an idle connection has none.
const SCRATCH_BYTES: usize = 16 * 1024;

/// How many frames go out with one system call; Linux takes up to 1024 (`IOV_MAX`), beyond some dozens the call
/// costs no less a frame.
const FRAMES_A_WRITE: usize = 64;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client broke the protocol; it can still be told.
    #[error("read a message")]
    Violation(#[source] Violation),
    /// The connection is gone.
    #[error("read the connection")]
    Read(#[source] io::Error),
}

/// One WebSocket connection after its handshake.
#[derive(Debug)]
pub struct Socket<Io> {
    io: Io,
    reader: Reader,
    outgoing: VecDeque<Bytes>,
    outgoing_bytes: usize,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Socket<Io> {
    /// Takes over an upgraded connection, of which `received` was read already: a client need not wait for the
    /// handshake's end before it speaks. `reader` knows what was agreed.
    pub fn new(io: Io, received: &[u8], mut reader: Reader) -> Self {
        reader.feed(received);
        Self {
            io,
            reader,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
        }
    }

    fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            self.reader.feed(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    }

    /// Writes as much as the connection takes at once.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        if let (1, Some(frame)) = (self.outgoing.len(), self.outgoing.front()) {
            // Cheaper for the kernel than a list of one.
            return io.poll_write(cx, frame);
        }
        let mut slices = [IoSlice::new(&[]); FRAMES_A_WRITE];
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.outgoing) {
            *slice = IoSlice::new(frame);
            count += 1;
        }
        io.poll_write_vectored(cx, &slices[..count])
    }

    fn advance(&mut self, mut written: usize) {
        self.outgoing_bytes -= written;
        while let Some(front) = self.outgoing.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.outgoing.pop_front();
        }
        // A burst's buffer is given back: most connections are idle most of the time.
        self.outgoing = VecDeque::new();
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Link for Socket<Io> {
    const ANSWERS_FAREWELL: bool = true;

    fn enqueue(&mut self, frame: Bytes) {
        self.outgoing_bytes += frame.len();
        self.outgoing.push_back(frame);
    }

    fn outgoing_bytes(&self) -> usize {
        self.outgoing_bytes
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, ReadError>>> {
        loop {
            match self.reader.next_message() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(violation) => return Poll::Ready(Some(Err(ReadError::Violation(violation)))),
            }
            match ready!(self.poll_feed(cx)) {
                Ok(0) => return Poll::Ready(None),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(ReadError::Read(error)))),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = ready!(self.poll_write(cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
