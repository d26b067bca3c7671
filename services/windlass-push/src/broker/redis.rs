//! The broker of many processes: channels in the Redis that also has the tasks.
//!
//! A publication is one script (`scripts`): position, history and delivery are one step, in one round trip of a
//! connection that all callers share. What is published comes on a connection of its own (`ear`), only for channels
//! with subscribers here, and in the order of its positions; `positions` finds what was lost on the way, `probe` a
//! connection that loses everything. A stream's epoch belongs to one generation of the data:
//! after anything that Redis may have forgotten something by, the stream begins anew and its clients are told so.

mod ear;
mod flights;
mod keys;
mod line;
mod nodes;
mod patience;
mod positions;
mod presence;
mod probe;
mod reaper;
mod scripts;
mod streams;
mod survey;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use windlass_redis::Client;
use windlass_task::{RedisStore, Tenant};

use self::ear::Ear;
use self::line::Line;
use self::nodes::{Found, Nodes};
use self::positions::Positions;
use self::presence::Presence;
use self::streams::{Streams, unreachable};
use self::survey::Survey;
use super::{Attendance, Broker, Error, History, NodeId, Outgoing, PresenceCount, Range, Receiver, Retention, Sight};
use crate::channel::ChannelKey;
use crate::client::{ClientId, ClientInfo};
use crate::position::StreamPosition;

/// The times of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// For how long a node that is not heard of counts as living.
    pub lease: Duration,
    /// For how long an unused channel's position is known.
    pub position_ttl: Duration,
    /// How often a node proves that deliveries come to it.
    pub probe: Duration,
}

impl Default for Options {
    /// Ten seconds of silence mean death (DESIGN section 4); a position is known for a day, as in memory.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            position_ttl: Duration::from_secs(24 * 3_600),
            probe: probe::EVERY,
        }
    }
}

/// One node of those that share a Redis.
pub struct Redis {
    node: Arc<Node>,
    working: JoinSet<()>,
}

struct Node {
    client: Client,
    receiver: Arc<dyn Receiver>,
    ear: Arc<Ear>,
    line: Line,
    streams: Arc<Streams>,
    nodes: Nodes,
    presence: Presence,
    survey: Arc<Survey>,
    sight: Arc<Sight>,
    probe_every: Duration,
}

impl Redis {
    /// Joins the nodes that share the Redis of `store`, as `node`, which shows in `sight` whether it gets what is
    /// published. Redis need not be there yet.
    #[must_use]
    pub fn join(
        store: &RedisStore,
        options: Options,
        node: NodeId,
        receiver: Arc<dyn Receiver>,
        sight: Arc<Sight>,
    ) -> Self {
        let client = store.client().clone();
        let survey = Arc::new(Survey::new(client.clone()));
        let ear = Ear::new(node, Arc::clone(&receiver), Arc::clone(&survey), Arc::clone(&sight));
        let ear = Arc::new(ear);
        let positions = Positions {
            client: client.clone(),
            ear: Arc::clone(&ear),
            position_ttl: options.position_ttl,
        };
        let node = Arc::new(Node {
            receiver,
            line: Line::start(client.clone(), Arc::clone(&ear)),
            ear,
            streams: Streams::new(client.clone(), options.position_ttl),
            nodes: Nodes::new(client.clone(), node, options, Arc::clone(&sight)),
            presence: Presence::new(client.clone(), node),
            survey,
            sight,
            probe_every: options.probe,
            client,
        });
        let mut working = JoinSet::new();
        working.spawn(Arc::clone(&node).keep_lease());
        working.spawn(Arc::clone(&node).reap());
        working.spawn(Arc::clone(&node).probe());
        working.spawn(positions.keep());
        Self { node, working }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.working.abort_all();
    }
}

impl Node {
    /// Keeps the lease, and tells a Redis again that may have forgotten what this node told it.
    async fn keep_lease(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.nodes.renewal());
        let mut told = self.client.connections();
        loop {
            ticks.tick().await;
            let connections = self.client.connections();
            let told_again = match self.nodes.renew().await {
                // What it tells now could be taken out again.
                Err(_) | Ok(Found::Dying) => continue,
                Ok(Found::Buried) => match self.presence.tell_again(true).await {
                    Ok(()) => self.nodes.rise().await,
                    Err(error) => Err(error),
                },
                Ok(Found::Kept | Found::Ended) if connections != told || self.presence.is_unsettled() => {
                    self.presence.tell_again(false).await
                }
                Ok(Found::Kept | Found::Ended) => continue,
            };
            if told_again.is_ok() {
                told = connections;
            }
        }
    }

    /// Buries nodes that have died.
    async fn reap(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.nodes.renewal());
        loop {
            ticks.tick().await;
            // Whoever comes next goes on with what is left.
            let _ = reaper::reap(&self.client, &self.nodes, &*self.receiver).await;
        }
    }

    async fn probe(self: Arc<Self>) {
        probe::keep(
            self.client.clone(),
            &self.nodes,
            &self.line,
            &self.sight,
            self.probe_every,
        )
        .await;
    }
}

#[async_trait]
impl Broker for Redis {
    async fn publish(
        &self,
        channel: &ChannelKey,
        outgoing: Outgoing,
        retention: Retention,
    ) -> Result<Option<StreamPosition>, Error> {
        self.node.streams.publish(channel, outgoing, retention).await
    }

    async fn subscribe(&self, channel: &ChannelKey) -> Result<(), Error> {
        self.node.line.want(channel).await
    }

    async fn unsubscribe(&self, channel: &ChannelKey) -> Result<(), Error> {
        self.node.line.leave(channel);
        Ok(())
    }

    async fn history(&self, channel: &ChannelKey, range: Range) -> Result<History, Error> {
        // Whoever asks begins where this says the top is, and is to be told when it misses something from there on.
        self.node.ear.position(channel);
        self.node.streams.history(channel, range).await
    }

    async fn remove_history(&self, channel: &ChannelKey) -> Result<(), Error> {
        self.node.streams.remove(channel).await
    }

    async fn enter(&self, channel: &ChannelKey, client: ClientId, attendance: Attendance) -> Result<(), Error> {
        self.node.presence.enter(channel, client, attendance).await
    }

    async fn lose(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error> {
        self.node.presence.lose(channel, client).await
    }

    async fn leave(&self, channel: &ChannelKey, client: ClientId) -> Result<(), Error> {
        self.node.presence.leave(channel, client).await
    }

    async fn add_user(&self, tenant: &Tenant, user: &str, client: ClientId) -> Result<(), Error> {
        let attendance = Attendance {
            info: ClientInfo::default(),
            present: true,
            announced: false,
        };
        let channel = ChannelKey::of_user(tenant, user);
        self.node.presence.enter(&channel, client, attendance).await
    }

    async fn remove_user(&self, tenant: &Tenant, user: &str, client: ClientId) -> Result<(), Error> {
        let channel = ChannelKey::of_user(tenant, user);
        self.node.presence.leave(&channel, client).await
    }

    async fn presence(&self, channel: &ChannelKey) -> Result<Vec<ClientInfo>, Error> {
        self.node.presence.list(&self.node.nodes, channel).await
    }

    async fn count_presence(&self, channel: &ChannelKey) -> Result<PresenceCount, Error> {
        self.node.presence.count(&self.node.nodes, channel).await
    }

    fn node(&self) -> NodeId {
        self.node.nodes.node()
    }

    async fn tell(&self, node: NodeId, message: Bytes) -> Result<(), Error> {
        if node == self.node() {
            self.node.receiver.control(message);
            return Ok(());
        }
        let told = self
            .node
            .client
            .publish(&keys::node(node), ear::control(&message))
            .await;
        let heard = told.map_err(|error| unreachable(&error))?;
        if heard == 0 { Err(Error::UnknownNode) } else { Ok(()) }
    }

    async fn tell_user(&self, tenant: &Tenant, user: &str, message: Bytes) -> Result<(), Error> {
        let channel = ChannelKey::of_user(tenant, user);
        let nodes = self.node.presence.nodes(&self.node.nodes, &channel).await?;
        let telling = nodes.into_iter().map(|node| self.tell(node, message.clone()));
        for told in join_all(telling).await {
            match told {
                // It has died, or is leaving: its connections are elsewhere, or will be.
                Ok(()) | Err(Error::UnknownNode) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn survey(&self, question: Bytes) -> Result<Vec<Bytes>, Error> {
        let node = &self.node;
        let mut answers = node.survey.ask(&node.nodes, &question).await?;
        answers.push(node.receiver.answer(question));
        Ok(answers)
    }

    async fn maintain(&self) {
        // Redis forgets by itself.
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({})", self.node())
    }
}

#[cfg(test)]
mod tests;
