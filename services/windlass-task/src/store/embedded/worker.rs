//! The thread that owns the database: takes what waits, does it in one transaction, answers after the commit.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use super::database::{Database, Rebuilding};
use super::recent::{Recent, Remembered};
use super::tail::Tail;
use crate::catalogue::Listed;
use crate::change::{Denial, decide};
use crate::event::{Event, EventType};
use crate::feed::{Feed, TaskUpdate};
use crate::id::{Alias, Owner, TaskId, TaskKey, Tenant};
use crate::outbox::{Held, Position};
use crate::store::inventory::{Keys, Mark};
use crate::store::{Commit, Entry, Error, Outcome};
use crate::time::UnixMillis;

/// The most requests that share one transaction: enough to make its cost vanish, few enough that the first of them
/// waits well under a millisecond for the last.
const BATCH: usize = 128;

/// From how many requests in a transaction on the next ones are let gather for [`GATHER`].
const MANY: usize = 4;
/// How long requests gather while there are many: a transaction costs about as much as ten requests in it (locks, log
/// frames, waking this thread), and a request that takes milliseconds does not notice this.
const GATHER: Duration = Duration::from_micros(250);

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What callers ask of the thread.
pub(super) enum Request {
    Load {
        key: TaskKey,
        reply: Reply<Option<Entry>>,
    },
    Commit {
        commit: Box<Commit>,
        reply: Reply<Outcome>,
    },
    Resolve {
        tenant: Tenant,
        alias: Alias,
        reply: Reply<Option<TaskId>>,
    },
    Due {
        limit: usize,
        reply: Reply<Vec<TaskKey>>,
    },
    Forget {
        key: TaskKey,
        reply: Reply<()>,
    },
    Keys {
        after: Option<Mark>,
        limit: usize,
        reply: Reply<Keys>,
    },
    Join {
        group: &'static str,
        reply: Reply<Position>,
    },
    Leave {
        group: &'static str,
        reply: Reply<()>,
    },
    Read {
        after: Position,
        limit: usize,
        reply: Reply<Vec<(Position, Arc<Event>)>>,
    },
    Acknowledge {
        group: &'static str,
        through: Position,
        reply: Reply<()>,
    },
    HoldBack {
        group: &'static str,
        position: Position,
        reply: Reply<()>,
    },
    Held {
        group: &'static str,
        limit: usize,
        reply: Reply<Vec<Held>>,
    },
    LetGo {
        group: &'static str,
        position: Position,
        lost: bool,
        reply: Reply<()>,
    },
    Catalogue {
        events: Vec<Arc<Event>>,
        reply: Reply<()>,
    },
    List {
        tenant: Tenant,
        owner: Owner,
        before: Option<TaskId>,
        limit: usize,
        reply: Reply<Vec<Listed>>,
    },
    Rebuilding {
        reply: Reply<Rebuilding>,
    },
    Rebuild {
        state: Rebuilding,
        reply: Reply<()>,
    },
}

/// Answers one caller once the transaction is known to be committed, or not.
type Answer = Box<dyn FnOnce(Result<(), Error>)>;

pub(super) struct Worker {
    database: Database,
    clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    told: Told,
    /// Held, not used: the directory stays locked while the thread lives.
    _lock: File,
}

/// Who in this process learns of a commit.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) feed: Feed,
    pub(super) bell: Arc<Notify>,
    pub(super) recent: Arc<Recent>,
    pub(super) tail: Arc<Tail>,
}

/// What a transaction tells the rest of the process once it is committed.
#[derive(Default)]
struct Tidings {
    updates: Vec<TaskUpdate>,
    events: Vec<(Position, Arc<Event>)>,
    /// The entries that it wrote, as it leaves them; `None` for one that it removed.
    entries: HashMap<TaskKey, Option<Remembered>>,
}

impl Worker {
    pub(super) fn new(
        database: Database,
        clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
        told: Told,
        lock: File,
    ) -> Self {
        Self {
            database,
            clock,
            told,
            _lock: lock,
        }
    }

    /// Works until every sender is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let mut tidings = Tidings::default();
            let begun = self.database.begin();
            let mut answers = vec![self.serve(first, &mut tidings)];
            while answers.len() < BATCH
                && let Ok(request) = queue.try_recv()
            {
                answers.push(self.serve(request, &mut tidings));
            }
            let many = answers.len() >= MANY;
            self.conclude(begun, answers, tidings);
            if many {
                std::thread::sleep(GATHER);
            }
        }
    }

    fn conclude(&mut self, begun: Result<(), Error>, answers: Vec<Answer>, tidings: Tidings) {
        let committed = begun.and_then(|()| self.database.commit());
        if committed.is_ok() {
            // Told before the answers leave: whoever has an answer can rely on everybody else knowing.
            for (key, entry) in tidings.entries {
                match entry {
                    Some(remembered) => self.told.recent.committed(key, remembered),
                    None => self.told.recent.forget(&key),
                }
            }
            for update in &tidings.updates {
                self.told.feed.tell(update);
            }
            if !tidings.events.is_empty() {
                self.told.tail.committed(tidings.events);
                self.told.bell.notify_waiters();
            }
        }
        if let Err(error) = &committed {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "a transaction of the task store failed"
            );
            self.database.roll_back();
        }
        for answer in answers {
            answer(committed.as_ref().copied().map_err(|_| Error::CommitTransaction));
        }
    }

    fn serve(&self, request: Request, tidings: &mut Tidings) -> Answer {
        let database = &self.database;
        match request {
            Request::Load { key, reply } => later(self.load(&key, tidings), reply),
            Request::Commit { commit, reply } => later(self.commit(&commit, tidings), reply),
            Request::Resolve { tenant, alias, reply } => later(database.resolve(&tenant, &alias), reply),
            Request::Due { limit, reply } => later(database.due((self.clock)(), limit), reply),
            Request::Forget { key, reply } => later(self.forget(&key, tidings), reply),
            Request::Keys { after, limit, reply } => later(database.keys(after.as_ref(), limit), reply),
            Request::Join { group, reply } => later(database.join(group), reply),
            Request::Leave { group, reply } => later(database.leave(group), reply),
            Request::Read { after, limit, reply } => later(database.read(after, limit), reply),
            Request::Acknowledge { group, through, reply } => later(database.acknowledge(group, through), reply),
            Request::HoldBack { group, position, reply } => {
                later(database.hold_back(group, position, (self.clock)()), reply)
            }
            Request::Held { group, limit, reply } => later(database.held(group, limit), reply),
            Request::LetGo {
                group,
                position,
                lost,
                reply,
            } => later(database.let_go(group, position, lost), reply),
            Request::Catalogue { events, reply } => {
                later(events.iter().try_for_each(|event| self.catalogue(event)), reply)
            }
            Request::List {
                tenant,
                owner,
                before,
                limit,
                reply,
            } => later(database.list(&tenant, &owner, before.as_ref(), limit), reply),
            Request::Rebuilding { reply } => later(database.rebuilding(), reply),
            Request::Rebuild { state, reply } => later(database.rebuild(&state), reply),
        }
    }

    /// The entry as it is inside the open transaction.
    fn current(&self, key: &TaskKey, tidings: &Tidings) -> Result<Option<Arc<Entry>>, Error> {
        match tidings.entries.get(key) {
            Some(written) => Ok(written.as_ref().map(|written| Arc::clone(&written.entry))),
            None => match self.told.recent.get(key) {
                Some(entry) => Ok(Some(entry)),
                None => Ok(self.database.load(key)?.map(Arc::new)),
            },
        }
    }

    fn load(&self, key: &TaskKey, tidings: &Tidings) -> Result<Option<Entry>, Error> {
        Ok(self.current(key, tidings)?.map(Arc::unwrap_or_clone))
    }

    fn commit(&self, commit: &Commit, tidings: &mut Tidings) -> Result<Outcome, Error> {
        let current = self.current(&commit.key, tidings)?;
        let decided = decide(current.as_deref(), commit, self.database.generation(), (self.clock)());
        let is_new = current.is_none();
        let current = || current.map(Arc::unwrap_or_clone);
        match decided {
            Ok(decision) => {
                let bytes = self.database.store(&decision.entry, is_new)?;
                for event in decision.events {
                    let position = self.database.append(&event)?;
                    tidings.events.push((position, Arc::new(event)));
                }
                tidings.updates.extend(decision.update);
                let entry = Arc::new(decision.entry.clone());
                tidings
                    .entries
                    .insert(commit.key.clone(), Some(Remembered { entry, bytes }));
                Ok(Outcome::Committed(decision.entry))
            }
            Err(Denial::Conflict) => Ok(Outcome::Conflict(current())),
            Err(Denial::Refused(refusal)) => Ok(Outcome::Refused(refusal, current())),
        }
    }

    fn forget(&self, key: &TaskKey, tidings: &mut Tidings) -> Result<(), Error> {
        match self.load(key, tidings)? {
            Some(entry @ Entry::Gone(_)) if entry.is_forgettable((self.clock)()) => {
                tidings.entries.insert(key.clone(), None);
                self.database.remove(&entry)
            }
            Some(Entry::Gone(_) | Entry::Live(_)) | None => Ok(()),
        }
    }

    fn catalogue(&self, event: &Event) -> Result<(), Error> {
        match event.kind {
            EventType::Created => self.database.list_add(event),
            EventType::Terminated | EventType::Expired => self.database.list_remove(&event.key()),
            EventType::Completed | EventType::Released | EventType::Failed | EventType::Progress => Ok(()),
        }
    }
}

/// Keeps an answer back until the transaction around it has ended.
fn later<T: 'static>(result: Result<T, Error>, reply: Reply<T>) -> Answer {
    // A caller that has gone away no longer wants its answer; what it asked is done all the same.
    Box::new(move |committed| drop(reply.send(committed.and(result))))
}
