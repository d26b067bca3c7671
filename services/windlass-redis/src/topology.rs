//! The servers and which has which slots: one that has all, or the primaries of a cluster as they come and go.
//!
//! The map is read anew when a server says that it is out of date, when a server is away, and now and then. A slot that
//! comes to a server is prepared on its connections before it is used there, as on a new connection, for a server that
//! took it over after a failure may have forgotten something. One that was moved there while both servers lived forgot
//! nothing, and whoever prepares it is told so ([`Session::former`]).

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use redis::Value;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::access::Access;
use crate::error::Error;
use crate::keeper::REACH_WITHIN;
use crate::map::Map;
use crate::metrics::Metrics;
use crate::node::{Node, Plan};
use crate::script::Call;
use crate::session::{Prepare, Session};
use crate::settings::{Durability, Settings};
use crate::slot::{Slot, Slots};
use crate::view::{Address, View};

/// How often the map of a cluster is read without a reason: a server without slots that joined is known by then, so that
/// slots can be moved to it under a connection that stands.
const READ_EVERY: Duration = Duration::from_secs(10);
/// The least wait between two readings: a server that is asked for the map for every command that it sends away would do
/// nothing else.
const READ_AT_MOST_EVERY: Duration = Duration::from_millis(20);
/// The wait between two readings while no server has answered yet, or connections were made since the last one.
const SEARCH_EVERY: Duration = Duration::from_millis(200);
/// How long a reading may take: a server that does not answer by then is not waited for.
const READ_WITHIN: Duration = Duration::from_secs(2);

pub(crate) struct Topology {
    plan: Plan,
    map: watch::Sender<Arc<Map>>,
    /// Who should be asked first.
    hint: Mutex<Option<Address>>,
    /// Asks for a reading.
    hurry: Arc<Notify>,
    /// Counts the readings that ended.
    readings: watch::Sender<u64>,
    reading: OnceLock<JoinHandle<()>>,
}

impl Topology {
    pub(crate) fn start(access: Access, settings: &Settings, prepare: Option<Arc<dyn Prepare>>) -> Arc<Self> {
        let plan = Plan {
            access,
            prepare,
            replicas: match settings.durability {
                Durability::Available => None,
                Durability::Strict => Some(settings.replicas),
            },
            in_cluster: settings.cluster,
            metrics: Metrics::default(),
        };
        let mut map = Map::empty();
        if !plan.in_cluster {
            let only = plan.access.seeds.first();
            let only = only.map(|address| (Arc::new(plan.node(address, Slots::all())), Slots::all()));
            map = map.next(0, Instant::now(), only.into_iter().collect());
        }
        let topology = Arc::new(Self {
            plan,
            map: watch::Sender::new(Arc::new(map)),
            hint: Mutex::default(),
            hurry: Arc::default(),
            readings: watch::Sender::new(0),
            reading: OnceLock::new(),
        });
        if topology.plan.in_cluster {
            let reading = keep_reading(Arc::downgrade(&topology), Arc::clone(&topology.hurry));
            topology.reading.get_or_init(|| tokio::spawn(reading));
        }
        topology
    }

    pub(crate) fn in_cluster(&self) -> bool {
        self.plan.in_cluster
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.plan.metrics
    }

    pub(crate) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.borrow())
    }

    pub(crate) fn maps(&self) -> watch::Receiver<Arc<Map>> {
        self.map.subscribe()
    }

    /// The primary that has a slot, or any for what needs none.
    pub(crate) async fn node(&self, slot: Option<Slot>) -> Result<Arc<Node>, Error> {
        let found = |map: &Map| match slot {
            Some(slot) => map.owner(slot),
            None => map.any(),
        };
        if let Some(node) = found(&self.map()) {
            return Ok(node);
        }
        self.hurry(None);
        let mut maps = self.map.subscribe();
        let map = tokio::time::timeout(REACH_WITHIN, maps.wait_for(|map| found(map).is_some())).await;
        match map {
            Ok(Ok(map)) => found(&map).ok_or(Error::Reach),
            Ok(Err(_)) | Err(_) => Err(Error::Reach),
        }
    }

    /// Asks for a reading soon, first from the server at `hint`.
    pub(crate) fn hurry(&self, hint: Option<Address>) {
        if self.plan.in_cluster {
            if hint.is_some() {
                *self.hint.lock().unwrap_or_else(PoisonError::into_inner) = hint;
            }
            self.hurry.notify_one();
        }
    }

    /// Asks for a reading and waits until one ended.
    pub(crate) async fn renew(&self, hint: Option<Address>) {
        let mut readings = self.readings.subscribe();
        let before = *readings.borrow_and_update();
        self.hurry(hint);
        let _ = tokio::time::timeout(READ_WITHIN, readings.wait_for(|count| *count > before)).await;
    }

    /// Reads the map from who is hinted at, or whoever answers first. A server that is behind, or cut off from the others,
    /// is not believed.
    async fn read(&self) -> Option<(View, Instant)> {
        let (known, began) = (self.map(), Instant::now());
        let is_believed = |view: &View| view.is_whole && view.epoch >= known.epoch();
        let hint = self.hint.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(address) = hint
            && let Some(view) = ask(self.plan.access.clone(), known.session_at(&address), address).await
            && is_believed(&view)
        {
            return Some((view, began));
        }
        let mut addresses: Vec<Address> = known.nodes().iter().map(|node| node.address.clone()).collect();
        for seed in &self.plan.access.seeds {
            if !addresses.contains(seed) {
                addresses.push(seed.clone());
            }
        }
        let mut asking = JoinSet::new();
        for address in addresses {
            asking.spawn(ask(self.plan.access.clone(), known.session_at(&address), address));
        }
        while let Some(view) = asking.join_next().await {
            if let Ok(Some(view)) = view
                && is_believed(&view)
            {
                return Some((view, began));
            }
        }
        None
    }

    /// Makes what was read the map, after the slots that came to servers were prepared there.
    async fn adopt(&self, view: View, read: Instant) {
        let former = self.map();
        let mut primaries = Vec::with_capacity(view.primaries.len());
        for (address, slots) in view.primaries {
            let node = match former.at(&address) {
                Some(node) => {
                    node.assign(&slots, &former, self.plan.prepare.as_deref()).await;
                    Arc::clone(node)
                }
                None => {
                    tracing::info!(%address, slots = slots.len(), "a primary of redis that was not known");
                    Arc::new(self.plan.node(&address, slots.clone()))
                }
            };
            primaries.push((node, slots));
        }
        self.map
            .send_replace(Arc::new(former.next(view.epoch, read, primaries)));
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        if let Some(reading) = self.reading.get() {
            reading.abort();
        }
    }
}

impl std::fmt::Debug for Topology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topology").finish_non_exhaustive()
    }
}

async fn keep_reading(topology: Weak<Topology>, hurry: Arc<Notify>) {
    loop {
        let Some(present) = topology.upgrade() else { return };
        if let Some((view, read)) = present.read().await {
            present.adopt(view, read).await;
        }
        present.readings.send_modify(|count| *count += 1);
        let is_settled = present.map().is_settled();
        drop(present);
        tokio::time::sleep(READ_AT_MOST_EVERY).await;
        let wait = if is_settled { READ_EVERY } else { SEARCH_EVERY };
        let _ = tokio::time::timeout(wait, hurry.notified()).await;
    }
}

/// Asks a server for the map, on the connection that there is or on one for this question.
async fn ask(access: Access, session: Option<Session>, address: Address) -> Option<View> {
    let asked = tokio::time::timeout(READ_WITHIN, ask_patiently(&access, session, &address)).await;
    let error = match asked {
        Ok(Ok(view)) => return Some(view),
        Ok(Err(error)) => error,
        Err(_) => Error::Reach,
    };
    tracing::debug!(error = &error as &dyn std::error::Error, %address, "a server did not tell the map");
    None
}

async fn ask_patiently(access: &Access, session: Option<Session>, address: &Address) -> Result<View, Error> {
    let command = |word: &str| redis::cmd("CLUSTER").arg(word).take();
    let (info, shards) = match session {
        Some(session) => {
            let calls: [Call; 2] = [command("INFO").into(), command("SHARDS").into()];
            let mut answers = session.run_all(&calls).await?.into_iter();
            let mut next = || answers.next().unwrap_or(Err(Error::Read));
            (next()?, next()?)
        }
        None => {
            let client = access.to(address).client().await.map_err(Error::Connect)?;
            let connection = client
                .get_multiplexed_async_connection()
                .await
                .map_err(Error::Connect)?;
            let ask = async |word| {
                let answer = connection.clone().send_packed_command(&command(word)).await;
                answer.and_then(Value::extract_error).map_err(Error::of)
            };
            (ask("INFO").await?, ask("SHARDS").await?)
        }
    };
    View::read(&info, shards, address, access.is_tls())
}
