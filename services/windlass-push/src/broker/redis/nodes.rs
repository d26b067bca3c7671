//! Which nodes there are: each has a lease by the clock of Redis. What a node holds counts for as long as that.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use windlass_redis::Client;

use super::streams::{millis, read, unreachable};
use super::{Options, keys, probe, scripts};
use crate::broker::{Error, NodeId, Sight};

/// This node among the others.
#[derive(Debug)]
pub(super) struct Nodes {
    client: Client,
    node: NodeId,
    lease: Duration,
    /// For how long a probe that came says that this node sees.
    sees_for: Duration,
    sight: Arc<Sight>,
}

/// The nodes whose leases have not ended, and this one.
#[derive(Debug)]
pub(super) struct Living(HashSet<NodeId>);

impl Living {
    pub(super) fn has(&self, node: NodeId) -> bool {
        self.0.contains(&node)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().copied()
    }
}

impl Nodes {
    pub(super) fn new(client: Client, node: NodeId, options: Options, sight: Arc<Sight>) -> Self {
        Self {
            client,
            node,
            lease: options.lease,
            sees_for: probe::sees_for(options),
            sight,
        }
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// How often the lease is renewed: three tries fit into one.
    pub(super) fn renewal(&self) -> Duration {
        self.lease / 3
    }

    /// Takes or keeps the lease, and says whether this node sees its probes.
    pub(super) async fn renew(&self) -> Result<(), Error> {
        self.lease().await.map(drop)
    }

    /// Whether any other node sees its probes.
    pub(super) async fn others_see(&self) -> bool {
        let own = self.node.to_string();
        let seeing = self.lease().await.map(|(_, seeing)| seeing).unwrap_or_default();
        seeing.iter().any(|node| *node != own)
    }

    /// The nodes that live, and those that see.
    async fn lease(&self) -> Result<(Vec<String>, Vec<String>), Error> {
        let sees_for = self.sight.age().and_then(|age| self.sees_for.checked_sub(age));
        let call = scripts::LEASE
            .call(&[keys::LIVE, keys::SEEING])
            .arg(self.node.to_string())
            .arg(millis(self.lease))
            .arg(sees_for.map_or(0, millis));
        read(self.client.run(&call).await.map_err(|error| unreachable(&error))?)
    }

    /// Who lives.
    pub(super) async fn living(&self) -> Result<Living, Error> {
        self.understand(self.client.run(&Self::question()).await)
    }

    /// The call whose answer [`Nodes::understand`] reads, to be sent together with others.
    pub(super) fn question() -> windlass_redis::Call {
        scripts::LIVING.call(&[keys::LIVE])
    }

    pub(super) fn understand(
        &self,
        answer: Result<windlass_redis::Value, windlass_redis::Error>,
    ) -> Result<Living, Error> {
        let names: Vec<String> = read(answer.map_err(|error| unreachable(&error))?)?;
        let mut living: HashSet<NodeId> = names.iter().filter_map(|name| name.parse().ok()).collect();
        // Its own lease may be about to be taken.
        living.insert(self.node);
        Ok(Living(living))
    }
}
