//! The SQL: one table an idea, each statement prepared once and cached.

use std::cell::Cell;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};

use super::Durability;
use crate::catalogue::Listed;
use crate::epoch::Generation;
use crate::event::Event;
use crate::id::{Alias, Owner, TaskId, TaskKey, Tenant};
use crate::outbox::{Held, Position};
use crate::record::RECORD_VERSION;
use crate::store::inventory::{Keys, Mark};
use crate::store::{Entry, Error};
use crate::time::UnixMillis;

/// Room on the disk that only the database's log may use, bytes: on a full disk the end of an upload, which makes room,
/// must still find some for its record. Twice what SQLite lets its log grow to (1,000 pages of 4 KiB) before it takes it
/// back into the database.
const LOG_RESERVE_BYTES: u64 = 8 * 1024 * 1024;

/// The layout of the tables. A database of another layout is refused, not guessed at.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE task (
        tenant TEXT NOT NULL, id TEXT NOT NULL, v INTEGER NOT NULL, due INTEGER, entry TEXT NOT NULL,
        PRIMARY KEY (tenant, id)
    ) WITHOUT ROWID;
    CREATE INDEX task_due ON task (due) WHERE due IS NOT NULL;
    CREATE TABLE alias (
        tenant TEXT NOT NULL, alias TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tenant, alias)
    ) WITHOUT ROWID;
    CREATE TABLE outbox (position INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL);
    CREATE TABLE outbox_group (name TEXT PRIMARY KEY, acknowledged INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE catalogue (
        tenant TEXT NOT NULL, owner TEXT NOT NULL, time INTEGER NOT NULL, id TEXT NOT NULL, name TEXT,
        PRIMARY KEY (tenant, id)
    ) WITHOUT ROWID;
    CREATE INDEX catalogue_owner ON catalogue (tenant, owner, time, id);
    CREATE TABLE generation (generation INTEGER NOT NULL);
";

/// What later builds added; an older build does not know these tables and leaves them alone, so the layout's version
/// stays.
const ADDITIONS: &str = "
    CREATE TABLE IF NOT EXISTS outbox_held (
        name TEXT NOT NULL, position INTEGER NOT NULL, since INTEGER NOT NULL, lost INTEGER NOT NULL, event TEXT NOT NULL,
        PRIMARY KEY (name, position)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS rebuild (generation INTEGER PRIMARY KEY, after TEXT, whole INTEGER NOT NULL);
";

/// How far the storage was gone through in a generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rebuilding {
    pub(super) after: Option<String>,
    pub(super) whole: bool,
}

pub(super) struct Database {
    connection: Connection,
    generation: Generation,
    /// Set when a write of the open transaction failed: then none of it may be committed, for a commit of ours is
    /// several statements.
    spoiled: Cell<bool>,
}

/// Reserves [`LOG_RESERVE_BYTES`] for the log beside the database at `path`, which SQLite has made by now and keeps
/// while it is open. Its size stays as SQLite sees it. Without the reserve the store works as long as there is room.
fn reserve_log(path: &Path) {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let reserved = File::options().write(true).open(&log).and_then(|file| {
        let keep_size = rustix::fs::FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(file, keep_size, 0, LOG_RESERVE_BYTES)?)
    });
    if let Err(error) = reserved {
        tracing::warn!(%error, "no room is reserved for records: on a full disk uploads cannot be ended");
    }
}

fn failed(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::UseDatabase { operation, source }
}

impl Database {
    /// Opens, or makes, the database. One that is made begins a generation `now`: what there was before is forgotten.
    pub(super) fn open(path: &Path, durability: Durability, now: UnixMillis) -> Result<Self, Error> {
        let connection = Connection::open(path).map_err(failed("open"))?;
        // In WAL mode NORMAL leaves the last transactions in the OS buffer but never corrupts; FULL waits for each.
        let synchronous = match durability {
            Durability::Process => "NORMAL",
            Durability::PowerCut => "FULL",
        };
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .map_err(failed("configure"))?;
        connection
            .pragma_update(None, "synchronous", synchronous)
            .map_err(failed("configure"))?;
        match schema_version(&connection)? {
            0 => {
                let generation = Generation::beginning(now);
                let begin = format!("INSERT INTO generation VALUES ({generation});");
                let create = format!("BEGIN; {SCHEMA} {begin} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
                connection.execute_batch(&create).map_err(failed("create"))?;
            }
            SCHEMA_VERSION => {}
            version => return Err(Error::ReadSchema { version }),
        }
        connection.execute_batch(ADDITIONS).map_err(failed("create"))?;
        connection.set_prepared_statement_cache_capacity(32);
        reserve_log(path);
        Self::of(connection)
    }

    /// Opens a database that is there to be read, also beside the process that has it: in WAL mode nobody waits for a reader.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed("open"))?;
        match schema_version(&connection)? {
            SCHEMA_VERSION => Self::of(connection),
            version => Err(Error::ReadSchema { version }),
        }
    }

    fn of(connection: Connection) -> Result<Self, Error> {
        let generation = connection
            .query_row("SELECT generation FROM generation", (), |row| row.get::<_, i64>(0))
            .map_err(failed("read"))?;
        Ok(Self {
            connection,
            generation: Generation(generation.unsigned_abs()),
            spoiled: Cell::new(false),
        })
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) fn begin(&self) -> Result<(), Error> {
        self.spoiled.set(false);
        self.run("begin a transaction of", "BEGIN IMMEDIATE", ()).map(drop)
    }

    pub(super) fn commit(&self) -> Result<(), Error> {
        if self.spoiled.get() {
            return Err(Error::CommitTransaction);
        }
        self.run("commit to", "COMMIT", ()).map(drop)
    }

    /// Leaves no transaction open, whatever state the failed one is in.
    pub(super) fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.run("roll back", "ROLLBACK", ())
        {
            tracing::error!(%error, "cannot roll back");
        }
    }

    pub(super) fn load(&self, key: &TaskKey) -> Result<Option<Entry>, Error> {
        let row: Option<(i64, String)> = self
            .connection
            .prepare_cached("SELECT v, entry FROM task WHERE tenant = ?1 AND id = ?2")
            .and_then(|mut statement| {
                statement
                    .query_row(params![key.tenant.as_str(), key.id.to_string()], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .optional()
            })
            .map_err(failed("read"))?;
        let Some((v, text)) = row else { return Ok(None) };
        // Readers take this version and the one before it; there is none before the first.
        if v != i64::from(RECORD_VERSION) {
            return Err(Error::ReadVersion {
                key: key.clone(),
                v: v.unsigned_abs(),
            });
        }
        let entry = serde_json::from_str(&text).map_err(|source| Error::ReadEntry {
            key: key.clone(),
            source,
        })?;
        Ok(Some(entry))
    }

    /// Writes an entry; answers how long its text is.
    pub(super) fn store(&self, entry: &Entry, new: bool) -> Result<usize, Error> {
        let key = entry.key();
        let (tenant, id) = (key.tenant.as_str(), key.id.to_string());
        let due = entry.due().map(|due| clamp(due.0));
        let text = serde_json::to_string(entry).map_err(|source| Error::EncodeEntry { source })?;
        self.run(
            "write to",
            "INSERT INTO task (tenant, id, v, due, entry) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET v = excluded.v, due = excluded.due, entry = excluded.entry",
            params![tenant, id, RECORD_VERSION, due, text],
        )?;
        if let (true, Entry::Live(record)) = (new, entry) {
            for alias in &record.aliases {
                self.run(
                    "write to",
                    "INSERT INTO alias VALUES (?1, ?2, ?3)",
                    params![tenant, alias.as_str(), id],
                )?;
            }
        }
        Ok(text.len())
    }

    pub(super) fn remove(&self, entry: &Entry) -> Result<(), Error> {
        let key = entry.key();
        let (tenant, id) = (key.tenant.as_str(), key.id.to_string());
        self.run(
            "write to",
            "DELETE FROM task WHERE tenant = ?1 AND id = ?2",
            params![tenant, id],
        )?;
        if let Entry::Gone(tombstone) = entry {
            for alias in &tombstone.aliases {
                let alias = alias.as_str();
                self.run(
                    "write to",
                    "DELETE FROM alias WHERE tenant = ?1 AND alias = ?2",
                    params![tenant, alias],
                )?;
            }
        }
        Ok(())
    }

    pub(super) fn resolve(&self, tenant: &Tenant, alias: &Alias) -> Result<Option<TaskId>, Error> {
        self.connection
            .prepare_cached("SELECT id FROM alias WHERE tenant = ?1 AND alias = ?2")
            .and_then(|mut statement| {
                statement
                    .query_row(params![tenant.as_str(), alias.as_str()], |row| parsed(row, 0))
                    .optional()
            })
            .map_err(failed("read"))
    }

    pub(super) fn due(&self, now: UnixMillis, limit: usize) -> Result<Vec<TaskKey>, Error> {
        self.collect(
            "SELECT tenant, id FROM task WHERE due <= ?1 ORDER BY due LIMIT ?2",
            params![clamp(now.0), limit_of(limit)],
            |row| {
                Ok(TaskKey {
                    tenant: parsed(row, 0)?,
                    id: parsed(row, 1)?,
                })
            },
        )
    }

    /// A page of the keys of all tasks, in their order.
    pub(super) fn keys(&self, after: Option<&Mark>, limit: usize) -> Result<Keys, Error> {
        let (tenant, id) = after.and_then(|mark| mark.0.split_once('/')).unwrap_or_default();
        let keys: Vec<TaskKey> = self.collect(
            "SELECT tenant, id FROM task WHERE (tenant, id) > (?1, ?2) ORDER BY tenant, id LIMIT ?3",
            params![tenant, id, limit_of(limit)],
            |row| {
                Ok(TaskKey {
                    tenant: parsed(row, 0)?,
                    id: parsed(row, 1)?,
                })
            },
        )?;
        let last = keys.last().filter(|_| keys.len() >= limit);
        let next = last.map(|last| Mark(last.to_string()));
        Ok(Keys { keys, next })
    }

    pub(super) fn append(&self, event: &Event) -> Result<Position, Error> {
        let text = serde_json::to_string(event).map_err(|source| Error::EncodeEntry { source })?;
        self.run("write to", "INSERT INTO outbox (event) VALUES (?1)", params![text])?;
        Ok(Position(self.connection.last_insert_rowid().unsigned_abs()))
    }

    pub(super) fn join(&self, group: &str) -> Result<Position, Error> {
        // A new group starts with what is still there: at least what the slowest other group has not had.
        self.run(
            "write to",
            "INSERT INTO outbox_group VALUES (?1, 0) ON CONFLICT DO NOTHING",
            params![group],
        )?;
        self.connection
            .prepare_cached("SELECT acknowledged FROM outbox_group WHERE name = ?1")
            .and_then(|mut statement| statement.query_row(params![group], |row| row.get::<_, i64>(0)))
            .map(|position| Position(position.unsigned_abs()))
            .map_err(failed("read"))
    }

    pub(super) fn leave(&self, group: &str) -> Result<(), Error> {
        self.run("write to", "DELETE FROM outbox_group WHERE name = ?1", params![group])
            .map(drop)
    }

    pub(super) fn read(&self, after: Position, limit: usize) -> Result<Vec<(Position, Arc<Event>)>, Error> {
        let rows = self.collect(
            "SELECT position, event FROM outbox WHERE position > ?1 ORDER BY position LIMIT ?2",
            params![clamp(after.0), limit_of(limit)],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )?;
        rows.into_iter()
            .map(|(position, text)| {
                let event = serde_json::from_str(&text).map_err(|source| Error::ReadEvent { source })?;
                Ok((Position(position.unsigned_abs()), Arc::new(event)))
            })
            .collect()
    }

    pub(super) fn acknowledge(&self, group: &str, through: Position) -> Result<(), Error> {
        self.run(
            "write to",
            "UPDATE outbox_group SET acknowledged = max(acknowledged, ?2) WHERE name = ?1",
            params![group, clamp(through.0)],
        )?;
        self.run(
            "write to",
            "DELETE FROM outbox WHERE position <= (SELECT min(acknowledged) FROM outbox_group)",
            (),
        )
        .map(drop)
    }

    pub(super) fn hold_back(&self, group: &str, position: Position, now: UnixMillis) -> Result<(), Error> {
        self.run(
            "write to",
            "INSERT INTO outbox_held SELECT ?1, position, ?3, 0, event FROM outbox WHERE position = ?2
             ON CONFLICT DO NOTHING",
            params![group, clamp(position.0), clamp(now.0)],
        )
        .map(drop)
    }

    pub(super) fn held(&self, group: &str, limit: usize) -> Result<Vec<Held>, Error> {
        let rows = self.collect(
            "SELECT position, since, lost, event FROM outbox_held WHERE name = ?1 ORDER BY position LIMIT ?2",
            params![group, limit_of(limit)],
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get(2)?,
                    row.get::<_, String>(3)?,
                ))
            },
        )?;
        rows.into_iter()
            .map(|(position, since, lost, text)| {
                Ok(Held {
                    position: Position(position.unsigned_abs()),
                    since: UnixMillis(since.unsigned_abs()),
                    lost,
                    event: serde_json::from_str(&text).map_err(|source| Error::ReadEvent { source })?,
                })
            })
            .collect()
    }

    pub(super) fn let_go(&self, group: &str, position: Position, lost: bool) -> Result<(), Error> {
        let sql = if lost {
            "UPDATE outbox_held SET lost = 1 WHERE name = ?1 AND position = ?2"
        } else {
            "DELETE FROM outbox_held WHERE name = ?1 AND position = ?2"
        };
        self.run("write to", sql, params![group, clamp(position.0)]).map(drop)
    }

    /// How far the walk of this generation has come, and whether to its end.
    pub(super) fn rebuilding(&self) -> Result<Rebuilding, Error> {
        let row = self
            .connection
            .prepare_cached("SELECT after, whole FROM rebuild WHERE generation = ?1")
            .and_then(|mut statement| {
                let read = |row: &Row<'_>| {
                    Ok(Rebuilding {
                        after: row.get(0)?,
                        whole: row.get(1)?,
                    })
                };
                statement.query_row(params![clamp(self.generation.0)], read).optional()
            });
        Ok(row.map_err(failed("read"))?.unwrap_or_default())
    }

    pub(super) fn rebuild(&self, state: &Rebuilding) -> Result<(), Error> {
        self.run(
            "write to",
            "INSERT INTO rebuild VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET after = excluded.after, whole = excluded.whole",
            params![clamp(self.generation.0), state.after, state.whole],
        )
        .map(drop)
    }

    pub(super) fn list_add(&self, event: &Event) -> Result<(), Error> {
        let (tenant, owner) = (event.tenant.as_str(), event.data.owner.as_str());
        let (time, id) = (clamp(event.time.0), event.subject.to_string());
        // A repeat that comes after the task is gone must not list it again.
        self.run(
            "write to",
            "INSERT INTO catalogue (tenant, owner, time, id, name) SELECT ?1, ?2, ?3, ?4, ?5
             WHERE EXISTS (SELECT 1 FROM task WHERE tenant = ?1 AND id = ?4) ON CONFLICT DO NOTHING",
            params![tenant, owner, time, id, event.data.name],
        )
        .map(drop)
    }

    pub(super) fn list_remove(&self, key: &TaskKey) -> Result<(), Error> {
        let (tenant, id) = (key.tenant.as_str(), key.id.to_string());
        self.run(
            "write to",
            "DELETE FROM catalogue WHERE tenant = ?1 AND id = ?2",
            params![tenant, id],
        )
        .map(drop)
    }

    pub(super) fn list(
        &self,
        tenant: &Tenant,
        owner: &Owner,
        before: Option<&TaskId>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let listed = |row: &Row<'_>| {
            Ok(Listed {
                id: parsed(row, 0)?,
                name: row.get(1)?,
            })
        };
        let (tenant, owner, limit) = (tenant.as_str(), owner.as_str(), limit_of(limit));
        match before {
            None => self.collect(
                "SELECT id, name FROM catalogue WHERE tenant = ?1 AND owner = ?2
                 ORDER BY time DESC, id DESC LIMIT ?3",
                params![tenant, owner, limit],
                listed,
            ),
            Some(before) => self.collect(
                "SELECT c.id, c.name FROM catalogue c, (SELECT time, id FROM catalogue WHERE tenant = ?1 AND id = ?4) b
                 WHERE c.tenant = ?1 AND c.owner = ?2 AND (c.time, c.id) < (b.time, b.id)
                 ORDER BY c.time DESC, c.id DESC LIMIT ?3",
                params![tenant, owner, limit, before.to_string()],
                listed,
            ),
        }
    }

    fn run(&self, operation: &'static str, sql: &str, params: impl rusqlite::Params) -> Result<usize, Error> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .inspect_err(|_| self.spoiled.set(true))
            .map_err(failed(operation))
    }

    fn collect<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(params, row)?.collect())
            .map_err(failed("read"))
    }
}

fn schema_version(connection: &Connection) -> Result<i64, Error> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed("read"))
}

fn parsed<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err = crate::id::Error>,
{
    let text: String = row.get(index)?;
    text.parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error)))
}

/// SQLite's integers are signed; times and positions never come near the difference.
fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
