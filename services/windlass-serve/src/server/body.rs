//! A request body that may not stall for ever, nor come in drops.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// How long a body that seems too slow is waited for once more: a process that stood still finds the time over before
/// it has looked at its sockets, and must not blame the client.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// The least that a body must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// On average.
    pub bytes_per_second: u64,
    /// The time over which it is averaged: of waiting, not of the clock.
    pub window: Duration,
}

/// Why a body was broken off on this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It brought nothing for too long.
    #[error("the request body stalled")]
    Stall,
    /// It brought too little.
    #[error("the request body brings fewer than {bytes_per_second} bytes a second")]
    TooSlow {
        /// The least that it must bring.
        bytes_per_second: u64,
    },
}

impl BodyFault {
    /// The fault in what reading a body gave, if it is one.
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut error = Some(error);
        while let Some(cause) = error {
            if let Some(fault) = cause.downcast_ref::<Self>() {
                return Some(*fault);
            }
            error = cause.source();
        }
        None
    }
}

/// Wraps a request body: when the reader waits for the next frame longer than the limit, or has waited for the window
/// and got less than the floor, the body breaks off with a [`BodyFault`]. A peer that vanished without a FIN would hold
/// its connection and its upload for ever, and one that sends a byte a minute would too. Time in which nobody reads the
/// body does not count, nor the time from a frame's coming to its being taken.
#[derive(Debug)]
pub(super) struct Paced {
    body: Incoming,
    limit: Duration,
    floor: Option<Floor>,
    /// Made at the first wait and reused: a long body waits thousands of times.
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when the reader waits.
    waiting: Option<Instant>,
    /// Of the window: how long was waited, what came, and whether it has been looked at a second time.
    waited: Duration,
    received: u64,
    looked_again: bool,
    coming: Arc<Coming>,
    waker: Waker,
}

/// Notes when a frame came, and wakes the reader.
#[derive(Debug, Default)]
struct Coming(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    reader: Option<Waker>,
    at: Option<Instant>,
}

impl Wake for Coming {
    fn wake(self: Arc<Self>) {
        let reader = {
            let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            noted.at.get_or_insert_with(Instant::now);
            noted.reader.clone()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Coming {
    /// Wakes this reader from now on.
    fn wakes(&self, reader: &Waker) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut noted.reader {
            Some(known) => known.clone_from(reader),
            none => *none = Some(reader.clone()),
        }
    }

    /// When the last frame came, once.
    fn take(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).at.take()
    }
}

impl Paced {
    pub(super) fn new(body: Incoming, limit: Duration, floor: Option<Floor>) -> Self {
        let coming = Arc::<Coming>::default();
        Self {
            body,
            limit,
            floor,
            timer: None,
            waiting: None,
            waited: Duration::ZERO,
            received: 0,
            looked_again: false,
            waker: Waker::from(Arc::clone(&coming)),
            coming,
        }
    }

    /// Notes a frame, and how long it was waited for.
    fn came(&mut self, size: usize) {
        let at = self.coming.take();
        self.received += size as u64;
        if let Some(since) = self.waiting.take() {
            self.waited += at.unwrap_or_else(Instant::now).saturating_duration_since(since);
        }
    }

    /// Waits until the body is at fault.
    fn poll_fault(&mut self, cx: &mut Context<'_>) -> Poll<BodyFault> {
        loop {
            let since = *self.waiting.get_or_insert_with(Instant::now);
            let stall = since + self.limit;
            let again = if self.looked_again { SECOND_LOOK } else { Duration::ZERO };
            let judged = self
                .floor
                .map(|floor| since + (floor.window + again).saturating_sub(self.waited));
            let end = judged.map_or(stall, |judged| judged.min(stall));
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
            if timer.deadline() != end {
                timer.as_mut().reset(end);
            }
            ready!(timer.as_mut().poll(cx));
            let Some(floor) = self.floor.filter(|_| end < stall) else {
                return Poll::Ready(BodyFault::Stall);
            };
            let millis = u64::try_from(floor.window.as_millis()).unwrap_or(u64::MAX);
            let least = floor.bytes_per_second.saturating_mul(millis) / 1_000;
            if self.received >= least {
                (self.waited, self.received, self.looked_again) = (Duration::ZERO, 0, false);
                self.waiting = Some(end);
            } else if self.looked_again {
                return Poll::Ready(BodyFault::TooSlow {
                    bytes_per_second: floor.bytes_per_second,
                });
            } else {
                self.looked_again = true;
            }
        }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        this.coming.wakes(cx.waker());
        let mut coming = Context::from_waker(&this.waker);
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(&mut coming) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            this.came(data.map_or(0, Bytes::len));
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        // It was woken for nothing, if it was.
        this.coming.take();
        let fault = ready!(this.poll_fault(cx));
        Poll::Ready(Some(Err(fault.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
