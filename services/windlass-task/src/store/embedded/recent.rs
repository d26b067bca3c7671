//! The entries of tasks that move, as they were last committed, so that neither a request nor the next commit has to read
//! and parse them again. Nobody else writes them: the directory is locked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::TaskKey;
use crate::store::Entry;

/// How much is remembered in each half, in bytes of the entries' text; in memory they take about twice that. Enough for a
/// thousand uploads that move at once; those beyond are read from the database.
const HALF_BYTES_MAX: usize = 1024 * 1024;

/// Forgets what has not been used for longest, roughly: when the young half is full it becomes the old one, and what is
/// not asked for until then again goes with it.
#[derive(Debug, Default)]
pub(super) struct Recent {
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    young: Half,
    old: Half,
}

#[derive(Debug, Default)]
struct Half {
    entries: HashMap<TaskKey, Remembered>,
    bytes: usize,
}

/// An entry, and how long its text is.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    pub(super) entry: Arc<Entry>,
    pub(super) bytes: usize,
}

impl Recent {
    pub(super) fn get(&self, key: &TaskKey) -> Option<Arc<Entry>> {
        let mut halves = self.lock();
        if let Some(remembered) = halves.young.entries.get(key) {
            return Some(Arc::clone(&remembered.entry));
        }
        let remembered = halves.old.remove(key)?;
        let entry = Arc::clone(&remembered.entry);
        halves.put(key.clone(), remembered);
        Some(entry)
    }

    /// Remembers what was committed. What moves no more is forgotten: hardly anybody asks for it again.
    pub(super) fn committed(&self, key: TaskKey, remembered: Remembered) {
        let mut halves = self.lock();
        halves.remove(&key);
        if matches!(&*remembered.entry, Entry::Live(record) if !record.status.is_final()) {
            halves.put(key, remembered);
        }
    }

    pub(super) fn forget(&self, key: &TaskKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn put(&mut self, key: TaskKey, remembered: Remembered) {
        if self.young.bytes + remembered.bytes > HALF_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += remembered.bytes;
        self.young.entries.insert(key, remembered);
    }

    fn remove(&mut self, key: &TaskKey) {
        if self.young.remove(key).is_none() {
            self.old.remove(key);
        }
    }
}

impl Half {
    fn remove(&mut self, key: &TaskKey) -> Option<Remembered> {
        let remembered = self.entries.remove(key)?;
        self.bytes -= remembered.bytes;
        Some(remembered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::Protocol;
    use crate::status::Status;

    fn remembered(bytes: usize) -> (TaskKey, Remembered) {
        let record = fixture::record(Protocol::Tus, Some(1));
        let entry = Arc::new(Entry::Live(Box::new(record.clone())));
        (record.key, Remembered { entry, bytes })
    }

    #[test]
    fn what_is_not_asked_for_goes_and_the_whole_stays_within_its_bound() {
        let recent = Recent::default();
        let (used, first) = remembered(1_000);
        recent.committed(used.clone(), first);
        let (unused, second) = remembered(1_000);
        recent.committed(unused.clone(), second);
        for _ in 0..10_000 {
            let (key, remembered) = remembered(1_000);
            recent.committed(key, remembered);
            assert!(recent.get(&used).is_some());
        }
        assert!(recent.get(&unused).is_none());
        let halves = recent.lock();
        for half in [&halves.young, &halves.old] {
            assert!(half.bytes <= HALF_BYTES_MAX);
            assert_eq!(half.bytes, half.entries.values().map(|one| one.bytes).sum::<usize>());
        }
    }

    #[test]
    fn what_has_ended_is_not_remembered() {
        let recent = Recent::default();
        let (key, first) = remembered(10);
        recent.committed(key.clone(), first);
        let mut record = fixture::record(Protocol::Tus, Some(1));
        record.status = Status::Completed;
        let entry = Arc::new(Entry::Live(Box::new(record)));
        recent.committed(key.clone(), Remembered { entry, bytes: 10 });
        assert!(recent.get(&key).is_none());
        assert_eq!(recent.lock().young.bytes, 0);
    }
}
