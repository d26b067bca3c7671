//! What is done with a channel beside receiving it: `publish`, `history`, `presence`, `presence_stats`.

use windlass_task::{Principal, Right};

use super::{Awaiting, Engine, error_of};
use crate::broker::{History, Outgoing, PresenceCount, Range};
use crate::centrifuge::codec::Codec;
use crate::centrifuge::command::{HistoryRequest, PublishRequest};
use crate::centrifuge::push;
use crate::centrifuge::reply::{HistoryResult, Outcome, PresenceResult, PresenceStatsResult};
use crate::channel::{ChannelKey, Kind};
use crate::client::ClientInfo;
use crate::codes::ErrorCode;
use crate::payload::Payload;
use crate::position::names_epoch;
use crate::session::{Effect, Failure};

impl Engine {
    pub(super) fn publish(&mut self, id: u32, request: PublishRequest) {
        let Some(kind) = self.classify(id, &request.channel) else {
            return;
        };
        match self.admit_publication(&kind, request) {
            Ok(effect) => {
                self.awaiting = Some(Awaiting::Publish { id });
                self.effect(effect);
            }
            Err(error) => self.refuse(id, error),
        }
    }

    fn admit_publication(&self, kind: &Kind, request: PublishRequest) -> Result<Effect, ErrorCode> {
        let principal = self.principal().ok_or(ErrorCode::Unauthorized)?;
        if request.r#type != 0 {
            return Err(ErrorCode::NotAvailable);
        }
        let options = &self.settings.channels;
        let allowed = match kind {
            // Only the service says how far a task is.
            Kind::Task(_) | Kind::NoTask => false,
            Kind::Stream => {
                let by_subscription = options.allow_publish_for_subscriber && self.has(&request.channel);
                principal.may(Right::Publish) && (options.allow_publish_for_client || by_subscription)
            }
        };
        if !allowed {
            return Err(ErrorCode::PermissionDenied);
        }
        let data = self.data_of(request.data).ok_or(ErrorCode::BadRequest)?;
        Ok(Effect::Publish {
            channel: ChannelKey::new(&principal.tenant, &request.channel),
            outgoing: Outgoing {
                data,
                info: Some(self.info()),
            },
            retention: options.retention(),
        })
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
        let options = &self.settings.channels;
        let on = !options.retention().is_none();
        let (client, subscriber) = (options.allow_history_for_client, options.allow_history_for_subscriber);
        match self.admit_reading(&kind, &request.channel, on, client, subscriber) {
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
        let options = &self.settings.channels;
        let (client, subscriber) = (options.allow_presence_for_client, options.allow_presence_for_subscriber);
        match self.admit_reading(&kind, name, options.presence, client, subscriber) {
            Ok(channel) => Some(channel),
            Err(error) => {
                self.refuse(id, error);
                None
            }
        }
    }

    /// Whether something that is kept of a channel may be read: it is kept at all (`on`), and everybody (`client`) or
    /// a subscriber may read it.
    fn admit_reading(
        &self,
        kind: &Kind,
        name: &str,
        on: bool,
        client: bool,
        subscriber: bool,
    ) -> Result<ChannelKey, ErrorCode> {
        let principal: &Principal = self.principal().ok_or(ErrorCode::Unauthorized)?;
        match kind {
            Kind::NoTask => Err(ErrorCode::UnknownChannel),
            Kind::Task(_) => Err(ErrorCode::NotAvailable),
            Kind::Stream if !on => Err(ErrorCode::NotAvailable),
            Kind::Stream if !principal.may(Right::Watch) => Err(ErrorCode::PermissionDenied),
            Kind::Stream if client || (subscriber && self.has(name)) => Ok(ChannelKey::new(&principal.tenant, name)),
            Kind::Stream => Err(ErrorCode::PermissionDenied),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.subscriptions.named(name).is_some()
    }
}
