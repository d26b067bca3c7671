//! HTTP/1.1 byte by byte: what a client library would never send, and cuts where it would never cut.

pub mod http2;
mod request;
mod response;
mod sending;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

pub use request::{Framing, Request};
pub use response::Response;
pub use sending::{Ending, Pace, Sending};

/// How long an answer may take before a test gives up: longer than the 10 s for which the server may hold a request.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What a narrow connection takes ahead, bytes; Linux doubles it for its own (socket(7)).
const NARROW_BYTES: u32 = 128 * 1024;

/// How many bytes a test's clients have sent that were no request body, so that what a server has read of bodies can
/// be told from its byte counter. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Overhead(Arc<AtomicU64>);

impl Overhead {
    /// So far, in bytes. Counted before they are sent.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Counts from zero again, as a restarted server does.
    pub fn reset(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::SeqCst);
    }
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    overhead: Overhead,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::counted(address, Overhead::default()).await
    }

    /// Connects, and counts into `overhead` what is sent.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn counted(address: SocketAddr, overhead: Overhead) -> io::Result<Self> {
        Self::over(TcpStream::connect(address).await?, overhead)
    }

    /// Connects, and takes little that is not read: the server cannot send far ahead.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn narrow(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(NARROW_BYTES)?;
        Self::over(socket.connect(address).await?, Overhead::default())
    }

    fn over(stream: TcpStream, overhead: Overhead) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            overhead,
        })
    }

    /// Sends exactly these bytes.
    ///
    /// # Errors
    /// When the server has closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.overhead.add(bytes.as_ref().len());
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Reads the answer to a request of this method, interim ones aside.
    ///
    /// # Errors
    /// When the connection ends before it, or nothing comes for [`ANSWER_WITHIN`].
    pub async fn answer(&mut self, method: &str) -> io::Result<Response> {
        response::read(&mut self.stream, &mut self.buffer, method).await
    }

    /// Sends a request with its whole body and reads the answer, also when the server has answered and closed before
    /// the body was out.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        let sent = self.send(request.bytes()).await;
        match self.answer(request.method()).await {
            Ok(response) => Ok(response),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    /// Sends the end of the stream and stays open for the answer.
    ///
    /// # Errors
    /// When the connection has broken.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Reads until the server closes; what came.
    ///
    /// # Errors
    /// When it does not close for [`ANSWER_WITHIN`]. A reset is a close.
    pub async fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.buffer);
        let read = async {
            match self.stream.read_to_end(&mut rest).await {
                Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
                Ok(_) | Err(_) => Ok(()),
            }
        };
        tokio::time::timeout(ANSWER_WITHIN, read)
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(rest)
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn take(&mut self, size: usize) -> io::Result<Vec<u8>> {
        response::exactly(&mut self.stream, &mut self.buffer, size).await
    }

    /// Reads an answer's status, and then its body line by line as it comes. Lines of a chunked coding come with it.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn lines(mut self) -> io::Result<(u16, Lines)> {
        let (status, _) = response::read_head(&mut self.stream, &mut self.buffer).await?;
        Ok((status, Lines(self)))
    }

    /// Whether the server has neither closed nor sent anything that was not read. Does not wait.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let nothing =
            matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        nothing && self.buffer.is_empty()
    }

    /// Sends a request's head and then its body at a pace, on a task of its own.
    #[must_use]
    pub fn start(self, request: Request, body: sending::Body) -> Sending {
        Sending::start(self, request, body)
    }
}

/// The lines of an answer that is still coming.
#[derive(Debug)]
pub struct Lines(Wire);

impl Lines {
    /// The next line without its end; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<String> {
        let wire = &mut self.0;
        loop {
            if let Some(end) = wire.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = wire.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                // The last chunk: the stream has ended, though the connection may be kept.
                return (line != "0").then_some(line);
            }
            match wire.stream.read_buf(&mut wire.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// When there is no answer.
pub async fn once(address: SocketAddr, request: &Request) -> io::Result<Response> {
    Wire::connect(address).await?.exchange(request).await
}

pub use sending::Body;
