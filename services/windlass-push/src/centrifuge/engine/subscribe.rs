//! Making and ending subscriptions.

use windlass_task::{Right, TaskKey};

use super::subscriptions::{Held, Progress};
use super::{Awaiting, Engine, Output, error_of};
use crate::broker::{History, Range};
use crate::centrifuge::command::SubscribeRequest;
use crate::centrifuge::push;
use crate::centrifuge::recovery::{Known, recover};
use crate::centrifuge::reply::{Outcome, Push, Reply, SubscribeResult};
use crate::channel::{ChannelKey, Kind};
use crate::codes::{Disconnect, ErrorCode, UnsubscribeCode};
use crate::position::names_epoch;
use crate::queue::Slot;
use crate::session::{Effect, Failure, Note, Source, Start, Subscribe, TaskValue};
use crate::variant::Variant;

/// A subscription whose beginning is being read.
#[derive(Debug)]
pub(super) struct Starting {
    pub(super) slot: Slot,
    id: u32,
    /// What the client has, if it was here before.
    known: Option<Known>,
    reject_unrecovered: bool,
}

impl Engine {
    pub(super) fn subscribe(&mut self, id: u32, request: SubscribeRequest) {
        let Some(kind) = self.classify(id, &request.channel) else {
            return;
        };
        match self.admit(&kind, &request) {
            Ok(effect) => {
                let slot = effect.slot;
                let known = request.recover.then_some(Known {
                    offset: request.offset,
                    epoch: request.epoch,
                });
                let reject_unrecovered = request.flag & SubscribeRequest::REJECT_UNRECOVERED != 0;
                self.awaiting = Some(Awaiting::Subscribe(Starting {
                    slot,
                    id,
                    known,
                    reject_unrecovered,
                }));
                self.effect(Effect::Subscribe(effect));
            }
            Err(error) => self.refuse(id, error),
        }
    }

    fn admit(&mut self, kind: &Kind, request: &SubscribeRequest) -> Result<Subscribe, ErrorCode> {
        if request.r#type != 0 || request.tf.is_some() {
            return Err(ErrorCode::NotAvailable);
        }
        if self.subscriptions.named(&request.channel).is_some() {
            return Err(ErrorCode::AlreadySubscribed);
        }
        if self.subscriptions.len() >= self.settings.subscriptions_max {
            return Err(ErrorCode::LimitExceeded);
        }
        let principal = self.principal().ok_or(ErrorCode::Unauthorized)?;
        if !principal.may(Right::Watch) {
            return Err(ErrorCode::PermissionDenied);
        }
        let options = &self.settings.channels;
        let (source, presence) = match kind {
            Kind::NoTask => return Err(ErrorCode::UnknownChannel),
            Kind::Task(task) => {
                let key = TaskKey {
                    tenant: principal.tenant.clone(),
                    id: task.clone(),
                };
                (
                    Source::Task {
                        key,
                        owner: principal.owner.clone(),
                    },
                    false,
                )
            }
            Kind::Stream if !options.allow_subscribe_for_client => return Err(ErrorCode::PermissionDenied),
            Kind::Stream if options.retention().is_none() => (Source::Nothing, options.presence),
            Kind::Stream => (Source::History(self.beginning(request)), options.presence),
        };
        let channel = ChannelKey::new(&principal.tenant, &request.channel);
        let presence = presence.then(|| self.info());
        let slot = self.subscriptions.start(channel.clone());
        Ok(Subscribe {
            slot,
            channel,
            variant: Variant::Centrifuge(self.peer.dialect),
            source,
            presence,
        })
    }

    /// The part of a history that a subscription needs: all that was missed, or only where the top is.
    fn beginning(&self, request: &SubscribeRequest) -> Range {
        if request.recover {
            Range {
                since: Some(request.offset),
                limit: self.settings.publications_max,
                reverse: false,
            }
        } else {
            Range {
                since: None,
                limit: 0,
                reverse: false,
            }
        }
    }

    pub(super) fn subscribed(&mut self, starting: Starting, start: Result<Start, Failure>) {
        let Starting {
            slot,
            id,
            known,
            reject_unrecovered,
        } = starting;
        let (result, progress) = match start {
            Ok(Start::Nothing) => (SubscribeResult::default(), Progress::Unpositioned),
            Ok(Start::Value(value)) => begin_with_value(known, &value),
            Ok(Start::History(history)) => {
                let begun = self.begin_with_history(known, history);
                if begun.0.was_recovering {
                    self.outputs.push_back(Output::Note(Note::Recovered(begun.0.recovered)));
                }
                if reject_unrecovered && begun.0.was_recovering && !begun.0.recovered {
                    self.subscriptions.remove(slot);
                    self.effect(Effect::Unsubscribe { slot });
                    return self.refuse(id, ErrorCode::UnrecoverablePosition);
                }
                begun
            }
            Err(failure) => {
                self.subscriptions.remove(slot);
                return self.refuse(id, error_of(failure));
            }
        };
        self.done(id, Outcome::Subscribe(result));
        self.go_live(slot, progress);
    }

    fn begin_with_history(&self, known: Option<Known>, history: History) -> (SubscribeResult, Progress) {
        let top = history.top;
        let was_recovering = known.is_some();
        let recovered = known.and_then(|known| {
            let missed = recover(&known, history, self.settings.reply_bytes_max)?;
            Some((known.offset, missed))
        });
        let (offset, publications, recovered) = match recovered {
            // The client goes on from where it was by the publications themselves.
            Some((offset, missed)) => (offset, missed.iter().map(push::of_message).collect(), true),
            None => (top.offset, Vec::new(), false),
        };
        let result = SubscribeResult {
            recoverable: true,
            positioned: true,
            epoch: top.epoch.to_string(),
            offset,
            publications,
            recovered,
            was_recovering,
            ..SubscribeResult::default()
        };
        (result, Progress::Stream(top))
    }

    /// The reply is out: what was held follows, as far as the reply does not contain it.
    fn go_live(&mut self, slot: Slot, progress: Progress) {
        let Some(subscription) = self.subscriptions.get_mut(slot) else {
            return;
        };
        let before = std::mem::replace(&mut subscription.progress, progress);
        let Progress::Starting(Held {
            deliveries, incomplete, ..
        }) = before
        else {
            return;
        };
        for delivery in deliveries {
            self.deliver(delivery);
        }
        if incomplete {
            self.end(slot, UnsubscribeCode::InsufficientState);
        }
    }

    pub(super) fn unsubscribe(&mut self, id: u32, name: &str) {
        if name.is_empty() {
            return self.close(Disconnect::BadRequest);
        }
        match self.subscriptions.named(name).map(|subscription| subscription.slot) {
            Some(slot) => {
                self.subscriptions.remove(slot);
                self.awaiting = Some(Awaiting::Unsubscribe { id, slot });
                self.effect(Effect::Unsubscribe { slot });
            }
            None => self.done(id, Outcome::Unsubscribe),
        }
    }

    /// Ends a subscription and tells the client why.
    pub(super) fn end(&mut self, slot: Slot, code: UnsubscribeCode) {
        if let Some(subscription) = self.subscriptions.remove(slot) {
            self.effect(Effect::Unsubscribe { slot });
            self.send(Reply::Push(Push::Unsubscribe {
                channel: subscription.channel.name().to_owned(),
                code,
            }));
        }
    }
}

/// A latest value is always there to be had: whoever subscribes gets it, as if it had recovered, unless it has
/// it already.
fn begin_with_value(known: Option<Known>, value: &TaskValue) -> (SubscribeResult, Progress) {
    let revision = value.update.revision;
    let has_it = known
        .as_ref()
        .is_some_and(|known| known.offset == revision && names_epoch(&known.epoch, value.epoch));
    let result = SubscribeResult {
        recoverable: true,
        positioned: false,
        epoch: value.epoch.to_string(),
        offset: known.map_or(0, |known| known.offset),
        publications: if has_it {
            Vec::new()
        } else {
            vec![push::of_task(&value.update)]
        },
        recovered: true,
        was_recovering: true,
        ..SubscribeResult::default()
    };
    (result, Progress::Latest(revision))
}
