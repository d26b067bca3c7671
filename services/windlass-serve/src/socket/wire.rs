//! The accepted TCP connection, below TLS where there is TLS: byte counters, the write stall limit, the orderly close,
//! and the guard and permit that make a connection count as open until it is dropped, upgraded or not.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use crate::metrics::Metrics;
use crate::tracker::Guard;

/// How long a closed socket goes on reading what the peer still sends. Closing with unread data makes the kernel
/// send RST, which may take the response away from the peer before it has read it: an early 413 would be seen as a
/// broken connection (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// The most that is read so, bytes: what is in the buffers of both ends and on a long fat way between them. Who sends more
/// does not listen.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Read and thrown away while lingering, bytes a call.
const LINGER_READ: usize = 16 * 1024;

/// One accepted connection, as bytes on the wire.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    peer: SocketAddr,
    metrics: Metrics,
    write_stall: Duration,
    /// Runs only while a write is blocked.
    stalled: Option<Pin<Box<Sleep>>>,
    closing: Closing,
    _guard: Guard,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Closing {
    Open,
    Lingering { until: Pin<Box<Sleep>>, left: usize },
    Closed,
}

impl Wire {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        write_stall: Duration,
        metrics: Metrics,
        guard: Guard,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        metrics.connection_opened();
        Self {
            stream,
            peer,
            metrics,
            write_stall,
            stalled: None,
            closing: Closing::Open,
            _guard: guard,
            _permit: permit,
        }
    }

    /// The address of the peer.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Waits until there is something to read, so that an idle connection needs no buffer of its own. May wake
    /// without cause.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Counts what was written and starts or ends the stall timer.
    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(result) => {
                self.stalled = None;
                if let Ok(count) = &result {
                    self.metrics.sent(*count);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                let limit = self.write_stall;
                let timer = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.metrics.connection_closed();
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut wire.stream).poll_read(cx, buf))?;
        wire.metrics.received(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let result = Pin::new(&mut wire.stream).poll_write(cx, buf);
        wire.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let result = Pin::new(&mut wire.stream).poll_write_vectored(cx, bufs);
        wire.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Sends FIN, then reads until the peer has closed too or `LINGER` is over.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        loop {
            match &mut wire.closing {
                Closing::Open => {
                    ready!(Pin::new(&mut wire.stream).poll_shutdown(cx))?;
                    let end = Instant::now() + LINGER;
                    wire.closing = Closing::Lingering {
                        until: Box::pin(tokio::time::sleep_until(end)),
                        left: LINGER_BYTES,
                    };
                }
                Closing::Lingering { until, left } => {
                    if until.as_mut().poll(cx).is_pending() && *left > 0 {
                        let mut scratch = [std::mem::MaybeUninit::uninit(); LINGER_READ];
                        let mut buf = ReadBuf::uninit(&mut scratch);
                        let read = ready!(Pin::new(&mut wire.stream).poll_read(cx, &mut buf));
                        let count = buf.filled().len();
                        *left = left.saturating_sub(count);
                        wire.metrics.received(count);
                        if read.is_ok() && count > 0 {
                            continue;
                        }
                    }
                    wire.closing = Closing::Closed;
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}
