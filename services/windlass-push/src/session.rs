//! What a connection's driver runs: a protocol with its encoding, as a pure state machine.
//!
//! A [`Session`] is told what happened (a message, a delivery, a completed effect, a moment) and says by
//! [`Action`]s what is to be done. It does no I/O, knows no clock and does not wait: so every protocol can be tried
//! with tables, and one driver carries them all, over any transport.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use windlass_serve::auth::TokenError;
use windlass_task::operation::Operation;
use windlass_task::{Owner, Record, TaskKey, TaskUpdate};

use crate::broker::{self, History, Outgoing, PresenceCount, Range, Retention};
use crate::channel::ChannelKey;
use crate::client::{ClientInfo, Identity};
use crate::codes::{Denial, Disconnect, UnsubscribeCode};
use crate::grant::{ServerSubscription, SubscriptionToken};
use crate::payload::Payload;
use crate::position::StreamPosition;
use crate::proxy::{About, Answer, Ask};
use crate::queue::{Delivery, Slot};
use crate::socket::Message;
use crate::variant::Variant;

/// A protocol on one connection.
pub trait Session: Send {
    /// A message came.
    fn receive(&mut self, message: Message, now: Instant);
    /// An effect was carried out. Effects are carried out one after the other, in the order they were asked for.
    fn complete(&mut self, completion: Completion, now: Instant);
    /// A publication came for one of its subscriptions, or for one that has ended.
    fn deliver(&mut self, delivery: Delivery);
    /// What waited for a subscription did not fit and is gone.
    fn overflow(&mut self, slot: Slot);
    /// The server wants to be left; who can move without a gap has this long.
    fn leave(&mut self, within: Duration, now: Instant);
    /// Time has passed.
    fn tick(&mut self, now: Instant);
    /// When [`Session::tick`] is to be called at the latest, if ever.
    fn deadline(&self) -> Option<Instant>;
    /// Whether it takes messages now. While it does not, the connection is not read.
    fn is_receptive(&self) -> bool;
    /// The service wants something changed.
    fn instruct(&mut self, instruction: Instruction, now: Instant);
    /// The last that the other end is sent when the connection is closed by us.
    fn farewell(&self, disconnect: &Disconnect) -> Bytes;
    /// The next thing to do.
    fn action(&mut self) -> Option<Action>;
}

/// What a session wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write a ready frame.
    Write(Bytes),
    /// Carry this out and say what came of it.
    Do(Effect),
    /// Count this.
    Note(Note),
    /// Close the connection; nothing follows.
    Close(Disconnect),
}

/// What an API changes of a connection that somebody else opened.
#[derive(Debug, Clone, PartialEq)]
pub enum Instruction {
    /// Subscribe it.
    Subscribe(Box<ServerSubscription>),
    /// End a subscription, whoever made it.
    Unsubscribe {
        /// To what.
        channel: String,
        /// What the client is told.
        code: UnsubscribeCode,
    },
    /// Move its end.
    Refresh {
        /// How long it is good for from now; `None` for ever.
        expires_in: Option<Duration>,
    },
}

/// Something worth counting that only a session knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// A client came back to a stream and was given what it had missed, or was told that it cannot have it.
    Recovered(bool),
}

/// The actions that wait to be taken, in order.
pub type Actions = VecDeque<Action>;

/// What a session cannot do itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Find out who this is.
    Authenticate(Box<Credentials>),
    /// Find out what a subscription token gives.
    ReadGrant {
        /// The token.
        token: String,
    },
    /// Start a subscription.
    Subscribe(Box<Subscribe>),
    /// End a subscription.
    Unsubscribe {
        /// Which.
        slot: Slot,
    },
    /// Publish to a stream.
    Publish {
        /// Where.
        channel: ChannelKey,
        /// What.
        outgoing: Box<Outgoing>,
        /// How long it is remembered.
        retention: Retention,
    },
    /// Read a stream's history.
    ReadHistory {
        /// Whose.
        channel: ChannelKey,
        /// Which part.
        range: Range,
    },
    /// Read who is in a channel.
    ReadPresence {
        /// In which.
        channel: ChannelKey,
    },
    /// Read how many are in a channel.
    CountPresence {
        /// In which.
        channel: ChannelKey,
    },
    /// Ask a backend.
    Ask(Box<Ask>),
    /// Pause or resume a task.
    Operate {
        /// Which.
        task: TaskKey,
        /// Who asks.
        owner: Owner,
        /// What is asked.
        operation: Operation,
    },
}

/// What somebody says of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Credentials {
    /// The token; empty when none was shown.
    pub token: String,
    /// What the client calls itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What its application says.
    pub data: Payload,
    /// What a browser would have sent as headers of the handshake if it could.
    pub headers: BTreeMap<String, String>,
}

impl Credentials {
    /// A token and nothing else.
    #[must_use]
    pub fn token(token: String) -> Self {
        Self {
            token,
            ..Self::default()
        }
    }
}

/// A subscription to start.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// Its number.
    pub slot: Slot,
    /// To what.
    pub channel: ChannelKey,
    /// In which form publications are wanted.
    pub variant: Variant,
    /// What it begins with.
    pub source: Source,
    /// As whom it is known to others in the channel.
    pub info: ClientInfo,
    /// Whether it shows in the channel's presence.
    pub presence: bool,
    /// Whether others are told that it comes and goes.
    pub announced: bool,
    /// Whether it is told who comes and goes.
    pub hears_others: bool,
}

impl Subscribe {
    /// A subscription of which nobody else is told anything.
    #[must_use]
    pub fn quiet(slot: Slot, channel: ChannelKey, variant: Variant, source: Source) -> Self {
        Self {
            slot,
            channel,
            variant,
            source,
            info: ClientInfo::default(),
            presence: false,
            announced: false,
            hears_others: false,
        }
    }
}

/// What a subscription begins with.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The present value of a task that this owner may see.
    Task {
        /// The task.
        key: TaskKey,
        /// Who asks.
        owner: Owner,
    },
    /// This part of a stream's history.
    History(Range),
    /// Nothing.
    Nothing,
}

/// What came of an effect.
#[derive(Debug)]
pub enum Completion {
    /// Of [`Effect::Authenticate`].
    Authenticated(Result<Identity, Unknown>),
    /// Of [`Effect::ReadGrant`]. `None` where there are no keys, so that no token says anything.
    Granted(Result<Option<Box<SubscriptionToken>>, TokenError>),
    /// Of [`Effect::Subscribe`].
    Subscribed {
        /// Which.
        slot: Slot,
        /// With what it begins, or why it does not.
        start: Result<Start, Failure>,
    },
    /// Of [`Effect::Unsubscribe`].
    Unsubscribed {
        /// Which.
        slot: Slot,
    },
    /// Of [`Effect::Publish`].
    Published(Result<Option<StreamPosition>, Failure>),
    /// Of [`Effect::ReadHistory`].
    History(Result<History, Failure>),
    /// Of [`Effect::ReadPresence`].
    Presence(Result<Vec<ClientInfo>, Failure>),
    /// Of [`Effect::CountPresence`].
    PresenceCount(Result<PresenceCount, Failure>),
    /// Of [`Effect::Ask`].
    Answered {
        /// For whom it is.
        about: About,
        /// What was said.
        answer: Result<Answer, Denial>,
    },
    /// Of [`Effect::Operate`].
    Operated {
        /// Which task.
        task: TaskKey,
        /// The task as it is then.
        outcome: Result<Box<Record>, Failure>,
    },
}

/// Why nobody is known, or not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// By the token.
    Token(TokenError),
    /// By somebody's word.
    Denied(Denial),
}

impl From<TokenError> for Unknown {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<Denial> for Unknown {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

/// What a subscription begins with.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// A task's value.
    Value(Box<TaskValue>),
    /// A part of a history.
    History(History),
    /// Nothing.
    Nothing,
}

/// A task's present value.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskValue {
    /// The value.
    pub update: TaskUpdate,
    /// In which life of the channel its revision was counted.
    pub epoch: crate::position::StreamEpoch,
}

/// Why an effect failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no such task of this tenant.
    #[error("there is no such task")]
    UnknownTask,
    /// The task belongs to somebody else.
    #[error("the task is another owner's")]
    ForeignTask,
    /// The task was terminated or has expired.
    #[error("the task is gone")]
    TaskGone,
    /// The task's state does not allow it.
    #[error("the task's state does not allow it")]
    IllegalTransition,
    /// This process sees no tasks.
    #[error("this server sees no tasks")]
    NoTaskView,
    /// Something of ours does not answer.
    #[error("something of the server does not answer")]
    Unavailable,
}

impl From<broker::Error> for Failure {
    fn from(error: broker::Error) -> Self {
        match error {
            broker::Error::Unreachable | broker::Error::UnknownNode => Self::Unavailable,
        }
    }
}
