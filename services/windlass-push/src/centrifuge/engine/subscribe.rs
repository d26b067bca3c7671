//! Making and ending subscriptions.

use std::sync::Arc;
use std::time::Instant;

use windlass_serve::auth::TokenError;
use windlass_task::{Right, TaskKey};

use super::subscriptions::{Deltas, Held, Maker, Progress};
use super::terms::{Reads, Terms};
use super::{Awaiting, Engine, Output, error_of, expiry};
use crate::broker::{History, Range};
use crate::centrifuge::command::SubscribeRequest;
use crate::centrifuge::recovery::{Known, recover, recover_latest};
use crate::centrifuge::reply::{Outcome, Publication, Push, Reply, SubscribeResult};
use crate::centrifuge::{delta, push};
use crate::channel::{ChannelKey, Kind};
use crate::codes::{Disconnect, ErrorCode, UnsubscribeCode};
use crate::config::ChannelOptions;
use crate::config::channels::{is_private, users};
use crate::grant::{Grant, SubscriptionToken};
use crate::position::names_epoch;
use crate::proxy::Kind as Asks;
use crate::publication::Message;
use crate::queue::Slot;
use crate::session::{Effect, Failure, Note, Source, Start, Subscribe, TaskValue};
use crate::variant::Variant;

/// A subscription whose beginning is being read.
#[derive(Debug)]
pub(super) struct Starting {
    pub(super) slot: Slot,
    id: u32,
    beginning: Beginning,
    reject_unrecovered: bool,
}

/// What a subscription begins with, as far as it is known before the history is read.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// What the client has, if it was here before.
    pub(super) known: Option<Known>,
    pub(super) terms: Terms,
}

/// By what a client may have a channel.
enum Admission<'a> {
    /// By the channel's options.
    Granted,
    /// By the word of a backend, through the proxy of this name.
    ByWord(&'a str),
}

impl Engine {
    pub(super) fn subscribe(&mut self, id: u32, request: SubscribeRequest, now: Instant) {
        let Some(kind) = self.classify(id, &request.channel) else {
            return;
        };
        if let Err(error) = self.admit(&request) {
            return self.refuse(id, error);
        }
        match kind {
            Kind::NoTask => self.refuse(id, ErrorCode::UnknownChannel),
            Kind::Task(_) if self.is_anonymous() => self.refuse(id, ErrorCode::PermissionDenied),
            Kind::Task(task) => {
                let Some(principal) = self.principal() else { return };
                let key = TaskKey {
                    tenant: principal.tenant.clone(),
                    id: task,
                };
                let owner = principal.owner.clone();
                let known = known_by(&request);
                self.start(id, &request, Source::Task { key, owner }, Terms::default(), known, now);
            }
            Kind::Stream(options) if !request.token.is_empty() && self.settings.verifies_tokens => {
                let token = request.token.clone();
                self.awaiting = Some(Awaiting::Grant {
                    id,
                    request: Box::new(request),
                    options,
                });
                self.effect(Effect::ReadGrant { token });
            }
            Kind::Stream(options) => match self.admit_without_token(&request.channel, &options) {
                Some(Admission::Granted) => self.subscribe_stream(id, &request, &options, Grant::default(), now),
                Some(Admission::ByWord(proxy)) => self.ask_to_subscribe(id, request, &options, proxy.to_owned()),
                None => self.refuse(id, ErrorCode::PermissionDenied),
            },
        }
    }

    /// What holds for every channel.
    fn admit(&self, request: &SubscribeRequest) -> Result<(), ErrorCode> {
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
        if principal.may(Right::Watch) {
            Ok(())
        } else {
            Err(ErrorCode::PermissionDenied)
        }
    }

    /// Whether a client may have a channel by what it is and by who the client is, or somebody else says.
    fn admit_without_token<'a>(&self, name: &str, options: &'a ChannelOptions) -> Option<Admission<'a>> {
        if is_private(name) {
            return None;
        }
        let limited = options.allow_user_limited_channels.then(|| users(name)).flatten();
        let allowed = match (limited, options.proxy(Asks::Subscribe)) {
            (Some(mut users), _) => !self.is_anonymous() && users.any(|user| user == self.user()),
            (None, Some(proxy)) => return Some(Admission::ByWord(proxy)),
            (None, None) => options.allow_subscribe_for_client && self.counts(options.allow_subscribe_for_anonymous),
        };
        allowed.then_some(Admission::Granted)
    }

    pub(super) fn granted(
        &mut self,
        id: u32,
        request: &SubscribeRequest,
        options: &Arc<ChannelOptions>,
        result: Result<Option<Box<SubscriptionToken>>, TokenError>,
        now: Instant,
    ) {
        match result {
            Ok(Some(token)) if self.is_for_this(&token, &request.channel) => {
                self.subscribe_stream(id, request, options, token.grant, now);
            }
            // Somebody else's token, or one for another channel: the application has mixed something up.
            Ok(_) => self.close(Disconnect::InvalidToken),
            Err(TokenError::Expired) => self.refuse(id, ErrorCode::TokenExpired),
            Err(TokenError::Missing | TokenError::Invalid(_)) => self.refuse(id, ErrorCode::PermissionDenied),
            Err(TokenError::Unverifiable) => self.refuse(id, ErrorCode::Internal),
        }
    }

    pub(super) fn is_for_this(&self, token: &SubscriptionToken, channel: &str) -> bool {
        let client = token.client.is_empty() || token.client == self.peer.client.to_string();
        token.channel == channel && token.user == self.user() && client
    }

    pub(super) fn subscribe_stream(
        &mut self,
        id: u32,
        request: &SubscribeRequest,
        options: &ChannelOptions,
        grant: Grant,
        now: Instant,
    ) {
        if grant.expires_in.is_some_and(|expires_in| expires_in.is_zero()) {
            return self.refuse(id, ErrorCode::Expired);
        }
        let reads = Reads {
            history: self.may_read_history(options, true),
            presence: self.may_read_presence(options, true),
        };
        let terms = Terms::of_client(options, grant, request, reads);
        let known = known_by(request).filter(|_| terms.recoverable);
        let source = self.source(&terms, known.as_ref().map(|known| known.offset));
        self.start(id, request, source, terms, known, now);
    }

    /// The part of a history that a subscription needs: what was missed, or only where the top is.
    pub(super) fn source(&self, terms: &Terms, missed_since: Option<u64>) -> Source {
        let range = |since, limit, reverse| Range { since, limit, reverse };
        match missed_since {
            _ if !terms.positioned => Source::Nothing,
            Some(_) if terms.recoverable && terms.cache => Source::History(range(None, 1, true)),
            Some(offset) if terms.recoverable => {
                Source::History(range(Some(offset), self.settings.publications_max, false))
            }
            Some(_) | None => Source::History(range(None, 0, false)),
        }
    }

    fn start(
        &mut self,
        id: u32,
        request: &SubscribeRequest,
        source: Source,
        terms: Terms,
        known: Option<Known>,
        now: Instant,
    ) {
        let Some(slot) = self.begin(&request.channel, Maker::Client, source, &terms, now) else {
            return;
        };
        self.awaiting = Some(Awaiting::Subscribe(Box::new(Starting {
            slot,
            id,
            beginning: Beginning { known, terms },
            reject_unrecovered: request.flag & SubscribeRequest::REJECT_UNRECOVERED != 0,
        })));
    }

    /// Asks for a subscription to be made; its reply is not out yet.
    pub(super) fn begin(
        &mut self,
        name: &str,
        maker: Maker,
        source: Source,
        terms: &Terms,
        now: Instant,
    ) -> Option<Slot> {
        let tenant = &self.principal()?.tenant;
        let channel = ChannelKey::new(tenant, name);
        let ends = if terms.refreshed_here {
            terms.expires_in.and_then(|expires_in| now.checked_add(expires_in))
        } else {
            self.end_of(terms.expires_in, now)
        };
        let slot = self
            .subscriptions
            .start(channel.clone(), maker, ends, terms.info.clone());
        let mut info = self.info();
        info.chan_info = terms.info.clone();
        self.effect(Effect::Subscribe(Box::new(Subscribe {
            slot,
            channel,
            variant: if terms.deltas {
                Variant::Deltas(self.peer.dialect)
            } else {
                Variant::Centrifuge(self.peer.dialect)
            },
            source,
            info,
            presence: terms.presence,
            announced: terms.announced,
            hears_others: terms.hears_others,
        })));
        Some(slot)
    }

    pub(super) fn subscribed(&mut self, starting: Starting, start: Result<Start, Failure>) {
        let Starting {
            slot,
            id,
            beginning,
            reject_unrecovered,
        } = starting;
        let (result, progress) = match start {
            Ok(start) => self.begun(beginning, start),
            Err(failure) => {
                self.subscriptions.remove(slot);
                return self.refuse(id, error_of(failure));
            }
        };
        if reject_unrecovered && result.was_recovering && !result.recovered {
            self.subscriptions.remove(slot);
            self.effect(Effect::Unsubscribe { slot });
            return self.refuse(id, ErrorCode::UnrecoverablePosition);
        }
        if let Some(subscription) = self.subscriptions.get_mut(slot) {
            subscription.deltas = Deltas::starting(&result);
        }
        self.done(id, Outcome::Subscribe(result));
        self.go_live(slot, progress);
    }

    /// What the client is told of a subscription's beginning, and where it is then.
    pub(super) fn begun(&mut self, beginning: Beginning, start: Start) -> (SubscribeResult, Progress) {
        let Beginning { known, terms } = beginning;
        match start {
            Start::Nothing => (described(&terms), Progress::Unpositioned),
            Start::Value(value) => begin_with_value(known, &value),
            Start::History(history) => {
                let begun = self.begin_with_history(known, &terms, history);
                if begun.0.was_recovering {
                    self.outputs.push_back(Output::Note(Note::Recovered(begun.0.recovered)));
                }
                begun
            }
        }
    }

    fn begin_with_history(&self, known: Option<Known>, terms: &Terms, history: History) -> (SubscribeResult, Progress) {
        let top = history.top;
        let was_recovering = known.is_some();
        let bytes_max = self.settings.reply_bytes_max;
        let recovered = known.and_then(|known| {
            let missed = if terms.cache {
                recover_latest(&known, history)
            } else {
                recover(&known, history, bytes_max)
            };
            Some((known.offset, missed?))
        });
        let (offset, publications, recovered) = match recovered {
            // The client goes on from where it was by the publications themselves.
            Some((offset, missed)) => (offset, self.shown(&missed, terms), true),
            None => (top.offset, Vec::new(), false),
        };
        let result = SubscribeResult {
            epoch: top.epoch.to_string(),
            offset,
            publications,
            recovered,
            was_recovering,
            ..described(terms)
        };
        (result, Progress::Stream(top))
    }

    /// What was missed. All of it goes out whole, whatever the terms: to make deltas for each of those who come back at
    /// once would cost more than it saves.
    fn shown(&self, missed: &[Message], terms: &Terms) -> Vec<Publication> {
        let codec = self.peer.dialect.codec;
        let shown = |message| {
            let shown = push::of_message(message);
            if terms.deltas {
                delta::whole(shown, codec)
            } else {
                shown
            }
        };
        missed.iter().map(shown).collect()
    }

    /// The reply is out: what was held follows, as far as the reply does not contain it.
    pub(super) fn go_live(&mut self, slot: Slot, progress: Progress) {
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
        let stopped = self
            .subscriptions
            .get_mut(slot)
            .and_then(|subscription| subscription.stopped);
        if let Some(code) = incomplete.then_some(UnsubscribeCode::InsufficientState).or(stopped) {
            self.end(slot, code);
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

    /// Ends a subscription and tells the client why. One that the server made cannot be made again by the client
    /// alone: it comes back with its next connection, which recovers.
    pub(super) fn end(&mut self, slot: Slot, code: UnsubscribeCode) {
        let Some(maker) = self.subscriptions.get_mut(slot).map(|subscription| subscription.maker) else {
            return;
        };
        match (maker, code) {
            (Maker::Server, UnsubscribeCode::InsufficientState) => return self.close(Disconnect::InsufficientState),
            (Maker::Server, UnsubscribeCode::Expired) => return self.close(Disconnect::SubscriptionExpired),
            _ => {}
        }
        if let Some(subscription) = self.subscriptions.remove(slot) {
            self.effect(Effect::Unsubscribe { slot });
            self.send(Reply::Push(Push::Unsubscribe {
                channel: subscription.channel.name().to_owned(),
                code,
            }));
        }
    }
}

/// What the client has, if it was here before.
fn known_by(request: &SubscribeRequest) -> Option<Known> {
    request.recover.then(|| Known {
        offset: request.offset,
        epoch: request.epoch.clone(),
    })
}

/// What is told of every subscription.
fn described(terms: &Terms) -> SubscribeResult {
    let (expires, ttl) = expiry(terms.expires_in.filter(|_| !terms.refreshed_here));
    SubscribeResult {
        expires,
        ttl,
        recoverable: terms.recoverable,
        positioned: terms.positioned,
        data: terms.data.clone(),
        delta: terms.deltas,
        ..SubscribeResult::default()
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
