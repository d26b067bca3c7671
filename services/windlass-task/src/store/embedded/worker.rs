//! The thread that owns the database: takes what waits, does it in one transaction, answers after the commit.

use std::fs::File;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use super::database::Database;
use crate::catalogue::Listed;
use crate::change::{Denial, decide};
use crate::event::{Event, EventType};
use crate::feed::{Feed, TaskUpdate};
use crate::id::{Alias, Owner, TaskId, TaskKey, Tenant};
use crate::outbox::{Held, Position};
use crate::store::{Commit, Entry, Error, Outcome};
use crate::time::UnixMillis;

/// The most requests that share one transaction: enough to make its cost vanish, few enough that the first of them
/// waits well under a millisecond for the last.
const BATCH: usize = 128;

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
    Join {
        group: &'static str,
        reply: Reply<()>,
    },
    Leave {
        group: &'static str,
        reply: Reply<()>,
    },
    Read {
        group: &'static str,
        limit: usize,
        reply: Reply<Vec<(Position, Event)>>,
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
        event: Box<Event>,
        reply: Reply<()>,
    },
    List {
        tenant: Tenant,
        owner: Owner,
        before: Option<TaskId>,
        limit: usize,
        reply: Reply<Vec<Listed>>,
    },
}

/// Answers one caller once the transaction is known to be committed, or not.
type Answer = Box<dyn FnOnce(Result<(), Error>)>;

pub(super) struct Worker {
    database: Database,
    clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    feed: Feed,
    bell: Arc<Notify>,
    /// Held, not used: the directory stays locked while the thread lives.
    _lock: File,
}

/// What a transaction tells the rest of the process once it is committed.
#[derive(Default)]
struct Tidings {
    updates: Vec<TaskUpdate>,
    events: bool,
}

impl Worker {
    pub(super) fn new(
        database: Database,
        clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
        feed: Feed,
        bell: Arc<Notify>,
        lock: File,
    ) -> Self {
        Self {
            database,
            clock,
            feed,
            bell,
            _lock: lock,
        }
    }

    /// Works until every sender is gone.
    pub(super) fn run(self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let mut tidings = Tidings::default();
            let begun = self.database.begin();
            let mut answers = vec![self.serve(first, &mut tidings)];
            while answers.len() < BATCH
                && let Ok(request) = queue.try_recv()
            {
                answers.push(self.serve(request, &mut tidings));
            }
            self.conclude(begun, answers, &tidings);
        }
    }

    fn conclude(&self, begun: Result<(), Error>, answers: Vec<Answer>, tidings: &Tidings) {
        let committed = begun.and_then(|()| self.database.commit());
        if committed.is_ok() {
            // Told before the answers leave: whoever has an answer can rely on the feed knowing.
            for update in &tidings.updates {
                self.feed.tell(update);
            }
            if tidings.events {
                self.bell.notify_waiters();
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
            Request::Load { key, reply } => later(database.load(&key), reply),
            Request::Commit { commit, reply } => later(self.commit(&commit, tidings), reply),
            Request::Resolve { tenant, alias, reply } => later(database.resolve(&tenant, &alias), reply),
            Request::Due { limit, reply } => later(database.due((self.clock)(), limit), reply),
            Request::Forget { key, reply } => later(self.forget(&key), reply),
            Request::Join { group, reply } => later(database.join(group), reply),
            Request::Leave { group, reply } => later(database.leave(group), reply),
            Request::Read { group, limit, reply } => later(database.read(group, limit), reply),
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
            Request::Catalogue { event, reply } => later(self.catalogue(&event), reply),
            Request::List {
                tenant,
                owner,
                before,
                limit,
                reply,
            } => later(database.list(&tenant, &owner, before.as_ref(), limit), reply),
        }
    }

    fn commit(&self, commit: &Commit, tidings: &mut Tidings) -> Result<Outcome, Error> {
        let current = self.database.load(&commit.key)?;
        match decide(current.as_ref(), commit, self.database.generation(), (self.clock)()) {
            Ok(decision) => {
                self.database.store(&decision.entry, current.is_none())?;
                for event in &decision.events {
                    self.database.append(event)?;
                }
                tidings.events |= !decision.events.is_empty();
                tidings.updates.extend(decision.update);
                Ok(Outcome::Committed(decision.entry))
            }
            Err(Denial::Conflict) => Ok(Outcome::Conflict(current)),
            Err(Denial::Refused(refusal)) => Ok(Outcome::Refused(refusal, current)),
        }
    }

    fn forget(&self, key: &TaskKey) -> Result<(), Error> {
        match self.database.load(key)? {
            Some(entry @ Entry::Gone(_)) if entry.is_forgettable((self.clock)()) => self.database.remove(&entry),
            Some(Entry::Gone(_) | Entry::Live(_)) | None => Ok(()),
        }
    }

    fn catalogue(&self, event: &Event) -> Result<(), Error> {
        match event.kind {
            EventType::Created => self.database.list_add(event),
            EventType::Terminated | EventType::Expired => self.database.list_remove(&event.key()),
            EventType::Completed | EventType::Failed | EventType::Progress => Ok(()),
        }
    }
}

/// Keeps an answer back until the transaction around it has ended.
fn later<T: 'static>(result: Result<T, Error>, reply: Reply<T>) -> Answer {
    // A caller that has gone away no longer wants its answer; what it asked is done all the same.
    Box::new(move |committed| drop(reply.send(committed.and(result))))
}
