//! One connection as the protocols above it see it: plain bytes, whether TLS is below or not.
//!
//! All bytes of a connection pass through [`Socket`], before and after an upgrade. What concerns the TCP connection as
//! such is below it in `wire`; what concerns the bytes of HTTP, such as those that were read to tell its version, is
//! here.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::interim::Interim;

mod wire;

pub(crate) use wire::Wire;

/// How HTTP/2 begins on a connection (RFC 9113 section 3.4). No method of HTTP/1.1 begins with `PRI `.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is read to tell the version, bytes. The head of most requests fits, so the parser begins without another
/// system call; a smaller buffer costs one, a larger one memory while a connection waits for its first head's end.
const FIRST_READ: usize = 4 * 1024;

/// One accepted connection.
#[derive(Debug)]
pub struct Socket {
    io: Io,
    peer: SocketAddr,
    /// What was read already to tell the version, and is read again by whoever speaks it.
    unread: Bytes,
    /// What is written besides, where the listener permits it.
    interim: Option<Arc<Interim>>,
}

#[derive(Debug)]
enum Io {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
}

impl Socket {
    pub(crate) fn plain(wire: Wire) -> Self {
        let peer = wire.peer();
        Self {
            io: Io::Plain(wire),
            peer,
            unread: Bytes::new(),
            interim: None,
        }
    }

    pub(crate) fn tls(stream: TlsStream<Wire>) -> Self {
        let peer = stream.get_ref().0.peer();
        Self {
            io: Io::Tls(Box::new(stream)),
            peer,
            unread: Bytes::new(),
            interim: None,
        }
    }

    /// Writes these interim responses between whatever else is written.
    pub(crate) fn sends(&mut self, interim: Arc<Interim>) {
        self.interim = Some(interim);
    }

    /// Finishes an interim response that has gone out in part: nothing else may come before its end.
    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.interim.clone() {
            Some(interim) => interim.poll_write_begun(cx, self.io()),
            None => Poll::Ready(Ok(())),
        }
    }

    /// The address of the peer.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether a client begins with HTTP/2 by prior knowledge. Reads no more than needed to tell, and loses nothing of
    /// it. A client that says nothing makes this wait for ever, without a buffer.
    pub(crate) async fn begins_with_http2(&mut self) -> io::Result<bool> {
        if let Io::Plain(wire) = &self.io {
            wire.readable().await?;
        }
        let mut received = BytesMut::with_capacity(FIRST_READ);
        let begins = loop {
            let count = self.read_buf(&mut received).await?;
            let seen = received.len().min(PREFACE.len());
            if count == 0 || received[..seen] != PREFACE[..seen] {
                break false;
            }
            if seen == PREFACE.len() {
                break true;
            }
        };
        self.unread = received.freeze();
        Ok(begins)
    }

    fn io(&mut self) -> Pin<&mut (dyn Duplex + Unpin)> {
        match &mut self.io {
            Io::Plain(wire) => Pin::new(wire),
            Io::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Duplex for T {}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if socket.unread.is_empty() {
            return socket.io().poll_read(cx, buf);
        }
        let count = socket.unread.len().min(buf.remaining());
        buf.put_slice(&socket.unread[..count]);
        socket.unread.advance(count);
        if socket.unread.is_empty() {
            // A part of it would keep the whole buffer.
            socket.unread = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        ready!(socket.poll_begun(cx))?;
        socket.io().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        ready!(socket.poll_begun(cx))?;
        socket.io().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(wire) => wire.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        // Whoever flushes has nothing left to write: here interim responses stand between others.
        if let Some(interim) = socket.interim.clone() {
            ready!(interim.poll_write_all(cx, socket.io()))?;
        }
        socket.io().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io().poll_shutdown(cx)
    }
}
