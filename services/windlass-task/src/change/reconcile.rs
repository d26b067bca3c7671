//! Reconciling a record with the storage: a store of another generation may have forgotten what it acknowledged, the
//! storage has not. What the storage has counts, unless it is less than the record knows to be acknowledged.

use super::{Draft, Refusal, Verdict, advance, declare, finish};
use crate::epoch::Token;
use crate::event::EventType;
use crate::record::{Answer, Finish, Record, Segment};
use crate::status::{Status, Trigger, transition};
use crate::time::UnixMillis;

/// What the storage has of an upload, and the token with which it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    /// Of the store's present generation; its epoch is greater than any that may have left bytes.
    pub token: Token,
    /// The contiguous durable bytes from the start.
    pub received: u64,
    /// Where `0..received` are.
    pub segments: Vec<Segment>,
    /// Whether bytes are known to be gone that were durable once.
    pub damaged: bool,
    /// The length as the storage knows it, for one that was deferred.
    pub length: Option<u64>,
    /// The verdict that is stored beside the bytes, and how it is told.
    pub verdict: Option<(Verdict, Option<Box<Answer>>)>,
    /// Whether an upload that is accepted by this waits for its release: that it had one may be forgotten.
    pub quarantined: bool,
    /// When the upload was created, where a document says so.
    pub created: Option<UnixMillis>,
}

impl Draft {
    pub(super) fn reconcile(&mut self, stored: &Reconciliation, now: UnixMillis) -> Result<(), Refusal> {
        let generation = self.generation;
        let record = self.record()?;
        let (old, new) = (record.token, stored.token);
        let is_made_anew = record.revision == 0 && old == new;
        let follows = new.generation > old.generation && new.epoch > old.epoch;
        if new.generation != generation {
            return Err(Refusal::Generation);
        }
        if !is_made_anew && !follows {
            return Err(Refusal::Token);
        }
        record.token = new;
        // A multipart upload belongs to its generation; what it had is among what is stored.
        record.multipart = None;
        // Revisions may have been forgotten too: watchers must not take a new one for an older one.
        record.stream_epoch.0 = now.0.max(record.stream_epoch.0 + 1);
        // A generation is a time in milliseconds, greater than any number of commits: no watcher has seen as much.
        record.revision = record.revision.max(new.generation.0);
        record.created = stored.created.unwrap_or(record.created);
        if record.status.is_final() {
            return Ok(());
        }
        if stored.damaged || stored.received < record.received {
            return self.lose(now);
        }
        if let Some(kind) = go_on(record, stored, now)? {
            self.kinds.push(kind);
        }
        Ok(())
    }
}

/// Takes in what is stored, and the verdict where one is.
fn go_on(record: &mut Record, stored: &Reconciliation, now: UnixMillis) -> Result<Option<EventType>, Refusal> {
    if stored.received > 0 {
        advance(record, stored.received, &stored.segments, now)?;
    }
    if let Some(length) = stored.length.filter(|_| record.length.is_none()) {
        declare(record, length)?;
    }
    let Some((verdict, answer)) = &stored.verdict else {
        return Ok(None);
    };
    if record.finish != Finish::VerdictPending {
        return Err(Refusal::Verdict);
    }
    if record.status == Status::Paused {
        // It was resumed before it got its verdict; that is forgotten.
        record.status = transition(record.status, Trigger::Resume)?;
    }
    record.answer.clone_from(answer);
    record.quarantined = stored.quarantined && *verdict == Verdict::Accept;
    finish(record, verdict, now).map(Some)
}
