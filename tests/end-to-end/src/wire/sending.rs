//! A request whose body is under way: at a pace, up to where it may go, cut when the test wants it.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::request::{LAST_CHUNK, chunk};
use super::{Framing, Overhead, Request, Response, Wire, response};
use crate::content::Content;

/// How much a body without a pace sends at once, bytes.
const PIECE_FULL: u64 = 64 * 1024;
/// An answer that was on its way when the connection broke may still come for this long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How fast a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as the server takes it.
    Full,
    /// A piece of so many bytes each time.
    Pieces {
        /// The size of a piece.
        bytes: u64,
        /// The time from one to the next.
        every: Duration,
    },
}

/// The bytes of a body.
#[derive(Debug, Clone)]
pub struct Body {
    /// Of which file.
    pub content: Content,
    /// Which part of it; may go beyond its end.
    pub range: Range<u64>,
    /// How its end is told.
    pub framing: Framing,
    /// How fast.
    pub pace: Pace,
    /// How many bytes may be sent before [`Sending::allow`] is called.
    pub allowed: u64,
}

impl Body {
    /// This part of a file, as fast as it goes, with a `Content-Length`.
    #[must_use]
    pub fn of(content: Content, range: Range<u64>) -> Self {
        let length = range.end - range.start;
        Self {
            content,
            range,
            framing: Framing::Length(length),
            pace: Pace::Full,
            allowed: u64::MAX,
        }
    }

    /// At a pace.
    #[must_use]
    pub fn paced(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Halting after so many bytes.
    #[must_use]
    pub fn halting_after(mut self, bytes: u64) -> Self {
        self.allowed = bytes;
        self
    }

    /// In chunked coding.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// How a request ended.
#[derive(Debug)]
pub enum Ending {
    /// It was answered, whether or not its body had been sent.
    Answered(Response),
    /// The connection broke without an answer.
    Broken(io::Error),
}

/// A request under way, on a task of its own. Dropping it cuts the connection.
#[derive(Debug)]
pub struct Sending {
    sent: Arc<AtomicU64>,
    size: u64,
    allowed: watch::Sender<u64>,
    task: Option<JoinHandle<Ending>>,
}

impl Sending {
    pub(super) fn start(wire: Wire, request: Request, body: Body) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let (allowed, gate) = watch::channel(body.allowed);
        let size = body.size();
        let task = tokio::spawn(send(wire, request, body, Arc::clone(&sent), gate));
        Self {
            sent,
            size,
            allowed,
            task: Some(task),
        }
    }

    /// How many bytes of the body the kernel has taken so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// The size of the body.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether its body has begun, has not ended, and nothing has been answered.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.is_unanswered() && self.sent() > 0 && self.sent() < self.size
    }

    /// Whether nothing has been answered, and the connection has not broken.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Lets it go on until `bytes` of the body are sent.
    pub fn allow(&self, bytes: u64) {
        self.allowed.send_replace(bytes);
    }

    /// Waits for the answer or the break.
    ///
    /// # Panics
    /// When the task that sends has panicked.
    pub async fn ending(mut self) -> Ending {
        self.task
            .take()
            .expect("it is taken once")
            .await
            .expect("the sender does not panic")
    }

    /// The answer.
    ///
    /// # Panics
    /// When the connection broke.
    pub async fn answer(self) -> Response {
        match self.ending().await {
            Ending::Answered(response) => response,
            Ending::Broken(error) => panic!("the request was not answered: {error}"),
        }
    }

    /// Cuts the connection where it is.
    pub fn cut(self) {
        drop(self);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn send(
    mut wire: Wire,
    request: Request,
    body: Body,
    sent: Arc<AtomicU64>,
    gate: watch::Receiver<u64>,
) -> Ending {
    let request = request.framing(body.framing);
    if let Err(error) = wire.send(request.head()).await {
        return Ending::Broken(error);
    }
    let (mut reader, mut writer) = wire.stream.into_split();
    let (mut buffer, overhead) = (wire.buffer, wire.overhead);
    let answer = response::read(&mut reader, &mut buffer, request.method());
    let mut answer = std::pin::pin!(answer);
    let writing = write_body(&mut writer, &body, &sent, gate, &overhead);
    let written = tokio::select! {
        biased;
        answer = &mut answer => return ended(answer),
        written = writing => written,
    };
    match written {
        Ok(()) => ended(answer.await),
        // The server may have answered before it closed.
        Err(error) => match tokio::time::timeout(LAST_WORDS, answer).await {
            Ok(Ok(response)) => Ending::Answered(response),
            Ok(Err(_)) | Err(_) => Ending::Broken(error),
        },
    }
}

fn ended(answer: io::Result<Response>) -> Ending {
    answer.map_or_else(Ending::Broken, Ending::Answered)
}

async fn write_body(
    writer: &mut OwnedWriteHalf,
    body: &Body,
    sent: &AtomicU64,
    mut gate: watch::Receiver<u64>,
    overhead: &Overhead,
) -> io::Result<()> {
    let (piece, mut ticks) = match body.pace {
        Pace::Full => (PIECE_FULL, None),
        Pace::Pieces { bytes, every } => {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            (bytes, Some(ticks))
        }
    };
    let mut at = body.range.start;
    while at < body.range.end {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let done = at - body.range.start;
        let Ok(allowed) = gate.wait_for(|allowed| *allowed > done).await.map(|allowed| *allowed) else {
            return Ok(());
        };
        let end = body.range.end.min(at + piece.min(allowed - done));
        let bytes = body.content.bytes(at..end);
        if body.framing == Framing::Chunked {
            let framed = chunk(&bytes);
            overhead.add(framed.len() - bytes.len());
            writer.write_all(&framed).await?;
            sent.store(end - body.range.start, Ordering::SeqCst);
        } else {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let count = writer.write(rest).await?;
                sent.fetch_add(count as u64, Ordering::SeqCst);
                rest = &rest[count..];
            }
        }
        at = end;
    }
    if body.framing == Framing::Chunked {
        overhead.add(LAST_CHUNK.len());
        writer.write_all(LAST_CHUNK).await?;
    }
    Ok(())
}
