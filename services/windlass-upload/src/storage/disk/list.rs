//! Listing all that is stored on the disk: directories in the order of their names, an upload for all files of one id.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use windlass_task::{TaskId, TaskKey, Tenant, UnixMillis};

use super::{Disk, failed};
use crate::storage::{Cursor, Error, Page, Piece, Stored};

/// A page after `after`.
pub(super) fn list(disk: &Disk, after: Option<&Cursor>, limit: usize) -> Result<Page, Error> {
    let mut parts = after.map_or("", |cursor| &cursor.0).splitn(3, '/');
    let mut next_part = || parts.next().unwrap_or_default().to_owned();
    let mut walk = Walk {
        after: [next_part(), next_part(), next_part()],
        limit,
        page: Page::default(),
    };
    if !walk.root(disk)? {
        walk.page.next = None;
    }
    Ok(walk.page)
}

struct Walk {
    /// The tenant, partition and id, or stray's name, behind which it goes on.
    after: [String; 3],
    limit: usize,
    page: Page,
}

impl Walk {
    /// Each level answers whether the page is full and something may follow.
    fn root(&mut self, disk: &Disk) -> Result<bool, Error> {
        for name in names(&disk.root)? {
            if name < self.after[0] {
                continue;
            }
            let path = disk.root.join(&name);
            let full = match name.parse::<Tenant>() {
                Ok(tenant) if path.is_dir() => self.tenant(disk, &tenant)?,
                _ if name == self.after[0] => false,
                _ => self.stray(&path, [&name, "", ""])?,
            };
            if full {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn tenant(&mut self, disk: &Disk, tenant: &Tenant) -> Result<bool, Error> {
        let directory = disk.root.join(tenant.as_str());
        let resumed = tenant.as_str() == self.after[0];
        for name in names(&directory)? {
            if resumed && name < self.after[1] {
                continue;
            }
            let path = directory.join(&name);
            let full = match partition(&name) {
                Some(partition) if path.is_dir() => self.partition(&path, tenant, &name, partition)?,
                _ if resumed && name == self.after[1] => false,
                _ => self.stray(&path, [tenant.as_str(), &name, ""])?,
            };
            if full {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn partition(&mut self, directory: &Path, tenant: &Tenant, name: &str, number: u8) -> Result<bool, Error> {
        let resumed = tenant.as_str() == self.after[0] && name == self.after[1];
        // All files of an upload together, by its id's text, and each stray by its own name.
        let mut places: BTreeMap<String, (Option<TaskId>, Vec<String>)> = BTreeMap::new();
        for file in names(directory)? {
            let id = id_of(&file).filter(|id| id.partition().0 == number);
            let place = id.as_ref().map_or_else(|| file.clone(), TaskId::to_string);
            places.entry(place).or_insert_with(|| (id, Vec::new())).1.push(file);
        }
        for (place, (id, files)) in places {
            if resumed && place <= self.after[2] {
                continue;
            }
            let here = [tenant.as_str(), name, &place];
            let full = match id {
                None => self.stray(&directory.join(&place), here)?,
                Some(id) => {
                    let tenant = tenant.clone();
                    self.upload(directory, &files, TaskKey { tenant, id }, here)?
                }
            };
            if full {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn upload(&mut self, directory: &Path, files: &[String], key: TaskKey, place: [&str; 3]) -> Result<bool, Error> {
        match gather(directory, files, key)? {
            None => Ok(false),
            Some(stored) => {
                self.page.uploads.push(stored);
                Ok(self.is_full(place))
            }
        }
    }

    fn stray(&mut self, path: &Path, place: [&str; 3]) -> Result<bool, Error> {
        let Some(metadata) = metadata(path)? else {
            return Ok(false);
        };
        let named: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
        self.page.strays.push(look(named.join("/"), &metadata));
        Ok(self.is_full(place))
    }

    /// Notes where the page ends if this was its last place.
    fn is_full(&mut self, place: [&str; 3]) -> bool {
        let full = self.page.uploads.len() + self.page.strays.len() >= self.limit;
        if full {
            self.page.next = Some(Cursor(place.join("/")));
        }
        full
    }
}

fn gather(directory: &Path, files: &[String], key: TaskKey) -> Result<Option<Stored>, Error> {
    let mut found = None;
    for name in files {
        let Some(metadata) = metadata(&directory.join(name))? else {
            continue;
        };
        let stored = found.get_or_insert_with(|| Stored {
            key: key.clone(),
            bytes: 0,
            documents: 0,
            newest: UnixMillis(0),
            documented: false,
        });
        let piece = look(name.clone(), &metadata);
        stored.bytes += piece.bytes;
        stored.documents += if piece.document { piece.bytes } else { 0 };
        stored.newest = stored.newest.max(piece.newest);
        stored.documented |= piece.document;
    }
    Ok(found)
}

/// The upload that a file is of, by a name as the writers make them.
pub(super) fn id_of(name: &str) -> Option<TaskId> {
    let (id, kind) = name.split_once('.')?;
    let is_epoch = !kind.is_empty() && !kind.starts_with('0') && kind.bytes().all(|byte| byte.is_ascii_digit());
    let known = is_epoch || ["jsonl", "object", "draft"].contains(&kind);
    id.parse().ok().filter(|_| known)
}

fn partition(name: &str) -> Option<u8> {
    let number = u8::from_str_radix(name, 16).ok()?;
    (format!("{number:02x}") == name).then_some(number)
}

/// The names in a directory, in order; none of one that is not there any more. A name that is no text cannot be ours, and is
/// told as well as it can be.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let reading = |source| failed("list", directory, source);
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(reading)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(reading)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

pub(super) fn metadata(path: &Path) -> Result<Option<Metadata>, Error> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata.map(Some).map_err(|source| failed("look at", path, source)),
    }
}

/// A file as it is seen. One that got a second name here is as new as that name, however old its bytes are.
pub(super) fn look(key: String, metadata: &Metadata) -> Piece {
    let modified = metadata.modified().map_or(UnixMillis(0), UnixMillis::from);
    let changed = metadata.ctime().saturating_mul(1_000) + metadata.ctime_nsec() / 1_000_000;
    Piece {
        document: key.ends_with(".jsonl"),
        key,
        bytes: if metadata.is_file() { metadata.len() } else { 0 },
        newest: modified.max(UnixMillis(u64::try_from(changed).unwrap_or(0))),
        part_of: None,
    }
}
