//! What one connection of the Centrifuge protocol may do, and in which order. Sans-I/O.
//!
//! Commands are taken strictly one after the other: while an effect that a command needs is under way the engine is
//! [`Engine::is_busy`], and whoever drives it waits. Publications may come at any time; those for a subscription that
//! is still being made are held until its reply is out.

mod ask;
mod channels;
mod connect;
mod deliver;
mod server;
mod subscribe;
mod subscriptions;
mod terms;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::command::{Command, Method, SubscribeRequest};
use super::peer::Peer;
use super::reply::{Outcome, Reply};
use crate::channel;
use crate::codes::{Denial, Disconnect, ErrorCode, Refusal};
use crate::config::{ChannelOptions, Settings};
use crate::heartbeat::Beat;
use crate::queue::Slot;
use crate::session::{Completion, Effect, Failure, Note, Start};
use ask::Asked;
use connect::{Connected, Connecting};
use server::Making;
use subscribe::Starting;
use subscriptions::Subscriptions;

/// What the engine wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this.
    Reply(Reply),
    /// Send this frame, which is ready and shared.
    Forward(Bytes),
    /// Carry this out and call [`Engine::complete`].
    Do(Effect),
    /// Count this.
    Note(Note),
    /// Close the connection; nothing follows.
    Close(Disconnect),
}

/// The protocol's state on one connection.
#[derive(Debug)]
pub struct Engine {
    peer: Peer,
    settings: Arc<Settings>,
    state: State,
    awaiting: Option<Awaiting>,
    /// Subscriptions of the server's whose beginnings are being read.
    making: Vec<Making>,
    subscriptions: Subscriptions,
    outputs: VecDeque<Output>,
    jitter: f64,
    /// When what is being done was begun.
    moment: Instant,
}

#[derive(Debug)]
enum State {
    /// Nobody has said who it is yet.
    Opened { stale_at: Instant },
    /// The connect command was refused; the client is expected to close.
    Refused { stale_at: Instant },
    /// It has said who it is.
    Connected(Box<Connected>),
    /// Nothing counts any more.
    Closed,
}

/// The command whose effect is under way.
#[derive(Debug)]
enum Awaiting {
    Connect(Box<Connecting>),
    /// The connection's own subscriptions.
    First(Box<Connecting>),
    Refresh {
        id: u32,
    },
    Grant {
        id: u32,
        request: Box<SubscribeRequest>,
        options: Arc<ChannelOptions>,
    },
    SubRefresh {
        id: u32,
        channel: String,
    },
    Subscribe(Box<Starting>),
    Asked(Box<Asked>),
    Unsubscribe {
        id: u32,
        slot: Slot,
    },
    Publish {
        id: u32,
    },
    History {
        id: u32,
        epoch: String,
    },
    Presence {
        id: u32,
    },
    PresenceStats {
        id: u32,
    },
}

impl Engine {
    /// The engine of a connection that was just opened. `jitter`, from 0 to 1, spreads the pings of many.
    #[must_use]
    pub fn new(peer: Peer, settings: Arc<Settings>, now: Instant, jitter: f64) -> Self {
        let stale_at = now + settings.stale_after;
        Self {
            peer,
            settings,
            state: State::Opened { stale_at },
            awaiting: None,
            making: Vec::new(),
            subscriptions: Subscriptions::default(),
            outputs: VecDeque::new(),
            jitter,
            moment: now,
        }
    }

    /// Whether a command's effect is under way; no other command may be given then.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.awaiting.is_some()
    }

    /// The next thing to do.
    pub fn output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// Something came, whatever it was.
    pub fn heard(&mut self, now: Instant) {
        if let State::Connected(connected) = &mut self.state {
            connected.heartbeat.heard(now);
        }
    }

    /// Bytes came that are no command.
    pub fn garbage(&mut self) {
        self.close(Disconnect::BadRequest);
    }

    /// A command came.
    pub fn command(&mut self, command: Command, now: Instant) {
        debug_assert!(!self.is_busy(), "commands are taken one after the other");
        let Command { id, method } = command;
        self.moment = now;
        if let State::Connected(connected) = &mut self.state
            && is_metered(&method)
            && let Some(rate) = self.settings.limits.commands
            && !connected.commands.take(rate, now)
        {
            return self.refuse(id, ErrorCode::TooManyRequests);
        }
        match &mut self.state {
            State::Closed => {}
            State::Opened { .. } => match method {
                Method::Connect(request) => self.connect(id, request),
                _ => self.close(Disconnect::BadRequest),
            },
            State::Refused { .. } => self.close(Disconnect::BadRequest),
            State::Connected(connected) => match method {
                Method::Pong if connected.heartbeat.pong(now) => {}
                Method::Pong | Method::Connect(_) => self.close(Disconnect::BadRequest),
                Method::Refresh(request) => self.refresh(id, request),
                Method::Subscribe(request) => self.subscribe(id, request, now),
                Method::Unsubscribe(request) => self.unsubscribe(id, &request.channel),
                Method::Publish(request) => self.publish(id, request),
                Method::History(request) => self.history(id, request),
                Method::Presence(request) => self.presence(id, &request.channel),
                Method::PresenceStats(request) => self.presence_stats(id, &request.channel),
                Method::SubRefresh(request) => self.sub_refresh(id, request),
                Method::Rpc(request) => self.rpc(id, request),
                // The protocol has no use for a client's ping.
                Method::Ping => self.refuse(id, ErrorCode::NotAvailable),
                // It has no reply, so this is the only way to say that nobody listens.
                Method::Send(_) => self.close(Disconnect::NotAvailable),
            },
        }
    }

    /// An effect was carried out.
    pub fn complete(&mut self, completion: Completion, now: Instant) {
        if matches!(self.state, State::Closed) {
            return;
        }
        self.moment = now;
        if let Completion::Subscribed { slot, start } = completion {
            return self.subscription_begins(slot, start);
        }
        if let Completion::Answered { about, answer } = completion {
            return self.answered(about, answer, now);
        }
        match (self.awaiting.take(), completion) {
            (Some(Awaiting::Connect(connecting)), Completion::Authenticated(result)) => {
                self.connected(*connecting, result, now);
            }
            (Some(Awaiting::Grant { id, request, options }), Completion::Granted(result)) => {
                self.granted(id, &request, &options, result, now);
            }
            (Some(Awaiting::SubRefresh { id, channel }), Completion::Granted(result)) => {
                self.sub_refreshed(id, &channel, result, now);
            }
            (Some(Awaiting::Refresh { id }), Completion::Authenticated(result)) => self.refreshed(id, result, now),
            (Some(Awaiting::Unsubscribe { id, slot: wanted }), Completion::Unsubscribed { slot }) if slot == wanted => {
                self.done(id, Outcome::Unsubscribe);
            }
            (Some(Awaiting::Publish { id }), Completion::Published(result)) => match result {
                Ok(_) => self.done(id, Outcome::Publish),
                Err(failure) => self.refuse(id, error_of(failure)),
            },
            (Some(Awaiting::History { id, epoch }), Completion::History(result)) => {
                self.history_read(id, &epoch, result);
            }
            (Some(Awaiting::Presence { id }), Completion::Presence(result)) => self.presence_read(id, result),
            (Some(Awaiting::PresenceStats { id }), Completion::PresenceCount(result)) => {
                self.presence_counted(id, result);
            }
            // The end of a subscription that nobody asked for: no command waits for it.
            (awaiting, Completion::Unsubscribed { .. }) => self.awaiting = awaiting,
            (awaiting, completion) => {
                debug_assert!(false, "{completion:?} completes nothing: {awaiting:?}");
                self.awaiting = awaiting;
            }
        }
    }

    /// A subscription's beginning was read, for a command or for the server.
    fn subscription_begins(&mut self, slot: Slot, start: Result<Start, Failure>) {
        if self.is_making(slot) {
            return self.made(slot, start);
        }
        match self.awaiting.take() {
            Some(Awaiting::Subscribe(starting)) if starting.slot == slot => self.subscribed(*starting, start),
            awaiting => self.awaiting = awaiting,
        }
    }

    /// The server wants to be left: the client library reconnects elsewhere, spread by its own jitter.
    pub fn leave(&mut self) {
        self.close(Disconnect::Shutdown);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        match &mut self.state {
            State::Closed => {}
            State::Opened { stale_at } | State::Refused { stale_at } => {
                if now >= *stale_at {
                    self.close(Disconnect::Stale);
                }
            }
            State::Connected(connected) => {
                if connected.ends.is_some_and(|ends| now >= ends) {
                    return self.connection_is_over();
                }
                if let Some(slot) = self.subscriptions.expired(now) {
                    return self.subscription_is_over(slot);
                }
                match connected.heartbeat.beat(now) {
                    Beat::Rest => {}
                    Beat::Ping => self.send(Reply::Ping),
                    Beat::Dead => self.close(Disconnect::NoPong),
                }
            }
        }
    }

    /// When [`Engine::tick`] is to be called at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Opened { stale_at } | State::Refused { stale_at } => Some(*stale_at),
            State::Connected(connected) => {
                let times = [
                    connected.ends,
                    self.subscriptions.deadline(),
                    Some(connected.heartbeat.next()),
                ];
                times.into_iter().flatten().min()
            }
            State::Closed => None,
        }
    }

    fn send(&mut self, reply: Reply) {
        self.outputs.push_back(Output::Reply(reply));
    }

    fn done(&mut self, id: u32, outcome: Outcome) {
        self.send(Reply::Done(id, outcome));
    }

    fn refuse(&mut self, id: u32, error: impl Into<Refusal>) {
        let refusal = error.into();
        let is_fault = refusal != Refusal::Code(ErrorCode::Internal);
        self.send(Reply::Refused(id, refusal));
        // What is our fault is not held against the client.
        if let State::Connected(connected) = &mut self.state
            && is_fault
            && let Some(rate) = self.settings.limits.errors
            && !connected.errors.take(rate, self.moment)
        {
            self.close(Disconnect::TooManyErrors);
        }
    }

    fn effect(&mut self, effect: Effect) {
        self.outputs.push_back(Output::Do(effect));
    }

    fn deny(&mut self, id: u32, denial: Denial) {
        match denial {
            Denial::Refused(refusal) => self.refuse(id, refusal),
            Denial::Disconnected(disconnect) => self.close(disconnect),
        }
    }

    fn close(&mut self, disconnect: Disconnect) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.awaiting = None;
            self.making = Vec::new();
            // What still comes for them goes nowhere.
            self.subscriptions = Subscriptions::default();
            self.outputs.push_back(Output::Close(disconnect));
        }
    }

    /// What kind of channel a command names. A command without a channel is no command; one with an impossible
    /// channel is refused.
    fn classify(&mut self, id: u32, name: &str) -> Option<channel::Kind> {
        match channel::classify(name, &self.settings.channels) {
            Ok(kind) => return Some(kind),
            Err(channel::NameError::Empty) => self.close(Disconnect::BadRequest),
            Err(channel::NameError::UnknownNamespace) => self.refuse(id, ErrorCode::UnknownChannel),
            Err(channel::NameError::TooLong | channel::NameError::Control | channel::NameError::Pattern) => {
                self.refuse(id, ErrorCode::BadRequest);
            }
        }
        None
    }
}

/// Whether a command counts against the rate of commands. What ends a subscription does not: a client library that
/// cannot end one gives the connection up.
fn is_metered(method: &Method) -> bool {
    match method {
        Method::Pong | Method::Connect(_) | Method::Unsubscribe(_) | Method::Send(_) | Method::Ping => false,
        Method::Subscribe(_)
        | Method::Publish(_)
        | Method::Presence(_)
        | Method::PresenceStats(_)
        | Method::History(_)
        | Method::Rpc(_)
        | Method::Refresh(_)
        | Method::SubRefresh(_) => true,
    }
}

/// Whether and in how many seconds something expires, as clients are told: never 0 s for what does, for 0 is left out.
fn expiry(expires_in: Option<Duration>) -> (bool, u32) {
    let seconds = |time: Duration| u32::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
    (expires_in.is_some(), expires_in.map_or(0, |time| seconds(time).max(1)))
}

/// How a command is refused when its effect failed.
fn error_of(failure: Failure) -> ErrorCode {
    match failure {
        Failure::UnknownTask | Failure::TaskGone | Failure::NoTaskView => ErrorCode::UnknownChannel,
        Failure::ForeignTask | Failure::IllegalTransition => ErrorCode::PermissionDenied,
        Failure::Unavailable => ErrorCode::Internal,
    }
}

#[cfg(test)]
mod tests;
