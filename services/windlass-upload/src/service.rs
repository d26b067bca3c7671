//! The service: its parts, and what every request does before its own work: find, authorise, hold.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tracing::Instrument as _;
use windlass_serve::{Caller, Shutdown, Tracker, step, trace};
use windlass_task::announce::Announce;
use windlass_task::peers::Answer;
use windlass_task::quota::Quotas;
use windlass_task::rebuild::Rebuild;
use windlass_task::{
    Alias, Catalogue, Commit, Entry, Expected, Feed, Finish, Inventory, Jobs, Outbox, Outcome, Peers, Principal,
    Record, Right, TaskId, TaskKey, TaskStore, Tenant, Token, store,
};

use crate::announce::Announcer;
use crate::config::{self, Config, Validated};
use crate::error::Error;
use crate::holder::{Hold, Holders, Refusal};
use crate::hooks::Hooks;
use crate::location::{Name, Target};
use crate::metrics::Metrics;
use crate::storage::Storage;
use crate::tenants::Tenants;
use crate::tusd::{self, Making, TakeOver};
use crate::verdict::Verdicts;
use crate::waits::Wait;
use crate::{garbage, listen, rebuild, reconcile, upkeep};

/// The waits between tries of a store that does not answer.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How often a takeover is tried when the overruled holder commits in between; it can do so once, for its token ends
/// with the first take that is recorded.
const TAKE_TRIES: usize = 5;

/// Tries what may fail for a moment until it succeeds or the request has been held for as long as it may.
macro_rules! patiently {
    ($upload:expr, $work:expr) => {{
        let mut patience = $upload.patience();
        loop {
            match $work.await {
                Ok(done) => break Ok(done),
                Err(error) => {
                    if let Err(error) = patience.bear($crate::error::Error::from(error)).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}
pub(crate) use patiently;

/// What is left of the time for which a request may be held while something is away.
pub(crate) struct Patience {
    deadline: Instant,
    wait: Duration,
    /// Counts it, also while it lasts.
    _counted: Wait,
}

impl Patience {
    /// Waits before the next try, unless `error` will not pass or the time is over.
    pub(crate) async fn bear(&mut self, error: Error) -> Result<(), Error> {
        if !error.is_temporary() || Instant::now() + self.wait > self.deadline {
            return Err(error);
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "holding a request");
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(RETRY_MAX);
        Ok(())
    }
}

/// What the service is made of.
#[derive(Clone)]
pub struct Parts {
    /// The records.
    pub store: Arc<dyn TaskStore>,
    /// All of them, for who looks for what they do not need.
    pub inventory: Arc<dyn Inventory>,
    /// Their durable events.
    pub outbox: Arc<dyn Outbox>,
    /// The index of tasks by owner, which this service feeds.
    pub catalogue: Arc<dyn Catalogue>,
    /// What all processes count together for a tenant.
    pub quotas: Arc<dyn Quotas>,
    /// The latest values of this process's commits.
    pub feed: Feed,
    /// The other processes that may write to the same tasks.
    pub peers: Arc<dyn Peers>,
    /// Whose turn it is at what one process does for all.
    pub jobs: Arc<dyn Jobs>,
    /// What has to be recorded again after the store has forgotten something.
    pub rebuild: Arc<dyn Rebuild>,
    /// Where events are announced to other services, if they can be.
    pub announce: Option<Arc<dyn Announce>>,
    /// The bytes.
    pub storage: Arc<dyn Storage>,
    /// The signal to go down.
    pub shutdown: Shutdown,
    /// What must end before the process does.
    pub tracker: Tracker,
    /// Whether callers show a token; where they do not, the key in the URL gives the right to write.
    pub demands_token: bool,
}

impl Parts {
    /// The parts that these records and this storage are, for a process of its own.
    pub(crate) fn of(
        records: &store::Records,
        storage: Arc<dyn Storage>,
        shutdown: Shutdown,
        tracker: Tracker,
        demands_token: bool,
    ) -> Self {
        Self {
            store: Arc::clone(&records.store),
            inventory: Arc::clone(&records.inventory),
            outbox: Arc::clone(&records.outbox),
            catalogue: Arc::clone(&records.catalogue),
            quotas: Arc::clone(&records.quotas),
            jobs: Arc::clone(&records.jobs),
            rebuild: Arc::clone(&records.rebuild),
            announce: records.shared.clone().map(|store| Arc::new(store) as Arc<dyn Announce>),
            feed: records.feed.clone(),
            peers: Arc::clone(&records.peers),
            storage,
            shutdown,
            tracker,
            demands_token,
        }
    }
}

/// The upload service.
pub struct Upload {
    pub(crate) config: Validated,
    pub(crate) parts: Parts,
    pub(crate) holders: Holders,
    pub(crate) metrics: Metrics,
    pub(crate) hooks: Option<Arc<Hooks>>,
    pub(crate) verdicts: Verdicts,
    pub(crate) tusd: Option<TakeOver>,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) announcer: Option<Arc<Announcer>>,
}

impl Upload {
    /// The service with these settings and parts; its metrics go to `registry`.
    ///
    /// # Errors
    /// [`config::Error`] for a setting that cannot be.
    pub fn new(config: &Config, parts: Parts, registry: &mut Registry) -> Result<Arc<Self>, config::Error> {
        let metrics = Metrics::register(registry);
        let (validated, holders) = (config.validate()?, Holders::new());
        let tusd = config.tusd.clone().map(|settings| {
            let making = Making {
                origin: validated.origin.clone(),
                lifetime: validated.lifetime,
                holder: holders.process(),
            };
            let (store, storage) = (Arc::clone(&parts.store), Arc::clone(&parts.storage));
            TakeOver::new(settings, making, store, storage, metrics.clone())
        });
        let tenants = Tenants::new(config.tenants.clone(), Arc::clone(&parts.quotas), metrics.clone());
        parts.peers.serve(holders.process(), Arc::new(holders.clone()));
        Ok(Arc::new(Self {
            tenants: Arc::new(tenants),
            announcer: Announcer::open(config.announce.as_ref(), parts.announce.as_ref())?.map(Arc::new),
            config: validated,
            parts,
            holders,
            tusd,
            hooks: match &config.hooks {
                Some(settings) => Some(Arc::new(Hooks::new(settings, metrics.clone())?)),
                None => None,
            },
            verdicts: Verdicts::default(),
            metrics,
        }))
    }

    /// What goes on beside the requests, until it is cancelled: expiry, the outbox's listeners, the owners' word to
    /// those who write, what the store has forgotten, what nobody needs, and what is there to be taken over.
    pub async fn run(self: Arc<Self>) {
        let sweep = async {
            if let Some(take_over) = &self.tusd {
                tusd::sweep(take_over).await;
            }
        };
        let (listening, rebuilding) = (listen::run(&self), rebuild::run(&self));
        tokio::join!(upkeep::run(&self), listening, rebuilding, garbage::run(&self), sweep);
    }

    /// Gives back what this process has in hand of what pods share. Nothing runs any more.
    pub async fn close(&self) {
        self.parts.outbox.close().await;
        self.parts.peers.close().await;
    }

    /// The largest upload that this caller may make, bytes.
    pub(crate) fn max_size(&self, caller: &Caller) -> Option<u64> {
        let by_link = caller.link().and_then(|link| link.max_bytes);
        let of_tenant = caller
            .principal()
            .and_then(|principal| self.tenants.max_size(&principal.tenant));
        [self.config.max_size, by_link, of_tenant].into_iter().flatten().min()
    }

    pub(crate) fn store(&self) -> &dyn TaskStore {
        &*self.parts.store
    }

    pub(crate) fn rebuild(&self) -> &dyn Rebuild {
        &*self.parts.rebuild
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.parts.storage
    }

    /// The longest time between two checkpoints inside one body.
    pub(crate) fn checkpoint(&self) -> Duration {
        self.config.checkpoint.unwrap_or_else(|| self.storage().pace().interval)
    }

    /// How long this request may be held, from now on.
    pub(crate) fn patience(&self) -> Patience {
        Patience {
            deadline: Instant::now() + self.config.hold,
            wait: RETRY_MIN,
            _counted: self.metrics.wait(),
        }
    }

    /// The key of the task that a path names.
    pub(crate) async fn find(self: &Arc<Self>, target: &Target) -> Result<TaskKey, Error> {
        let id = match &target.name {
            Name::Id(id) => id.clone(),
            Name::Alias(alias) => {
                let found = patiently!(self, self.store().resolve(&target.tenant, alias))?;
                match found {
                    Some(id) => {
                        if let Some(take_over) = self.tusd.as_ref().filter(|tusd| tusd.tenant() == &target.tenant) {
                            take_over.compare(alias, &id).await.map_err(Error::TakeOver)?;
                        }
                        id
                    }
                    None => self.ask_tusd(&target.tenant, alias).await?.ok_or(Error::FindUpload)?,
                }
            }
        };
        Ok(TaskKey {
            tenant: target.tenant.clone(),
            id,
        })
    }

    /// The task of an upload that tusd knows by this name, and nobody here so far.
    async fn ask_tusd(self: &Arc<Self>, tenant: &Tenant, alias: &Alias) -> Result<Option<TaskId>, Error> {
        match self.tusd.as_ref().filter(|take_over| take_over.tenant() == tenant) {
            None => Ok(None),
            // A store that forgot the name may have forgotten an upload that has gone on here since.
            Some(take_over) if self.entry(&take_over.key_of(alias)).await?.is_some() => {
                Ok(Some(take_over.key_of(alias).id))
            }
            Some(take_over) => match tokio::time::timeout(self.config.hold, take_over.take(alias)).await {
                Ok(taken) => taken.map_err(Error::TakeOver),
                Err(_) => Err(Error::AwaitTakeOver),
            },
        }
    }

    /// The entry of a task, reconciled with the storage where the store may have forgotten some of it.
    pub(crate) async fn entry(self: &Arc<Self>, key: &TaskKey) -> Result<Option<Entry>, Error> {
        reconcile::entry(self, key).await
    }

    /// As [`Upload::entry`], of a task that must be there.
    pub(crate) async fn load(self: &Arc<Self>, key: &TaskKey) -> Result<Entry, Error> {
        self.entry(key).await?.ok_or(Error::FindUpload)
    }

    /// The record, if the caller has the right to write it. Who has not is told nothing but that it is not there.
    pub(crate) fn authorise(&self, entry: Entry, principal: &Principal, target: &Target) -> Result<Record, Error> {
        let released_by = is_quarantined(&entry) && principal.may(Right::Release);
        if !principal.may(Right::Upload) && !released_by {
            return Err(Error::Permit);
        }
        let write_key = match &entry {
            Entry::Live(record) => &record.write_key,
            Entry::Gone(tombstone) => &tombstone.write_key,
        };
        let has_key = write_key
            .as_ref()
            .zip(target.key.as_deref())
            .is_some_and(|(hash, key)| hash.admits(key));
        let admitted = if self.parts.demands_token {
            // What was taken over has no owner who could show a token: its old URL is the right to write.
            entry.owner() == &principal.owner || !entry.aliases().is_empty() && has_key
        } else {
            has_key
        };
        if entry.key().tenant != principal.tenant || !admitted && !released_by {
            return Err(Error::FindUpload);
        }
        match entry {
            Entry::Live(record) => Ok(*record),
            Entry::Gone(tombstone) => Err(Error::ReachUpload { cause: tombstone.cause }),
        }
    }

    /// The upload that a path names, held by this request alone, with its record as it is then.
    ///
    /// Nobody is disturbed before the caller has shown its right to write.
    pub(crate) async fn hold(
        self: &Arc<Self>,
        principal: &Principal,
        target: &Target,
    ) -> Result<(Hold, Record), Error> {
        let (hold, record) = self.hold_if(principal, target, |_| true).await?;
        Ok((hold.expect("it is wanted whatever it is"), record))
    }

    /// As [`Upload::hold`], but an upload that is not `wanted` is only read: its writer goes on.
    pub(crate) async fn hold_if(
        self: &Arc<Self>,
        principal: &Principal,
        target: &Target,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<(Option<Hold>, Record), Error> {
        let key = self.find(target).await?;
        // Held before it is read, the record cannot change under it; only who finds it taken has to read twice.
        let free = self.holders.try_hold(&key);
        let record = self.authorise(self.load(&key).await?, principal, target)?;
        if !wanted(&record) {
            return Ok((None, record));
        }
        match free {
            Some(hold) => {
                let record = self.reach_elsewhere(&hold, record, principal, target).await?;
                Ok((Some(hold), record))
            }
            None => {
                let (hold, record) = self.take_over(&key, principal, target).await?;
                Ok((Some(hold), record))
            }
        }
    }

    /// An upload that somebody else writes. The caller has shown its right to.
    async fn take_over(
        self: &Arc<Self>,
        key: &TaskKey,
        principal: &Principal,
        target: &Target,
    ) -> Result<(Hold, Record), Error> {
        let asked = Instant::now();
        let taken = self.holders.take_over(key).await;
        let outcome = match &taken {
            Ok(hold) if hold.is_forced() => "forced",
            Ok(_) => "released",
            Err(Refusal::Contended { .. }) => "contended",
            Err(Refusal::Superseded) => "superseded",
        };
        self.metrics.taken_over(outcome, asked.elapsed().as_secs_f64());
        let hold = taken.map_err(|refusal| match refusal {
            Refusal::Contended { retry_after } => Error::HoldUpload { retry_after },
            Refusal::Superseded => Error::HoldUpload {
                retry_after: Duration::from_secs(1),
            },
        })?;
        let record = self.authorise(self.load(key).await?, principal, target)?;
        let record = if hold.is_forced() {
            self.fence(&hold, record).await?
        } else {
            self.reach_elsewhere(&hold, record, principal, target).await?
        };
        Ok((hold, record))
    }

    /// The record once no other process writes to it: the one whose token it has is asked to let go. One that is gone
    /// or does not answer is fenced, and nothing of it counts from here on.
    async fn reach_elsewhere(
        self: &Arc<Self>,
        hold: &Hold,
        record: Record,
        principal: &Principal,
        target: &Target,
    ) -> Result<Record, Error> {
        let is_open = matches!(record.finish, Finish::Open | Finish::VerdictPending);
        if !is_open || !hold.is_elsewhere(&record.token) {
            return Ok(record);
        }
        let asked = Instant::now();
        let answer = patiently!(self, self.parts.peers.ask(record.token.holder, &record.key))?;
        let outcome = match &answer {
            Answer::Idle => None,
            Answer::Released { .. } => Some("released"),
            Answer::Kept { .. } => Some("contended"),
            Answer::Gone => Some("gone"),
            Answer::Silent => Some("forced"),
        };
        if let Some(outcome) = outcome {
            self.metrics.taken_over(outcome, asked.elapsed().as_secs_f64());
        }
        let (key, fenced) = match answer {
            Answer::Idle => (record.key, false),
            Answer::Released { takeovers } => {
                self.holders.inherit(&record.key, &takeovers);
                (record.key, false)
            }
            Answer::Kept { retry_after } => return Err(Error::HoldUpload { retry_after }),
            Answer::Gone | Answer::Silent => (record.key, true),
        };
        let record = self.authorise(self.load(&key).await?, principal, target)?;
        if fenced {
            self.fence(hold, record).await
        } else {
            Ok(record)
        }
    }

    /// Puts the hold's token into the record where another holder's is, so that nothing of that holder counts from
    /// here on.
    pub(crate) async fn fence(&self, hold: &Hold, mut record: Record) -> Result<Record, Error> {
        for _ in 0..TAKE_TRIES {
            let Some(token) = hold.successor_of(&record.token) else {
                return Ok(record);
            };
            let change = windlass_task::change::Change::Take { token };
            let commit = Commit::held(record.key.clone(), record.token, record.received, vec![change]);
            match self.commit(commit).await? {
                Outcome::Committed(Entry::Live(taken)) => return Ok(*taken),
                Outcome::Conflict(Some(Entry::Live(current))) => record = *current,
                other => return Err(failure(other)),
            }
        }
        Err(Error::ConfirmCheckpoint)
    }

    /// A commit that is tried again while the store does not answer.
    pub(crate) async fn commit(&self, mut commit: Commit) -> Result<Outcome, Error> {
        let span = step!("commit", task = %commit.key.id);
        commit.traceparent = commit.traceparent.or_else(trace::traceparent);
        let committing = async { patiently!(self, self.try_commit(commit.clone())) };
        committing.instrument(span).await
    }

    /// A process that cannot renew its lease may have been taken for dead: it acknowledges nothing until it can again.
    async fn try_commit(&self, commit: Commit) -> Result<Outcome, store::Error> {
        if matches!(commit.expected, Expected::Holder { .. }) && !self.parts.peers.may_write() {
            return Err(store::Error::KeepLease);
        }
        self.store().commit(commit).await
    }

    /// The token of a new task's first writer.
    pub(crate) async fn first_token(&self, key: &TaskKey) -> Result<Token, Error> {
        let generation = patiently!(self, self.store().generation(key))?;
        Ok(Token {
            generation,
            epoch: windlass_task::WriterEpoch(1),
            holder: self.holders.process(),
        })
    }
}

fn is_quarantined(entry: &Entry) -> bool {
    matches!(entry, Entry::Live(record) if record.quarantined)
}

/// What a commit that was not made means for the request.
pub(crate) fn failure(outcome: Outcome) -> Error {
    match outcome {
        Outcome::Conflict(Some(Entry::Gone(tombstone)))
        | Outcome::Refused(_, Some(Entry::Gone(tombstone)))
        | Outcome::Committed(Entry::Gone(tombstone)) => Error::ReachUpload { cause: tombstone.cause },
        Outcome::Conflict(Some(Entry::Live(record))) | Outcome::Committed(Entry::Live(record)) => Error::KeepUpload {
            offset: record.offset(),
        },
        // The store has forgotten something: the record is reconciled when it is asked for the next time.
        Outcome::Conflict(None)
        | Outcome::Refused(windlass_task::change::Refusal::Generation, _)
        | Outcome::Refused(windlass_task::change::Refusal::Absent, None) => Error::ConfirmCheckpoint,
        Outcome::Refused(refusal, _) => Error::ChangeRecord(refusal),
        Outcome::Unknown => Error::ConfirmCheckpoint,
    }
}
