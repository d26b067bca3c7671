//! Connections of which only the way down is open: the response of one HTTP request. What the client says comes in
//! requests of its own, to any node, which name the session and the node that has it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use uuid::Uuid;

use crate::codes::Disconnect;
use crate::link::Link;
use crate::outbox::Outbox;
use crate::queue::Order;
use crate::socket::{Message, ReadError};

/// How many requests of one client may wait while it is busy; each has at most a message's bytes. The next one is
/// answered when there is room.
const WAITING_MAX: usize = 4;

/// How many frames may be with the HTTP connection that writes them. Few: what is there can no longer be conflated.
const FRAMES_MAX: usize = 4;

/// How long a request waits for room before it is refused: less than what proxies grant.
const PATIENCE: Duration = Duration::from_secs(10);

/// The id of one session: random, and known to its client only, for whoever knows it speaks as the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(Uuid);

impl SessionId {
    fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system's random source answers once the system has started");
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Debug for SessionId {
    /// Nothing of it: it is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId")
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// Why commands did not reach a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none of this name here.
    #[error("there is no such session")]
    UnknownSession,
    /// What came before has not been taken yet.
    #[error("the session is busy")]
    Busy,
}

/// The sessions of this node.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<SessionId, Entry>>);

#[derive(Debug, Clone)]
struct Entry {
    commands: mpsc::Sender<Message>,
    outbox: Arc<Outbox>,
}

/// A session's place among them; dropping it takes the session off the list.
#[derive(Debug)]
pub struct Place {
    sessions: Arc<Sessions>,
    id: SessionId,
}

impl Sessions {
    /// Opens a session that begins with `first`: its place, the driver's end, and the body of the response.
    pub(crate) fn open(
        self: &Arc<Self>,
        first: Message,
        outbox: &Arc<Outbox>,
    ) -> (Place, ResponseLink, impl Stream<Item = Bytes> + use<>) {
        let id = SessionId::random();
        let (commands, waiting) = mpsc::channel(WAITING_MAX);
        let (frames, written) = mpsc::channel(FRAMES_MAX);
        let entry = Entry {
            commands,
            outbox: Arc::clone(outbox),
        };
        lock(&self.0).insert(id, entry);
        let link = ResponseLink {
            first: Some(first),
            commands: waiting,
            frames: PollSender::new(frames),
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
        };
        let place = Place {
            sessions: Arc::clone(self),
            id,
        };
        let body = (written, Reader(Arc::clone(outbox)));
        let body = futures_util::stream::unfold(body, |(mut written, reader)| async {
            let frame = written.recv().await?;
            Some((frame, (written, reader)))
        });
        (place, link, body)
    }

    /// Gives a session commands, and waits a while if it has not taken those before.
    ///
    /// # Errors
    /// [`Error`]: it has not got them.
    pub async fn deliver(&self, id: SessionId, commands: Message) -> Result<(), Error> {
        let entry = self.entry(id)?;
        match entry.commands.send_timeout(commands, PATIENCE).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Error::Busy),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Error::UnknownSession),
        }
    }

    /// Gives a session commands that came from another node. Nobody there waits, so a session that is busy for too
    /// long is closed: commands that are lost in silence would be worse.
    pub fn deliver_now(&self, id: SessionId, commands: Message) {
        let Ok(entry) = self.entry(id) else { return };
        if entry.commands.try_send(commands).is_err() {
            entry.outbox.order(Order::Disconnect(Disconnect::TooManyRequests));
        }
    }

    fn entry(&self, id: SessionId) -> Result<Entry, Error> {
        lock(&self.0).get(&id).cloned().ok_or(Error::UnknownSession)
    }
}

impl Place {
    /// Which session it is.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.sessions.0).remove(&self.id);
    }
}

/// The HTTP connection that reads the frames. When it lets go of them the client has left.
#[derive(Debug)]
struct Reader(Arc<Outbox>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.order(Order::Disconnect(Disconnect::Closed));
    }
}

/// The driver's end of a session.
#[derive(Debug)]
pub(crate) struct ResponseLink {
    first: Option<Message>,
    commands: mpsc::Receiver<Message>,
    frames: PollSender<Bytes>,
    outgoing: VecDeque<Bytes>,
    outgoing_bytes: usize,
}

impl Link for ResponseLink {
    const ANSWERS_FAREWELL: bool = false;

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, ReadError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        self.commands.poll_recv(cx).map(|message| message.map(Ok))
    }

    fn enqueue(&mut self, frame: Bytes) {
        self.outgoing_bytes += frame.len();
        self.outgoing.push_back(frame);
    }

    fn outgoing_bytes(&self) -> usize {
        self.outgoing_bytes
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            ready!(self.frames.poll_reserve(cx)).map_err(gone)?;
            if let Some(frame) = self.outgoing.pop_front() {
                self.outgoing_bytes -= frame.len();
                self.frames.send_item(frame).map_err(gone)?;
            }
        }
        if self.outgoing.capacity() > 0 {
            // A burst's buffer is given back: most connections are idle most of the time.
            self.outgoing = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.frames.close();
        Poll::Ready(Ok(()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;

    fn commands(text: &str) -> Message {
        Message::Text(text.to_owned())
    }

    fn open() -> (Arc<Sessions>, Arc<Outbox>) {
        (Arc::default(), Arc::new(Outbox::new(10_000)))
    }

    async fn next(link: &mut ResponseLink) -> Option<Message> {
        let message = std::future::poll_fn(|cx| link.poll_message(cx)).await;
        message.map(|message| message.expect("reading a channel does not fail"))
    }

    #[tokio::test]
    async fn commands_come_in_order_and_only_while_the_session_lives() {
        let (sessions, outbox) = open();
        let (place, mut link, _body) = sessions.open(commands("first"), &outbox);
        let id = place.id();
        assert_eq!(sessions.deliver(id, commands("second")).await, Ok(()));
        sessions.deliver_now(id, commands("third"));
        for expected in ["first", "second", "third"] {
            assert_eq!(next(&mut link).await, Some(commands(expected)));
        }
        drop(place);
        assert_eq!(sessions.deliver(id, commands("late")).await, Err(Error::UnknownSession));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_takes_nothing_is_refused_more() {
        let (sessions, outbox) = open();
        let (place, _link, _body) = sessions.open(commands("first"), &outbox);
        for _ in 0..WAITING_MAX {
            assert_eq!(sessions.deliver(place.id(), commands("more")).await, Ok(()));
        }
        assert_eq!(
            sessions.deliver(place.id(), commands("too much")).await,
            Err(Error::Busy)
        );
        sessions.deliver_now(place.id(), commands("too much from elsewhere"));
        assert_eq!(
            outbox.take(),
            Some(crate::queue::Item::Order(Order::Disconnect(
                Disconnect::TooManyRequests
            )))
        );
    }

    #[tokio::test]
    async fn frames_go_out_in_order_and_a_reader_that_leaves_ends_the_connection() {
        let (sessions, outbox) = open();
        let (_place, mut link, body) = sessions.open(commands("first"), &outbox);
        let mut body = Box::pin(body);
        for number in 0..3_u8 {
            link.enqueue(Bytes::from(vec![number]));
        }
        std::future::poll_fn(|cx| link.poll_flush(cx))
            .await
            .expect("there is room");
        assert_eq!(link.outgoing_bytes(), 0);
        for number in 0..3_u8 {
            assert_eq!(body.next().await, Some(Bytes::from(vec![number])));
        }
        drop(body);
        assert_eq!(
            outbox.take(),
            Some(crate::queue::Item::Order(Order::Disconnect(Disconnect::Closed)))
        );
        link.enqueue(Bytes::from_static(b"x"));
        assert!(std::future::poll_fn(|cx| link.poll_flush(cx)).await.is_err());
    }
}
