//! One primary: its connections, and the slots that they are for.

use std::sync::Arc;

use redis::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::access::{Access, Way};
use crate::error::Error;
use crate::keeper::{Keeper, Making};
use crate::map::Map;
use crate::metrics::Metrics;
use crate::script::Call;
use crate::session::{ANSWER_WITHIN, Marker, Opening, Prepare, Session};
use crate::slot::{Slot, Slots};
use crate::strict::{STRICT_ANSWER_WITHIN, Strict};
use crate::subscriptions::Receiver;
use crate::view::Address;

/// How connections are made.
pub(crate) struct Plan {
    pub(crate) access: Access,
    pub(crate) prepare: Option<Arc<dyn Prepare>>,
    /// With strict writes: how many replicas must have one.
    pub(crate) replicas: Option<u32>,
    pub(crate) in_cluster: bool,
    pub(crate) metrics: Metrics,
}

/// A primary.
pub(crate) struct Node {
    pub(crate) address: Address,
    way: Way,
    in_cluster: bool,
    metrics: Metrics,
    slots: watch::Sender<Slots>,
    pub(crate) main: Keeper,
    pub(crate) strict: Option<Strict>,
}

impl Plan {
    /// The primary at an address, which is connected to from now on.
    pub(crate) fn node(&self, address: &Address, slots: Slots) -> Node {
        let way = self.access.to(address);
        let slots = watch::Sender::new(slots);
        let making = |answer_within, purpose| Making {
            opening: Opening {
                way: way.clone(),
                answer_within,
                in_cluster: self.in_cluster,
                metrics: self.metrics.clone(),
                receiver: None,
            },
            prepare: self.prepare.clone(),
            slots: slots.subscribe(),
            purpose,
        };
        let main = Keeper::start(making(ANSWER_WITHIN, "commands"));
        let strict = self
            .replicas
            .map(|replicas| Strict::start(making(STRICT_ANSWER_WITHIN, "strict_writes"), replicas));
        Node {
            address: address.clone(),
            way,
            in_cluster: self.in_cluster,
            metrics: self.metrics.clone(),
            slots,
            main,
            strict,
        }
    }
}

impl Node {
    /// Whether it has slots.
    pub(crate) fn has_slots(&self) -> bool {
        !self.slots.borrow().is_empty()
    }

    /// A connection for subscriptions.
    pub(crate) fn subscribing(&self, receiver: Arc<dyn Receiver>) -> Keeper {
        Keeper::start(Making {
            opening: Opening {
                way: self.way.clone(),
                answer_within: ANSWER_WITHIN,
                in_cluster: self.in_cluster,
                metrics: self.metrics.clone(),
                receiver: Some(receiver),
            },
            prepare: None,
            slots: self.slots.subscribe(),
            purpose: "subscriptions",
        })
    }

    /// Sends a call on one of its connections. Who asks is answered also for a slot that is on its way here.
    pub(crate) async fn send(&self, call: &Call, strict: bool, is_asking: bool) -> Result<Value, Error> {
        let asking = is_asking.then(|| call.asking());
        let call = asking.as_ref().unwrap_or(call);
        match (&self.strict, call.slot().filter(|_| !is_asking)) {
            (Some(strictly), _) if strict => strictly.write(call.clone()).await,
            (_, Some(slot)) => self.main.session_for(slot).await?.run(call).await,
            (_, None) => self.main.session().await?.run(call).await,
        }
    }

    /// Sends calls in one pipeline. Those whose slots its connection is not ready for are not sent.
    pub(crate) async fn send_all(&self, calls: &[Call]) -> Vec<Result<Value, Error>> {
        let fail = |error: Error| calls.iter().map(|_| Err(error.clone())).collect();
        let session = match self.main.session().await {
            Ok(session) => session,
            Err(error) => return fail(error),
        };
        for call in calls {
            if let Some(slot) = call.slot().filter(|slot| !session.has(*slot)) {
                // The first wait is for all of them: they become ready together.
                if let Err(error) = self.main.session_for(slot).await {
                    return fail(error);
                }
            }
        }
        session.run_all(calls).await.unwrap_or_else(fail)
    }

    /// It said that a slot is another's: should it have it again, it is prepared for it anew.
    pub(crate) fn disown(&self, slot: Slot) {
        for session in self.sessions() {
            session.disown(slot);
        }
    }

    /// From now on it has these slots; those that are new are prepared on its connections. `former` is the map before.
    pub(crate) async fn assign(&self, slots: &Slots, former: &Map, prepare: Option<&dyn Prepare>) {
        self.slots.send_if_modified(|present| {
            let is_new = *present != *slots;
            present.clone_from(slots);
            is_new
        });
        for session in self.sessions() {
            session.keep(slots);
            let gained = session.lacks(slots);
            // Slots may have been away and come back unseen, with a failure between.
            if gained.is_empty() || session.check().await.is_err() {
                continue;
            }
            for (giver, moved) in former.givers(&gained) {
                let marker = marker_of(giver.as_deref(), &session, former.read()).await;
                if let Err(error) = session.prepare(prepare, &moved, marker.as_ref()).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "slots could not be prepared");
                    session.leave();
                    break;
                }
            }
        }
    }

    fn sessions(&self) -> impl Iterator<Item = Session> {
        let strict = self.strict.as_ref().and_then(Strict::present);
        self.main.present().into_iter().chain(strict)
    }
}

/// The marker of who gave slots to a session's server, if neither can have forgotten anything: connections to both stood
/// before the map was read in which the giver has the slots, both servers are still in the life that they were in then,
/// and the giver is a primary. (Who lost its slots to a replica that was promoted is one no more.)
async fn marker_of(giver: Option<&Node>, taker: &Session, map_read: Instant) -> Option<Marker> {
    let giver = giver?.main.present()?;
    let stood = giver.made() < map_read && taker.made() < map_read;
    (stood && giver.check().await.is_ok()).then(|| giver.marker().clone())
}
