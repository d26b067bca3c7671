//! The client: a connection to each primary for what is read and written, one more for writes that wait for replicas.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use redis::{ToRedisArgs, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{Error, Redirect};
use crate::node::Node;
use crate::script::Call;
use crate::session::{Prepare, Session};
use crate::settings::{ConfigureError, Settings};
use crate::slot::Slot;
use crate::subscriptions::{Receiver, Subscriptions};
use crate::topology::Topology;
use crate::view::Address;

/// How long a command of a cluster is sent where it belongs, until its caller hears that it is not done: what it takes to
/// move a slot with a few thousand keys, or to read the map anew. Longer waits are the caller's.
const ROUTE_WITHIN: Duration = Duration::from_secs(2);
/// The wait before a command is sent again whose slot is on its way.
const ROUTE_AGAIN: Duration = Duration::from_millis(10);

/// Redis's primary, or the primaries of its cluster; clones share the connections, the last one closes them.
#[derive(Debug, Clone)]
pub struct Client {
    topology: Arc<Topology>,
}

/// Over which of a primary's connections a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Main,
    Strict,
}

impl Client {
    /// A client with these settings, which begins to connect at once. Each connection is made ready by `prepare`.
    ///
    /// # Errors
    /// [`ConfigureError`] for settings that cannot be; that the server is away is no error.
    pub fn open(settings: &Settings, prepare: Option<Arc<dyn Prepare>>) -> Result<Self, ConfigureError> {
        let access = settings.open()?;
        let topology = Topology::start(access, settings, prepare);
        Ok(Self { topology })
    }

    /// Shows the connections' metrics in `registry`, by names that begin with `redis_`.
    pub fn register(&self, registry: &mut Registry) {
        self.topology.metrics().register(registry, &self.topology);
    }

    /// Sends a call that reads, or whose loss does no harm.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn run(&self, call: &Call) -> Result<Value, Error> {
        self.counted(self.route(call, Lane::Main, None).await)
    }

    /// Sends calls together, each as [`Client::run`]: those for one primary in their order, in one pipeline.
    ///
    /// # Errors
    /// [`Error`] when none was answered.
    pub async fn run_all(&self, calls: &[Call]) -> Result<Vec<Result<Value, Error>>, Error> {
        let answers = self.counted(self.send_all(calls).await)?;
        for answer in &answers {
            self.topology.metrics().told(answer);
        }
        Ok(answers)
    }

    async fn send_all(&self, calls: &[Call]) -> Result<Vec<Result<Value, Error>>, Error> {
        if !self.topology.in_cluster() {
            return self
                .topology
                .node(None)
                .await?
                .main
                .session()
                .await?
                .run_all(calls)
                .await;
        }
        let mut answers = self.run_by_primary(calls).await;
        // What was sent away was not done.
        for (call, answer) in calls.iter().zip(&mut answers) {
            if let Some(redirect) = Redirect::of(answer) {
                self.topology.metrics().redirected(&redirect);
                *answer = self.route(call, Lane::Main, Some(redirect)).await;
            }
        }
        let first_error = || answers.iter().find_map(|answer| answer.as_ref().err().cloned());
        if let Some(error) = first_error().filter(|_| answers.iter().all(Result::is_err)) {
            return Err(error);
        }
        Ok(answers)
    }

    /// Sends a call that writes what will be acknowledged: it is as durable as the settings demand when it is answered.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn write(&self, call: Call) -> Result<Value, Error> {
        self.counted(self.route(&call, Lane::Strict, None).await)
    }

    /// Sees that everything that the primary of this key has answered so far is as durable as the settings demand.
    ///
    /// # Errors
    /// [`Error`]: it may not be.
    pub async fn confirm(&self, key: &str) -> Result<(), Error> {
        if self.topology.node(Some(Slot::of(key))).await?.strict.is_none() {
            return Ok(());
        }
        // `WAIT` speaks of what its own connection wrote; a write after all others is as good as all of them.
        let mut write = redis::cmd("SET");
        write.arg(key).arg("").arg("EX").arg(1);
        self.write(write.into()).await.map(drop)
    }

    /// Publishes on a channel; answers how many subscribed to it where it was published.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn publish(&self, channel: &str, payload: impl ToRedisArgs) -> Result<u64, Error> {
        let mut publish = redis::cmd(self.publish_command());
        let answer = self.run(&publish.arg(channel).arg(payload).take().into()).await?;
        redis::from_redis_value(answer).map_err(|_| Error::Read)
    }

    /// The command by which a script publishes on a channel of its keys' slot, so that [`Subscriptions::want`] hears it:
    /// `SPUBLISH` in a cluster, else `PUBLISH`.
    #[must_use]
    pub fn publish_command(&self) -> &'static str {
        if self.topology.in_cluster() {
            "SPUBLISH"
        } else {
            "PUBLISH"
        }
    }

    /// The present connection to the primary of a key.
    ///
    /// # Errors
    /// [`Error::Reach`].
    pub async fn session(&self, key: impl AsRef<[u8]>) -> Result<Session, Error> {
        let slot = Slot::of(key);
        let found = self.topology.node(Some(slot)).await?.main.session_for(slot).await;
        found.inspect_err(|_| self.topology.hurry(None))
    }

    /// The present connections to all primaries that have slots, for what looks at all keys, and which map they are by:
    /// another one means that keys may have gone from one to another.
    ///
    /// # Errors
    /// [`Error::Reach`] when one is away.
    pub async fn sessions(&self) -> Result<(u64, Vec<Session>), Error> {
        self.topology.node(Some(Slot::of(""))).await?;
        let map = self.topology.map();
        let mut sessions = Vec::new();
        for node in map.nodes().iter().filter(|node| node.has_slots()) {
            sessions.push(node.main.session().await?);
        }
        Ok((map.version(), sessions))
    }

    /// Whether there is a connection to each primary.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        let map = self.topology.map();
        let mut serving = map.nodes().iter().filter(|node| node.has_slots()).peekable();
        serving.peek().is_some() && serving.all(|node| node.main.present().is_some())
    }

    /// Whether there is one, and the map of the cluster was read since: a slot that is moved from now on is known to have lost
    /// nothing on its way ([`Session::former`]).
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.topology.in_cluster() || self.topology.map().is_settled()
    }

    /// How many connections for commands have been made to the primaries that there are: more than one to each means that
    /// some were lost.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.topology.map().nodes().iter().map(|node| node.main.made()).sum()
    }

    /// Subscriptions on connections of their own; what comes is told to `receiver`.
    #[must_use]
    pub fn subscriptions(&self, receiver: Arc<dyn Receiver>) -> Subscriptions {
        Subscriptions::start(Arc::clone(&self.topology), receiver)
    }

    /// Sends a call to where it belongs, as far as that is known, and after it where it is sent from there. It may have
    /// been sent away already.
    async fn route(&self, call: &Call, lane: Lane, sent_away: Option<Redirect>) -> Result<Value, Error> {
        let deadline = Instant::now() + ROUTE_WITHIN;
        let mut redirect = sent_away;
        let mut node = self.topology.node(call.slot()).await?;
        loop {
            let mut is_asking = false;
            match redirect {
                None => {}
                Some(Redirect::Moved(address)) => {
                    if let Some(slot) = call.slot() {
                        node.disown(slot);
                    }
                    self.topology.renew(Address::read(&address, &node.address)).await;
                    node = self.topology.node(call.slot()).await?;
                }
                Some(Redirect::Ask(address)) => {
                    let address = Address::read(&address, &node.address);
                    let target = address
                        .as_ref()
                        .and_then(|address| self.topology.map().at(address).cloned());
                    match target {
                        Some(target) => {
                            node = target;
                            is_asking = true;
                        }
                        // A server that has just joined.
                        None => self.topology.renew(None).await,
                    }
                }
                Some(Redirect::Later) => {
                    tokio::time::sleep(ROUTE_AGAIN).await;
                    self.topology.hurry(None);
                    node = self.topology.node(call.slot()).await?;
                }
            }
            let answer = node.send(call, lane == Lane::Strict, is_asking).await;
            if matches!(answer, Err(Error::Reach | Error::Await(_))) {
                self.topology.hurry(None);
            }
            redirect = Redirect::of(&answer).filter(|_| self.topology.in_cluster() && Instant::now() < deadline);
            match &redirect {
                None => return answer,
                Some(redirect) => self.topology.metrics().redirected(redirect),
            }
        }
    }

    fn counted<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        self.topology.metrics().told(&answer);
        answer
    }

    /// Sends calls to where they belong as far as that is known, all primaries at once.
    async fn run_by_primary(&self, calls: &[Call]) -> Vec<Result<Value, Error>> {
        let mut answers: Vec<Result<Value, Error>> = calls.iter().map(|_| Err(Error::Reach)).collect();
        let mut parts: Vec<(Arc<Node>, Vec<usize>)> = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let node = match self.topology.node(call.slot()).await {
                Ok(node) => node,
                Err(_) => continue,
            };
            match parts.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &node)) {
                Some((_, indices)) => indices.push(index),
                None => parts.push((node, vec![index])),
            }
        }
        let mut sending = JoinSet::new();
        for (node, indices) in parts {
            let part: Vec<Call> = indices.iter().map(|index| calls[*index].clone()).collect();
            sending.spawn(async move { (indices, node.send_all(&part).await) });
        }
        while let Some(sent) = sending.join_next().await {
            let Ok((indices, sent)) = sent else { continue };
            if sent
                .iter()
                .any(|answer| matches!(answer, Err(Error::Reach | Error::Await(_))))
            {
                self.topology.hurry(None);
            }
            for (index, answer) in indices.into_iter().zip(sent) {
                answers[index] = answer;
            }
        }
        answers
    }
}
