//! The way back to tusd: what was acknowledged here of its uploads since is appended to its own files.
//!
//! No server may run on the data directory, nor tusd on its own. Death at any point is made good by going back again:
//! the `.info` file is replaced in one step, and bytes are only ever appended, from where the data file ends.

use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use tokio::io::AsyncWriteExt as _;
use windlass_task::store::{self, Options};
use windlass_task::{Alias, EmbeddedStore, Entry, Record, Status, TaskKey, TaskStore as _, Tenant};

use super::sweep::{ids, shown, with_causes};
use super::{Error, info};
use crate::storage::{self, Disk, Storage as _};

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Uploads whose files have grown.
    pub grown: u64,
    /// Uploads whose files said everything.
    pub unchanged: u64,
    /// Uploads that were never taken over.
    pub foreign: u64,
    /// Uploads that were ended here, or refused: tusd still has what it had.
    pub ended: u64,
    /// Uploads that are left as they were, by the beginning of their ids, with the reason.
    pub left: Vec<(String, String)>,
}

/// Why the way back cannot be gone at all; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Back {
    /// There is no data directory.
    #[error("{} is no data directory of Windlass", path.display())]
    FindData {
        /// What was given.
        path: PathBuf,
    },
    /// The records cannot be opened.
    #[error("cannot use the data directory")]
    OpenStore(#[from] store::Error),
    /// The bytes cannot be opened.
    #[error("cannot use the data directory")]
    OpenStorage(#[from] storage::Error),
    /// tusd's directory cannot be read.
    #[error("cannot read tusd's directory {}", path.display())]
    ReadDirectory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Brings tusd's `directory` to where its uploads stand in `data_dir`.
///
/// # Errors
/// [`Back`]; what goes wrong with one upload is in the report.
pub async fn go_back(data_dir: &Path, directory: &Path, tenant: Tenant) -> Result<Report, Back> {
    if !data_dir.join("tasks.sqlite3").is_file() {
        let path = data_dir.to_owned();
        return Err(Back::FindData { path });
    }
    let reading = |source| Back::ReadDirectory {
        path: directory.to_owned(),
        source,
    };
    let ids = ids(directory).map_err(reading)?;
    let way = Way {
        store: EmbeddedStore::open(data_dir, Options::default())?,
        disk: Disk::open(&data_dir.join("uploads"), storage::Durability::PowerCut)?,
        directory: directory.to_owned(),
        tenant,
    };
    let mut report = Report::default();
    for id in ids {
        // A name that is no id was never taken over.
        let Ok(id) = id.map_err(reading)? else {
            report.foreign += 1;
            continue;
        };
        match way.upload(&id).await {
            Ok(Outcome::Grown) => report.grown += 1,
            Ok(Outcome::Unchanged) => report.unchanged += 1,
            Ok(Outcome::Foreign) => report.foreign += 1,
            Ok(Outcome::Ended) => report.ended += 1,
            Err(error) => report.left.push((shown(id.as_str()), with_causes(&error))),
        }
    }
    Ok(report)
}

enum Outcome {
    Grown,
    Unchanged,
    Foreign,
    Ended,
}

struct Way {
    store: EmbeddedStore,
    disk: Disk,
    directory: PathBuf,
    tenant: Tenant,
}

impl Way {
    async fn upload(&self, id: &Alias) -> Result<Outcome, Error> {
        let Some(task) = self.store.resolve(&self.tenant, id).await? else {
            return Ok(Outcome::Foreign);
        };
        let key = TaskKey {
            tenant: self.tenant.clone(),
            id: task,
        };
        let record = match self.store.load(&key).await? {
            Some(Entry::Live(record)) if record.status != Status::Failed => record,
            Some(Entry::Live(_) | Entry::Gone(_)) | None => return Ok(Outcome::Ended),
        };
        let data = self.directory.join(id.as_str());
        let size = tokio::fs::metadata(&data)
            .await
            .map_err(|source| Error::ReadFile { what: "data", source })?
            .len();
        if size > record.received {
            return Err(Error::FollowTusd {
                size,
                received: record.received,
            });
        }
        let declared = self.declare(id, &record).await?;
        if size < record.received {
            self.append(&data, size, &record).await?;
        } else if !declared {
            return Ok(Outcome::Unchanged);
        }
        Ok(Outcome::Grown)
    }

    /// Writes a length that became known here into the `.info` file.
    async fn declare(&self, id: &Alias, record: &Record) -> Result<bool, Error> {
        let path = self.directory.join(format!("{id}.info"));
        let text = tokio::fs::read(&path).await.map_err(|source| Error::ReadFile {
            what: ".info file",
            source,
        })?;
        let (None, Some(length)) = (info::read(&text, id)?.length, record.length) else {
            return Ok(false);
        };
        let mut document: serde_json::Value = serde_json::from_slice(&text).map_err(info::Error::from)?;
        document["Size"] = length.into();
        document["SizeIsDeferred"] = false.into();
        let draft = path.with_extension("info.draft");
        let writing = |source| Error::WriteFile {
            what: ".info file",
            source,
        };
        tokio::fs::write(&draft, document.to_string()).await.map_err(writing)?;
        tokio::fs::rename(&draft, &path).await.map_err(writing)?;
        Ok(true)
    }

    /// Appends what tusd's data file lacks. It may be the file that the record's first segment is, too: that segment
    /// has an end, and what comes after it in the file is not looked at.
    async fn append(&self, data: &Path, size: u64, record: &Record) -> Result<(), Error> {
        let writing = |source| Error::WriteFile { what: "data", source };
        let mut file = tokio::fs::File::options()
            .append(true)
            .open(data)
            .await
            .map_err(writing)?;
        let mut bytes = self.disk.read(&record.segments, size..record.received).await?;
        while let Some(piece) = bytes.try_next().await? {
            file.write_all(&piece).await.map_err(writing)?;
        }
        file.flush().await.map_err(writing)?;
        file.sync_all().await.map_err(writing)
    }
}
