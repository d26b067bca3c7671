//! Which nodes there are: each has a lease by the clock of Redis. What a node holds counts for as long as that.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use windlass_redis::{Client, cmd};

use super::streams::{millis, read, unreachable};
use super::{Options, keys, probe, scripts};
use crate::broker::memory::lock;
use crate::broker::{Error, NodeId, Sight};

/// For how long nobody else buries a node that one has begun to: half a million connections. Two that do it at once do no harm.
const BURIAL: Duration = Duration::from_secs(30);
/// For how long it is known of a node that it was buried: one that comes back after that was stopped for so long that its
/// clients have gone.
const KNOWN_BURIED: Duration = Duration::from_secs(3_600);

/// This node among the others.
#[derive(Debug)]
pub(super) struct Nodes {
    client: Client,
    node: NodeId,
    lease: Duration,
    /// For how long a probe that came says that this node sees.
    sees_for: Duration,
    sight: Arc<Sight>,
    /// Since when the lease has been kept.
    held_since: Mutex<Option<Instant>>,
}

/// How a node found its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It had it.
    Kept,
    /// It had none, or one that had ended.
    Ended,
    /// Another node thought that it had died, and is taking out what it has said.
    Dying,
    /// And has done so.
    Buried,
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
            held_since: Mutex::default(),
        }
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// How often the lease is renewed: three tries fit into one.
    pub(super) fn renewal(&self) -> Duration {
        self.lease / 3
    }

    /// Takes or keeps the lease, and says whether this node sees its probes; to how the lease was found.
    pub(super) async fn renew(&self) -> Result<Found, Error> {
        let taken = self.lease().await;
        let mut held_since = lock(&self.held_since);
        match &taken {
            Ok((Found::Kept, _)) => _ = held_since.get_or_insert_with(Instant::now),
            Ok((Found::Ended | Found::Dying | Found::Buried, _)) => *held_since = Some(Instant::now()),
            Err(_) => *held_since = None,
        }
        taken.map(|(found, _)| found)
    }

    /// Whether any other node sees its probes.
    pub(super) async fn others_see(&self) -> bool {
        let own = self.node.to_string();
        let seeing = self.lease().await.map(|(_, seeing)| seeing).unwrap_or_default();
        seeing.iter().any(|node| *node != own)
    }

    /// How the lease was found, and the nodes that see.
    async fn lease(&self) -> Result<(Found, Vec<String>), Error> {
        let sees_for = self.sight.age().and_then(|age| self.sees_for.checked_sub(age));
        let call = scripts::LEASE
            .call(&[keys::LIVE, keys::SEEING, keys::DEAD, keys::BURIED])
            .arg(self.node.to_string())
            .arg(millis(self.lease))
            .arg(sees_for.map_or(0, millis));
        let (found, seeing): (String, _) = read(self.client.run(&call).await.map_err(|error| unreachable(&error))?)?;
        let found = match found.as_str() {
            "kept" => Found::Kept,
            "ended" => Found::Ended,
            "dying" => Found::Dying,
            _ => Found::Buried,
        };
        Ok((found, seeing))
    }

    /// A node whose lease ended a renewal ago, and that this one is to bury. None while this node's own lease has not been kept
    /// for as long as one: after Redis was away for everybody, all leases have ended and all nodes are about to come back.
    pub(super) async fn claim(&self) -> Result<Option<NodeId>, Error> {
        if lock(&self.held_since).is_none_or(|since| since.elapsed() < self.lease) {
            return Ok(None);
        }
        let call = scripts::CLAIM
            .call(&[keys::LIVE, keys::DEAD])
            .arg(self.node.to_string())
            .arg(millis(self.renewal()))
            .arg(millis(BURIAL));
        let name: String = read(self.client.run(&call).await.map_err(|error| unreachable(&error))?)?;
        Ok(name.parse().ok())
    }

    /// Says that nothing is left of a dead node.
    pub(super) async fn bury(&self, dead: NodeId) -> Result<(), Error> {
        let call = scripts::BURY.call(&[keys::DEAD, keys::BURIED]).arg(dead.to_string());
        let buried = self.client.run(&call.arg(KNOWN_BURIED.as_secs())).await;
        buried.map(drop).map_err(|error| unreachable(&error))
    }

    /// Says that this node was buried too early and has told again what it has.
    pub(super) async fn rise(&self) -> Result<(), Error> {
        let mut forget = cmd("ZREM");
        forget.arg(keys::BURIED).arg(self.node.to_string());
        let forgotten = self.client.run(&forget.into()).await;
        forgotten.map(drop).map_err(|error| unreachable(&error))
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
