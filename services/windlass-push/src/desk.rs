//! Where the effects of one connection's session are carried out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windlass_serve::auth::{TokenError, Verified};
use windlass_task::UnixMillis;

use crate::channel::ChannelKey;
use crate::client::{ClientId, Identity};
use crate::few::BySlot;
use crate::hub;
use crate::outbox::Outbox;
use crate::push::Push;
use crate::queue::Slot;
use crate::session::{Completion, Effect, Failure, Source, Start, Subscribe};

/// One connection's effects, and what they hold: its subscriptions and its presence.
#[derive(Debug)]
pub(crate) struct Desk {
    push: Arc<Push>,
    outbox: Arc<Outbox>,
    client: ClientId,
    /// Who the connection is by the request that opened it, if that showed a token.
    shown: Option<Verified>,
    held: Mutex<BySlot<Held>>,
}

#[derive(Debug)]
struct Held {
    subscription: hub::Subscription,
    /// The channel in whose presence the connection is.
    present: Option<ChannelKey>,
}

impl Desk {
    pub(crate) fn new(push: Arc<Push>, outbox: Arc<Outbox>, client: ClientId, shown: Option<Verified>) -> Arc<Self> {
        Arc::new(Self {
            push,
            outbox,
            client,
            shown,
            held: Mutex::default(),
        })
    }

    /// Carries out one effect.
    pub(crate) async fn perform(self: Arc<Self>, effect: Effect) -> Completion {
        let broker = self.push.broker();
        match effect {
            Effect::Authenticate { token } => Completion::Authenticated(self.authenticate(&token).await),
            Effect::Subscribe(subscribe) => {
                let slot = subscribe.slot;
                Completion::Subscribed {
                    slot,
                    start: self.subscribe(subscribe).await,
                }
            }
            Effect::Unsubscribe { slot } => {
                self.unsubscribe(slot).await;
                Completion::Unsubscribed { slot }
            }
            Effect::Publish {
                channel,
                outgoing,
                retention,
            } => Completion::Published(
                broker
                    .publish(&channel, outgoing, retention)
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

    /// Gives everything back: the connection is gone.
    pub(crate) async fn close(&self) {
        let slots: Vec<Slot> = self.lock().keys().copied().collect();
        for slot in slots {
            self.unsubscribe(slot).await;
        }
    }

    async fn authenticate(&self, token: &str) -> Result<Identity, TokenError> {
        let authenticator = self.push.authenticator();
        let verified = match &self.shown {
            Some(shown) if token.is_empty() => shown.clone(),
            None if token.is_empty() && authenticator.demands_token() => return Err(TokenError::Missing),
            Some(_) | None => authenticator.verify_fresh(token).await?,
        };
        let expires_in = verified.expires.map(|expires| expires.since(UnixMillis::now()));
        Ok(Identity {
            principal: verified.principal,
            expires_in,
        })
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Start, Failure> {
        let Subscribe {
            slot,
            channel,
            variant,
            source,
            presence,
        } = subscribe;
        let push = &self.push;
        // In the hub first and read afterwards: what is published between the two comes twice, and the session drops
        // the repetition; the other way round it would be lost.
        let subscription = push
            .interest()
            .join(push.broker(), &channel, || {
                push.hub().subscribe(&channel, &self.outbox, slot, variant)
            })
            .await?;
        let start = match source {
            Source::Task { key, owner } => Start::Value(Box::new(push.view()?.value(&key, &owner).await?)),
            Source::History(range) => Start::History(push.broker().history(&channel, range).await?),
            Source::Nothing => Start::Nothing,
        };
        // Held before the presence is told, so that it is taken back whatever becomes of telling it.
        let present = presence.is_some().then(|| channel.clone());
        self.lock().insert(slot, Held { subscription, present });
        push.metrics().subscribed();
        if let Some(info) = presence
            && let Err(error) = push.broker().add_presence(&channel, self.client, info).await
        {
            self.unsubscribe(slot).await;
            return Err(error.into());
        }
        Ok(start)
    }

    async fn unsubscribe(&self, slot: Slot) {
        let Some(Held { subscription, present }) = self.lock().remove(&slot) else {
            return;
        };
        drop(subscription);
        self.push.metrics().unsubscribed();
        if let Some(channel) = present
            && self.push.broker().remove_presence(&channel, self.client).await.is_err()
        {
            tracing::debug!("presence could not be removed, it ends with the node's lease");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BySlot<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
