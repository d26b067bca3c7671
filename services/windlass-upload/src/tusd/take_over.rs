//! Taking one upload over. Order: the bytes get a second name here, the documents beside them are written, then one
//! commit makes the record. Each step done twice is done once, so a death in between is made good by the next try.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use sha2::{Digest as _, Sha256};
use windlass_task::change::{Change, Verdict};
use windlass_task::record::Creation;
use windlass_task::{
    Alias, Commit, Concat, Entry, Expected, HolderId, Origin, Outcome, Protocol, TaskId, TaskKey, TaskStore, Tenant,
    Token, UnixMillis, WriteKeyHash, WriterEpoch,
};

use super::info::{self, INFO_MAX_BYTES, Info, Joined};
use super::{Error, Settings, Shared as SharedError};
use crate::metrics::Metrics;
use crate::storage::{Completion, Manifest, Storage};

/// What an answer to "is it tusd's?" may be: the task that it is now, or that tusd has no such upload.
type Taken = Result<Option<TaskId>, SharedError>;
type Taking = Shared<BoxFuture<'static, Taken>>;

/// Takes uploads over; clones share what is under way.
#[derive(Clone)]
pub(crate) struct TakeOver {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) settings: Settings,
    origin: Origin,
    lifetime: Duration,
    holder: HolderId,
    pub(super) store: Arc<dyn TaskStore>,
    storage: Arc<dyn Storage>,
    pub(super) metrics: Metrics,
    /// What is being taken over now: one try an upload, however many ask for it.
    running: Mutex<HashMap<Alias, Taking>>,
}

/// What new records are made with.
pub(crate) struct Making {
    pub(crate) origin: Origin,
    pub(crate) lifetime: Duration,
    pub(crate) holder: HolderId,
}

impl TakeOver {
    pub(crate) fn new(
        settings: Settings,
        making: Making,
        store: Arc<dyn TaskStore>,
        storage: Arc<dyn Storage>,
        metrics: Metrics,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings,
                origin: making.origin,
                lifetime: making.lifetime,
                holder: making.holder,
                store,
                storage,
                metrics,
                running: Mutex::default(),
            }),
        }
    }

    /// The path below which tusd's uploads are, with a slash at both ends.
    pub(crate) fn base_path(&self) -> &str {
        &self.inner.settings.base_path
    }

    /// Whose its uploads become.
    pub(crate) fn tenant(&self) -> &Tenant {
        &self.inner.settings.tenant
    }

    /// The task that an upload of tusd's becomes.
    pub(crate) fn key_of(&self, id: &Alias) -> TaskKey {
        self.inner.key_of(id)
    }

    /// Whether what is known here of an upload that was taken over is all that its client was told.
    pub(crate) async fn compare(&self, id: &Alias, task: &TaskId) -> Result<(), SharedError> {
        Ok(self.inner.compare(id, task).await?)
    }

    /// Takes the upload over that tusd knows as `id`; `None` when it knows none. Goes on when nobody waits any more.
    pub(crate) async fn take(&self, id: &Alias) -> Taken {
        let taking = {
            let mut running = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
            match running.get(id) {
                Some(taking) => taking.clone(),
                None => {
                    let (inner, name) = (Arc::clone(&self.inner), id.clone());
                    let taking = async move {
                        let taken = inner.take(&name).await;
                        inner.count(&taken);
                        inner
                            .running
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .remove(&name);
                        taken
                    };
                    let taking = taking.boxed().shared();
                    running.insert(id.clone(), taking.clone());
                    tokio::spawn(taking.clone());
                    taking
                }
            }
        };
        taking.await
    }
}

impl Inner {
    fn key_of(&self, id: &Alias) -> TaskKey {
        TaskKey {
            tenant: self.settings.tenant.clone(),
            id: TaskId::derived(&self.origin, digest(id)),
        }
    }

    fn count(&self, taken: &Taken) {
        match taken {
            Ok(Some(_)) => self.metrics.tusd_upload("taken_over"),
            Ok(None) => {}
            Err(_) => self.metrics.tusd_upload("refused"),
        }
    }

    async fn take(&self, id: &Alias) -> Taken {
        let (directory, alias) = (self.settings.directory.clone(), id.clone());
        let found = tokio::task::spawn_blocking(move || look(&directory, &alias))
            .await
            .map_err(|_| Error::RunThread)??;
        let Some(found) = found else { return Ok(None) };
        Ok(Some(self.record(id, found).await?))
    }

    async fn record(&self, id: &Alias, found: Found) -> Result<TaskId, Error> {
        let Found {
            info,
            data,
            size,
            created,
        } = found;
        let key = self.key_of(id);
        let creation = Creation {
            key: key.clone(),
            owner: self.settings.owner.clone(),
            // What tusd took by its experimental protocol looks the same, and is spoken to as tus from here on.
            protocol: Protocol::Tus,
            length: info.length,
            metadata: info.metadata,
            token: Token {
                generation: self.store.generation(&key).await?,
                epoch: WriterEpoch(1),
                holder: self.holder,
            },
            write_key: Some(WriteKeyHash::of(id.as_str())),
            lifetime: self.lifetime,
            concat: match info.joined {
                Joined::Whole => None,
                Joined::Partial => Some(Concat::Partial { adopted_by: Vec::new() }),
                // tusd has copied its parts' bytes: it needs none of them.
                Joined::Final { parts } => Some(Concat::Final {
                    parts: Vec::new(),
                    header: final_header(&self.settings.base_path, &parts),
                }),
            },
            digest: None,
            aliases: vec![id.clone()],
        };
        let segments = self.storage.take_in(&key, &data, size, self.settings.transfer).await?;
        self.storage.write_manifest(&Manifest::of(&creation, created)).await?;
        let mut changes = vec![Change::Create(Box::new(creation))];
        if size > 0 {
            changes.push(Change::Advance {
                received: size,
                segments,
            });
        }
        if info.length == Some(size) {
            // tusd has told the client so.
            self.storage.write_completion(&key, &Completion::accepted(size)).await?;
            changes.push(Change::Finish(Verdict::Accept));
        }
        let commit = Commit {
            key: key.clone(),
            expected: Expected::Absent,
            changes,
            traceparent: None,
        };
        match self.store.commit(commit).await? {
            Outcome::Committed(_) => Ok(key.id),
            // Another process was first.
            Outcome::Conflict(Some(entry)) if entry.aliases().contains(id) => Ok(key.id),
            Outcome::Conflict(_) => Err(Error::CreateRecord {
                outcome: "its id is taken",
            }),
            Outcome::Refused(..) => Err(Error::CreateRecord {
                outcome: "the record does not allow this",
            }),
            Outcome::Unknown => Err(Error::CreateRecord {
                outcome: "nobody can say whether it was written",
            }),
        }
    }

    /// Whether tusd has gone on with an upload that was taken over: then what is known here is not all that its client
    /// was told.
    pub(super) async fn compare(&self, id: &Alias, task: &TaskId) -> Result<(), Error> {
        let path = self.settings.directory.join(id.as_str());
        let size = tokio::task::spawn_blocking(move || std::fs::metadata(path).map(|metadata| metadata.len()))
            .await
            .map_err(|_| Error::RunThread)?;
        let key = TaskKey {
            tenant: self.settings.tenant.clone(),
            id: task.clone(),
        };
        match (size, self.store.load(&key).await?) {
            (Ok(size), Some(Entry::Live(record))) if size > record.received => Err(Error::FollowTusd {
                size,
                received: record.received,
            }),
            // Whoever cleans tusd's directory up after the move may.
            _ => Ok(()),
        }
    }
}

/// What was found of an upload in tusd's directory.
struct Found {
    info: Info,
    data: PathBuf,
    /// The bytes that are there: the offset that tusd tells.
    size: u64,
    /// When tusd wrote the `.info` file, in place of the creation, which it does not keep.
    created: UnixMillis,
}

/// Looks for an upload; changes nothing.
fn look(directory: &Path, id: &Alias) -> Result<Option<Found>, Error> {
    if !names_file(id) {
        return Ok(None);
    }
    let info_path = directory.join(format!("{id}.info"));
    let reading = |source| Error::ReadFile {
        what: ".info file",
        source,
    };
    let file = match File::open(&info_path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(reading)?,
    };
    let written = file
        .metadata()
        .and_then(|metadata| metadata.modified())
        .map_err(reading)?;
    let mut text = Vec::new();
    file.take(INFO_MAX_BYTES + 1).read_to_end(&mut text).map_err(reading)?;
    let info = info::read(&text, id)?;
    if is_being_written(directory, id) {
        return Err(Error::AwaitRelease);
    }
    let data = directory.join(id.as_str());
    let metadata = std::fs::symlink_metadata(&data).map_err(|source| Error::ReadFile { what: "data", source })?;
    if !metadata.is_file() {
        return Err(Error::FindData);
    }
    let size = metadata.len();
    match (info.length, &info.joined) {
        (Some(length), _) if size > length => return Err(Error::ExceedLength { size, length }),
        (length, Joined::Final { .. }) if length != Some(size) => return Err(Error::JoinParts),
        (_, Joined::Whole | Joined::Partial | Joined::Final { .. }) => {}
    }
    let created = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(Some(Found {
        info,
        data,
        size,
        created: UnixMillis(u64::try_from(created.as_millis()).unwrap_or(u64::MAX)),
    }))
}

/// Whether an id can be the name of a file in tusd's directory, and nothing else.
pub(super) fn names_file(id: &Alias) -> bool {
    let id = id.as_str();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~+=,@:".contains(&b);
    !id.starts_with('.') && id.bytes().all(plain)
}

/// Whether a tusd that runs on this machine has the upload locked: its lock file names its process. One that was killed
/// leaves the file behind, which means nothing then.
fn is_being_written(directory: &Path, id: &Alias) -> bool {
    let lock = std::fs::read_to_string(directory.join(format!("{id}.lock")));
    let process = lock.ok().and_then(|text| text.trim().parse::<u32>().ok());
    process
        .and_then(|process| std::fs::read_to_string(format!("/proc/{process}/comm")).ok())
        .is_some_and(|name| name.trim() == "tusd")
}

/// The 80 bits of the task's id: as hard to guess as they are many, and no way back to the id that gives the right to
/// write.
fn digest(id: &Alias) -> [u8; 10] {
    let digest = Sha256::new()
        .chain_update(b"tusd upload ")
        .chain_update(id.as_str())
        .finalize();
    std::array::from_fn(|at| digest[at])
}

/// The `Upload-Concat` that created it, as far as tusd keeps it.
fn final_header(base_path: &str, parts: &[Alias]) -> String {
    let urls: Vec<String> = parts.iter().map(|part| format!("{base_path}{part}")).collect();
    format!("final;{}", urls.join(" "))
}
