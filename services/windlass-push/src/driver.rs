//! One task a connection: it carries messages, deliveries, effects and time to the session, and its actions out.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::codes::Disconnect;
use crate::desk::Desk;
use crate::link::Link;
use crate::outbox::Outbox;
use crate::push::Push;
use crate::queue::{Item, Order};
use crate::session::{Action, Completion, Effect, Session};
use crate::socket::frame::{self, Opcode};
use crate::socket::{Message, ReadError};
use crate::wheel::Alarm;

/// Deliveries are taken from the queue until this many bytes wait to be written. What stays in the queue can still be
/// conflated or given up; what is here cannot.
const BATCH_BYTES: usize = 64 * 1024;

/// While this many bytes wait to be written, the client is not read and nothing is done for it: it asks for more than
/// it takes. One reply may go beyond this by its own bound.
const UNREAD_BYTES: usize = 256 * 1024;

/// A connection's task.
pub(crate) struct Driver<L, S> {
    push: Arc<Push>,
    link: L,
    session: S,
    desk: Arc<Desk>,
    outbox: Arc<Outbox>,
    effects: VecDeque<Effect>,
    running: Option<Pin<Box<dyn Future<Output = Completion> + Send>>>,
    alarm: Alarm,
    /// Since when the oldest of the publications that wait to be written had waited in the queue.
    waited_since: Option<std::time::Instant>,
    /// Whose turn it is when the client and the queue both have something.
    reads_first: bool,
}

/// What happened.
enum Event {
    Message(Message),
    Broken(ReadError),
    /// The other end is gone without a word.
    Gone,
    /// It could not be written to.
    Unwritable,
    Item(Item),
    Completed(Completion),
    Tick,
    /// The connection is given up, although it cannot be written to.
    GivenUp(Disconnect),
}

/// How a connection ends.
enum Ending {
    /// It is closed by us, and the client is told why.
    Close(Disconnect),
    /// The client closes it, with its code if it gave one.
    Answer(Option<u16>),
    /// There is nobody to tell.
    Gone,
    /// Nobody can be told.
    Unwritable,
}

impl Ending {
    /// Why the connection ends, for those who are told.
    fn disconnect(&self) -> Disconnect {
        match self {
            Self::Close(disconnect) => disconnect.clone(),
            Self::Answer(_) | Self::Gone => Disconnect::Closed,
            Self::Unwritable => Disconnect::WriteError,
        }
    }
}

impl<L: Link, S: Session> Driver<L, S> {
    pub(crate) fn new(push: Arc<Push>, link: L, session: S, desk: Arc<Desk>, outbox: Arc<Outbox>) -> Self {
        let alarm = push.wheel().alarm(&outbox);
        let (effects, running) = (VecDeque::new(), None);
        Self {
            push,
            link,
            session,
            desk,
            outbox,
            effects,
            running,
            alarm,
            waited_since: None,
            reads_first: true,
        }
    }

    /// Runs until the connection has ended and everything it held is given back.
    ///
    /// Boxed, for the future would hold the value twice; and so is the end, which is not to be had room for while the
    /// connection lives.
    pub(crate) async fn run(mut self: Box<Self>) {
        let ending = self.converse().await;
        Box::pin(self.end(ending)).await;
    }

    async fn end(mut self: Box<Self>, ending: Ending) {
        let running = self.running.take();
        let desk = Arc::clone(&self.desk);
        let reason = ending.disconnect();
        let give_back = async move {
            // An effect that has begun is finished: cut short it could leave something behind that nobody knows of.
            if let Some(running) = running {
                running.await;
            }
            desk.close(&reason).await;
        };
        let deadline = self.push.settings().close_deadline;
        // A client that takes no part in the farewell is left without one.
        let farewell = tokio::time::timeout(deadline, self.part(ending));
        let ((), _) = tokio::join!(give_back, farewell);
    }

    async fn converse(&mut self) -> Ending {
        loop {
            if let Some(disconnect) = self.act() {
                return Ending::Close(disconnect);
            }
            let event = std::future::poll_fn(|cx| self.poll_event(cx)).await;
            let now = Instant::now().into_std();
            match event {
                Event::Message(Message::Close(code)) => return Ending::Answer(code),
                Event::Message(message) => {
                    if let Message::Ping(payload) = &message {
                        self.link.enqueue(frame::build(Opcode::Pong, payload));
                    }
                    self.session.receive(message, now);
                }
                Event::Broken(ReadError::Violation(violation)) => return Ending::Close(violation.disconnect()),
                Event::Broken(ReadError::Read(_)) | Event::Gone => return Ending::Gone,
                Event::Unwritable => return Ending::Unwritable,
                Event::Completed(completion) => self.session.complete(completion, now),
                Event::Tick => self.session.tick(now),
                Event::GivenUp(disconnect) => return Ending::Close(disconnect),
                Event::Item(item) => {
                    if let Some(disconnect) = self.take(item) {
                        return Ending::Close(disconnect);
                    }
                }
            }
        }
    }

    /// Carries the session's actions out, as far as that needs no waiting.
    fn act(&mut self) -> Option<Disconnect> {
        while let Some(action) = self.session.action() {
            match action {
                Action::Write(frame) => self.link.enqueue(frame),
                Action::Do(effect) => self.effects.push_back(effect),
                Action::Note(note) => self.push.metrics().note(note),
                Action::Close(disconnect) => return Some(disconnect),
            }
        }
        None
    }

    /// Takes an item of the queue, and those behind it, up to a batch for one write.
    fn take(&mut self, item: Item) -> Option<Disconnect> {
        let mut next = Some(item);
        while let Some(item) = next {
            match item {
                Item::Delivery(delivery) => self.session.deliver(delivery),
                Item::Overflow(slot) => self.session.overflow(slot),
                Item::Order(Order::Leave(grace)) => self.session.leave(grace, Instant::now().into_std()),
                Item::Order(Order::Instruct(instruction)) => {
                    self.session.instruct(instruction, Instant::now().into_std());
                }
                Item::Order(Order::Disconnect(disconnect)) => return Some(disconnect),
            }
            if let Some(disconnect) = self.act() {
                return Some(disconnect);
            }
            next = if self.link.outgoing_bytes() < BATCH_BYTES {
                self.outbox.take()
            } else {
                None
            };
        }
        let since = self.outbox.waited_since(Instant::now().into_std());
        self.waited_since = self.waited_since.or(since);
        None
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let flushed = match self.link.poll_flush(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => return Poll::Ready(Event::Unwritable),
            Poll::Pending => false,
        };
        if let Poll::Ready(completion) = self.poll_effect(cx) {
            return Poll::Ready(Event::Completed(completion));
        }
        let now = Instant::now();
        if flushed && let Some(since) = self.waited_since.take() {
            self.push
                .metrics()
                .written_after(now.into_std().saturating_duration_since(since));
        }
        let deadline = self.session.deadline().map(Instant::from_std);
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Poll::Ready(Event::Tick);
        }
        let event = self.poll_either(cx, flushed);
        if let Some(deadline) = deadline.filter(|_| event.is_pending()) {
            // After everything that registers this task, so that it cannot go off unheard.
            self.alarm.set(deadline);
        }
        event
    }

    fn poll_either(&mut self, cx: &mut Context<'_>, flushed: bool) -> Poll<Event> {
        // In turns, so that neither a flood of publications nor one of commands starves the other.
        self.reads_first = !self.reads_first;
        if self.reads_first {
            if let Poll::Ready(event) = self.poll_message(cx) {
                return Poll::Ready(event);
            }
            self.poll_item(cx, flushed)
        } else {
            if let Poll::Ready(event) = self.poll_item(cx, flushed) {
                return Poll::Ready(event);
            }
            self.poll_message(cx)
        }
    }

    fn poll_effect(&mut self, cx: &mut Context<'_>) -> Poll<Completion> {
        if self.running.is_none()
            && self.link.outgoing_bytes() < UNREAD_BYTES
            && let Some(effect) = self.effects.pop_front()
        {
            self.running = Some(Box::pin(Arc::clone(&self.desk).perform(effect)));
        }
        let Some(running) = &mut self.running else {
            return Poll::Pending;
        };
        let completion = std::task::ready!(running.as_mut().poll(cx));
        self.running = None;
        Poll::Ready(completion)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if !self.session.is_receptive() || self.link.outgoing_bytes() >= UNREAD_BYTES {
            return Poll::Pending;
        }
        self.link.poll_message(cx).map(|message| match message {
            Some(Ok(message)) => Event::Message(message),
            Some(Err(error)) => Event::Broken(error),
            None => Event::Gone,
        })
    }

    fn poll_item(&mut self, cx: &mut Context<'_>, flushed: bool) -> Poll<Event> {
        if flushed {
            self.outbox.poll_take(cx).map(Event::Item)
        } else {
            self.outbox.poll_given_up(cx).map(Event::GivenUp)
        }
    }

    /// The closing handshake (RFC 6455 section 7).
    async fn part(&mut self, ending: Ending) {
        let waits = L::ANSWERS_FAREWELL && matches!(ending, Ending::Close(_));
        let disconnect = match ending {
            Ending::Gone => return self.push.metrics().closed(&Disconnect::Closed),
            Ending::Unwritable => return self.push.metrics().closed(&Disconnect::WriteError),
            Ending::Answer(code) => {
                let payload = code.map(u16::to_be_bytes);
                self.link
                    .enqueue(frame::build(Opcode::Close, payload.as_ref().map_or(&[], |code| code)));
                Disconnect::Closed
            }
            Ending::Close(disconnect) => {
                self.link.enqueue(self.session.farewell(&disconnect));
                disconnect
            }
        };
        self.push.metrics().closed(&disconnect);
        if std::future::poll_fn(|cx| self.link.poll_flush(cx)).await.is_err() {
            return;
        }
        if waits {
            // What the client still says is of no use any more, but its answer is waited for.
            while let Some(Ok(message)) = std::future::poll_fn(|cx| self.link.poll_message(cx)).await {
                if matches!(message, Message::Close(_)) {
                    break;
                }
            }
        }
        let _ = std::future::poll_fn(|cx| self.link.poll_shutdown(cx)).await;
    }
}

#[cfg(test)]
mod tests;
