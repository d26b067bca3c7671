//! The Centrifuge protocol for a connection's driver: the engine, its encoding, and the commands that wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::codec::{Commands, Malformed};
use super::dialect::Dialect;
use super::engine::{Engine, Output};
use super::peer::Peer;
use crate::codes::Disconnect;
use crate::config::Settings;
use crate::queue::{Delivery, Slot};
use crate::session::{Action, Completion, Instruction, Session};
use crate::socket::Message;

/// Replies are joined into frames of about this many bytes: a client sends its connect and all its subscribe commands
/// in one frame, and one frame back saves as many system calls.
const FRAME_BYTES: usize = 32 * 1024;

/// One connection of the Centrifuge protocol.
#[derive(Debug)]
pub struct Centrifuge {
    engine: Engine,
    dialect: Dialect,
    /// Commands of the last frame that were not taken yet. Another frame is received only when there is none.
    commands: Commands,
    /// An output that waits for the frame before it.
    next: Option<Box<Output>>,
    /// When it is closed because the server wants to be left: as soon as what the client has asked is answered, at
    /// the latest then. Nothing new is taken.
    leaves: Option<Instant>,
}

impl Centrifuge {
    /// A connection that was just opened.
    #[must_use]
    pub fn new(peer: Peer, settings: Arc<Settings>, now: Instant, jitter: f64) -> Self {
        let dialect = peer.dialect;
        let engine = Engine::new(peer, settings, now, jitter);
        Self {
            engine,
            dialect,
            commands: Commands::default(),
            next: None,
            leaves: None,
        }
    }

    fn take_output(&mut self) -> Option<Output> {
        self.next.take().map(|next| *next).or_else(|| self.engine.output())
    }

    /// Takes the commands that wait, up to one whose effect has to be waited for.
    fn advance(&mut self, now: Instant) {
        while !self.engine.is_busy() {
            match self.commands.take(self.dialect.codec) {
                Some(Ok(command)) => self.engine.command(command, now),
                Some(Err(Malformed)) => self.engine.garbage(),
                None => {
                    if self.leaves.is_some() {
                        self.engine.leave();
                    }
                    return;
                }
            }
        }
    }
}

impl Session for Centrifuge {
    fn receive(&mut self, message: Message, now: Instant) {
        self.engine.heard(now);
        match message {
            Message::Text(text) => self.commands = Commands::of(text.into_bytes()),
            // The encoding was agreed at the handshake; the kind of frame says nothing.
            Message::Binary(bytes) => self.commands = Commands::of(bytes),
            Message::Ping(_) | Message::Pong | Message::Close(_) => {}
        }
        self.advance(now);
    }

    fn complete(&mut self, completion: Completion, now: Instant) {
        self.engine.complete(completion, now);
        self.advance(now);
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.engine.deliver(delivery);
    }

    fn overflow(&mut self, slot: Slot) {
        self.engine.overflow(slot);
    }

    fn leave(&mut self, within: Duration, now: Instant) {
        self.leaves = Some(now + within);
        self.advance(now);
    }

    fn tick(&mut self, now: Instant) {
        if self.leaves.is_some_and(|leaves| now >= leaves) {
            self.engine.leave();
        }
        self.engine.tick(now);
    }

    fn deadline(&self) -> Option<Instant> {
        [self.engine.deadline(), self.leaves].into_iter().flatten().min()
    }

    fn is_receptive(&self) -> bool {
        self.commands.is_empty() && !self.engine.is_busy() && self.leaves.is_none()
    }

    fn instruct(&mut self, instruction: Instruction, now: Instant) {
        self.engine.instruct(instruction, now);
    }

    fn farewell(&self, disconnect: &Disconnect) -> Bytes {
        self.dialect.farewell(disconnect)
    }

    fn action(&mut self) -> Option<Action> {
        let mut replies = Vec::new();
        while replies.len() < FRAME_BYTES {
            match self.take_output() {
                Some(Output::Reply(reply)) => {
                    if self.dialect.codec.encode(&reply, &mut replies).is_err() {
                        // A payload of another encoding, which this one has no form for.
                        return Some(Action::Close(Disconnect::InappropriateProtocol));
                    }
                }
                None => break,
                Some(output) if replies.is_empty() => return action_of(output),
                Some(output) => {
                    self.next = Some(Box::new(output));
                    break;
                }
            }
        }
        (!replies.is_empty()).then(|| Action::Write(self.dialect.wrap(&replies)))
    }
}

fn action_of(output: Output) -> Option<Action> {
    match output {
        Output::Reply(_) => None,
        Output::Forward(frame) => Some(Action::Write(frame)),
        Output::Do(effect) => Some(Action::Do(effect)),
        Output::Note(note) => Some(Action::Note(note)),
        Output::Close(disconnect) => Some(Action::Close(disconnect)),
    }
}

#[cfg(test)]
mod tests {
    use windlass_task::Principal;

    use super::*;
    use crate::centrifuge::codec::Codec;
    use crate::client::{ClientId, Identity};
    use crate::config::Config;
    use crate::grant::Welcome;
    use crate::payload::Payload;

    #[test]
    fn what_has_no_form_in_the_clients_encoding_ends_the_connection() {
        let settings = Settings::validate(&Config::default(), true).unwrap();
        let peer = Peer::new(ClientId::random(), Dialect::websocket(Codec::Json));
        let now = Instant::now();
        let mut session = Centrifuge::new(peer, Arc::new(settings), now, 1.0);
        session.receive(Message::Text(r#"{"id":1,"connect":{}}"#.to_owned()), now);
        assert!(matches!(session.action(), Some(Action::Do(_))));
        let welcome = Welcome {
            data: Payload::from_bytes(&[0]),
            ..Welcome::default()
        };
        let identity = Identity {
            welcome,
            ..Identity::known(Principal::local(), None)
        };
        session.complete(Completion::Authenticated(Ok(identity)), now);
        assert_eq!(session.action(), Some(Action::Close(Disconnect::InappropriateProtocol)));
    }
}
