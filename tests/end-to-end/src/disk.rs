//! What lies in a folder, to prove that something came, went, or never was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every file under `root`, by its path from there, with its size in bytes.
///
/// # Panics
/// When a folder cannot be read.
#[must_use]
pub fn files(root: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder's entry can be read").path();
            // A file may go while it is looked at: the server is alive.
            let Ok(about) = path.symlink_metadata() else { continue };
            if about.is_dir() {
                folders.push(path);
            } else {
                let short = path.strip_prefix(root).expect("it was found there").to_owned();
                found.insert(short, about.len());
            }
        }
    }
    found
}

/// The files of one task under a server's data folder.
#[must_use]
pub fn files_of(data: &Path, task: &str) -> BTreeMap<PathBuf, u64> {
    let mut found = files(data);
    found.retain(|path, _| path.to_string_lossy().contains(task));
    found
}
