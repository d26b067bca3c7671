//! What a bucket says of an upload by itself: one listing, the documents that it names, and the parts that are open.

use std::collections::BTreeMap;

use windlass_task::{Concat, PartNumber, Parts, Segment, SegmentKind, TaskKey, UnixMillis, WriterEpoch};

use super::layout::{Ground, Layout};
use super::name::{Name, Run, parse};
use super::store::{Object, PAGE_KEYS, StoredPart};
use super::writer::Begin;
use super::{ObjectStorage, failed};
use crate::storage::{Completion, Cursor, Error, Found, Manifest, Page, Piece, Stored};

/// How often an upload is looked at again because an object was finished between two of the requests: once is enough, unless
/// it goes on to be.
const LOOKS_MAX: usize = 4;

/// What looking at an upload gives.
enum Look {
    Nothing,
    Found(Box<Found>),
    /// Parts became an object after the objects were listed and before they were.
    Finished,
}

impl ObjectStorage {
    pub(super) async fn find_upload(&self, task: &TaskKey) -> Result<Option<Found>, Error> {
        for _ in 0..LOOKS_MAX {
            match self.look_at(task).await? {
                Look::Nothing => return Ok(None),
                Look::Found(found) => return Ok(Some(*found)),
                Look::Finished => {}
            }
        }
        Err(Error::FindSegment { key: self.folder(task) })
    }

    async fn look_at(&self, task: &TaskKey) -> Result<Look, Error> {
        let folder = self.folder(task);
        let objects = self.store.list_all(&folder).await.map_err(failed(&folder))?;
        let named: Vec<(Name, &Object)> = objects
            .iter()
            .filter_map(|object| Some((object.key.strip_prefix(&folder)?.parse().ok()?, object)))
            .collect();
        if named.is_empty() {
            return Ok(Look::Nothing);
        }
        let (mut manifest, mut completion) = (None::<Manifest>, None::<Completion>);
        let mut length = None;
        let mut layout = Layout::of(self.name());
        let mut begins: Vec<(Run, Begin)> = Vec::new();
        for (name, object) in &named {
            match name {
                Name::Manifest => manifest = self.read_document(&object.key).await?,
                Name::Length => length = self.read_document(&object.key).await?,
                Name::Completion => completion = self.read_document(&object.key).await?,
                Name::Begin { run, .. } => {
                    let begin = self.read_document(&object.key).await?;
                    begins.extend(begin.map(|begin| (*run, begin)));
                }
                Name::Ground { run } => {
                    let ground: Option<Ground> = self.read_document(&object.key).await?;
                    layout.stand_on(*run, ground);
                }
                name => layout.add(name, object),
            }
        }
        let mut listed: BTreeMap<String, Option<Vec<StoredPart>>> = BTreeMap::new();
        for (_, begin) in &begins {
            if !listed.contains_key(&begin.upload) {
                let parts = self.store.list_parts(&begin.key, &begin.upload).await;
                let parts = parts.map_err(failed(&begin.key))?;
                let is_known = objects.iter().any(|object| object.key == begin.key);
                if parts.is_none()
                    && !is_known
                    && self.store.head(&begin.key).await.map_err(failed(&begin.key))?.is_some()
                {
                    return Ok(Look::Finished);
                }
                listed.insert(begin.upload.clone(), parts);
            }
        }
        for (run, begin) in &begins {
            // Where the next run of parts in the same multipart upload begins, this one has ended.
            let others = begins
                .iter()
                .map(|(_, other)| other)
                .filter(|other| other.upload == begin.upload);
            let next = others
                .map(|other| other.first)
                .filter(|first| *first > begin.first)
                .min();
            let parts = listed.get(&begin.upload).and_then(Option::as_ref);
            let segment = parts.and_then(|parts| consecutive(self.name(), begin, next, parts));
            layout.begin(*run, begin.from, segment);
        }
        let epoch = layout.epoch().unwrap_or(WriterEpoch(0));
        // A final upload's bytes may be its parts'; what was refused may have lost its own.
        let owns_bytes = manifest
            .as_ref()
            .is_none_or(|manifest| !matches!(manifest.concat, Some(Concat::Final { .. })));
        let (segments, damage) = layout.line_up(completion.as_ref().filter(|_| owns_bytes));
        Ok(Look::Found(Box::new(Found {
            manifest,
            completion,
            length,
            segments,
            epoch,
            damage,
        })))
    }

    pub(super) async fn list_uploads(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, Error> {
        let mut page = Page::default();
        let mut after = after.map(|cursor| cursor.0.clone());
        loop {
            let listed = self.store.list(&self.prefix, after.as_deref(), PAGE_KEYS).await;
            let listed = listed.map_err(failed(&self.prefix))?;
            let more = listed.more && !listed.objects.is_empty();
            for object in listed.objects {
                let upload = parse(&self.prefix, &object.key);
                let known = page.uploads.last().map(|stored| &stored.key);
                let continues = upload.as_ref().is_some_and(|(key, _)| Some(key) == known);
                if !continues && page.uploads.len() + page.strays.len() >= limit {
                    page.next = after.map(Cursor);
                    return Ok(page);
                }
                after = Some(object.key.clone());
                match upload {
                    Some((key, name)) => page.count(key, &name, &object),
                    None => page.strays.push(Piece {
                        key: object.key,
                        bytes: object.size,
                        newest: object.modified,
                        document: false,
                        part_of: None,
                    }),
                }
            }
            if !more {
                return Ok(page);
            }
        }
    }
}

impl Page {
    fn count(&mut self, key: TaskKey, name: &Name, object: &Object) {
        if self.uploads.last().is_none_or(|stored| stored.key != key) {
            self.uploads.push(Stored {
                key,
                bytes: 0,
                documents: 0,
                newest: UnixMillis(0),
                documented: false,
            });
        }
        if let Some(stored) = self.uploads.last_mut() {
            stored.bytes += object.size;
            stored.documents += if name.is_document() { object.size } else { 0 };
            stored.newest = stored.newest.max(object.modified);
            stored.documented |= matches!(name, Name::Manifest | Name::Completion);
        }
    }
}

/// The parts of one run, as far as there is no gap in their numbers and all but the last are whole.
fn consecutive(store: &str, begin: &Begin, next: Option<PartNumber>, listed: &[StoredPart]) -> Option<Segment> {
    let mut end = begin.start;
    let mut number = begin.first;
    for part in listed.iter().skip_while(|part| part.number < begin.first) {
        if part.number != number || Some(number) == next || part.size > begin.size {
            break;
        }
        end += part.size;
        number.0 += 1;
        if part.size < begin.size {
            break;
        }
    }
    (end > begin.start).then(|| Segment {
        store: store.to_owned(),
        key: begin.key.clone(),
        start: begin.start,
        end,
        kind: SegmentKind::Part,
        parts: Some(Parts {
            upload: begin.upload.clone(),
            first: begin.first,
            size: begin.size,
        }),
    })
}
