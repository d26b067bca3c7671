//! What is published, on connections of their own. Redis keeps nothing for who is away: each time subscriptions stand
//! anew, the receiver is told that it may have missed something.
//!
//! In a cluster a channel has a slot as a key has: it is subscribed to at the primary that has the slot, and follows it to
//! another.

mod wanted;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use self::wanted::Wanted;
use crate::error::Error;
use crate::keeper::Keeper;
use crate::map::Map;
use crate::node::Node;
use crate::session::Session;
use crate::slot::Slot;
use crate::topology::Topology;
use crate::view::Address;

/// How many channels one command or pipeline names: some 50 KiB, a millisecond of the server's.
const CHUNK: usize = 512;
/// How long somebody waits for a subscription to stand.
const STAND_WITHIN: Duration = Duration::from_secs(2);
/// The wait before channels are tried again that were sent away, if no other map comes before.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Who takes what is published. Both are called from the connection's task and must not wait.
pub trait Receiver: Send + Sync + 'static {
    /// A message came.
    fn message(&self, channel: &str, payload: &[u8]);

    /// Subscriptions stand, after a connection was made or channels followed their slot: what was published before may
    /// have been missed.
    fn stands(&self);
}

/// How a channel is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// `SUBSCRIBE`: it hears what any server is told.
    Everywhere,
    /// `SSUBSCRIBE`: it hears what the primary of its slot is told.
    Sharded,
}

/// A set of subscribed channels.
#[derive(Debug)]
pub struct Subscriptions {
    topology: Arc<Topology>,
    wanted: Arc<Wanted>,
    working: JoinHandle<()>,
}

impl Subscriptions {
    pub(crate) fn start(topology: Arc<Topology>, receiver: Arc<dyn Receiver>) -> Self {
        let wanted = Arc::new(Wanted::default());
        let working = tokio::spawn(supervise(Arc::clone(&topology), Arc::clone(&wanted), receiver));
        Self {
            topology,
            wanted,
            working,
        }
    }

    /// Wants a channel from now on: what is published by [`Client::publish`](crate::Client::publish), or in a script by
    /// [`Client::publish_command`](crate::Client::publish_command).
    pub fn want(&self, channel: &str) {
        self.want_all([channel.to_owned()]);
    }

    /// Wants several channels from now on.
    pub fn want_all(&self, more: impl IntoIterator<Item = String>) {
        self.wanted.add(more, self.kind());
    }

    /// Wants a channel from now on that is published to by `PUBLISH` at any server, from a script of another slot.
    pub fn want_everywhere(&self, channel: &str) {
        self.wanted.add([channel.to_owned()], Kind::Everywhere);
    }

    /// Wants a channel no more.
    pub fn leave(&self, channel: &str) {
        self.wanted.remove(channel);
    }

    /// Waits until everything that is wanted now stands: what is published after it will come, or [`Receiver::stands`].
    ///
    /// # Errors
    /// [`Error::Reach`] when it does not stand soon.
    pub async fn stand(&self) -> Result<(), Error> {
        let map = self.topology.map();
        let nodes = map.nodes().iter().filter(|node| node.has_slots());
        self.stand_at(&map, nodes.map(|node| node.address.clone()).collect())
            .await
    }

    /// The same for one channel: in a cluster it needs one primary.
    ///
    /// # Errors
    /// As [`Subscriptions::stand`].
    pub async fn stand_for(&self, channel: &str) -> Result<(), Error> {
        let map = self.topology.map();
        let owner = map.owner(Slot::of(channel)).map(|node| node.address.clone());
        self.stand_at(&map, owner.into_iter().collect()).await
    }

    async fn stand_at(&self, map: &Map, nodes: Vec<Address>) -> Result<(), Error> {
        if nodes.is_empty() {
            return Err(Error::Reach);
        }
        let wish = self.wanted.count();
        let stands = self.wanted.stands(&nodes, wish, map.version());
        tokio::time::timeout(STAND_WITHIN, stands)
            .await
            .map_err(|_| Error::Reach)
    }

    fn kind(&self) -> Kind {
        if self.topology.in_cluster() {
            Kind::Sharded
        } else {
            Kind::Everywhere
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.working.abort();
    }
}

/// Sees that each primary with slots has somebody who keeps its channels.
async fn supervise(topology: Arc<Topology>, wanted: Arc<Wanted>, receiver: Arc<dyn Receiver>) {
    let mut maps = topology.maps();
    let mut working = JoinSet::new();
    let mut known: HashMap<Address, (Arc<Node>, AbortHandle)> = HashMap::new();
    loop {
        let map = Arc::clone(&maps.borrow_and_update());
        let serving: Vec<_> = map.nodes().iter().filter(|node| node.has_slots()).collect();
        known.retain(|address, (known, work)| {
            let stays = serving.iter().any(|node| Arc::ptr_eq(node, known));
            if !stays {
                work.abort();
                wanted.end(address);
            }
            stays
        });
        for node in serving {
            if !known.contains_key(&node.address) {
                let worker = Worker {
                    node: Arc::clone(node),
                    topology: Arc::clone(&topology),
                    wanted: Arc::clone(&wanted),
                    receiver: Arc::clone(&receiver),
                };
                let work = working.spawn(worker.work());
                known.insert(node.address.clone(), (Arc::clone(node), work));
            }
        }
        if maps.changed().await.is_err() {
            return;
        }
        while working.try_join_next().is_some() {}
    }
}

/// Keeps the channels of one primary.
struct Worker {
    node: Arc<Node>,
    topology: Arc<Topology>,
    wanted: Arc<Wanted>,
    receiver: Arc<dyn Receiver>,
}

/// What stands on one connection.
type Standing = HashSet<(Arc<str>, Kind)>;

impl Worker {
    async fn work(self) {
        let keeper: Keeper = self.node.subscribing(Arc::clone(&self.receiver));
        let mut sessions = keeper.watch();
        loop {
            let Ok(session) = sessions.wait_for(Option::is_some).await.map(|session| session.clone()) else {
                return;
            };
            if let Some(session) = session {
                // It ends when the connection is of no more use.
                let Err(error) = self.serve(&session).await;
                tracing::debug!(error = &error as &dyn std::error::Error, "subscriptions are made anew");
                self.wanted.end(&self.node.address);
                session.leave();
                self.topology.hurry(None);
            }
            let _ = sessions.wait_for(Option::is_none).await;
        }
    }

    /// Keeps what stands on this connection as what is wanted of its server.
    async fn serve(&self, session: &Session) -> Result<std::convert::Infallible, Error> {
        let address = &self.node.address;
        let (mut wishes, mut maps) = (self.wanted.wishes(), self.topology.maps());
        let mut standing = Standing::new();
        let mut map_version = None;
        // To be told that something may have been missed.
        let mut anew = true;
        loop {
            let map: Arc<Map> = Arc::clone(&maps.borrow_and_update());
            let count = *wishes.borrow_and_update();
            let is_other_map = map_version.replace(map.version()) != Some(map.version());
            let changed = self.wanted.changed(address, is_other_map, &standing);
            let (mut more, mut fewer) = (Vec::new(), Vec::new());
            for channel in changed {
                let is_mine = map
                    .owner(Slot::of(&*channel.0))
                    .is_some_and(|owner| Arc::ptr_eq(&owner, &self.node));
                let is_wanted = is_mine && self.wanted.wants(&channel);
                match (is_wanted, standing.contains(&channel)) {
                    (true, false) => more.push(channel),
                    (false, true) => fewer.push(channel),
                    (true, true) | (false, false) => {}
                }
            }
            let sent_away = self.subscribe(session, &mut standing, more).await?;
            self.unsubscribe(session, &mut standing, fewer).await?;
            // What was just ended is noted by the connection too, and no loss.
            let has_lost = self.note_lost(session, &mut standing);
            let is_done = sent_away.is_empty() && !has_lost;
            if is_done {
                self.wanted.stand(address, count, map.version());
                if std::mem::take(&mut anew) {
                    self.receiver.stands();
                }
            } else {
                anew = true;
                self.wanted.remind(address, sent_away);
                self.topology.hurry(None);
            }
            tokio::select! {
                _ = session.broken() => return Err(Error::Reach),
                changed = wishes.changed() => changed.map_err(|_| Error::Reach)?,
                changed = maps.changed() => changed.map_err(|_| Error::Reach)?,
                () = session.dropped() => anew |= self.note_lost(session, &mut standing),
                () = tokio::time::sleep(TRY_AGAIN), if !is_done => {}
            }
        }
    }

    /// Answers the channels that the server has not.
    async fn subscribe(
        &self,
        session: &Session,
        standing: &mut Standing,
        more: Vec<(Arc<str>, Kind)>,
    ) -> Result<Vec<(Arc<str>, Kind)>, Error> {
        let mut sent_away = Vec::new();
        for (kind, channels) in by_kind(more) {
            for chunk in channels.chunks(CHUNK) {
                let elsewhere = session.subscribe(kind, chunk).await?;
                standing.extend(chunk.iter().map(|channel| (Arc::clone(channel), kind)));
                for channel in elsewhere {
                    standing.remove(&(Arc::clone(&channel), kind));
                    sent_away.push((channel, kind));
                }
            }
        }
        Ok(sent_away)
    }

    async fn unsubscribe(
        &self,
        session: &Session,
        standing: &mut Standing,
        fewer: Vec<(Arc<str>, Kind)>,
    ) -> Result<(), Error> {
        for (kind, channels) in by_kind(fewer) {
            for chunk in channels.chunks(CHUNK) {
                for channel in chunk {
                    standing.remove(&(Arc::clone(channel), kind));
                }
                session.unsubscribe(kind, chunk).await?;
            }
        }
        Ok(())
    }

    /// Notes what the server ended by itself, and whether there was such a thing: the slot is another's.
    fn note_lost(&self, session: &Session, standing: &mut Standing) -> bool {
        let dropped = session
            .take_dropped()
            .into_iter()
            .map(|channel| (channel.into(), Kind::Sharded));
        let lost: Vec<_> = dropped.filter(|channel| standing.remove(channel)).collect();
        if lost.is_empty() {
            return false;
        }
        self.wanted.remind(&self.node.address, lost);
        self.topology.hurry(None);
        true
    }
}

fn by_kind(channels: Vec<(Arc<str>, Kind)>) -> [(Kind, Vec<Arc<str>>); 2] {
    let (sharded, everywhere): (Vec<_>, Vec<_>) = channels.into_iter().partition(|(_, kind)| *kind == Kind::Sharded);
    let names = |channels: Vec<(Arc<str>, Kind)>| channels.into_iter().map(|(channel, _)| channel).collect();
    [(Kind::Sharded, names(sharded)), (Kind::Everywhere, names(everywhere))]
}
