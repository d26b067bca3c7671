//! Looking at one upload, from the side of its record or of what is stored, and telling what is wrong.

use std::time::Duration;

use windlass_task::store::{self, Known};
use windlass_task::{Concat, Entry, Finish, Record, Status, TaskKey, UnixMillis};

use super::digest::{Compared, compare};
use super::finding::{Finding, Flaw, Step};
use super::judge::{self, Stores, Unknown, Wrong};
use super::{Error, Verifier};
use crate::concat::LIFETIMES;
use crate::reconcile::{is_needed, may_be_forgotten};
use crate::storage::{self, Completion, Found, Piece, Stored, Unfinished};

/// What is looked at.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// A task that the store has.
    Recorded(TaskKey),
    /// An upload that the storage has.
    Stored(Stored),
    /// Parts that became no object.
    Unfinished(Unfinished),
    /// What is no upload's.
    Stray(Piece),
}

impl Verifier {
    pub(super) async fn look(&self, subject: &Subject) -> Result<Vec<Finding>, Error> {
        match subject {
            Subject::Recorded(key) => self.look_at_record(key).await,
            Subject::Stored(stored) => self.look_at_stored(stored).await,
            Subject::Unfinished(unfinished) => self.look_at_unfinished(unfinished).await,
            Subject::Stray(piece) => Ok(vec![Finding {
                subject: piece.key.clone(),
                flaw: Flaw::Stray { bytes: piece.bytes },
                step: None,
                collected: false,
                revision: None,
            }]),
        }
    }

    async fn look_at_record(&self, key: &TaskKey) -> Result<Vec<Finding>, Error> {
        let Known { entry, generation } = match self.inventory.known(key).await {
            Err(error @ (store::Error::ReadEntry { .. } | store::Error::ReadVersion { .. })) => {
                let reason = crate::verify::with_causes(&error);
                return Ok(vec![found(key, None, (Flaw::RecordUnreadable { reason }, None))]);
            }
            known => known?,
        };
        // The end of a task needs nothing; what is left of it is found among what is stored.
        let Some(Entry::Live(record)) = entry else {
            return Ok(Vec::new());
        };
        let earlier = record.token.generation < generation;
        let measured = match earlier {
            true => Vec::new(),
            false => self.storage.measure(&record.segments).await?,
        };
        let stores = Stores {
            found: self.find(key).await?,
            measured,
        };
        let mut wrong = match earlier {
            true => judge::outlived(&record, &stores),
            false => judge::recorded(&record, &stores),
        };
        if self.rules.digests && !earlier && wrong.iter().all(|(flaw, _)| !is_loss(flaw)) {
            let completion = stores.found.ok().flatten().and_then(|found| found.completion);
            wrong.extend(self.look_at_digest(&record, completion).await?);
        }
        let found = |wrong| found(key, Some(record.revision), wrong);
        Ok(wrong.into_iter().map(found).collect())
    }

    async fn find(&self, key: &TaskKey) -> Result<Result<Option<Found>, String>, Error> {
        match self.storage.find(key).await {
            Err(error @ storage::Error::ReadDocument { .. }) => Ok(Err(crate::verify::with_causes(&error))),
            found => Ok(Ok(found?)),
        }
    }

    /// Compares a finished upload's bytes with the digest that they had.
    async fn look_at_digest(&self, record: &Record, completion: Option<Completion>) -> Result<Option<Wrong>, Error> {
        if record.finish != Finish::Accepted {
            return Ok(None);
        }
        let compared = compare(&*self.storage, record, completion.as_ref()).await?;
        self.tally.compared(compared);
        Ok((compared == Compared::Other).then(|| (Flaw::BytesDiffer, Some(judge::mark_lost(record)))))
    }

    async fn look_at_stored(&self, stored: &Stored) -> Result<Vec<Finding>, Error> {
        let key = &stored.key;
        let known = match self.inventory.known(key).await {
            // That is told where it is listed among the records.
            Err(store::Error::ReadEntry { .. } | store::Error::ReadVersion { .. }) => return Ok(Vec::new()),
            known => known?,
        };
        match &known.entry {
            Some(Entry::Live(record)) => {
                let rest = stored.bytes.saturating_sub(stored.documents);
                let counted: u64 = record.segments.iter().map(|segment| segment.end - segment.start).sum();
                let is_settled =
                    record.status == Status::Completed && !is_needed(key, known.entry.as_ref(), known.generation);
                // A writer may yet come to what it has not recorded, and whoever reconciles to all of it.
                if !is_settled || rest <= counted {
                    return Ok(Vec::new());
                }
                let needed = |piece: &Piece| piece.document || piece.is_of(record);
                self.look_at_leftover(key, record.revision, needed).await
            }
            Some(Entry::Gone(gone)) if gone.stored || !gone.adopted_by.is_empty() => Ok(Vec::new()),
            Some(Entry::Gone(gone)) => self.look_at_leftover(key, gone.revision, |_| false).await,
            None => self.look_at_unknown(stored, &known).await,
        }
    }

    async fn look_at_leftover(
        &self,
        key: &TaskKey,
        revision: u64,
        needed: impl Fn(&Piece) -> bool,
    ) -> Result<Vec<Finding>, Error> {
        let mut pieces = self.storage.pieces(key).await?;
        pieces.retain(|piece| !needed(piece) && self.is_older(piece.newest, self.rules.safe_age));
        Ok(self.garbage(key, Some(revision), pieces, |bytes| Flaw::Leftover { bytes }))
    }

    /// What there is of an upload without an entry.
    async fn look_at_unknown(&self, stored: &Stored, known: &Known) -> Result<Vec<Finding>, Error> {
        let key = &stored.key;
        // Somebody may be about to record it.
        if !self.is_older(stored.newest, self.rules.safe_age) {
            return Ok(Vec::new());
        }
        let stores = match self.find(key).await? {
            Ok(stores) => stores,
            Err(reason) => return Ok(vec![found(key, None, (Flaw::DocumentUnreadable { reason }, None))]),
        };
        // An id that is derived is met again by whoever derives it, who takes or removes what there is.
        let is_random = key.id.born() > UnixMillis(0);
        let (kind, stores) = match stores {
            Some(stores) => (judge::unknown(key, &stores, known.generation), Some(stores)),
            // Nothing but what counts for nothing, such as a draft.
            None => {
                let nobodys = !may_be_forgotten(key.id.born(), known.generation);
                (Unknown::Undocumented { nobodys }, None)
            }
        };
        let received = stores.as_ref().map_or(0, Found::received);
        let recreate = Step::Recreate {
            task: key.clone(),
            received,
        };
        let damage = stores.as_ref().and_then(|stores| stores.damage.clone());
        let wrong = match (kind, damage) {
            (Unknown::Forgotten | Unknown::Finished, Some(damage)) => {
                let reason = damage.to_string();
                vec![found(key, None, (Flaw::BytesUnplaced { reason }, None))]
            }
            (Unknown::Forgotten, None) => vec![found(key, None, (Flaw::Forgotten { received }, Some(recreate)))],
            (Unknown::Finished, None) => vec![found(key, None, (Flaw::Unrecorded { received }, Some(recreate)))],
            (Unknown::Orphan, _) => {
                let manifest = stores.as_ref().and_then(|stores| stores.manifest.as_ref());
                let times = match manifest.and_then(|manifest| manifest.concat.as_ref()) {
                    Some(Concat::Final { .. }) => LIFETIMES,
                    Some(Concat::Partial { .. }) | None => 1,
                };
                // With a record it would have expired by then.
                if !is_random || !self.is_older(stored.newest, self.rules.lifetime * times) {
                    return Ok(Vec::new());
                }
                let pieces = self.storage.pieces(key).await?;
                self.garbage(key, None, pieces, |bytes| Flaw::Orphan { bytes })
            }
            (Unknown::Undocumented { nobodys }, _) => {
                let pieces = match is_random {
                    true => self.storage.pieces(key).await?,
                    false => return Ok(Vec::new()),
                };
                let mut findings = self.garbage(key, None, pieces, |bytes| Flaw::Undocumented { bytes });
                findings.iter_mut().for_each(|finding| finding.collected = nobodys);
                findings
            }
        };
        Ok(wrong)
    }

    async fn look_at_unfinished(&self, unfinished: &Unfinished) -> Result<Vec<Finding>, Error> {
        let key = &unfinished.task;
        if !self.is_older(unfinished.began, self.rules.safe_age) {
            return Ok(Vec::new());
        }
        let known = match self.inventory.known(key).await {
            Err(store::Error::ReadEntry { .. } | store::Error::ReadVersion { .. }) => return Ok(Vec::new()),
            known => known?,
        };
        // What an earlier generation knew of it may have been more: whoever reconciles completes it.
        if is_needed(key, known.entry.as_ref(), known.generation) {
            return Ok(Vec::new());
        }
        let revision = match &known.entry {
            Some(Entry::Live(record)) if names(record, unfinished) => return Ok(Vec::new()),
            Some(Entry::Gone(gone)) if gone.stored => return Ok(Vec::new()),
            entry => entry.as_ref().map(Entry::revision),
        };
        let flaw = Flaw::PartsUnfinished {
            key: unfinished.key.clone(),
        };
        let step = Step::Abandon {
            revision,
            unfinished: unfinished.clone(),
        };
        let finding = found(key, revision, (flaw, Some(step)));
        Ok(vec![Finding {
            collected: true,
            ..finding
        }])
    }

    fn garbage(
        &self,
        key: &TaskKey,
        revision: Option<u64>,
        pieces: Vec<Piece>,
        flaw: impl FnOnce(u64) -> Flaw,
    ) -> Vec<Finding> {
        if pieces.is_empty() {
            return Vec::new();
        }
        let flaw = flaw(pieces.iter().map(|piece| piece.bytes).sum());
        let task = key.clone();
        let step = Step::Remove { task, revision, pieces };
        let finding = found(key, revision, (flaw, Some(step)));
        vec![Finding {
            collected: true,
            ..finding
        }]
    }

    fn is_older(&self, newest: UnixMillis, age: Duration) -> bool {
        (self.clock)().since(newest) > age
    }
}

/// Whether a record counts on these parts.
pub(super) fn names(record: &Record, unfinished: &Unfinished) -> bool {
    let open = record.multipart.iter().map(|open| &open.id);
    let listed = record.segments.iter().filter_map(|segment| segment.parts.as_ref());
    let mut ids = open.chain(listed.map(|parts| &parts.upload));
    ids.any(|id| *id == unfinished.upload)
}

fn is_loss(flaw: &Flaw) -> bool {
    matches!(flaw, Flaw::BytesMissing { .. })
}

fn found(key: &TaskKey, revision: Option<u64>, (flaw, step): Wrong) -> Finding {
    Finding {
        subject: key.to_string(),
        flaw,
        step,
        collected: false,
        revision,
    }
}
