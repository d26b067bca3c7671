//! A Redis with a replica that is behind: what it has committed and answered may be gone after a failover, which begins a new
//! generation. Replies get lost, and sometimes nobody answers.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use windlass_task::change::{Change, Denial, Refusal, decide};
use windlass_task::rebuild::{Rebuild, Walk};
use windlass_task::store::{Error, Expected, Keys, Known, Mark};
use windlass_task::{
    Alias, Commit, Entry, Generation, Inventory, Outcome, TaskId, TaskKey, TaskStore, Tenant, Token, UnixMillis,
};

use crate::gate::Gate;
use crate::random::Random;
use crate::trace::Trace;
use crate::world::Mutation;

pub(crate) struct Redis {
    began: (Instant, UnixMillis),
    random: Random,
    trace: Trace,
    mutation: Option<Mutation>,
    inner: Mutex<Inner>,
}

struct Inner {
    generation: Generation,
    entries: HashMap<TaskKey, Entry>,
    /// Every commit that counts, with its time: the past that a failover cuts the end off.
    log: Vec<(Instant, Entry)>,
    away_until: Instant,
    calm: bool,
    /// By each task's last take, who alone may write.
    writers: HashMap<TaskKey, Token>,
    /// Every task that was ever recorded.
    ever: BTreeSet<TaskKey>,
    /// The generation in which all that is stored was recorded again.
    whole: Option<Generation>,
}

impl Redis {
    pub(crate) fn start(random: Random, trace: Trace, mutation: Option<Mutation>) -> Arc<Self> {
        // Ids are dated by the machine's clock, so this one is set by it; no line of a trace shows it.
        let began = (Instant::now(), UnixMillis::now());
        Arc::new(Self {
            began,
            random,
            trace,
            mutation,
            inner: Mutex::new(Inner {
                generation: first_generation(began.1),
                entries: HashMap::new(),
                log: Vec::new(),
                away_until: Instant::now(),
                calm: false,
                writers: HashMap::new(),
                ever: BTreeSet::new(),
                whole: None,
            }),
        })
    }

    /// No more faults.
    pub(crate) fn calm(&self) {
        self.lock().calm = true;
    }

    /// Nobody answers for a while.
    pub(crate) fn go_away(&self, wait: Duration) {
        self.trace.say(&format!("redis is away for {} ms", wait.as_millis()));
        self.lock().away_until = Instant::now() + wait;
    }

    /// The replica takes over without the commits of the last `lag`.
    pub(crate) fn fail_over(&self, lag: Duration) {
        let now = self.now();
        let mut inner = self.lock();
        let kept = inner.log.iter().filter(|(at, _)| at.elapsed() >= lag).count();
        let lost = inner.log.len() - kept;
        inner.log.truncate(kept);
        let log = std::mem::take(&mut inner.log);
        inner.entries = log
            .iter()
            .map(|(_, entry)| (entry.key().clone(), entry.clone()))
            .collect();
        inner.log = log;
        inner.writers.clear();
        if self.mutation != Some(Mutation::KeepGeneration) {
            inner.generation = Generation::beginning(now).max(inner.generation.next());
        }
        drop(inner);
        self.trace.say(&format!("redis fails over and forgets {lost} commits"));
    }

    /// How many tasks it does not know any more.
    pub(crate) fn forgotten(&self) -> usize {
        let inner = self.lock();
        let is_unknown = |key: &&TaskKey| !inner.entries.contains_key(*key);
        inner.ever.iter().filter(is_unknown).count()
    }

    /// Whether everything that was ever recorded is said to be.
    pub(crate) fn is_whole(&self) -> bool {
        let inner = self.lock();
        inner.whole == Some(inner.generation)
    }

    fn now(&self) -> UnixMillis {
        self.began.1.after(self.began.0.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way there or back; whether it is a lucky one.
    async fn travel(&self) -> bool {
        let calm = self.lock().calm;
        sleep(self.random.millis(0, if calm { 2 } else { 12 })).await;
        calm || !self.random.once_in(25)
    }

    fn answers(&self) -> bool {
        self.lock().away_until <= Instant::now()
    }

    fn apply(&self, mut commit: Commit) -> Outcome {
        let now = self.now();
        let mut inner = self.lock();
        let current = inner.entries.get(&commit.key).cloned();
        let by_token = match &commit.expected {
            Expected::Holder { token, .. } => Some(*token),
            Expected::Absent | Expected::Present => None,
        };
        if let (Some(Mutation::IgnoreToken), Some(_), Some(Entry::Live(record))) = (self.mutation, by_token, &current) {
            commit.expected = Expected::Holder {
                token: record.token,
                received: record.received,
            };
        }
        match decide(current.as_ref(), &commit, inner.generation, now) {
            Ok(decision) => {
                let writer = inner.writers.get(&commit.key).copied();
                if let (Some(token), Some(writer)) = (by_token, writer)
                    && token != writer
                {
                    self.trace
                        .violate("a writer changed a record that had been taken from it (P2)");
                }
                if let Entry::Live(record) = &decision.entry {
                    inner.writers.insert(commit.key.clone(), record.token);
                }
                inner.ever.insert(commit.key.clone());
                inner.entries.insert(commit.key, decision.entry.clone());
                inner.log.push((Instant::now(), decision.entry.clone()));
                Outcome::Committed(decision.entry)
            }
            Err(Denial::Conflict) => Outcome::Conflict(current),
            Err(Denial::Refused(refusal)) => Outcome::Refused(refusal, current),
        }
    }
}

/// The store has been there for a day: what is created now it cannot have forgotten before its first failover.
fn first_generation(now: UnixMillis) -> Generation {
    const DAY_MILLIS: u64 = 24 * 3_600 * 1_000;
    Generation::beginning(UnixMillis(now.0.saturating_sub(DAY_MILLIS)))
}

/// A pod's connection.
pub(crate) struct Connection {
    pub(crate) redis: Arc<Redis>,
    pub(crate) gate: Gate,
}

impl Connection {
    /// Sends and waits for the answer, which tells of the past when the pod stood still meanwhile.
    async fn ask<T>(&self, question: impl FnOnce(&Redis) -> T) -> Result<T, Lost> {
        self.gate.pass().await;
        let arrived = self.redis.travel().await && self.redis.answers();
        if !arrived {
            self.gate.pass().await;
            return Err(Lost::Question);
        }
        let answer = question(&self.redis);
        let came_back = self.redis.travel().await;
        self.gate.pass().await;
        if came_back { Ok(answer) } else { Err(Lost::Answer) }
    }
}

enum Lost {
    Question,
    Answer,
}

impl From<Lost> for Error {
    fn from(_: Lost) -> Self {
        Self::ReachStore
    }
}

#[async_trait]
impl TaskStore for Connection {
    async fn load(&self, key: &TaskKey) -> Result<Option<Entry>, Error> {
        Ok(self.ask(|redis| redis.lock().entries.get(key).cloned()).await?)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, Error> {
        let changes: Vec<_> = commit.changes.iter().map(name).collect();
        let outcome = match self.ask(|redis| redis.apply(commit)).await {
            Ok(outcome) => outcome,
            Err(Lost::Question) => return Err(Error::ReachStore),
            Err(Lost::Answer) => Outcome::Unknown,
        };
        self.redis
            .trace
            .say(&format!("commit {} -> {}", changes.join("+"), told(&outcome)));
        Ok(outcome)
    }

    async fn resolve(&self, _: &Tenant, _: &Alias) -> Result<Option<TaskId>, Error> {
        Ok(None)
    }

    async fn due(&self, _: usize) -> Result<Vec<TaskKey>, Error> {
        Ok(Vec::new())
    }

    async fn forget(&self, _: &TaskKey) -> Result<(), Error> {
        Ok(())
    }

    async fn generation(&self, _: &TaskKey) -> Result<Generation, Error> {
        // A client knows it from its connection.
        self.gate.pass().await;
        Ok(self.redis.lock().generation)
    }
}

#[async_trait]
impl Rebuild for Connection {
    async fn is_whole(&self, _: &TaskKey) -> Result<bool, Error> {
        Ok(self.ask(Redis::is_whole).await?)
    }

    async fn unfinished(&self) -> Result<Option<Walk>, Error> {
        let mutation = self.redis.mutation;
        let unfinished = self.ask(|redis| {
            let generation = redis.lock().generation;
            let walk = || Walk {
                generations: vec![generation],
                after: None,
            };
            (!redis.is_whole() && mutation != Some(Mutation::NeverWalk)).then(walk)
        });
        Ok(unfinished.await?)
    }

    async fn note(&self, walk: &Walk) -> Result<bool, Error> {
        Ok(self.ask(|redis| walk.generations == [redis.lock().generation]).await?)
    }

    async fn finish(&self, walk: &Walk) -> Result<(), Error> {
        let finished = self.ask(|redis| {
            let mut inner = redis.lock();
            if walk.generations == [inner.generation] {
                inner.whole = Some(inner.generation);
            }
        });
        Ok(finished.await?)
    }
}

#[async_trait]
impl Inventory for Connection {
    async fn keys(&self, _: Option<&Mark>, _: usize) -> Result<Keys, Error> {
        let keys = self.ask(|redis| redis.lock().entries.keys().cloned().collect::<Vec<_>>());
        let mut keys = keys.await?;
        keys.sort();
        Ok(Keys { keys, next: None })
    }

    /// One script: the entry and the generation are of one moment.
    async fn known(&self, key: &TaskKey) -> Result<Known, Error> {
        let known = self.ask(|redis| {
            let inner = redis.lock();
            Known {
                entry: inner.entries.get(key).cloned(),
                generation: inner.generation,
            }
        });
        Ok(known.await?)
    }
}

fn name(change: &Change) -> String {
    match change {
        Change::Create(_) => "create".to_owned(),
        Change::Advance { received, .. } => format!("advance {received}"),
        Change::Take { .. } => "take".to_owned(),
        Change::Finish(_) => "finish".to_owned(),
        Change::Reconcile(stored) => format!("reconcile {}", stored.received),
        other => format!("{other:?}")
            .split(['(', ' ', '{'])
            .next()
            .unwrap_or_default()
            .to_lowercase(),
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Committed(Entry::Live(record)) => format!("committed {}", record.received),
        Outcome::Committed(Entry::Gone(_)) => "committed gone".to_owned(),
        Outcome::Conflict(_) => "conflict".to_owned(),
        Outcome::Refused(Refusal::Generation, _) => "another generation".to_owned(),
        Outcome::Refused(refusal, _) => format!("refused: {refusal}"),
        Outcome::Unknown => "unknown".to_owned(),
    }
}
