//! Several servers as one cluster.

use redis::Value;
use tokio::time::Instant;

use crate::server::{LOOK_EVERY, Redis, Settings, WITHIN};

/// How many slots a cluster has.
const SLOTS: usize = 16_384;
/// After how long a server that does not answer is called dead by the others, in milliseconds. The default is 15 s, which no
/// test can wait for; a busy machine must not be called dead.
const NODE_TIMEOUT: &str = "2000";

/// A Redis Cluster: primaries that share the slots evenly, each with one replica.
#[derive(Debug)]
pub struct Cluster {
    primaries: Vec<Redis>,
    replicas: Vec<Redis>,
}

impl Cluster {
    /// A cluster of this many primaries and as many replicas, whole and in step.
    pub async fn start(primaries: usize) -> Self {
        let start = async || {
            let config = [
                ("cluster-enabled", "yes"),
                ("cluster-node-timeout", NODE_TIMEOUT),
                // A replica stands for election whenever its primary was last heard of.
                ("cluster-replica-validity-factor", "0"),
            ];
            let config = config.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Redis::with(Settings {
                config: config.into(),
                ..Settings::default()
            })
            .await
        };
        let mut cluster = Self {
            primaries: Vec::new(),
            replicas: Vec::new(),
        };
        for _ in 0..primaries {
            cluster.primaries.push(start().await);
            cluster.replicas.push(start().await);
        }
        cluster.join().await;
        cluster
    }

    async fn join(&self) {
        let count = self.primaries.len();
        for (index, primary) in self.primaries.iter().enumerate() {
            primary.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            let (from, to) = (index * SLOTS / count, (index + 1) * SLOTS / count - 1);
            primary.command(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
        }
        let (host, port) = (
            self.primaries[0].address().ip().to_string(),
            self.primaries[0].address().port().to_string(),
        );
        for server in self.primaries.iter().skip(1).chain(&self.replicas) {
            server.command(&["CLUSTER", "MEET", &host, &port]);
        }
        let known = (2 * count).to_string();
        self.until("each server knows all others", || {
            self.all()
                .all(|server| info(server, "cluster_known_nodes").as_deref() == Some(&known))
        })
        .await;
        for (primary, replica) in self.primaries.iter().zip(&self.replicas) {
            let primary = id(primary);
            self.until("a replica that knows its primary", || {
                replica.try_command(&["CLUSTER", "REPLICATE", &primary]).is_ok()
            })
            .await;
        }
        self.until("a whole cluster with its replicas in step", || {
            let whole = self
                .all()
                .all(|server| info(server, "cluster_state").as_deref() == Some("ok"));
            let link = |replica: &Redis| replica.info("replication", "master_link_status");
            whole
                && self
                    .replicas
                    .iter()
                    .all(|replica| link(replica).as_deref() == Some("up"))
        })
        .await;
    }

    /// The URL of one server, which names the others.
    #[must_use]
    pub fn url(&self) -> String {
        self.primaries[0].url()
    }

    /// The addresses of all servers but that one.
    #[must_use]
    pub fn others(&self) -> Vec<String> {
        self.all().skip(1).map(|server| server.address().to_string()).collect()
    }

    /// Those that began as primaries.
    #[must_use]
    pub fn primaries(&self) -> &[Redis] {
        &self.primaries
    }

    /// The replicas of those that began as primaries, in the same order.
    #[must_use]
    pub fn replicas(&self) -> &[Redis] {
        &self.replicas
    }

    /// `kill -9` to a primary, and waits until its replica was promoted by the others.
    pub async fn kill(&mut self, primary: usize) {
        self.primaries[primary].kill();
        self.until("a replica that was promoted, in a whole cluster", || {
            let replica = &self.replicas[primary];
            let promoted = replica.info("replication", "role").as_deref() == Some("master");
            promoted && info(replica, "cluster_state").as_deref() == Some("ok")
        })
        .await;
    }

    /// Says that a slot is on its way from one primary to another.
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let (from, to, slot) = (&self.primaries[from], &self.primaries[to], slot.to_string());
        to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
        from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
    }

    /// Moves the keys of a slot that is on its way, then the slot.
    pub fn end_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let (giver, taker) = (&self.primaries[from], &self.primaries[to]);
        let (host, port) = (taker.address().ip().to_string(), taker.address().port().to_string());
        loop {
            let keys = giver.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            let keys: Vec<String> = redis::from_redis_value(keys).expect("keys are texts");
            if keys.is_empty() {
                break;
            }
            for key in keys {
                giver.command(&["MIGRATE", &host, &port, &key, "0", "5000"]);
            }
        }
        let owner = id(taker);
        // The taker first: between the two, the giver sends everybody there.
        for server in [taker, giver].into_iter().chain(&self.primaries) {
            server.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &owner]);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Redis> {
        self.primaries.iter().chain(&self.replicas)
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + WITHIN;
        while !holds() {
            assert!(Instant::now() < deadline, "waited {WITHIN:?} in vain: {what}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn id(server: &Redis) -> String {
    redis::from_redis_value(server.command(&["CLUSTER", "MYID"])).expect("an id is a text")
}

fn info(server: &Redis, field: &str) -> Option<String> {
    let reply: Value = server.try_command(&["CLUSTER", "INFO"]).ok()?;
    let text: String = redis::from_redis_value(reply).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|line| line.trim_end().to_owned())
}
