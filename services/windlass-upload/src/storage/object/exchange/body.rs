//! What a request carries: bytes in memory, bytes that are stored already, or a piece of a file; the same at each try.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::{Instant, timeout_at};
use tokio_util::io::ReaderStream;

use super::{Error, Exchange};

/// How much of a file is read at once.
const FILE_PIECE_BYTES: usize = 256 * 1024;

/// Where some of a payload's bytes come from.
#[derive(Debug, Clone)]
pub(in crate::storage::object) enum Source {
    /// Memory.
    Memory(Bytes),
    /// Bytes of an object of the same bucket, which never changes.
    Stored {
        /// Its key.
        key: String,
        /// The bytes of it.
        range: Range<u64>,
    },
    /// A file of this machine.
    File {
        /// Its path.
        path: PathBuf,
        /// The bytes of it.
        range: Range<u64>,
    },
}

impl Source {
    pub(in crate::storage::object) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Stored { range, .. } | Self::File { range, .. } => range.end - range.start,
        }
    }
}

/// The bytes that a request carries.
#[derive(Debug, Clone, Default)]
pub(in crate::storage::object) struct Payload {
    sources: Vec<Source>,
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

impl Payload {
    pub(in crate::storage::object) fn new(sources: Vec<Source>) -> Self {
        Self { sources }
    }

    pub(in crate::storage::object) fn size(&self) -> u64 {
        self.sources.iter().map(Source::size).sum()
    }

    /// The bytes of a payload that is a document of ours: in memory, and in one piece.
    pub(in crate::storage::object) fn small(&self) -> Option<&[u8]> {
        match self.sources.as_slice() {
            [] => Some(&[]),
            [Source::Memory(bytes)] if bytes.len() <= SIGNED_BYTES_MAX => Some(bytes),
            _ => None,
        }
    }

    /// The CRC32C of these bytes, which are read once more for it; part of an operation.
    pub(in crate::storage::object) async fn crc32c(
        &self,
        exchange: &Exchange,
        operation: &'static str,
    ) -> Result<u32, Error> {
        let mut body = pin!(self.outgoing(exchange, &Moving::begin()));
        let mut sum = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|problem| match problem.downcast::<Error>() {
                Ok(error) => *error,
                Err(_) => Error::Gather { operation },
            })?;
            sum = crc32c::crc32c_append(sum, frame.data_ref().map_or(&[], Bytes::as_ref));
        }
        Ok(sum)
    }

    /// A body of exactly these bytes.
    pub(super) fn body(&self, exchange: &Exchange, moving: &Moving) -> reqwest::Body {
        reqwest::Body::wrap(self.outgoing(exchange, moving))
    }

    fn outgoing(&self, exchange: &Exchange, moving: &Moving) -> Outgoing {
        Outgoing {
            moving: moving.clone(),
            left: self.size(),
            sources: self.sources.clone().into(),
            exchange: exchange.clone(),
            current: None,
        }
    }
}

/// What is larger is not read for its digest: bytes of files, and the list of some hundred parts.
const SIGNED_BYTES_MAX: usize = 64 * 1024;

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::new(vec![Source::Memory(bytes)])
    }
}

/// When a body on its way out was last asked for more: whoever sends slowly is told from whoever stands still.
#[derive(Debug, Clone)]
pub(super) struct Moving {
    last: Arc<Mutex<Instant>>,
}

impl Moving {
    pub(super) fn begin() -> Self {
        Self {
            last: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Does `work` unless nothing moves for `silent`.
    pub(super) async fn watch<T>(&self, silent: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let until = *self.lock() + silent;
            match timeout_at(until, &mut work).await {
                Ok(done) => return Some(done),
                Err(_) if *self.lock() + silent > until => {}
                Err(_) => return None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A payload on its way out.
struct Outgoing {
    moving: Moving,
    left: u64,
    sources: VecDeque<Source>,
    exchange: Exchange,
    /// Behind a lock that nobody ever waits for: a body must be shareable, and a stream need not be.
    current: Option<Mutex<BoxStream<'static, Result<Bytes, Problem>>>>,
}

impl Outgoing {
    fn open(&self, source: Source) -> BoxStream<'static, Result<Bytes, Problem>> {
        match source {
            Source::Memory(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Source::Stored { key, range } => self.exchange.read(key, range).map_err(Problem::from).boxed(),
            Source::File { path, range } => stream::once(open_file(path, range)).try_flatten().boxed(),
        }
    }
}

async fn open_file(
    path: PathBuf,
    range: Range<u64>,
) -> Result<impl futures_util::Stream<Item = Result<Bytes, Problem>>, Problem> {
    let mut file = tokio::fs::File::open(&path).await?;
    file.seek(std::io::SeekFrom::Start(range.start)).await?;
    let bytes = ReaderStream::with_capacity(file.take(range.end - range.start), FILE_PIECE_BYTES);
    Ok(bytes.map_err(Problem::from))
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Problem;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Problem>>> {
        *self.moving.lock() = Instant::now();
        loop {
            if let Some(current) = &mut self.current {
                let current = current.get_mut().unwrap_or_else(PoisonError::into_inner);
                match ready!(current.as_mut().poll_next(context)) {
                    Some(Ok(bytes)) => {
                        self.left = self.left.saturating_sub(bytes.len() as u64);
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => self.current = None,
                }
            }
            match self.sources.pop_front() {
                Some(Source::Memory(bytes)) => {
                    self.left = self.left.saturating_sub(bytes.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(source) => self.current = Some(Mutex::new(self.open(source))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
