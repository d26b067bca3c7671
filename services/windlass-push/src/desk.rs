//! Where the effects of one connection's session are carried out.

mod ask;
mod identify;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::future::join_all;

use crate::api::{ChannelState, ConnectionInfo, ConnectionState};
use crate::broker::{self, Announcement};
use crate::centrifuge::codec::Codec;
use crate::channel::ChannelKey;
use crate::client::{ClientId, ClientInfo};
use crate::codes::Disconnect;
use crate::few::BySlot;
use crate::hub;
use crate::metrics::Transport;
use crate::outbox::Outbox;
use crate::proxy::Event;
use crate::push::Push;
use crate::queue::{Order, Slot};
use crate::session::{Completion, Effect, Failure, Source, Start, Subscribe};
use identify::Known;

pub(crate) use identify::Shown;

/// One connection's effects, and what they hold: its subscriptions and its presence.
#[derive(Debug)]
pub(crate) struct Desk {
    push: Arc<Push>,
    outbox: Arc<Outbox>,
    client: ClientId,
    /// What the request showed that opened the connection.
    shown: Shown,
    held: Mutex<BySlot<Held>>,
    /// How the client is connected, as the API tells it.
    transport: Transport,
    codec: Codec,
    known: OnceLock<Box<Known>>,
}

#[derive(Debug)]
struct Held {
    subscription: hub::Subscription,
    channel: ChannelKey,
    /// Whether it is in the channel's presence.
    present: bool,
    /// As whom others are told that it goes, if they are.
    announced: Option<Box<ClientInfo>>,
}

impl Desk {
    pub(crate) fn new(
        push: Arc<Push>,
        outbox: Arc<Outbox>,
        client: ClientId,
        shown: Shown,
        transport: Transport,
        codec: Codec,
    ) -> Arc<Self> {
        Arc::new(Self {
            push,
            outbox,
            client,
            shown,
            held: Mutex::default(),
            transport,
            codec,
            known: OnceLock::new(),
        })
    }

    pub(crate) fn client(&self) -> ClientId {
        self.client
    }

    /// Gives the connection an order.
    pub(crate) fn order(&self, order: Order) {
        self.outbox.order(order);
    }

    /// The connection as the API tells of it.
    pub(crate) fn describe(&self) -> ConnectionInfo {
        let known = self.known.get();
        let of = |text: fn(&Known) -> &String| known.map_or_else(String::new, |known| text(known).clone());
        let held = self.lock();
        let channels = held.values().map(|held| held.channel.name());
        ConnectionInfo {
            app_name: of(|known| &known.name),
            app_version: of(|known| &known.version),
            transport: self.transport.name().to_owned(),
            protocol: self.codec.name().to_owned(),
            user: of(|known| &known.user.name),
            state: ConnectionState {
                channels: channels.map(|name| (name.to_owned(), ChannelState {})).collect(),
            },
            connected_at_ms: known.map_or(0, |known| known.since.0),
        }
    }

    /// How many subscriptions the connection has.
    pub(crate) fn subscriptions(&self) -> usize {
        self.lock().len()
    }

    /// Carries out one effect.
    pub(crate) async fn perform(self: Arc<Self>, effect: Effect) -> Completion {
        let broker = self.push.broker();
        match effect {
            Effect::Authenticate(credentials) => Completion::Authenticated(self.identify(*credentials).await),
            Effect::ReadGrant { token } => Completion::Granted(self.read_grant(&token).await),
            Effect::Subscribe(subscribe) => {
                let slot = subscribe.slot;
                Completion::Subscribed {
                    slot,
                    start: self.subscribe(*subscribe).await,
                }
            }
            Effect::Unsubscribe { slot } => {
                self.unsubscribe(slot).await;
                Completion::Unsubscribed { slot }
            }
            Effect::Ask(ask) => Completion::Answered {
                about: ask.about,
                answer: Box::pin(self.ask(&ask)).await,
            },
            Effect::Publish {
                channel,
                outgoing,
                retention,
            } => Completion::Published(
                broker
                    .publish(&channel, *outgoing, retention)
                    .await
                    .map_err(Failure::from),
            ),
            Effect::ReadHistory { channel, range } => {
                Completion::History(broker.history(&channel, range).await.map_err(Failure::from))
            }
            Effect::ReadPresence { channel } => {
                Completion::Presence(broker.presence(&channel).await.map_err(Failure::from))
            }
            Effect::CountPresence { channel } => {
                Completion::PresenceCount(broker.count_presence(&channel).await.map_err(Failure::from))
            }
            Effect::Operate { task, owner, operation } => {
                let outcome = match self.push.view() {
                    Ok(view) => view.operate(&task, &owner, operation).await.map(Box::new),
                    Err(failure) => Err(failure),
                };
                Completion::Operated { task, outcome }
            }
        }
    }

    /// Gives everything back: the connection is gone, for this reason. Backends that want to know are told, first of
    /// its subscriptions and then of itself, which takes at most as long as two calls.
    pub(crate) async fn close(&self, reason: &Disconnect) {
        if let Some(known) = self.known.get() {
            self.push.clients().remove(&known.user, self.client);
        }
        let slots: Vec<Slot> = self.lock().keys().copied().collect();
        // All at once: a broker that hangs is waited for once and not for each.
        let given_back = slots.into_iter().map(|slot| self.give_back(slot));
        let ended = join_all(given_back).await.into_iter().flatten().collect();
        Box::pin(self.tell_of_ends(ended, reason)).await;
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Start, Failure> {
        let Subscribe {
            slot,
            channel,
            variant,
            source,
            info,
            presence,
            announced,
            hears_others,
        } = subscribe;
        let wanted = hub::Wanted {
            slot,
            variant,
            hears_others,
        };
        let push = &self.push;
        // In the hub first and read afterwards: what is published between the two comes twice, and the session drops
        // the repetition; the other way round it would be lost.
        let subscription = push
            .interest()
            .join(push.bringer(), &channel, || {
                push.hub().subscribe(&channel, &self.outbox, wanted)
            })
            .await?;
        let start = match source {
            Source::Task { key, owner } => Start::Value(Box::new(push.view()?.value(&key, &owner).await?)),
            Source::History(range) => Start::History(push.broker().history(&channel, range).await?),
            Source::Nothing => Start::Nothing,
        };
        // Held before others are told, so that it is taken back whatever becomes of telling them.
        let held = Held {
            subscription,
            channel: channel.clone(),
            present: presence,
            announced: announced.then(|| Box::new(info.clone())),
        };
        self.lock().insert(slot, held);
        push.metrics().subscribed();
        if let Err(error) = self.appear(&channel, info, presence, announced).await {
            self.unsubscribe(slot).await;
            return Err(error.into());
        }
        Ok(start)
    }

    /// Tells others that the connection is in a channel.
    async fn appear(
        &self,
        channel: &ChannelKey,
        info: ClientInfo,
        presence: bool,
        announced: bool,
    ) -> Result<(), broker::Error> {
        let broker = self.push.broker();
        if presence {
            broker.add_presence(channel, self.client, info.clone()).await?;
        }
        if announced {
            broker.announce(channel, Announcement::Joined(info)).await?;
        }
        Ok(())
    }

    async fn unsubscribe(&self, slot: Slot) {
        if let Some(channel) = self.give_back(slot).await {
            let channel = channel.name().to_owned();
            Box::pin(self.tell(&Event::Unsubscribe { channel })).await;
        }
    }

    /// Ends a subscription; to what it was.
    async fn give_back(&self, slot: Slot) -> Option<ChannelKey> {
        let held = self.lock().remove(&slot)?;
        drop(held.subscription);
        self.push.metrics().unsubscribed();
        let broker = self.push.broker();
        if held.present && broker.remove_presence(&held.channel, self.client).await.is_err() {
            tracing::debug!("presence could not be removed, it ends with the node's lease");
        }
        if let Some(info) = held.announced
            && broker.announce(&held.channel, Announcement::Left(*info)).await.is_err()
        {
            tracing::debug!("nobody could be told that a client has left a channel");
        }
        Some(held.channel)
    }

    fn lock(&self) -> MutexGuard<'_, BySlot<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
