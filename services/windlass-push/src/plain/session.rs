//! One connection of the plain protocol. Sans-I/O.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use windlass_serve::auth::TokenError;
use windlass_task::operation::Operation;
use windlass_task::{Principal, Right, TaskId};

use super::message::{Down, ErrorCode, Letter, Up, Verb, decode};
use super::tasks::Tasks;
use crate::broker::{Outgoing, Retention};
use crate::channel::ChannelKey;
use crate::client::Identity;
use crate::codes::{Denial, Disconnect};
use crate::config::Settings;
use crate::heartbeat::{Beat, Heartbeat};
use crate::payload::Payload;
use crate::queue::{Delivery, Slot};
use crate::session::{
    Action, Actions, Completion, Credentials, Effect, Failure, Instruction, Session, Source, Subscribe, Unknown,
};
use crate::socket::Message;
use crate::socket::frame::{self, Opcode};
use crate::variant::Variant;

/// After so many messages in a row that are none, the client is not going to learn.
const GARBAGE_MAX: u32 = 32;

/// The subscription by which a connection receives messages for its user; those of tasks come after it.
const LETTERS: Slot = Slot(0);

/// The longest name of a task that is repeated in an error: what is longer cannot be one.
const ECHO_BYTES: usize = 128;

/// One connection of the plain protocol.
#[derive(Debug)]
pub struct Plain {
    pub(super) settings: Arc<Settings>,
    pub(super) actions: Actions,
    pub(super) tasks: Tasks,
    principal: Option<Principal>,
    /// When the connection ends: nobody has said who it is, or what was shown expires.
    ends: Option<Instant>,
    /// When it is closed because the server wants to be left.
    leaves: Option<Instant>,
    heartbeat: Heartbeat,
    garbage: u32,
    /// What waits for an effect; no message is taken until it is done.
    awaiting: Awaiting,
}

#[derive(Debug)]
enum Awaiting {
    Nothing,
    /// Who the connection is from what its request showed.
    Greeting,
    /// Who asks, before what is asked.
    Token(Box<Up>),
    /// The effect of a message.
    Effect,
}

impl Plain {
    /// A connection that was just opened. `jitter`, from 0 to 1, spreads the pings of many.
    #[must_use]
    pub fn new(settings: Arc<Settings>, now: Instant, jitter: f64) -> Self {
        let greeting = Action::Do(Effect::Authenticate(Box::default()));
        Self {
            actions: VecDeque::from([greeting]),
            tasks: Tasks::starting_after(LETTERS),
            principal: None,
            ends: Some(now + settings.stale_after),
            leaves: None,
            heartbeat: Heartbeat::adaptive(settings.rhythm, now, jitter),
            garbage: 0,
            awaiting: Awaiting::Greeting,
            settings,
        }
    }

    fn text(&mut self, text: &str) {
        match decode(text) {
            Ok(up) => {
                self.garbage = 0;
                self.take(up);
            }
            Err(code) => {
                self.error(code, None);
                self.garbage += 1;
                if self.garbage >= GARBAGE_MAX {
                    self.close(Disconnect::PolicyViolation);
                }
            }
        }
    }

    fn take(&mut self, mut up: Up) {
        if let Up::Task { token, .. } = &mut up
            && let Some(token) = token.take()
        {
            self.awaiting = Awaiting::Token(Box::new(up));
            self.effect(Effect::Authenticate(Box::new(Credentials::token(token))));
        } else {
            self.act(up);
        }
    }

    fn act(&mut self, up: Up) {
        match up {
            Up::Task { verb, file_id, .. } => self.act_on_task(verb, &file_id),
            Up::Message { to, data } => {
                if let Err(code) = self.send_letter(&to, &data) {
                    self.error(code, None);
                }
            }
        }
    }

    fn act_on_task(&mut self, verb: Verb, file_id: &str) {
        let Some(principal) = self.principal.clone() else {
            return self.error(ErrorCode::TokenMissing, Some(file_id));
        };
        let Ok(task) = file_id.parse::<TaskId>() else {
            return self.error(ErrorCode::TaskNotFound, Some(file_id));
        };
        let done = match verb {
            Verb::Join => self.join(&principal, task),
            Verb::Leave => {
                self.leave_task(&task);
                Ok(())
            }
            Verb::Pause => self.operate(&principal, task, Operation::Pause),
            Verb::Resume => self.operate(&principal, task, Operation::Resume),
        };
        match done {
            Ok(()) => {}
            Err(code) => self.error(code, Some(file_id)),
        }
    }

    fn send_letter(&mut self, to: &str, data: &Payload) -> Result<(), ErrorCode> {
        if !self.settings.messages {
            return Err(ErrorCode::MessagesOff);
        }
        let principal = self.principal.as_ref().ok_or(ErrorCode::TokenMissing)?;
        if !principal.may(Right::Publish) {
            return Err(ErrorCode::Forbidden);
        }
        let letter = Letter {
            r#type: "message",
            from: principal.owner.as_str(),
            data,
        };
        let channel = ChannelKey::of_user(&principal.tenant, to);
        let outgoing = Outgoing {
            data: Payload::of(&letter).map_err(|_| ErrorCode::BadMessage)?,
            ..Outgoing::default()
        };
        self.wait_for(Effect::Publish {
            channel,
            outgoing: Box::new(outgoing),
            retention: Retention::NONE,
        });
        Ok(())
    }

    fn identified(&mut self, identity: Identity, now: Instant) {
        let after = &identity.principal;
        if self
            .principal
            .as_ref()
            .is_some_and(|before| (&before.tenant, &before.owner) != (&after.tenant, &after.owner))
        {
            // Another user's token: what was joined was given to somebody else.
            self.error(ErrorCode::TokenInvalid, None);
            return self.close(Disconnect::PolicyViolation);
        }
        let grace = self.settings.expiry_grace;
        self.ends = identity
            .expires_in
            .and_then(|expires_in| now.checked_add(expires_in.saturating_add(grace)));
        if self.settings.messages && self.principal.is_none() {
            let channel = ChannelKey::of_user(&identity.principal.tenant, identity.principal.owner.as_str());
            let subscribe = Subscribe::quiet(LETTERS, channel, Variant::Plain, Source::Nothing);
            self.effect(Effect::Subscribe(Box::new(subscribe)));
        }
        self.principal = Some(identity.principal);
    }

    fn token_shown(&mut self, up: Up, result: Result<Identity, Unknown>, now: Instant) {
        match result {
            Ok(identity) => {
                self.identified(identity, now);
                self.act(up);
            }
            Err(Unknown::Denied(Denial::Disconnected(disconnect))) => self.close(disconnect),
            Err(error) => {
                let code = match error {
                    Unknown::Denied(_) => ErrorCode::Unavailable,
                    Unknown::Token(TokenError::Missing) => ErrorCode::TokenMissing,
                    Unknown::Token(TokenError::Invalid(_)) => ErrorCode::TokenInvalid,
                    Unknown::Token(TokenError::Expired) => ErrorCode::TokenExpired,
                    Unknown::Token(TokenError::Unverifiable) => ErrorCode::Unavailable,
                };
                let file_id = match &up {
                    Up::Task { file_id, .. } => Some(file_id.as_str()),
                    Up::Message { .. } => None,
                };
                self.error(code, file_id);
            }
        }
    }

    /// Asks for an effect that no command waits for.
    pub(super) fn effect(&mut self, effect: Effect) {
        self.actions.push_back(Action::Do(effect));
    }

    /// Asks for an effect before which no other message is taken.
    pub(super) fn wait_for(&mut self, effect: Effect) {
        self.awaiting = Awaiting::Effect;
        self.effect(effect);
    }

    pub(super) fn error(&mut self, code: ErrorCode, file_id: Option<&str>) {
        let file_id = file_id.filter(|file_id| file_id.len() <= ECHO_BYTES);
        self.send(&Down::Error { code, file_id });
    }

    pub(super) fn send(&mut self, down: &Down<'_>) {
        self.actions.push_back(Action::Write(frame::text(&down.encode())));
    }

    fn close(&mut self, disconnect: Disconnect) {
        self.actions.push_back(Action::Close(disconnect));
    }
}

impl Session for Plain {
    fn receive(&mut self, message: Message, now: Instant) {
        self.heartbeat.heard(now);
        match message {
            Message::Text(text) => self.text(&text),
            Message::Binary(_) => self.close(Disconnect::UnsupportedData),
            Message::Pong => _ = self.heartbeat.pong(now),
            Message::Ping(_) | Message::Close(_) => {}
        }
    }

    fn complete(&mut self, completion: Completion, now: Instant) {
        match completion {
            Completion::Authenticated(result) => match std::mem::replace(&mut self.awaiting, Awaiting::Nothing) {
                Awaiting::Greeting => {
                    if let Ok(identity) = result {
                        self.identified(identity, now);
                    }
                }
                Awaiting::Token(up) => self.token_shown(*up, result, now),
                awaiting @ (Awaiting::Nothing | Awaiting::Effect) => self.awaiting = awaiting,
            },
            Completion::Subscribed { slot: LETTERS, .. } | Completion::Unsubscribed { .. } => {}
            Completion::Subscribed { slot, start } => {
                self.awaiting = Awaiting::Nothing;
                self.joined(slot, start);
            }
            Completion::Published(result) => {
                self.awaiting = Awaiting::Nothing;
                self.failed(result.err(), None);
            }
            Completion::Operated { task, outcome } => {
                self.awaiting = Awaiting::Nothing;
                self.failed(outcome.err(), Some(&task.id));
            }
            // Never asked for here.
            Completion::Granted(_)
            | Completion::Answered { .. }
            | Completion::History(_)
            | Completion::Presence(_)
            | Completion::PresenceCount(_) => {}
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        if delivery.slot == LETTERS {
            self.actions.push_back(Action::Write(delivery.frame.into_whole()));
        } else {
            self.deliver_value(delivery);
        }
    }

    fn overflow(&mut self, _slot: Slot) {
        // Only letters can overflow. They have no history, so there is nothing to recover, and the subscription stays.
    }

    fn leave(&mut self, within: Duration, now: Instant) {
        self.send(&Down::Reconnect {
            within_seconds: within.as_secs(),
        });
        self.leaves = Some(now + within);
    }

    fn tick(&mut self, now: Instant) {
        if self.leaves.is_some_and(|leaves| now >= leaves) {
            return self.close(Disconnect::GoingAway);
        }
        if self.ends.is_some_and(|ends| now >= ends) {
            let code = if self.principal.is_some() {
                ErrorCode::TokenExpired
            } else {
                ErrorCode::TokenMissing
            };
            self.error(code, None);
            return self.close(Disconnect::PolicyViolation);
        }
        match self.heartbeat.beat(now) {
            Beat::Rest => {}
            // Browsers answer these by themselves.
            Beat::Ping => self.actions.push_back(Action::Write(frame::build(Opcode::Ping, b""))),
            Beat::Dead => self.close(Disconnect::NoPong),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.ends, self.leaves, Some(self.heartbeat.next())]
            .into_iter()
            .flatten()
            .min()
    }

    fn is_receptive(&self) -> bool {
        matches!(self.awaiting, Awaiting::Nothing)
    }

    fn instruct(&mut self, _: Instruction, _: Instant) {
        // What an API may change is there in the Centrifuge protocol only.
    }

    fn farewell(&self, disconnect: &Disconnect) -> Bytes {
        let (code, reason) = disconnect.parts();
        frame::close(code, reason)
    }

    fn action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if self.actions.is_empty() {
            self.actions = VecDeque::new();
        }
        action
    }
}

impl Plain {
    fn failed(&mut self, failure: Option<Failure>, task: Option<&TaskId>) {
        if let Some(failure) = failure {
            let name = task.map(TaskId::to_string);
            self.error(failure.into(), name.as_deref());
        }
    }
}

#[cfg(test)]
mod tests;
