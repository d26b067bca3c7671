//! The objects of one upload, one by one, and the multipart uploads that have become none.

use std::collections::BTreeMap;

use windlass_task::{Segment, TaskKey};

use super::name::{Name, parse};
use super::seal::numbers;
use super::store::{Object, StoredPart};
use super::{ObjectStorage, failed};
use crate::storage::{Cursor, Error, Piece, Unfinished, UnfinishedPage};

impl ObjectStorage {
    /// How many bytes of each segment are there.
    pub(super) async fn measure_segments(&self, segments: &[Segment]) -> Result<Vec<u64>, Error> {
        let mut listed: BTreeMap<&str, Option<Vec<StoredPart>>> = BTreeMap::new();
        let mut measured = Vec::with_capacity(segments.len());
        for segment in segments {
            let whole = segment.end - segment.start;
            let Some(parts) = segment.parts.as_ref().filter(|_| segment.store == self.name()) else {
                let size = match segment.store == self.name() {
                    true => self.store.head(&segment.key).await.map_err(failed(&segment.key))?,
                    false => None,
                };
                measured.push(size.unwrap_or(0).min(whole));
                continue;
            };
            if !listed.contains_key(&*parts.upload) {
                let there = self.store.list_parts(&segment.key, &parts.upload).await;
                listed.insert(&parts.upload, there.map_err(failed(&segment.key))?);
            }
            measured.push(match listed.get(&*parts.upload).and_then(Option::as_ref) {
                Some(there) => consecutive(segment, there),
                // It may be an object by now, which nobody has recorded yet.
                None => {
                    let same =
                        |other: &&Segment| other.parts.as_ref().map(|other| &other.upload) == Some(&parts.upload);
                    let first = segments.iter().find(same).map_or(segment.start, |first| first.start);
                    let size = self.store.head(&segment.key).await.map_err(failed(&segment.key))?;
                    size.unwrap_or(0).saturating_sub(segment.start - first).min(whole)
                }
            });
        }
        Ok(measured)
    }

    /// All objects of an upload, its documents last and of these the manifest.
    pub(super) async fn pieces_of(&self, task: &TaskKey) -> Result<Vec<Piece>, Error> {
        let folder = self.folder(task);
        let objects = self.store.list_all(&folder).await.map_err(failed(&folder))?;
        let named = objects.into_iter().filter_map(|object| {
            let name: Name = object.key.strip_prefix(&folder)?.parse().ok()?;
            Some((name, object))
        });
        let mut named: Vec<(Name, Object)> = named.collect();
        named.sort_by_key(|(name, _)| (*name == Name::Manifest, name.is_document(), is_begin(name)));
        Ok(named.into_iter().map(|(name, object)| piece(&name, object)).collect())
    }

    /// Removes an object if it is still as it was seen.
    pub(super) async fn discard_piece(&self, task: &TaskKey, piece: &Piece) -> Result<bool, Error> {
        let key = &piece.key;
        let Some((_, name)) = parse(&self.prefix, key).filter(|(own, _)| own == task) else {
            return Err(Error::FindSegment { key: key.clone() });
        };
        let listed = self.store.list(key, None, 1).await.map_err(failed(key))?;
        let there = listed.objects.into_iter().find(|object| object.key == *key);
        if there.is_none_or(|there| self::piece(&name, there) != *piece) {
            return Ok(false);
        }
        self.store.delete(key).await.map_err(failed(key))?;
        Ok(true)
    }

    /// A page of the multipart uploads that are open.
    pub(super) async fn list_unfinished(&self, after: Option<&Cursor>, limit: usize) -> Result<UnfinishedPage, Error> {
        let after = after.and_then(|cursor| cursor.0.split_once('\n'));
        let page = self.store.list_open_page(&self.prefix, after, limit).await;
        let page = page.map_err(failed(&self.prefix))?;
        let ours = page.open.into_iter().filter_map(|open| {
            let (task, _) = parse(&self.prefix, &open.key)?;
            Some(Unfinished {
                task,
                key: open.key,
                upload: open.upload,
                began: open.began,
            })
        });
        Ok(UnfinishedPage {
            unfinished: ours.collect(),
            next: page.next.map(|(key, upload)| Cursor(format!("{key}\n{upload}"))),
        })
    }

    /// Ends a multipart upload; answers whether it was open.
    pub(super) async fn abort_unfinished(&self, open: &Unfinished) -> Result<bool, Error> {
        if parse(&self.prefix, &open.key).is_none_or(|(task, _)| task != open.task) {
            return Err(Error::FindSegment { key: open.key.clone() });
        }
        let parts = self.store.list_parts(&open.key, &open.upload).await;
        if parts.map_err(failed(&open.key))?.is_none() {
            return Ok(false);
        }
        let aborted = self.store.abort(&open.key, &open.upload).await;
        aborted.map(|()| true).map_err(failed(&open.key))
    }
}

impl Name {
    /// Whether it stays as long as the upload, whatever its bytes become.
    pub(super) fn is_document(&self) -> bool {
        matches!(self, Self::Manifest | Self::Length | Self::Completion)
    }
}

/// What names multipart uploads goes after what it names.
fn is_begin(name: &Name) -> bool {
    matches!(name, Name::Begin { .. })
}

fn piece(name: &Name, object: Object) -> Piece {
    Piece {
        key: object.key,
        bytes: object.size,
        newest: object.modified,
        document: name.is_document(),
        part_of: match name {
            Name::Part { upload, .. } | Name::Composed { upload, .. } => Some(upload.clone()),
            _ => None,
        },
    }
}

/// How many bytes of a run of parts are there without a gap.
fn consecutive(segment: &Segment, listed: &[StoredPart]) -> u64 {
    let there = |(number, size): &(_, u64)| listed.iter().any(|part| part.number == *number && part.size == *size);
    numbers(segment).take_while(there).map(|(_, size)| size).sum()
}
