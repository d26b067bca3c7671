//! What outlives the process: one small file on the volume, beside Redis' own.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use windlass_election::Durable;

/// The file's name in the folder of data.
const FILE: &str = "member.json";
/// Where it is written before it takes the place of the old one. One that is found is of a write that was not finished.
const NEXT: &str = "member.json.next";

/// The volume cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What this member has promised is there and cannot be read: it must not act as if it had promised nothing.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not written by an agent that this one knows.
    #[error("cannot understand {path}")]
    Understand {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Nothing may be done by what could not be kept.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The folder that the file is in.
#[derive(Debug, Clone)]
pub struct Volume {
    folder: PathBuf,
}

impl Volume {
    /// The volume that is mounted here.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// What was kept; the beginning of all things on a new volume.
    ///
    /// # Errors
    /// What was kept cannot be read.
    pub fn read(&self) -> Result<Durable, Error> {
        let path = self.folder.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Durable::default()),
            Err(source) => return Err(Error::Read { path, source }),
        };
        serde_json::from_slice(&text).map_err(|source| Error::Understand { path, source })
    }

    /// Keeps it: it is on the disk, under its name, when this returns.
    ///
    /// # Errors
    /// Which of the two there is after a power cut is not known.
    pub fn write(&self, durable: &Durable) -> Result<(), Error> {
        let path = self.folder.join(FILE);
        let text = serde_json::to_vec(durable).map_err(|error| Error::Write {
            path: path.clone(),
            source: error.into(),
        })?;
        self.replace(&path, &text)
            .map_err(|source| Error::Write { path, source })
    }

    fn replace(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let next = self.folder.join(NEXT);
        let mut file = File::create(&next)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&next, path)?;
        // The name is the folder's.
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use windlass_election::{Ordinal, Role, Run, Term};

    use super::*;

    #[test]
    fn what_was_kept_is_read_and_a_new_volume_has_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::at(folder.path());
        assert_eq!(volume.read().unwrap(), Durable::default());
        let durable = Durable {
            term: Term::new(7),
            role: Role::Following {
                primary: Ordinal::new(2),
            },
            promise: None,
            in_step: Some(Run::new("a")),
        };
        volume.write(&durable).unwrap();
        fs::write(folder.path().join(NEXT), "{\"ter").unwrap();
        assert_eq!(volume.read().unwrap(), durable);
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{}").unwrap();
        assert!(matches!(
            Volume::at(folder.path()).read(),
            Err(Error::Understand { .. })
        ));
    }
}
