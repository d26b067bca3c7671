//! A request body that may not stall for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// Wraps a request body: when the reader waits for the next frame longer than the limit, the body breaks off with
/// [`io::ErrorKind::TimedOut`]. A peer that vanished without a FIN would hold its connection and its upload for ever.
/// Time in which nobody reads the body does not count.
#[derive(Debug)]
pub(super) struct Stalling {
    body: Incoming,
    limit: Duration,
    /// Made at the first wait and reused: a long body waits thousands of times.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Stalling {
    pub(super) fn new(body: Incoming, limit: Duration) -> Self {
        Self {
            body,
            limit,
            timer: None,
            waiting: false,
        }
    }
}

impl Body for Stalling {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let end = Instant::now() + this.limit;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if !this.waiting {
            timer.as_mut().reset(end);
            this.waiting = true;
        }
        ready!(timer.as_mut().poll(cx));
        let error = io::Error::new(io::ErrorKind::TimedOut, "the request body stalled");
        Poll::Ready(Some(Err(error.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
