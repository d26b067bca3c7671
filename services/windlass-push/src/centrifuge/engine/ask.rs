//! What a backend is asked: by `rpc`, `publish` and `subscribe` for the client, and for the server when a connection or
//! a subscription is at its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channels::Offered;
use super::{Awaiting, Engine, State, expiry};
use crate::broker::Retention;
use crate::centrifuge::codec::Codec;
use crate::centrifuge::command::{RpcRequest, SubscribeRequest};
use crate::centrifuge::reply::{Outcome, RpcResult};
use crate::codes::{Denial, Disconnect, ErrorCode, Refusal, UnsubscribeCode};
use crate::config::ChannelOptions;
use crate::payload::Payload;
use crate::proxy::{About, Answer, Ask, DEFAULT, Edited, Kind, Prolonged, Question, RpcRoute};
use crate::queue::Slot;
use crate::session::Effect;

/// As Centrifugo: while the backend is away, what is at its end lives on and is asked about again. A second more often
/// would be a burst at a backend that is coming back.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The longest idempotency key, bytes, as in the API.
const KEY_BYTES_MAX: usize = 128;

/// A command that a backend has a say in.
#[derive(Debug)]
pub(super) enum Asked {
    Rpc {
        id: u32,
    },
    Publish {
        id: u32,
        publication: Offered,
    },
    Subscribe {
        id: u32,
        request: SubscribeRequest,
        options: Arc<ChannelOptions>,
    },
}

impl Engine {
    pub(super) fn rpc(&mut self, id: u32, request: RpcRequest) {
        let RpcRequest { method, data } = request;
        match self.settings.proxies.rpc(&method) {
            RpcRoute::Proxy(proxy) => {
                let proxy = proxy.to_owned();
                self.ask_for_command(Asked::Rpc { id }, proxy, Question::Rpc { method, data });
            }
            RpcRoute::Off => self.refuse(id, ErrorCode::NotAvailable),
            RpcRoute::Unknown => self.refuse(id, ErrorCode::MethodNotFound),
        }
    }

    pub(super) fn ask_to_publish(&mut self, id: u32, publication: Offered, proxy: String) {
        let question = Question::Publish {
            channel: publication.channel.name().to_owned(),
            data: publication.outgoing.data.clone(),
        };
        self.ask_for_command(Asked::Publish { id, publication }, proxy, question);
    }

    pub(super) fn ask_to_subscribe(
        &mut self,
        id: u32,
        request: SubscribeRequest,
        options: &Arc<ChannelOptions>,
        proxy: String,
    ) {
        let question = Question::Subscribe {
            channel: request.channel.clone(),
            data: request.data.clone(),
        };
        let options = Arc::clone(options);
        self.ask_for_command(Asked::Subscribe { id, request, options }, proxy, question);
    }

    fn ask_for_command(&mut self, asked: Asked, proxy: String, question: Question) {
        self.awaiting = Some(Awaiting::Asked(Box::new(asked)));
        self.ask(About::Command, proxy, question);
    }

    fn ask(&mut self, about: About, proxy: String, question: Question) {
        let State::Connected(connected) = &self.state else {
            return;
        };
        let meta = connected.meta.clone();
        let user = self.user().to_owned();
        self.effect(Effect::Ask(Box::new(Ask {
            about,
            proxy,
            user,
            meta,
            question,
        })));
    }

    pub(super) fn answered(&mut self, about: About, answer: Result<Answer, Denial>, now: Instant) {
        match about {
            About::Command => match self.awaiting.take() {
                Some(Awaiting::Asked(asked)) => {
                    // Nothing was read while the backend thought, so silence says nothing of the client.
                    self.heard(now);
                    self.go_on(*asked, answer, now);
                }
                awaiting => self.awaiting = awaiting,
            },
            About::Connection => self.connection_prolonged(answer, now),
            About::Subscription(slot) => self.subscription_prolonged(slot, answer, now),
        }
    }

    fn go_on(&mut self, asked: Asked, answer: Result<Answer, Denial>, now: Instant) {
        let id = match &asked {
            Asked::Rpc { id } | Asked::Publish { id, .. } | Asked::Subscribe { id, .. } => *id,
        };
        match (asked, answer) {
            (_, Err(denial)) => self.deny(id, denial),
            (Asked::Rpc { .. }, Ok(Answer::Rpc(data))) => self.returned(id, data),
            (Asked::Publish { publication, .. }, Ok(Answer::Publish(edited))) => {
                self.publish_edited(id, publication, *edited);
            }
            (Asked::Subscribe { request, options, .. }, Ok(Answer::Subscribe(grant))) => {
                self.subscribe_stream(id, &request, &options, *grant, now);
            }
            (asked, Ok(answer)) => {
                debug_assert!(false, "{answer:?} answers nothing: {asked:?}");
                self.refuse(id, ErrorCode::Internal);
            }
        }
    }

    fn returned(&mut self, id: u32, data: Payload) {
        let data = match self.peer.dialect.codec {
            Codec::Json if !data.is_empty() => data.as_json(),
            Codec::Json | Codec::Protobuf => Some(data),
        };
        match data {
            Some(data) => self.done(id, Outcome::Rpc(RpcResult { data })),
            // Bytes that have no form in what the client speaks.
            None => self.refuse(id, ErrorCode::Internal),
        }
    }

    fn publish_edited(&mut self, id: u32, publication: Offered, edited: Edited) {
        let Edited {
            data,
            tags,
            skip_history,
            idempotency_key,
            delta,
        } = edited;
        if idempotency_key.as_ref().is_some_and(|key| key.len() > KEY_BYTES_MAX) {
            return self.refuse(id, ErrorCode::Internal);
        }
        let Offered {
            channel,
            mut outgoing,
            mut retention,
        } = publication;
        if let Some(data) = data {
            outgoing.data = data;
        }
        if skip_history {
            retention = Retention::NONE;
        }
        outgoing.tags = tags;
        outgoing.delta |= delta;
        outgoing.idempotency_key = idempotency_key;
        self.send_out(
            id,
            Offered {
                channel,
                outgoing,
                retention,
            },
        );
    }

    /// Whether a backend is asked when connections are at their end; clients are told of none then.
    pub(super) fn refreshes_connections(&self) -> bool {
        self.settings.proxies.has(Kind::Refresh)
    }

    /// The same of the subscriptions to a channel.
    pub(super) fn refreshes_subscriptions(&self, channel: &str) -> bool {
        let options = self.settings.channels.options(channel);
        options.is_ok_and(|options| options.proxy(Kind::SubRefresh).is_some())
    }

    pub(super) fn end_of_connection(&self, expires_in: Option<Duration>, now: Instant) -> Option<Instant> {
        if self.refreshes_connections() {
            expires_in.and_then(|expires_in| now.checked_add(expires_in))
        } else {
            self.end_of(expires_in, now)
        }
    }

    /// What the client is told of it.
    pub(super) fn expiry_of_connection(&self, expires_in: Option<Duration>) -> (bool, u32) {
        expiry(expires_in.filter(|_| !self.refreshes_connections()))
    }

    /// The connection is at its end, unless a backend says otherwise.
    pub(super) fn connection_is_over(&mut self) {
        if !self.refreshes_connections() {
            return self.close(Disconnect::Expired);
        }
        if let Some(connected) = self.connected_mut() {
            connected.ends = None;
        }
        self.ask(About::Connection, DEFAULT.to_owned(), Question::Refresh);
    }

    fn connection_prolonged(&mut self, answer: Result<Answer, Denial>, now: Instant) {
        let Some(connected) = self.connected_mut() else {
            return;
        };
        match answer {
            Ok(Answer::Prolong(Prolonged::For {
                time: Some(time),
                info,
                meta,
            })) if !time.is_zero() => {
                connected.ends = now.checked_add(time);
                if let Some(info) = info {
                    connected.info = info;
                }
                if let Some(meta) = meta {
                    connected.meta = meta;
                }
            }
            Err(denial) if is_ours(&denial) => connected.ends = now.checked_add(ASK_AGAIN),
            // As Centrifugo: without a new end it is over.
            Ok(_) | Err(_) => self.close(Disconnect::Expired),
        }
    }

    /// A subscription is at its end, unless a backend says otherwise.
    pub(super) fn subscription_is_over(&mut self, slot: Slot) {
        let channels = &self.settings.channels;
        let Some(subscription) = self.subscriptions.get_mut(slot) else {
            return;
        };
        let options = channels.options(subscription.channel.name()).ok();
        let Some(proxy) = options.and_then(|options| options.proxy(Kind::SubRefresh)) else {
            return self.end(slot, UnsubscribeCode::Expired);
        };
        subscription.ends = None;
        let channel = subscription.channel.name().to_owned();
        let proxy = proxy.to_owned();
        self.ask(About::Subscription(slot), proxy, Question::SubRefresh { channel });
    }

    fn subscription_prolonged(&mut self, slot: Slot, answer: Result<Answer, Denial>, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(slot) else {
            return;
        };
        match answer {
            Ok(Answer::Prolong(Prolonged::For { time, info, .. })) if time.is_none_or(|time| !time.is_zero()) => {
                subscription.ends = time.and_then(|time| now.checked_add(time));
                if let Some(info) = info {
                    subscription.info = info;
                }
            }
            Err(denial) if is_ours(&denial) => subscription.ends = now.checked_add(ASK_AGAIN),
            Ok(_) | Err(_) => self.end(slot, UnsubscribeCode::Expired),
        }
    }
}

/// Whether it was not the backend that said no: it could not be asked.
fn is_ours(denial: &Denial) -> bool {
    matches!(denial, Denial::Refused(Refusal::Code(_)))
}
