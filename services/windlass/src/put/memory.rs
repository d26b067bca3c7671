//! What `put` remembers from one process to the next: where each unfinished upload of a file is.
//!
//! One JSON file for all processes of a user, replaced whole under a lock, so that a reader sees the old or the new one.
//! A `Location` may hold the key to write its upload, so folder and file are for their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The version of the file's shape.
const VERSION: u32 = 1;

/// Older uploads are forgotten: servers expire unfinished ones after a day or a week.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Why nothing can be remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is neither a state folder nor a home.
    #[error("neither XDG_STATE_HOME nor HOME is set")]
    FindHome,
    /// The folder or a file in it cannot be used.
    #[error("cannot use {}", path.display())]
    UseFile { path: PathBuf, source: io::Error },
    /// The file is not one of ours, or of a later version; it stays untouched.
    #[error("{} is not a list of uploads that this version reads", path.display())]
    ReadList { path: PathBuf },
    /// Another process has the upload.
    #[error("another windlass put is uploading this file to this server")]
    Claim,
}

/// Which upload: a file as it is, to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Key {
    /// The endpoint's URL.
    pub(crate) server: String,
    /// The absolute path.
    pub(crate) path: PathBuf,
    /// Bytes.
    pub(crate) size: u64,
    /// Last change, nanoseconds since the Unix epoch.
    pub(crate) modified_nanos: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Upload {
    #[serde(flatten)]
    key: Key,
    location: String,
    /// When it was begun, milliseconds since the Unix epoch.
    created: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct List {
    v: u32,
    uploads: Vec<Upload>,
}

/// The folder that holds it all.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    folder: PathBuf,
}

/// The right to work on one upload, held against other processes until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    _lock: File,
}

impl Memory {
    /// The user's own: `$XDG_STATE_HOME/windlass`, or `~/.local/state/windlass`.
    pub(crate) fn of_user() -> Result<Self, Error> {
        let absolute = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        Self::open(&state.ok_or(Error::FindHome)?.join("windlass"))
    }

    fn open(folder: &Path) -> Result<Self, Error> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder.join("claims"));
        made.map_err(|source| Error::UseFile {
            path: folder.into(),
            source,
        })?;
        Ok(Self { folder: folder.into() })
    }

    /// Takes the upload for this process. Two that append to one upload would only throw each other out.
    pub(crate) fn claim(&self, key: &Key) -> Result<Claim, Error> {
        let text = serde_json::to_vec(key).expect("names and numbers always serialise");
        let digest = Sha256::digest(text);
        let name: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.folder.join("claims").join(name);
        loop {
            let lock = open_private(&path)?;
            match lock.try_lock() {
                Ok(()) if is_same(&lock, &path) => return Ok(Claim { path, _lock: lock }),
                // Its holder has ended and removed it between our opening and our locking.
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Err(Error::Claim),
                Err(fs::TryLockError::Error(source)) => return Err(Error::UseFile { path, source }),
            }
        }
    }

    /// Where the upload is, if it was begun.
    pub(crate) fn recall(&self, key: &Key) -> Result<Option<String>, Error> {
        let _lock = self.lock()?;
        let list = self.read()?;
        Ok(list
            .uploads
            .into_iter()
            .find(|upload| upload.key == *key)
            .map(|upload| upload.location))
    }

    /// Remembers where the upload is. To be done before its first byte is sent.
    pub(crate) fn remember(&self, key: &Key, location: &str) -> Result<(), Error> {
        let upload = Upload {
            key: key.clone(),
            location: location.to_owned(),
            created: now(),
        };
        self.change(|uploads| {
            uploads.retain(|other| other.key != upload.key);
            uploads.push(upload);
        })
    }

    /// Forgets the upload: it is complete, or gone.
    pub(crate) fn forget(&self, key: &Key) -> Result<(), Error> {
        self.change(|uploads| uploads.retain(|upload| upload.key != *key))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Upload>)) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut list = self.read()?;
        let oldest = now().saturating_sub(u64::try_from(LIFETIME.as_millis()).unwrap_or(u64::MAX));
        list.uploads.retain(|upload| upload.created >= oldest);
        change(&mut list.uploads);
        self.write(&list)
    }

    /// One process reads or replaces the list at a time; the lock goes with the file that is returned.
    fn lock(&self) -> Result<File, Error> {
        let path = self.folder.join("uploads.lock");
        let file = open_private(&path)?;
        file.lock().map_err(|source| Error::UseFile { path, source })?;
        Ok(file)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("uploads.json")
    }

    fn read(&self) -> Result<List, Error> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(List {
                    v: VERSION,
                    uploads: vec![],
                });
            }
            Err(source) => return Err(Error::UseFile { path, source }),
        };
        match serde_json::from_slice::<List>(&bytes) {
            Ok(list) if list.v == VERSION => Ok(list),
            _ => Err(Error::ReadList { path }),
        }
    }

    fn write(&self, list: &List) -> Result<(), Error> {
        let path = self.folder.join("uploads.json.new");
        let json = serde_json::to_vec_pretty(list).expect("names and numbers always serialise");
        open_private(&path).and_then(|mut file| {
            let replaced = file
                .set_len(0)
                .and_then(|()| file.write_all(&json))
                // Without it a power cut could leave the new name with no content.
                .and_then(|()| file.sync_all())
                .and_then(|()| fs::rename(&path, self.path()));
            replaced.map_err(|source| Error::UseFile {
                path: path.clone(),
                source,
            })
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Still locked here, so no other process can have claimed it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the open file is the one that has this name now.
fn is_same(file: &File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata().map(id), fs::metadata(path).map(id)), (Ok(open), Ok(named)) if open == named)
}

fn open_private(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    file.map_err(|source| Error::UseFile {
        path: path.into(),
        source,
    })
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn key(name: &str) -> Key {
        Key {
            server: "http://x/files/".into(),
            path: name.into(),
            size: 7,
            modified_nanos: i64::MAX,
        }
    }

    fn memory() -> (tempfile::TempDir, Memory) {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(&dir.path().join("windlass")).unwrap();
        (dir, memory)
    }

    #[test]
    fn an_upload_is_remembered_for_exactly_this_file_and_server() {
        let (_dir, memory) = memory();
        memory.remember(&key("/a"), "/files/1").unwrap();
        memory.remember(&key("/b"), "/files/2").unwrap();
        memory.remember(&key("/a"), "/files/3").unwrap();
        let recall = |key: &Key| memory.recall(key).unwrap();
        assert_eq!(recall(&key("/a")).as_deref(), Some("/files/3"));
        assert_eq!(recall(&Key { size: 8, ..key("/a") }), None);
        assert_eq!(
            recall(&Key {
                modified_nanos: 1,
                ..key("/a")
            }),
            None
        );
        assert_eq!(
            recall(&Key {
                server: "http://y/".into(),
                ..key("/a")
            }),
            None
        );
        memory.forget(&key("/a")).unwrap();
        assert_eq!(recall(&key("/a")), None);
        assert_eq!(recall(&key("/b")).as_deref(), Some("/files/2"));
        let mode = fs::metadata(memory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn many_writers_lose_nothing_of_each_other() {
        let (_dir, memory) = memory();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let memory = &memory;
                scope.spawn(move || {
                    for n in 0..10 {
                        memory.remember(&key(&format!("/{thread}/{n}")), "/files/x").unwrap();
                    }
                });
            }
        });
        assert_eq!(memory.read().unwrap().uploads.len(), 80);
    }

    #[test]
    fn a_list_of_another_version_is_left_alone() {
        let (_dir, memory) = memory();
        for text in [r#"{"v":2,"uploads":[]}"#, "not json", ""] {
            fs::write(memory.path(), text).unwrap();
            assert!(matches!(memory.recall(&key("/a")), Err(Error::ReadList { .. })));
            assert!(memory.remember(&key("/a"), "/x").is_err());
            assert_eq!(fs::read_to_string(memory.path()).unwrap(), text);
        }
    }

    #[test]
    fn one_process_has_an_upload_at_a_time() {
        let (_dir, memory) = memory();
        let claim = memory.claim(&key("/a")).unwrap();
        assert!(matches!(memory.claim(&key("/a")), Err(Error::Claim)));
        drop(memory.claim(&key("/b")).unwrap());
        drop(claim);
        memory.claim(&key("/a")).unwrap();
    }
}
