//! The embedded back end: SQLite in WAL mode, owned by one thread of one process.
//!
//! Commits that wait together are made in one transaction and answered after it, so a commit costs a share of one
//! write to the log. The log is in the operating system's buffer by then, which survives `kill -9`; surviving a
//! power cut is [`Durability::PowerCut`]. The directory is locked (flock) for as long as the store lives, so entries and
//! events that were committed a moment ago are answered from memory.

mod database;
mod reader;
mod recent;
mod tail;
mod worker;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, oneshot};

use self::database::Rebuilding;
pub use self::reader::EmbeddedReader;
use self::worker::{Request, Told};
use super::inventory::{Inventory, Keys, Known, Mark};
use super::{Commit, Entry, Error, Outcome, TaskStore};
use crate::catalogue::{Catalogue, Listed};
use crate::epoch::Generation;
use crate::event::Event;
use crate::feed::{Feed, Follow};
use crate::id::{Alias, Owner, TaskId, TaskKey, Tenant};
use crate::outbox::{Held, Outbox, Position};
use crate::rebuild::{Rebuild, Walk};
use crate::time::UnixMillis;

/// The records, in the data directory.
const DATABASE: &str = "tasks.sqlite3";
/// How many requests may wait for the thread; beyond it, callers wait for a place.
const QUEUE_LENGTH: usize = 1_024;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process at any moment.
    #[default]
    Process,
    /// A power cut too: every transaction waits for the disk.
    PowerCut,
}

/// How an [`EmbeddedStore`] is opened.
#[derive(Clone)]
pub struct Options {
    /// What a commit survives.
    pub durability: Durability,
    /// The store's clock: the machine's, or one that a test moves.
    pub clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            clock: Arc::new(UnixMillis::now),
        }
    }
}

/// The embedded store: tasks, outbox and catalogue of one process. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct EmbeddedStore {
    requests: mpsc::Sender<Request>,
    told: Told,
    generation: Generation,
}

impl EmbeddedStore {
    /// Opens, or makes, the store in `directory`.
    ///
    /// # Errors
    /// [`Error::LockDirectory`] while another process has it; [`Error::OpenDirectory`], [`Error::UseDatabase`].
    pub fn open(directory: &Path, options: Options) -> Result<Self, Error> {
        let lock = lock_directory(directory)?;
        let database = database::Database::open(&directory.join(DATABASE), options.durability, (options.clock)())?;
        let generation = database.generation();
        let (requests, queue) = mpsc::channel(QUEUE_LENGTH);
        let told = Told {
            feed: Feed::new(),
            bell: Arc::new(Notify::new()),
            recent: Arc::default(),
            tail: Arc::default(),
        };
        let worker = worker::Worker::new(database, options.clock, told.clone(), lock);
        std::thread::Builder::new()
            .name("task-store".to_owned())
            .spawn(move || worker.run(queue))
            .map_err(|source| Error::OpenDirectory {
                path: directory.to_owned(),
                source,
            })?;
        Ok(Self {
            requests,
            told,
            generation,
        })
    }

    /// Where each commit's latest value is told, to listeners in this process.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.told.feed
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| Error::ReachStore)?;
        answer.await.map_err(|_| Error::ReachStore)?
    }
}

#[async_trait]
impl TaskStore for EmbeddedStore {
    async fn load(&self, key: &TaskKey) -> Result<Option<Entry>, Error> {
        if let Some(entry) = self.told.recent.get(key) {
            return Ok(Some(Entry::clone(&entry)));
        }
        self.ask(|reply| Request::Load {
            key: key.clone(),
            reply,
        })
        .await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, Error> {
        self.ask(|reply| Request::Commit {
            commit: Box::new(commit),
            reply,
        })
        .await
    }

    async fn resolve(&self, tenant: &Tenant, alias: &Alias) -> Result<Option<TaskId>, Error> {
        self.ask(|reply| Request::Resolve {
            tenant: tenant.clone(),
            alias: alias.clone(),
            reply,
        })
        .await
    }

    async fn due(&self, limit: usize) -> Result<Vec<TaskKey>, Error> {
        self.ask(|reply| Request::Due { limit, reply }).await
    }

    async fn forget(&self, key: &TaskKey) -> Result<(), Error> {
        self.ask(|reply| Request::Forget {
            key: key.clone(),
            reply,
        })
        .await
    }

    async fn generation(&self, _: &TaskKey) -> Result<Generation, Error> {
        Ok(self.generation)
    }
}

#[async_trait]
impl Inventory for EmbeddedStore {
    async fn keys(&self, after: Option<&Mark>, limit: usize) -> Result<Keys, Error> {
        let after = after.cloned();
        self.ask(|reply| Request::Keys { after, limit, reply }).await
    }

    async fn known(&self, key: &TaskKey) -> Result<Known, Error> {
        Ok(Known {
            entry: self.load(key).await?,
            generation: self.generation,
        })
    }
}

#[async_trait]
impl Outbox for EmbeddedStore {
    async fn join(&self, group: &'static str) -> Result<Position, Error> {
        self.ask(|reply| Request::Join { group, reply }).await
    }

    async fn leave(&self, group: &'static str) -> Result<(), Error> {
        self.ask(|reply| Request::Leave { group, reply }).await
    }

    async fn read(&self, _: &'static str, after: Position, limit: usize) -> Result<Vec<(Position, Arc<Event>)>, Error> {
        match self.told.tail.after(after, limit) {
            Some(events) => Ok(events),
            None => self.ask(|reply| Request::Read { after, limit, reply }).await,
        }
    }

    async fn acknowledge(&self, group: &'static str, through: Position) -> Result<(), Error> {
        self.ask(|reply| Request::Acknowledge { group, through, reply }).await
    }

    async fn hold_back(&self, group: &'static str, position: Position) -> Result<(), Error> {
        self.ask(|reply| Request::HoldBack { group, position, reply }).await
    }

    async fn held(&self, group: &'static str, limit: usize) -> Result<Vec<Held>, Error> {
        self.ask(|reply| Request::Held { group, limit, reply }).await
    }

    async fn let_go(&self, group: &'static str, position: Position, lost: bool) -> Result<(), Error> {
        self.ask(|reply| Request::LetGo {
            group,
            position,
            lost,
            reply,
        })
        .await
    }

    fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.told.bell)
    }
}

#[async_trait]
impl Catalogue for EmbeddedStore {
    async fn apply(&self, events: &[Arc<Event>]) -> Result<(), Error> {
        self.ask(|reply| Request::Catalogue {
            events: events.to_vec(),
            reply,
        })
        .await
    }

    async fn list(
        &self,
        tenant: &Tenant,
        owner: &Owner,
        before: Option<&TaskId>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        self.ask(|reply| Request::List {
            tenant: tenant.clone(),
            owner: owner.clone(),
            before: before.cloned(),
            limit,
            reply,
        })
        .await
    }
}

#[async_trait]
impl Follow for EmbeddedStore {
    /// Every commit is made by this process, and told.
    async fn follow(&self, _: &TaskKey) -> Result<(), Error> {
        Ok(())
    }

    fn leave(&self, _: &TaskKey) {}
}

#[async_trait]
impl Rebuild for EmbeddedStore {
    async fn is_whole(&self, _: &TaskKey) -> Result<bool, Error> {
        Ok(self.ask(|reply| Request::Rebuilding { reply }).await?.whole)
    }

    async fn unfinished(&self) -> Result<Option<Walk>, Error> {
        let Rebuilding { after, whole } = self.ask(|reply| Request::Rebuilding { reply }).await?;
        let walk = || Walk {
            generations: vec![self.generation],
            after,
        };
        Ok((!whole).then(walk))
    }

    async fn note(&self, walk: &Walk) -> Result<bool, Error> {
        let state = Rebuilding {
            after: walk.after.clone(),
            whole: false,
        };
        self.ask(|reply| Request::Rebuild { state, reply }).await?;
        Ok(true)
    }

    async fn finish(&self, _: &Walk) -> Result<(), Error> {
        let state = Rebuilding {
            after: None,
            whole: true,
        };
        self.ask(|reply| Request::Rebuild { state, reply }).await
    }
}

fn lock_directory(directory: &Path) -> Result<File, Error> {
    let open = |source| Error::OpenDirectory {
        path: directory.to_owned(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(open)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("lock"))
        .map_err(open)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::LockDirectory {
            path: directory.to_owned(),
        }),
        Err(errno) => Err(open(errno.into())),
    }
}

#[cfg(test)]
mod tests;
