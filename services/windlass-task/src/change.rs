//! The pure decision whether a commit may happen and what it leaves: no clock, no I/O, the same for every back end.

mod reconcile;

pub use self::reconcile::Reconciliation;

use crate::epoch::{Generation, Token};
use crate::event::{Event, EventType};
use crate::feed::TaskUpdate;
use crate::id::{TaskId, TaskKey};
use crate::record::{Answer, Concat, Creation, Finish, Multipart, Record, Segment};
use crate::status::{IllegalTransition, Status, Trigger, transition};
use crate::store::{Cause, Commit, Entry, Expected, Tombstone};
use crate::time::UnixMillis;

/// One change of a task. Several in one commit happen together or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    /// The record comes to be.
    Create(Box<Creation>),
    /// The right to write is taken from a holder that has not released it.
    Take {
        /// The new holder's token, with a greater epoch or a greater generation.
        token: Token,
    },
    /// A deferred length becomes known.
    DeclareLength(u64),
    /// More bytes are durable.
    Advance {
        /// The contiguous durable bytes from the start; never fewer than before.
        received: u64,
        /// Where `0..received` are now, whole.
        segments: Vec<Segment>,
    },
    /// Part numbers up to the stated end are the writer's, before it sends any of them.
    Reserve(Multipart),
    /// What is stored was turned into readable objects, once every byte was there; no byte changed.
    Seal {
        /// Where all bytes are now, whole.
        segments: Vec<Segment>,
    },
    /// The verdict over the whole upload.
    Finish(Verdict),
    /// The owner wants no more bytes for now.
    Pause,
    /// The owner, or an authorised append, goes on.
    Resume,
    /// It can go on no more, whatever has been stored.
    Fail {
        /// Why, as the client is told.
        reason: String,
    },
    /// The owner ends it; a tombstone stays.
    Terminate,
    /// It was unfinished for too long; refused unless its time has come by the store's clock.
    Expire,
    /// Bytes that had been acknowledged are gone, or are others; a tombstone stays.
    Lose,
    /// The bytes of a tombstone have been removed.
    ForgetBytes,
    /// A final upload lists this partial upload's segments from now on.
    Adopt {
        /// The final upload.
        by: TaskId,
    },
    /// A final upload that the store had forgotten lists them: also those of a partial upload that was ended meanwhile, as
    /// long as they are stored.
    AdoptAgain {
        /// The final upload.
        by: TaskId,
    },
    /// It lists them no more.
    Disown {
        /// The final upload.
        by: TaskId,
    },
    /// The whole must have these digests, a `Repr-Digest` field value.
    DemandDigest(String),
    /// The upload that the same commit accepts can be read only after its release.
    Quarantine,
    /// It was looked at and found harmless.
    Release,
    /// How the verdict that follows in the same commit is told.
    Answer(Box<Answer>),
    /// The record, of an earlier generation or made anew in this commit, goes on from what the storage has.
    Reconcile(Box<Reconciliation>),
}

/// The verdict over a whole upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is complete.
    Accept,
    /// It is not wanted.
    Refuse {
        /// Why, as the client is told.
        reason: String,
    },
}

/// Why a change that met its expectation is not made all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The state table has no such move.
    #[error(transparent)]
    Transition(#[from] IllegalTransition),
    /// The offset would decrease, or bytes would pass the length.
    #[error("bytes {received} are outside {from}..={to:?}")]
    Advance {
        /// What was asked.
        received: u64,
        /// What is durable already.
        from: u64,
        /// The length, if known.
        to: Option<u64>,
    },
    /// The segments do not cover exactly the received bytes.
    #[error("segments do not cover the bytes received")]
    Segments,
    /// The numbers are not beyond those that were reserved in the same multipart upload, or no byte is missing.
    #[error("part numbers cannot be reserved")]
    Reserve,
    /// The length is known and another.
    #[error("the length is already {length:?}")]
    Length {
        /// The known length.
        length: Option<u64>,
    },
    /// The token does not follow the present one.
    #[error("the token does not follow the present one")]
    Token,
    /// A verdict where bytes are missing or one is stored.
    #[error("there is nothing to give a verdict on")]
    Verdict,
    /// It is no partial upload.
    #[error("it is no partial upload")]
    Concat,
    /// Another digest is demanded already, or the verdict is given.
    #[error("another digest is demanded already")]
    Digest,
    /// It is in no quarantine.
    #[error("it is in no quarantine")]
    Quarantine,
    /// It has not expired.
    #[error("it has not expired")]
    NotExpired,
    /// The task is a tombstone.
    #[error("the task is gone")]
    Gone,
    /// The task has not been created, or exists already.
    #[error("the task does not exist")]
    Absent,
    /// The expected token belongs to another generation of the store.
    #[error("the token is of another generation")]
    Generation,
}

/// What a commit leaves behind; the back end stores all of it in one step.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The entry after the commit.
    pub entry: Entry,
    /// Durable events for the outbox, in order.
    pub events: Vec<Event>,
    /// The task's new latest value, if what is shown of it changed.
    pub update: Option<TaskUpdate>,
}

/// Why a commit is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The entry is not what the commit expected.
    Conflict,
    /// The expectation holds, but the change is not allowed.
    Refused(Refusal),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<IllegalTransition> for Denial {
    fn from(refusal: IllegalTransition) -> Self {
        Self::Refused(refusal.into())
    }
}

/// Decides `commit` on the present entry, by the store's clock `now` and its present generation.
///
/// # Errors
/// [`Denial`]: the entry stays as it is.
pub fn decide(
    current: Option<&Entry>,
    commit: &Commit,
    generation: Generation,
    now: UnixMillis,
) -> Result<Decision, Denial> {
    meet(current, &commit.expected, generation)?;
    let mut draft = Draft {
        generation,
        entry: current.cloned(),
        kinds: Vec::new(),
        events: Vec::new(),
    };
    for change in &commit.changes {
        draft.apply(change, &commit.key, now)?;
        draft.record_events(now, commit.traceparent.as_deref());
    }
    let mut entry = draft.entry.ok_or(Refusal::Absent)?;
    entry.bump_revision();
    let update = (current.map(Entry::shown) != Some(entry.shown())).then(|| TaskUpdate {
        traceparent: commit.traceparent.clone(),
        ..TaskUpdate::of(&entry, now)
    });
    Ok(Decision {
        entry,
        events: draft.events,
        update,
    })
}

fn meet(current: Option<&Entry>, expected: &Expected, generation: Generation) -> Result<(), Denial> {
    // First of all: in a new generation, what is there or not says nothing of what was.
    if matches!(expected, Expected::Holder { token, .. } if token.generation != generation) {
        return Err(Refusal::Generation.into());
    }
    match (expected, current) {
        (Expected::Absent, None) | (Expected::Present, Some(_)) => Ok(()),
        (Expected::Present, None) => Err(Refusal::Absent.into()),
        (Expected::Holder { token, received }, Some(Entry::Live(record))) => {
            if record.token == *token && record.received == *received {
                Ok(())
            } else {
                Err(Denial::Conflict)
            }
        }
        (Expected::Absent, Some(_)) | (Expected::Holder { .. }, None | Some(Entry::Gone(_))) => Err(Denial::Conflict),
    }
}

struct Draft {
    /// The store's.
    generation: Generation,
    entry: Option<Entry>,
    /// Events of the change in hand, before they are numbered.
    kinds: Vec<EventType>,
    events: Vec<Event>,
}

impl Draft {
    fn apply(&mut self, change: &Change, key: &TaskKey, now: UnixMillis) -> Result<(), Refusal> {
        match change {
            Change::Create(creation) => {
                if self.entry.is_some() || creation.key != *key {
                    return Err(Refusal::Absent);
                }
                self.entry = Some(Entry::Live(Box::new(Record::create((**creation).clone(), now))));
                self.kinds.push(EventType::Created);
            }
            Change::ForgetBytes => match &mut self.entry {
                Some(Entry::Gone(tombstone)) => {
                    tombstone.stored = false;
                    tombstone.segments.clear();
                }
                Some(Entry::Live(_)) | None => return Err(Refusal::Absent),
            },
            Change::Lose => self.lose(now)?,
            Change::Terminate => self.bury(Cause::Terminated, EventType::Terminated, now)?,
            Change::Expire => {
                let record = self.record()?;
                if record.status == Status::Completed || record.expires.is_none_or(|expires| now < expires) {
                    return Err(Refusal::NotExpired);
                }
                self.bury(Cause::Expired, EventType::Expired, now)?;
            }
            Change::Take { token } => {
                let record = self.record()?;
                let (old, new) = (record.token, *token);
                if (new.generation, new.epoch) <= (old.generation, old.epoch) || new.holder == old.holder {
                    return Err(Refusal::Token);
                }
                record.token = new;
            }
            Change::DeclareLength(length) => declare(self.record()?, *length)?,
            Change::Advance { received, segments } => advance(self.record()?, *received, segments, now)?,
            Change::Reserve(multipart) => reserve(self.record()?, multipart)?,
            Change::Seal { segments } => {
                let record = self.record()?;
                if record.finish != Finish::VerdictPending {
                    return Err(Refusal::Verdict);
                }
                cover(segments, record.received)?;
                record.segments.clone_from(segments);
                record.multipart = None;
            }
            Change::Finish(verdict) => {
                let kind = finish(self.record()?, verdict, now)?;
                self.kinds.push(kind);
            }
            Change::AdoptAgain { by } => match &mut self.entry {
                Some(Entry::Gone(tombstone)) if tombstone.stored => adopt(&mut tombstone.adopted_by, by),
                Some(Entry::Gone(_) | Entry::Live(_)) | None => adopt(self.adopters()?, by),
            },
            Change::Adopt { by } => adopt(self.adopters()?, by),
            Change::Disown { by } => match &mut self.entry {
                Some(Entry::Live(record)) => {
                    if let Some(Concat::Partial { adopted_by }) = &mut record.concat {
                        adopted_by.retain(|adopter| adopter != by);
                    }
                }
                Some(Entry::Gone(tombstone)) => tombstone.adopted_by.retain(|adopter| adopter != by),
                None => return Err(Refusal::Absent),
            },
            Change::DemandDigest(digest) => {
                let record = self.record()?;
                match (&record.finish, &record.digest) {
                    (_, Some(known)) if known == digest => {}
                    (Finish::Open | Finish::VerdictPending, None) => record.digest = Some(digest.clone()),
                    _ => return Err(Refusal::Digest),
                }
            }
            Change::Answer(answer) => {
                let record = self.record()?;
                if record.finish != Finish::VerdictPending {
                    return Err(Refusal::Verdict);
                }
                record.answer = Some(answer.clone());
            }
            Change::Quarantine => {
                let record = self.record()?;
                if record.finish != Finish::VerdictPending {
                    return Err(Refusal::Verdict);
                }
                record.quarantined = true;
            }
            Change::Release => {
                let record = self.record()?;
                if record.status != Status::Completed || !record.quarantined {
                    return Err(Refusal::Quarantine);
                }
                record.quarantined = false;
                self.kinds.push(EventType::Released);
            }
            Change::Reconcile(stored) => self.reconcile(stored, now)?,
            Change::Pause => self.step(Trigger::Pause)?,
            Change::Resume => self.step(Trigger::Resume)?,
            Change::Fail { reason } => {
                self.step(Trigger::Fail)?;
                let record = self.record()?;
                record.finish = Finish::Refused { reason: reason.clone() };
                record.expires = Some(now.after(record.lifetime()));
                self.kinds.push(EventType::Failed);
            }
        }
        Ok(())
    }

    fn record(&mut self) -> Result<&mut Record, Refusal> {
        match &mut self.entry {
            Some(Entry::Live(record)) => Ok(record),
            Some(Entry::Gone(_)) => Err(Refusal::Gone),
            None => Err(Refusal::Absent),
        }
    }

    /// The final uploads that list a partial upload's segments.
    fn adopters(&mut self) -> Result<&mut Vec<TaskId>, Refusal> {
        match &mut self.record()?.concat {
            Some(Concat::Partial { adopted_by }) => Ok(adopted_by),
            Some(Concat::Final { .. }) | None => Err(Refusal::Concat),
        }
    }

    fn step(&mut self, trigger: Trigger) -> Result<(), Refusal> {
        let record = self.record()?;
        record.status = transition(record.status, trigger)?;
        Ok(())
    }

    fn bury(&mut self, cause: Cause, kind: EventType, now: UnixMillis) -> Result<(), Refusal> {
        let record = self.record()?;
        record.sequence += 1;
        let mut event = Event::of(kind, record, now, None);
        // Whoever hears of it can ask nobody any more.
        event.data.metadata = record.metadata.clone();
        let tombstone = Tombstone::of(record, cause, now);
        self.entry = Some(Entry::Gone(Box::new(tombstone)));
        self.events.push(event);
        Ok(())
    }

    fn lose(&mut self, now: UnixMillis) -> Result<(), Refusal> {
        self.record()?.finish = Finish::Refused {
            reason: "bytes that had been acknowledged are gone".to_owned(),
        };
        self.bury(Cause::Lost, EventType::Failed, now)
    }

    /// Numbers the events of the last change, as the record stood right after it.
    fn record_events(&mut self, now: UnixMillis, traceparent: Option<&str>) {
        for kind in std::mem::take(&mut self.kinds) {
            if let Some(Entry::Live(record)) = &mut self.entry {
                record.sequence += 1;
                self.events
                    .push(Event::of(kind, record, now, traceparent.map(str::to_owned)));
            }
        }
    }
}

fn adopt(adopters: &mut Vec<TaskId>, by: &TaskId) {
    if !adopters.contains(by) {
        adopters.push(by.clone());
    }
}

fn declare(record: &mut Record, length: u64) -> Result<(), Refusal> {
    if record.length == Some(length) {
        return Ok(());
    }
    if record.length.is_some() || record.status.is_final() || length < record.received {
        return Err(Refusal::Length { length: record.length });
    }
    record.length = Some(length);
    if length == record.received {
        // All of it has been shown as acknowledged already: nothing can be held back.
        record.finish = Finish::VerdictPending;
    }
    Ok(())
}

fn advance(record: &mut Record, received: u64, segments: &[Segment], now: UnixMillis) -> Result<(), Refusal> {
    if received < record.received || record.length.is_some_and(|length| received > length) {
        return Err(Refusal::Advance {
            received,
            from: record.received,
            to: record.length,
        });
    }
    cover(segments, received)?;
    record.status = transition(record.status, Trigger::Advance)?;
    if received > record.received {
        record.expires = Some(now.after(record.lifetime()));
    }
    if record.length == Some(received) && record.received < received {
        // With every byte there, what is missing is the verdict.
        record.finish = Finish::VerdictPending;
        record.withheld = u64::from(record.withholds_last_byte());
    }
    record.received = received;
    record.segments = segments.to_vec();
    Ok(())
}

/// Whether segments are `0..received`, in order and without a gap.
fn cover(segments: &[Segment], received: u64) -> Result<(), Refusal> {
    let mut covered = 0;
    for segment in segments {
        if segment.start != covered || segment.end <= segment.start {
            return Err(Refusal::Segments);
        }
        covered = segment.end;
    }
    if covered == received {
        Ok(())
    } else {
        Err(Refusal::Segments)
    }
}

fn reserve(record: &mut Record, multipart: &Multipart) -> Result<(), Refusal> {
    let same = record.multipart.as_ref().filter(|known| known.id == multipart.id);
    let grows = same.is_none_or(|known| multipart.next_part > known.next_part && multipart.key == known.key);
    let current = multipart.generation == record.token.generation;
    if record.finish != Finish::Open || record.status.is_final() || !grows || !current {
        return Err(Refusal::Reserve);
    }
    record.multipart = Some(multipart.clone());
    Ok(())
}

fn finish(record: &mut Record, verdict: &Verdict, now: UnixMillis) -> Result<EventType, Refusal> {
    if record.finish != Finish::VerdictPending {
        return Err(Refusal::Verdict);
    }
    let kind = match verdict {
        Verdict::Accept => {
            // An empty upload, or one whose length is declared last, has no advance of its own to pass through.
            let uploading = transition(record.status, Trigger::Advance)?;
            record.status = transition(uploading, Trigger::Complete)?;
            record.finish = Finish::Accepted;
            record.withheld = 0;
            record.expires = None;
            EventType::Completed
        }
        Verdict::Refuse { reason } => {
            record.status = transition(record.status, Trigger::Fail)?;
            record.finish = Finish::Refused { reason: reason.clone() };
            // What is refused is remembered for as long as a client may come back, not for ever.
            record.expires = Some(now.after(record.lifetime()));
            EventType::Failed
        }
    };
    Ok(kind)
}

#[cfg(test)]
mod tests;
