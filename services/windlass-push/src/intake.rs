//! Calls of the API that come by a stream in Redis instead of HTTP: a backend adds an entry and need not wait, nor know
//! where a push node is; nor need the upload service, whose events come this way.
//!
//! All nodes read the stream as one consumer group, so each entry is carried out by one of them, and by another one if that
//! dies over it: at least once. A publication carries the entry's key as its idempotency key, so that the second time
//! changes nothing. What can never be carried out is put aside with the reason, in a stream of dead letters.

mod entry;
mod scripts;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use tokio::time::Instant;
use windlass_redis::{Call, Client, FromRedisValue, cmd, from_redis_value};
use windlass_serve::Program;
use windlass_task::Tenant;
use windlass_task::store::Records;

use self::entry::{Ending, Entry};
use crate::api::Api;
use crate::config::{self, Config};
use crate::push::Push;

/// The stream unless it is configured.
const STREAM: &str = "push:events";
/// The channel of uploads' events unless it is configured.
const CHANNEL: &str = "uploads:{owner}";
/// The consumer group: all nodes of a deployment.
const GROUP: &str = "push";
/// How many entries a node takes at once; they are carried out one after the other.
const PAGE: usize = 64;
/// The wait before an empty stream is looked at again: what an event may be late. A command that finds nothing takes the
/// server some microseconds, and twenty a second from each node are no load.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often is looked for entries that a dead node has taken.
const CLAIM_EVERY: Duration = Duration::from_secs(5);
/// How long an entry may be in hand before another node takes it: longer than [`PAGE`] publications take while Redis is
/// there, and a publication made twice counts once.
const IN_HAND_MAX: Duration = Duration::from_secs(30);
/// After how long a node that reads nothing has gone: its name is random and does not come back.
const GONE_AFTER: Duration = Duration::from_secs(3_600);
/// How often an entry may be taken: one that was taken by more nodes than this and carried out by none has ended them.
const DELIVERIES_MAX: u64 = 5;
/// How many dead letters are kept; the oldest go.
const DEAD_MAX: usize = 10_000;
/// The wait before something is tried again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Redis that was away is noticed this soon.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The `push.events` section of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The stream that is read.
    pub stream: String,
    /// The tenant of entries that name none.
    pub tenant: Option<Tenant>,
    /// The channel of uploads' events; `{owner}` and `{task}` are replaced.
    pub channel: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stream: STREAM.to_owned(),
            tenant: None,
            channel: CHANNEL.to_owned(),
        }
    }
}

impl Settings {
    /// The stream of what could not be carried out, in the hash slot of the other.
    fn dead(&self) -> String {
        let is_tagged = self
            .stream
            .split_once('{')
            .is_some_and(|(_, rest)| rest.find('}') > Some(0));
        if is_tagged {
            format!("{}:dead", self.stream)
        } else {
            format!("{{{}}}:dead", self.stream)
        }
    }
}

/// What is counted; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    entries: Family<OutcomeLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("push");
        registry.register(
            "events",
            "Entries of the stream of events: done, retried (again soon), claimed (from a node that died), dead (put aside)",
            self.entries.clone(),
        );
    }

    fn count(&self, outcome: &'static str) {
        self.entries.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

/// One node's share of the stream.
pub struct Intake {
    push: Arc<Push>,
    client: Client,
    settings: Settings,
    metrics: Metrics,
    /// This node among the consumers.
    consumer: String,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake")
            .field("stream", &self.settings.stream)
            .finish_non_exhaustive()
    }
}

impl Intake {
    /// Refuses a stream where no Redis has the records, for who has not opened them yet.
    ///
    /// # Errors
    /// [`config::Error`] when one is configured and `is_shared` is false.
    pub fn check(config: &Config, is_shared: bool) -> Result<(), config::Error> {
        if config.events.is_some() && !is_shared {
            return Err(config::Error::new("events", "needs store.redis, where the stream is"));
        }
        Ok(())
    }

    /// What is configured, if it is; the stream is in the Redis that has the `records`.
    ///
    /// # Errors
    /// [`config::Error`] when there is no such Redis.
    pub fn open(
        config: &Config,
        push: &Arc<Push>,
        records: Option<&Records>,
        program: &mut Program,
    ) -> Result<Option<Self>, config::Error> {
        let shared = records.and_then(|records| records.shared.as_ref());
        Self::check(config, shared.is_some())?;
        let (Some(settings), Some(shared)) = (&config.events, shared) else {
            return Ok(None);
        };
        let client = shared.client().clone();
        let intake = Self::new(Arc::clone(push), client, settings.clone(), program.registry());
        Ok(Some(intake))
    }

    /// Reads for `push` by `client`; its metrics go to `registry`.
    #[must_use]
    pub fn new(push: Arc<Push>, client: Client, settings: Settings, registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        metrics.register(registry);
        let consumer = push.node().to_string();
        Self {
            push,
            client,
            settings,
            metrics,
            consumer,
        }
    }

    /// [`Intake::run`], where there is one.
    pub async fn take_all(intake: Option<Self>) {
        if let Some(intake) = intake {
            intake.run().await;
        }
    }

    /// Carries out what comes, until it is dropped. What was in hand then is another node's half a minute later.
    pub async fn run(&self) {
        let mut wait = RETRY_MIN;
        loop {
            match self.follow().await {
                Ok(never) => match never {},
                Err(error) => {
                    self.warn(&error);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        }
    }

    fn warn(&self, error: &windlass_redis::Error) {
        let error: &dyn std::error::Error = error;
        tracing::warn!(
            error,
            stream = self.settings.stream,
            "the stream of events cannot be read"
        );
    }

    async fn follow(&self) -> Result<std::convert::Infallible, windlass_redis::Error> {
        self.join().await?;
        // What this node was given and the answer was lost, or it did not come to an end.
        loop {
            let own = self.take("0").await?;
            if own.is_empty() {
                break;
            }
            self.carry_out(own).await?;
        }
        let mut claimed_at: Option<Instant> = None;
        loop {
            if claimed_at.is_none_or(|at| at.elapsed() >= CLAIM_EVERY) {
                claimed_at = Some(Instant::now());
                let claimed = self.claim().await?;
                self.carry_out(claimed).await?;
            }
            let taken = self.take(">").await?;
            if taken.is_empty() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            self.carry_out(taken).await?;
        }
    }

    /// Makes the group, which begins with what is there already.
    async fn join(&self) -> Result<(), windlass_redis::Error> {
        let join = scripts::JOIN.call(&[&self.settings.stream]).arg(GROUP);
        let join = join.arg(u64::try_from(GONE_AFTER.as_millis()).unwrap_or(u64::MAX));
        self.client.run(&join).await.map(drop)
    }

    /// Takes entries that nobody has had (`>`), or those that this node has had and not carried out (`0`).
    async fn take(&self, from: &str) -> Result<Vec<Entry>, windlass_redis::Error> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(PAGE);
        read.arg("STREAMS").arg(&self.settings.stream).arg(from);
        let answer = self.client.run(&self.call(read.into())).await?;
        entry::taken(answer)
    }

    /// Takes entries that another node has had for too long. One that was taken too often is put aside.
    async fn claim(&self) -> Result<Vec<Entry>, windlass_redis::Error> {
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(&self.settings.stream).arg(GROUP).arg(&self.consumer);
        claim.arg(u64::try_from(IN_HAND_MAX.as_millis()).unwrap_or(u64::MAX));
        claim.arg("0-0").arg("COUNT").arg(PAGE);
        let claimed = entry::claimed(self.client.run(&self.call(claim.into())).await?)?;
        let mut kept = Vec::with_capacity(claimed.len());
        for entry in claimed {
            self.metrics.count("claimed");
            if self.deliveries(&entry).await? > DELIVERIES_MAX {
                self.bury(&entry, "taken by several nodes and carried out by none")
                    .await?;
            } else {
                kept.push(entry);
            }
        }
        Ok(kept)
    }

    async fn deliveries(&self, entry: &Entry) -> Result<u64, windlass_redis::Error> {
        let mut pending = cmd("XPENDING");
        pending
            .arg(&self.settings.stream)
            .arg(GROUP)
            .arg(&entry.id)
            .arg(&entry.id)
            .arg(1);
        let rows: Vec<(String, String, u64, u64)> = read(self.client.run(&self.call(pending.into())).await?)?;
        Ok(rows.first().map_or(0, |(.., deliveries)| *deliveries))
    }

    async fn carry_out(&self, entries: Vec<Entry>) -> Result<(), windlass_redis::Error> {
        for entry in entries {
            let mut wait = RETRY_MIN;
            loop {
                let api = |tenant| Api::new(Arc::clone(&self.push), tenant);
                match entry.carry_out(&self.settings, api).await {
                    Ending::Done => {
                        let done = scripts::DONE.call(&[&self.settings.stream]).arg(GROUP).arg(&entry.id);
                        self.client.run(&done).await?;
                        self.metrics.count("done");
                        break;
                    }
                    Ending::Never(reason) => {
                        self.bury(&entry, &reason).await?;
                        break;
                    }
                    // The broker is away, as it is for everybody: what follows would fail too.
                    Ending::NotYet => {
                        self.metrics.count("retried");
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(RETRY_MAX);
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts an entry aside, with why.
    async fn bury(&self, entry: &Entry, reason: &str) -> Result<(), windlass_redis::Error> {
        tracing::error!(
            stream = self.settings.stream,
            entry = entry.id,
            reason,
            "an event was put aside"
        );
        let dead = self.settings.dead();
        let call = scripts::BURY
            .call(&[&self.settings.stream, &dead])
            .arg(GROUP)
            .arg(&entry.id)
            .arg(reason)
            .arg(DEAD_MAX)
            .arg(&entry.fields);
        self.client.run(&call).await?;
        self.metrics.count("dead");
        Ok(())
    }

    /// Sends it to the primary that has the stream.
    fn call(&self, call: Call) -> Call {
        call.beside(&self.settings.stream)
    }
}

fn read<T: FromRedisValue>(value: windlass_redis::Value) -> Result<T, windlass_redis::Error> {
    from_redis_value(value).map_err(|_| windlass_redis::Error::Read)
}

#[cfg(test)]
mod tests;
