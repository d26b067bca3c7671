//! What is done with a channel beside receiving it: `publish`, `history`, `presence`, `presence_stats`.

use windlass_task::{Principal, Right};

use super::{Awaiting, Engine, error_of};
use crate::broker::{History, Outgoing, PresenceCount, Range, Retention};
use crate::centrifuge::codec::Codec;
use crate::centrifuge::command::{HistoryRequest, PublishRequest};
use crate::centrifuge::push;
use crate::centrifuge::reply::{HistoryResult, Outcome, PresenceResult, PresenceStatsResult};
use crate::channel::{ChannelKey, Kind};
use crate::client::ClientInfo;
use crate::codes::ErrorCode;
use crate::config::ChannelOptions;
use crate::payload::Payload;
use crate::position::names_epoch;
use crate::proxy::Kind as Asks;
use crate::session::{Effect, Failure};

/// Something that a client wants to publish.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) channel: ChannelKey,
    pub(super) outgoing: Box<Outgoing>,
    pub(super) retention: Retention,
}

impl Engine {
    pub(super) fn publish(&mut self, id: u32, request: PublishRequest) {
        let Some(kind) = self.classify(id, &request.channel) else {
            return;
        };
        match self.admit_publication(&kind, request) {
            Ok((publication, None)) => self.send_out(id, publication),
            Ok((publication, Some(proxy))) => self.ask_to_publish(id, publication, proxy.to_owned()),
            Err(error) => self.refuse(id, error),
        }
    }

    /// Publishes what may be published.
    pub(super) fn send_out(&mut self, id: u32, publication: Offered) {
        let Offered {
            channel,
            outgoing,
            retention,
        } = publication;
        self.awaiting = Some(Awaiting::Publish { id });
        self.effect(Effect::Publish {
            channel,
            outgoing,
            retention,
        });
    }

    /// What a client may publish; with the name of the proxy where a backend has the last word.
    fn admit_publication<'a>(
        &self,
        kind: &'a Kind,
        request: PublishRequest,
    ) -> Result<(Offered, Option<&'a str>), ErrorCode> {
        let principal = self.principal().ok_or(ErrorCode::Unauthorized)?;
        if request.r#type != 0 {
            return Err(ErrorCode::NotAvailable);
        }
        // Only the service says how far a task is.
        let Kind::Stream(options) = kind else {
            return Err(ErrorCode::PermissionDenied);
        };
        let subscription = self.subscriptions.named(&request.channel);
        let by_subscription = options.allow_publish_for_subscriber && subscription.is_some();
        let proxy = options.proxy(Asks::Publish);
        let allowed = principal.may(Right::Publish)
            && self.counts(options.allow_publish_for_anonymous)
            && (options.allow_publish_for_client || by_subscription);
        if proxy.is_none() && !allowed {
            return Err(ErrorCode::PermissionDenied);
        }
        let data = self.data_of(request.data).ok_or(ErrorCode::BadRequest)?;
        if !options.accepts(&data) {
            return Err(ErrorCode::BadRequest);
        }
        let mut info = self.info();
        info.chan_info = subscription.map_or_else(Payload::default, |subscription| subscription.info.clone());
        let publication = Offered {
            channel: ChannelKey::new(&principal.tenant, &request.channel),
            outgoing: Box::new(Outgoing {
                data,
                info: Some(info),
                delta: options.delta_publish,
                ..Outgoing::default()
            }),
            retention: options.retention(),
        };
        Ok((publication, proxy))
    }

    /// What a client publishes, as everybody can take it: a channel's data are JSON, whatever the publisher speaks.
    fn data_of(&self, data: Payload) -> Option<Payload> {
        match self.peer.dialect.codec {
            Codec::Json => (!data.is_empty()).then_some(data),
            Codec::Protobuf => data.as_json(),
        }
    }

    pub(super) fn history(&mut self, id: u32, request: HistoryRequest) {
        let Some(kind) = self.classify(id, &request.channel) else {
            return;
        };
        let subscribed = self.has(&request.channel);
        let admitted = self.admit_reading(&kind, &request.channel, |engine, options| {
            (!options.retention().is_none()).then(|| engine.may_read_history(options, subscribed))
        });
        match admitted {
            Ok(channel) => {
                let most = self.settings.publications_max;
                let limit = usize::try_from(request.limit).map_or(most, |limit| limit.min(most));
                let since = request.since.unwrap_or_default();
                let known = (since.offset > 0 || !since.epoch.is_empty()).then_some(since.offset);
                let range = Range {
                    since: known,
                    limit,
                    reverse: request.reverse,
                };
                self.awaiting = Some(Awaiting::History { id, epoch: since.epoch });
                self.effect(Effect::ReadHistory { channel, range });
            }
            Err(error) => self.refuse(id, error),
        }
    }

    pub(super) fn history_read(&mut self, id: u32, epoch: &str, result: Result<History, Failure>) {
        let history = match result {
            Ok(history) => history,
            Err(failure) => return self.refuse(id, error_of(failure)),
        };
        if !epoch.is_empty() && !names_epoch(epoch, history.top.epoch) {
            return self.refuse(id, ErrorCode::UnrecoverablePosition);
        }
        let mut bytes = 0;
        let fitting = history.publications.iter().take_while(|message| {
            bytes += message.data.len();
            bytes <= self.settings.reply_bytes_max
        });
        let publications = fitting.map(push::of_message).collect();
        let (epoch, offset) = (history.top.epoch.to_string(), history.top.offset);
        self.done(
            id,
            Outcome::History(HistoryResult {
                publications,
                epoch,
                offset,
            }),
        );
    }

    pub(super) fn presence(&mut self, id: u32, name: &str) {
        if let Some(channel) = self.admit_presence(id, name) {
            self.awaiting = Some(Awaiting::Presence { id });
            self.effect(Effect::ReadPresence { channel });
        }
    }

    pub(super) fn presence_read(&mut self, id: u32, result: Result<Vec<ClientInfo>, Failure>) {
        match result {
            Ok(present) => {
                let presence = present.into_iter().map(|info| (info.client.clone(), info)).collect();
                self.done(id, Outcome::Presence(PresenceResult { presence }));
            }
            Err(failure) => self.refuse(id, error_of(failure)),
        }
    }

    pub(super) fn presence_stats(&mut self, id: u32, name: &str) {
        if let Some(channel) = self.admit_presence(id, name) {
            self.awaiting = Some(Awaiting::PresenceStats { id });
            self.effect(Effect::CountPresence { channel });
        }
    }

    pub(super) fn presence_counted(&mut self, id: u32, result: Result<PresenceCount, Failure>) {
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        match result {
            Ok(PresenceCount { clients, users }) => {
                let stats = PresenceStatsResult {
                    num_clients: count(clients),
                    num_users: count(users),
                };
                self.done(id, Outcome::PresenceStats(stats));
            }
            Err(failure) => self.refuse(id, error_of(failure)),
        }
    }

    fn admit_presence(&mut self, id: u32, name: &str) -> Option<ChannelKey> {
        let kind = self.classify(id, name)?;
        let subscribed = self.has(name);
        let admitted = self.admit_reading(&kind, name, |engine, options| {
            options.presence.then(|| engine.may_read_presence(options, subscribed))
        });
        match admitted {
            Ok(channel) => Some(channel),
            Err(error) => {
                self.refuse(id, error);
                None
            }
        }
    }

    /// Whether something that is kept of a channel may be read; `reads` says so, and `None` where it is not kept.
    fn admit_reading(
        &self,
        kind: &Kind,
        name: &str,
        reads: impl FnOnce(&Self, &ChannelOptions) -> Option<bool>,
    ) -> Result<ChannelKey, ErrorCode> {
        let principal: &Principal = self.principal().ok_or(ErrorCode::Unauthorized)?;
        match kind {
            Kind::NoTask => Err(ErrorCode::UnknownChannel),
            Kind::Task(_) => Err(ErrorCode::NotAvailable),
            Kind::Stream(options) => match reads(self, options) {
                None => Err(ErrorCode::NotAvailable),
                Some(true) if principal.may(Right::Watch) => Ok(ChannelKey::new(&principal.tenant, name)),
                Some(_) => Err(ErrorCode::PermissionDenied),
            },
        }
    }

    pub(super) fn may_read_history(&self, options: &ChannelOptions, subscribed: bool) -> bool {
        self.counts(options.allow_history_for_anonymous)
            && (options.allow_history_for_client || (options.allow_history_for_subscriber && subscribed))
    }

    pub(super) fn may_read_presence(&self, options: &ChannelOptions, subscribed: bool) -> bool {
        self.counts(options.allow_presence_for_anonymous)
            && (options.allow_presence_for_client || (options.allow_presence_for_subscriber && subscribed))
    }

    fn has(&self, name: &str) -> bool {
        self.subscriptions.named(name).is_some()
    }
}
