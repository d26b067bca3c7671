//! Reading one request's body: how long it may be silent, how much of it is admitted, and what it must be.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use tokio::time::{Instant, Sleep};

use crate::error::Error;
use crate::tus::{Admission, Rejection};

/// How long the second look at a silent body takes at most: long enough for every task that has work to have run.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// What a body consists of.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes of the upload.
    Bytes(Bytes),
    /// The fields after the last byte (RFC 9110 section 6.5).
    Trailers(HeaderMap),
}

/// Judges a whole body before any of it counts.
pub(crate) trait Check: Send {
    /// Sees bytes of the body.
    fn see(&mut self, bytes: &[u8]);

    /// Judges at the body's end, with its trailers if it had any.
    ///
    /// # Errors
    /// Why the body must not count.
    fn judge(self: Box<Self>, trailers: Option<&HeaderMap>) -> Result<(), Error>;
}

/// The one way in which a body is read.
pub(super) struct Reader<'a, S> {
    pieces: Pin<&'a mut S>,
    silence: Silence,
    /// Bytes at its start that the upload has already.
    skip: u64,
    /// How many bytes it may have, and what is said of more.
    room: Option<u64>,
    beyond: Rejection,
    check: Option<Box<dyn Check>>,
    trailers: Option<HeaderMap>,
}

impl<'a, S, E> Reader<'a, S>
where
    S: Stream<Item = Result<Piece, E>>,
    E: Into<Error>,
{
    pub(super) fn new(
        pieces: Pin<&'a mut S>,
        idle: Duration,
        admission: Admission,
        beyond: Rejection,
        check: Option<Box<dyn Check>>,
    ) -> Self {
        Self {
            pieces,
            silence: Silence::new(idle),
            skip: admission.skip,
            room: admission.room,
            beyond,
            check,
            trailers: None,
        }
    }

    /// The next bytes that the upload has not; `None` at the end of a body that is as it must be. A call that is given
    /// up loses nothing.
    ///
    /// # Errors
    /// [`Error::AwaitBody`], what reading it gave, that it is too long, or what its check says.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let piece = std::future::poll_fn(|cx| self.poll_piece(cx)).await?;
            let mut bytes = match piece {
                None => {
                    let judged = self.check.take().map(|check| check.judge(self.trailers.as_ref()));
                    return judged.unwrap_or(Ok(())).map(|()| None);
                }
                Some(Piece::Trailers(fields)) => {
                    self.trailers = Some(fields);
                    continue;
                }
                Some(Piece::Bytes(bytes)) => bytes,
            };
            if let Some(check) = &mut self.check {
                check.see(&bytes);
            }
            let size = bytes.len() as u64;
            if let Some(room) = &mut self.room {
                *room = room.checked_sub(size).ok_or_else(|| self.beyond.clone())?;
            }
            let known = self.skip.min(size);
            self.skip -= known;
            let bytes = bytes.split_off(usize::try_from(known).unwrap_or(bytes.len()));
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    /// Whether the body counts only as a whole.
    pub(super) fn is_checked(&self) -> bool {
        self.check.is_some()
    }

    /// Time has passed in which nobody looked at the body: that was not its silence.
    pub(super) fn looked_away(&mut self) {
        self.silence.since = None;
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece>, Error>> {
        if let Poll::Ready(piece) = self.pieces.as_mut().poll_next(cx) {
            self.silence.since = None;
            return Poll::Ready(piece.transpose().map_err(Into::into));
        }
        ready!(self.silence.poll(cx));
        let after = self.silence.idle;
        Poll::Ready(Err(Error::AwaitBody { after }))
    }
}

/// Times a body that brings nothing. Its timer is made at the first wait and used again: a long body waits thousands of
/// times.
struct Silence {
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Which look runs; `None` while the body is not waited for.
    since: Option<Look>,
}

/// A process that stood still finds the time over before it has looked at its sockets, so it looks once more: the time
/// was its own, not the client's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    First,
    Second,
}

impl Silence {
    fn new(idle: Duration) -> Self {
        Self {
            idle,
            timer: None,
            since: None,
        }
    }

    /// Ready when the body has brought nothing for too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.idle)));
        loop {
            let look = match self.since {
                None => {
                    timer.as_mut().reset(Instant::now() + self.idle);
                    Look::First
                }
                Some(look) => {
                    ready!(timer.as_mut().poll(cx));
                    if look == Look::Second {
                        return Poll::Ready(());
                    }
                    timer.as_mut().reset(Instant::now() + (self.idle / 4).min(SECOND_LOOK));
                    Look::Second
                }
            };
            self.since = Some(look);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt as _, stream};
    use std::pin::pin;

    const IDLE: Duration = Duration::from_secs(10);

    fn read<S: Stream<Item = Result<Piece, Error>>>(pieces: Pin<&mut S>, skip: u64, room: u64) -> Reader<'_, S> {
        let admission = Admission {
            skip,
            declare: None,
            room: Some(room),
        };
        Reader::new(pieces, IDLE, admission, Rejection::BeyondLength { length: room }, None)
    }

    fn bytes(text: &'static str) -> Result<Piece, Error> {
        Ok(Piece::Bytes(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn what_the_upload_has_is_read_over_and_more_than_is_admitted_is_refused() {
        let mut body = pin!(stream::iter([bytes("ab"), bytes("cd"), bytes("ef"), bytes("g")]));
        let mut reader = read(body.as_mut(), 3, 6);
        assert_eq!(reader.next().await.unwrap().unwrap(), "d");
        assert_eq!(reader.next().await.unwrap().unwrap(), "ef");
        assert!(matches!(
            reader.next().await,
            Err(Error::Reject(Rejection::BeyondLength { length: 6 }))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_while_it_is_waited_through_and_only_then() {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Piece, Error>>(1);
        let mut body = pin!(
            stream::unfold(receiver, |mut receiver| async {
                receiver.recv().await.map(|piece| (piece, receiver))
            })
            .fuse()
        );
        let mut reader = read(body.as_mut(), 0, 100);
        let begun = Instant::now();
        // Looking up in between, as for a checkpoint or a hook, does not make the body less silent.
        for _ in 0..9 {
            let looked = tokio::time::timeout(Duration::from_secs(1), reader.next()).await;
            assert!(looked.is_err());
        }
        assert!(matches!(reader.next().await, Err(Error::AwaitBody { .. })));
        assert!(begun.elapsed() >= IDLE && begun.elapsed() <= IDLE + 2 * SECOND_LOOK);
        // Looking away does.
        reader.looked_away();
        assert!(tokio::time::timeout(IDLE, reader.next()).await.is_err());
        tokio::time::sleep(10 * IDLE).await;
        reader.looked_away();
        sender.try_send(bytes("late")).unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), "late");
    }
}
