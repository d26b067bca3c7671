//! Where the effects of one connection's session are carried out.

mod ask;
mod identify;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::future::join_all;

use crate::api::{ChannelState, ConnectionInfo, ConnectionState};
use crate::broker::Attendance;
use crate::centrifuge::codec::Codec;
use crate::channel::ChannelKey;
use crate::client::ClientId;
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
    /// Whether it is in the channel's presence, or others are told that it comes and goes.
    attends: bool,
    /// Whether others need not be told that it went when it is soon back.
    may_return: bool,
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
        let comes_back = reason.asks_to_reconnect();
        // All at once: a broker that hangs is waited for once and not for each.
        let given_back = join_all(slots.into_iter().map(|slot| self.give_back(slot, comes_back)));
        let (ended, ()) = tokio::join!(given_back, self.forget_user());
        let ended = ended.into_iter().flatten().collect();
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
            attends: presence || announced,
            may_return: announced && !info.user.is_empty(),
        };
        self.lock().insert(slot, held);
        push.metrics().subscribed();
        if presence || announced {
            let attendance = Attendance {
                info,
                present: presence,
                announced,
            };
            if let Err(error) = push.broker().enter(&channel, self.client, attendance).await {
                self.unsubscribe(slot).await;
                return Err(error.into());
            }
        }
        Ok(start)
    }

    async fn unsubscribe(&self, slot: Slot) {
        if let Some(channel) = self.give_back(slot, false).await {
            let channel = channel.name().to_owned();
            Box::pin(self.tell(&Event::Unsubscribe { channel })).await;
        }
    }

    /// Ends a subscription; to what it was. Whose client comes back in a moment stays in the channel until then.
    async fn give_back(&self, slot: Slot, comes_back: bool) -> Option<ChannelKey> {
        let held = self.lock().remove(&slot)?;
        drop(held.subscription);
        let push = &self.push;
        push.metrics().unsubscribed();
        let grace = push.settings().leave_grace;
        let given_back = if !held.attends {
            Ok(())
        } else if comes_back && held.may_return && !grace.is_zero() {
            push.departures().hold(held.channel.clone(), self.client, grace);
            push.broker().lose(&held.channel, self.client).await
        } else {
            push.broker().leave(&held.channel, self.client).await
        };
        if given_back.is_err() {
            tracing::debug!(
                "a connection may be seen in a channel until the broker is back, or this node's lease has ended"
            );
        }
        Some(held.channel)
    }

    /// Takes the connection off the list of its user's.
    async fn forget_user(&self) {
        let Some(known) = self.known.get() else { return };
        let (broker, user) = (self.push.broker(), &known.user);
        if !user.name.is_empty() && broker.remove_user(&user.tenant, &user.name, self.client).await.is_err() {
            tracing::debug!("this node may be told what is for a user whose connection has ended");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BySlot<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
