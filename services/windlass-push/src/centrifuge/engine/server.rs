//! Subscriptions that the server makes: with the connection, or later by the API; and what else the API changes.

use std::time::Instant;

use super::connect::Connecting;
use super::subscribe::Beginning;
use super::subscriptions::Maker;
use super::terms::Terms;
use super::{Awaiting, Engine};
use crate::centrifuge::recovery::Known;
use crate::centrifuge::reply::{Outcome, Push, Reply};
use crate::channel::{self, Kind};
use crate::codes::{Disconnect, ErrorCode};
use crate::grant::ServerSubscription;
use crate::queue::Slot;
use crate::session::{Failure, Instruction, Start};

/// A subscription of the server's whose beginning is being read.
#[derive(Debug)]
pub(super) struct Making {
    slot: Slot,
    beginning: Beginning,
}

impl Engine {
    /// Makes the subscriptions that a connection has from the beginning; its reply waits for them.
    pub(super) fn make_first(&mut self, mut connecting: Connecting, wanted: Vec<ServerSubscription>, now: Instant) {
        let mut known = std::mem::take(&mut connecting.known);
        for subscription in wanted {
            let known = known.remove(&subscription.channel);
            match self.make(subscription, known, now) {
                Ok(Some(slot)) => connecting.waits.push(slot),
                // The token names it twice.
                Ok(None) => {}
                // As Centrifugo: coming back would bring the same, so the client is told not to.
                Err(ErrorCode::LimitExceeded) => return self.close(Disconnect::ChannelLimit),
                Err(error) => {
                    connecting.give_up(self);
                    return self.refuse(connecting.id, error);
                }
            }
        }
        self.awaiting = Some(Awaiting::First(Box::new(connecting)));
        self.answer_first();
    }

    fn make(
        &mut self,
        wanted: ServerSubscription,
        known: Option<Known>,
        now: Instant,
    ) -> Result<Option<Slot>, ErrorCode> {
        let ServerSubscription { channel, grant } = wanted;
        if self.subscriptions.named(&channel).is_some() {
            return Ok(None);
        }
        if self.subscriptions.len() >= self.settings.subscriptions_max {
            return Err(ErrorCode::LimitExceeded);
        }
        let options = match channel::classify(&channel, &self.settings.channels) {
            Ok(Kind::Stream(options)) => options,
            // Of a task its owner alone is told, and by its own request.
            Ok(Kind::Task(_) | Kind::NoTask) | Err(_) => return Err(ErrorCode::UnknownChannel),
        };
        let terms = Terms::of_server(&options, grant);
        let known = known.filter(|_| terms.recoverable);
        let source = self.source(&terms, known.as_ref().map(|known| known.offset));
        let slot = self.begin(&channel, Maker::Server, source, &terms, now);
        let slot = slot.ok_or(ErrorCode::Unauthorized)?;
        let beginning = Beginning { known, terms };
        self.making.push(Making { slot, beginning });
        Ok(Some(slot))
    }

    /// Whether the subscription `slot` is one that the server is making.
    pub(super) fn is_making(&self, slot: Slot) -> bool {
        self.making.iter().any(|making| making.slot == slot)
    }

    pub(super) fn made(&mut self, slot: Slot, start: Result<Start, Failure>) {
        let Some(place) = self.making.iter().position(|making| making.slot == slot) else {
            return;
        };
        let making = self.making.remove(place);
        let Ok(start) = start else {
            // The server said that the client has it, and cannot give it: the next connection may get it.
            return self.close(Disconnect::ServerError);
        };
        let (result, progress) = self.begun(making.beginning, start);
        let Some(channel) = self
            .subscriptions
            .get_mut(slot)
            .map(|subscription| subscription.channel.clone())
        else {
            // It was ended before it began.
            return self.answer_first();
        };
        if let Some(Awaiting::First(connecting)) = &mut self.awaiting
            && connecting.waits.contains(&slot)
        {
            connecting.waits.retain(|waiting| *waiting != slot);
            connecting.result.subs.insert(channel.name().to_owned(), result);
            connecting.ready.push((slot, progress));
            return self.answer_first();
        }
        self.send(Reply::Push(Push::Subscribe {
            channel: channel.name().to_owned(),
            subscribed: result.into(),
        }));
        self.go_live(slot, progress);
    }

    /// Sends the connection's reply once everything that it tells of is there.
    fn answer_first(&mut self) {
        match self.awaiting.take() {
            Some(Awaiting::First(connecting)) if connecting.waits.is_empty() => {
                self.done(connecting.id, Outcome::Connect(connecting.result));
                for (slot, progress) in connecting.ready {
                    self.go_live(slot, progress);
                }
            }
            awaiting => self.awaiting = awaiting,
        }
    }

    /// The service wants something changed.
    pub fn instruct(&mut self, instruction: Instruction, now: Instant) {
        if self.principal().is_none() {
            return;
        }
        match instruction {
            Instruction::Subscribe(wanted) => {
                match self.make(*wanted, None, now) {
                    Ok(_) => {}
                    Err(ErrorCode::LimitExceeded) => self.close(Disconnect::ChannelLimit),
                    // Nobody here can be told; whoever asked was told that it was passed on.
                    Err(_) => tracing::debug!("a subscription by the server could not be made"),
                }
            }
            Instruction::Unsubscribe { channel, code } => {
                let named = self.subscriptions.named(&channel);
                let Some((slot, starting)) = named.map(|found| (found.slot, found.is_starting())) else {
                    return;
                };
                if !starting {
                    self.end(slot, code);
                } else if let Some(subscription) = self.subscriptions.get_mut(slot) {
                    subscription.stopped = Some(code);
                }
            }
            Instruction::Refresh { expires_in } => {
                let ends = self.end_of_connection(expires_in, now);
                let (expires, ttl) = self.expiry_of_connection(expires_in);
                if let Some(connected) = self.connected_mut() {
                    connected.ends = ends;
                    self.send(Reply::Push(Push::Refresh { expires, ttl }));
                }
            }
        }
    }
}
