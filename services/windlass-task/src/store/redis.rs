//! The Redis back end: tasks, outbox, catalogue and latest values of all pods of a region.
//!
//! A commit reads the entry with the store's clock, decides on it ([`crate::change::decide`]) and writes by a script that
//! compares the revision and the generation: entry, outbox, expiry and latest value are one step. When a reply is lost,
//! the entry tells whether the commit was made, for it keeps the ids of the last ones; where nobody can tell in time, the
//! outcome is unknown. Each connection first settles the generation of all partitions, so that what Redis may have
//! forgotten is told from what was never there.

mod announce;
mod catalogue;
mod delivery;
mod entry;
mod inventory;
mod jobs;
mod keys;
mod leases;
mod outbox;
mod peers;
mod quota;
mod rebuild;
mod scripts;
mod updates;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;
use tracing::Instrument as _;
use windlass_redis::{Call, Client, ConfigureError, Marker, Prepare, Session, Settings, Value, cmd, from_redis_value};

use self::delivery::Delivery;
use self::entry::Reading;
use self::peers::Peering;
use self::updates::Updates;
use super::{Commit, Entry, Error, Outcome, TaskStore};
use crate::TRACE;
use crate::change::{Change, Decision, Denial, decide};
use crate::epoch::{Generation, random_bytes};
use crate::feed::{Feed, Standing, TaskUpdate};
use crate::id::{Alias, Partition, TaskId, TaskKey, Tenant};
use crate::status::Status;
use crate::time::UnixMillis;

/// How long a commit may go on after its first reply was lost, until its outcome is called unknown: a reconnect and a
/// round trip. The caller holds the request for longer than this and asks again.
const TELL_WITHIN: Duration = Duration::from_secs(3);
/// How often a commit is decided anew when others come between its reading and its writing.
const TRIES: usize = 16;
/// The wait before a commit whose reply was lost is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A commit whose reply was lost.
struct Lost {
    /// Until when it is looked for.
    until: Instant,
    /// The revision that it was decided on.
    base: u64,
}

/// What the store's clock says when the server's says this.
type Clock = Arc<dyn Fn(UnixMillis) -> UnixMillis + Send + Sync>;

/// The Redis store. Clones share it; the last one closes its connections.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    updates: Updates,
    delivery: Arc<Delivery>,
    peering: Peering,
    clock: Clock,
    generations: Generations,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.delivery.end();
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

impl RedisStore {
    /// A store with these settings, which begins to connect at once; a server that is away is no error.
    ///
    /// # Errors
    /// [`ConfigureError`] for settings that cannot be.
    pub fn open(settings: &Settings) -> Result<Self, ConfigureError> {
        Self::with_clock(settings, Arc::new(|server| server))
    }

    fn with_clock(settings: &Settings, clock: Clock) -> Result<Self, ConfigureError> {
        let generations = Generations::default();
        let settle = Settle {
            generations: generations.clone(),
        };
        let client = Client::open(settings, Some(Arc::new(settle)))?;
        let delivery = Delivery::new(client.clone());
        let updates = Updates::start(client.clone(), &delivery);
        Ok(Self {
            inner: Arc::new(Inner {
                peering: Peering::new(client.clone()),
                client,
                updates,
                delivery,
                clock,
                generations,
            }),
        })
    }

    /// The latest values of this process's commits, and of the tasks that are followed.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        self.inner.updates.feed()
    }

    /// Shows the metrics of the connections and of generations in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        self.inner.client.register(registry);
        let registry = registry.sub_registry_with_prefix("store");
        let generations = &self.inner.generations;
        registry.register_with_unit(
            "generation",
            "When the newest generation of records began that this process has seen, Unix time",
            Unit::Seconds,
            generations.newest.clone(),
        );
        registry.register(
            "generations_begun",
            "Partitions whose data may have been lost, as this process was the first to see",
            generations.begun.clone(),
        );
    }

    /// The connections: for their state, and for what else is kept in the same Redis.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// The hash whose `generation` says which life of the data a partition is in, for what else is kept in the same Redis.
    /// [`RedisStore::client`] settles it on each connection before anybody uses that.
    #[must_use]
    pub fn generation_key(partition: Partition) -> String {
        keys::generation(partition)
    }

    async fn run(&self, operation: &'static str, call: Call) -> Result<Value, Error> {
        self.inner.client.run(&call).await.map_err(failed(operation))
    }

    async fn look(&self, key: &TaskKey) -> Result<Reading, Error> {
        let generation = keys::generation(key.id.partition());
        let call = scripts::READ.call(&[&generation, &keys::task(key)]);
        let answer = self.run("read a task", call).instrument(step("read")).await?;
        let mut reading = match Reading::of(key, answer)? {
            Some(reading) => reading,
            None => return Err(self.emptied("read a task", key.id.partition()).await),
        };
        reading.now = (self.inner.clock)(reading.now);
        Ok(reading)
    }

    /// The data set was emptied under a living connection: another one settles what that means.
    async fn emptied(&self, operation: &'static str, partition: Partition) -> Error {
        if let Ok(session) = self.inner.client.session(keys::generation(partition)).await {
            session.leave();
        }
        failed(operation)(windlass_redis::Error::Reach)
    }

    /// The store's clock.
    async fn now(&self) -> Result<UnixMillis, Error> {
        let value = self.run("read the time", cmd("TIME").into()).await?;
        let (seconds, micros): (u64, u64) = read(value)?;
        Ok((self.inner.clock)(UnixMillis(seconds * 1_000 + micros / 1_000)))
    }

    /// One try to write what was decided.
    async fn write(&self, reading: &Reading, id: &str, decision: &Decision) -> Result<bool, windlass_redis::Error> {
        let unencodable = |_| windlass_redis::Error::Read;
        let key = decision.entry.key();
        let partition = key.id.partition();
        let names = [
            keys::generation(partition),
            keys::task(key),
            keys::outbox(partition),
            keys::expiry(partition),
        ];
        let update = match &decision.update {
            Some(update) => serde_json::to_string(update).map_err(unencodable)?,
            None => String::new(),
        };
        let (release, withdrawal) = self.withdrawal(reading, decision).unwrap_or_default();
        let fields = entry::fields(&decision.entry).map_err(|_| windlass_redis::Error::Read)?;
        let due = decision.entry.due().map_or_else(String::new, |due| due.0.to_string());
        let mut call = scripts::COMMIT
            .call(&names.each_ref().map(String::as_str))
            .arg(reading.generation.0)
            .arg(&reading.revision)
            .arg(id)
            .arg(due)
            .arg(keys::member(key))
            .arg(keys::update(key))
            .arg(update)
            .arg(release)
            .arg(withdrawal)
            .arg(self.inner.client.publish_command())
            .arg(fields.len())
            .arg(fields);
        for event in &decision.events {
            call = call.arg(serde_json::to_string(event).map_err(unencodable)?);
        }
        let value = self.inner.client.write(call).instrument(step("write")).await?;
        let answer: String = from_redis_value(value).map_err(|_| windlass_redis::Error::Read)?;
        Ok(answer == "made")
    }

    /// What the task's holder in another process is told when its owner wants no more bytes.
    fn withdrawal(&self, reading: &Reading, decision: &Decision) -> Option<(String, String)> {
        let update = decision.update.as_ref()?;
        match (update.standing, &reading.entry) {
            (Standing::Live(Status::Paused) | Standing::Gone(_), Some(Entry::Live(record))) => {
                let holder = record.token.holder;
                self.inner.peering.withdrawal(holder, &record.key, update.revision)
            }
            _ => None,
        }
    }

    /// What comes of a commit that was made and whose reply was lost: it must be as durable as any.
    async fn told_late(&self, reading: Reading) -> Outcome {
        let Some(entry) = reading.entry else {
            return Outcome::Unknown;
        };
        let confirmation = keys::confirmation(entry.key().id.partition());
        if self.inner.client.confirm(&confirmation).await.is_err() {
            return Outcome::Unknown;
        }
        self.feed().tell(&TaskUpdate::of(&entry, reading.now));
        self.inner.delivery.ring(entry.key().id.partition());
        Outcome::Committed(entry)
    }

    /// Gives the names of a task that is to be created to it, before it is there: a name without its task is nobody's.
    async fn name(&self, commit: &Commit) -> Result<bool, Error> {
        for change in &commit.changes {
            let Change::Create(creation) = change else { continue };
            for alias in &creation.aliases {
                let name = keys::alias(&creation.key.tenant, alias);
                let call = scripts::NAME.call(&[&name]).arg(creation.key.id.to_string());
                let value = self.inner.client.write(call).await.map_err(failed("name a task"))?;
                let holder: String = read(value)?;
                if holder != creation.key.id.to_string() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Tells everybody in this process what was committed.
    fn tell(&self, decision: &Decision) {
        if let Some(update) = &decision.update {
            self.feed().tell(update);
        }
        if !decision.events.is_empty() {
            self.inner.delivery.ring(decision.entry.key().id.partition());
        }
    }
}

#[async_trait]
impl TaskStore for RedisStore {
    async fn load(&self, key: &TaskKey) -> Result<Option<Entry>, Error> {
        Ok(self.look(key).await?.entry)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, Error> {
        if !self.name(&commit).await? {
            return Ok(Outcome::Conflict(None));
        }
        let id = u64::from_ne_bytes(random_bytes());
        let id = format!("{id:016x}");
        let mut lost: Option<Lost> = None;
        for _ in 0..TRIES {
            let reading = match (self.look(&commit.key).await, &lost) {
                (Ok(reading), _) => reading,
                (Err(error), None) => return Err(error),
                (Err(_), Some(lost)) if Instant::now() < lost.until => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
                (Err(_), Some(_)) => return Ok(Outcome::Unknown),
            };
            if let Some(lost) = &lost {
                if reading.has(&id) {
                    return Ok(self.told_late(reading).await);
                }
                if !reading.remembers(lost.base) {
                    return Ok(Outcome::Unknown);
                }
            }
            // What is denied here can no more be made by an earlier try: that one compares the revision too.
            let decision = match decide(reading.entry.as_ref(), &commit, reading.generation, reading.now) {
                Ok(decision) => decision,
                Err(Denial::Conflict) => return Ok(Outcome::Conflict(reading.entry)),
                Err(Denial::Refused(refusal)) => return Ok(Outcome::Refused(refusal, reading.entry)),
            };
            match self.write(&reading, &id, &decision).await {
                Ok(true) => {
                    self.tell(&decision);
                    return Ok(Outcome::Committed(decision.entry));
                }
                // Somebody came between.
                Ok(false) => {}
                Err(error) if error.is_unknown() => {
                    let until = lost.map_or_else(|| Instant::now() + TELL_WITHIN, |lost| lost.until);
                    // If an earlier try was made on another revision, the reading has shown that it came to nothing.
                    lost = Some(Lost {
                        until,
                        base: reading.revision(),
                    });
                }
                Err(error) if lost.is_none() => return Err(failed("commit a task")(error)),
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
        if lost.is_some() {
            return Ok(Outcome::Unknown);
        }
        Err(Error::CommitAmongOthers)
    }

    async fn resolve(&self, tenant: &Tenant, alias: &Alias) -> Result<Option<TaskId>, Error> {
        let get: Call = cmd("GET").arg(keys::alias(tenant, alias)).take().into();
        let id: Option<String> = read(self.run("resolve a name", get).await?)?;
        let Some(id) = id.and_then(|id| id.parse().ok()) else {
            return Ok(None);
        };
        let key = TaskKey {
            tenant: tenant.clone(),
            id,
        };
        let exists: Call = cmd("EXISTS").arg(keys::task(&key)).take().into();
        let exists: bool = read(self.run("resolve a name", exists).await?)?;
        Ok(exists.then_some(key.id))
    }

    async fn due(&self, limit: usize) -> Result<Vec<TaskKey>, Error> {
        let now = self.now().await?;
        let calls: Vec<Call> = keys::partitions()
            .map(|partition| {
                let mut command = cmd("ZRANGE");
                command
                    .arg(keys::expiry(partition))
                    .arg("-inf")
                    .arg(now.0)
                    .arg("BYSCORE");
                command.arg("LIMIT").arg(0).arg(limit).arg("WITHSCORES").take().into()
            })
            .collect();
        let answers = self.inner.client.run_all(&calls).await;
        let mut due: Vec<(u64, TaskKey)> = Vec::new();
        for answer in answers.map_err(failed("look for what is due"))? {
            let members: Vec<(String, f64)> = read(answer.map_err(failed("look for what is due"))?)?;
            due.extend(
                members
                    .into_iter()
                    .filter_map(|(member, at)| Some((at as u64, keys::task_of_member(&member)?))),
            );
        }
        due.sort();
        Ok(due.into_iter().map(|(_, key)| key).take(limit).collect())
    }

    async fn forget(&self, key: &TaskKey) -> Result<(), Error> {
        let reading = self.look(key).await?;
        if reading.entry.is_some_and(|entry| entry.is_forgettable(reading.now)) {
            let call = scripts::FORGET
                .call(&[&keys::task(key), &keys::expiry(key.id.partition())])
                .arg(&reading.revision)
                .arg(keys::member(key));
            let written = self.inner.client.write(call).await;
            written.map_err(failed("forget a task"))?;
        }
        Ok(())
    }

    async fn generation(&self, key: &TaskKey) -> Result<Generation, Error> {
        Ok(self.look(key).await?.generation)
    }
}

/// Settles the generation of every partition that a connection is for, before it is used for it.
struct Settle {
    generations: Generations,
}

/// What is counted of generations.
#[derive(Debug, Clone, Default)]
struct Generations {
    /// When the newest one began that was seen, in Unix seconds.
    newest: Gauge,
    /// How many partitions this process has begun one in.
    begun: Counter,
}

#[async_trait]
impl Prepare for Settle {
    async fn prepare(&self, session: &Session) -> Result<(), windlass_redis::Error> {
        let unreadable = |_| windlass_redis::Error::Read;
        let time = session.run(&cmd("TIME").into()).await?;
        let (seconds, micros): (u64, u64) = from_redis_value(time).map_err(unreadable)?;
        let now = seconds * 1_000 + micros / 1_000;
        let former = session.former().map_or("", Marker::as_str);
        let marker = session.marker();
        let calls: Vec<Call> = keys::partitions()
            .map(keys::generation)
            .filter(|generation| session.serves(generation))
            .map(|generation| {
                let call = scripts::SETTLE.call(&[&generation]);
                call.arg(marker.as_str()).arg(now).arg(former).arg(marker.process())
            })
            .collect();
        let mut begun = 0;
        for answer in session.run_all(&calls).await? {
            let generation: u64 = from_redis_value(answer?).map_err(unreadable)?;
            begun += u64::from(generation >= now);
            let seconds = i64::try_from(generation / 1_000).unwrap_or(i64::MAX);
            self.generations.newest.inner().fetch_max(seconds, Ordering::Relaxed);
        }
        if begun > 0 {
            self.generations.begun.inc_by(begun);
            tracing::warn!(partitions = begun, "a new generation of the task store begins");
        }
        Ok(())
    }
}

/// A question to Redis, as a step of whatever trace it is asked in.
fn step(kind: &'static str) -> tracing::Span {
    tracing::debug_span!(target: TRACE, "redis", otel.kind = "client", otel.name = kind, db.system.name = "redis")
}

fn failed(operation: &'static str) -> impl FnOnce(windlass_redis::Error) -> Error {
    move |source| Error::UseRedis { operation, source }
}

fn read<T: windlass_redis::FromRedisValue>(value: Value) -> Result<T, Error> {
    from_redis_value(value).map_err(|_| failed("understand the answer of")(windlass_redis::Error::Read))
}

#[cfg(test)]
mod tests;
