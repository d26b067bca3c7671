//! Asking for the verdict over an upload whose bytes are all recorded, where that is somebody else's to give.
//!
//! Steps: the bytes and `VerdictPending` are committed; an object store makes one object of them; the receiver is asked; its
//! word is written beside the data,
//! create-only; the verdict is committed. Whoever comes after a death between two of them finds what was done: a
//! word that was written is not asked for again. One asking runs for an upload at a time, whoever wants it, and goes
//! on when the request that began it has gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use windlass_serve::trace;
use windlass_task::change::Change;
use windlass_task::{Commit, Entry, Finish, Outcome, Record, Status, TaskKey};

use crate::error::Error;
use crate::finish::{self, Whole};
use crate::hooks::Asked;
use crate::service::{Upload, failure, patiently};
use crate::storage::{self, Completion};

/// The askings that run.
#[derive(Default)]
pub(crate) struct Verdicts {
    running: Mutex<HashMap<TaskKey, watch::Receiver<bool>>>,
}

impl Verdicts {
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskKey, watch::Receiver<bool>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An asking that may be waited for.
pub(crate) struct Asking {
    ended: watch::Receiver<bool>,
}

impl Asking {
    /// Waits until it has ended, well or not, and answers the upload as it is then.
    ///
    /// # Errors
    /// [`Error::AwaitVerdict`] when there is no verdict yet.
    pub(crate) async fn wait(mut self, upload: &Arc<Upload>, key: &TaskKey) -> Result<Record, Error> {
        // A sender that is gone has ended too.
        let _ = self.ended.wait_for(|ended| *ended).await;
        match upload.load(key).await? {
            Entry::Live(record) => match (&record.finish, record.status) {
                (Finish::VerdictPending | Finish::Open, Status::Paused) => Err(Error::ContinuePaused {
                    offset: record.offset(),
                }),
                (Finish::VerdictPending | Finish::Open, _) => Err(Error::AwaitVerdict),
                (Finish::Accepted | Finish::Refused { .. }, _) => Ok(*record),
            },
            Entry::Gone(tombstone) => Err(Error::ReachUpload { cause: tombstone.cause }),
        }
    }
}

/// Begins to ask for the verdict over an upload, or joins who does already.
pub(crate) fn ask(upload: &Arc<Upload>, key: &TaskKey, asked: Asked, digest_wanted: bool) -> Asking {
    let mut running = upload.verdicts.lock();
    if let Some(ended) = running.get(key) {
        return Asking { ended: ended.clone() };
    }
    let (sender, ended) = watch::channel(false);
    running.insert(key.clone(), ended.clone());
    let (upload, key) = (Arc::clone(upload), key.clone());
    tokio::spawn(trace::carry(async move {
        let _end = End {
            upload: Arc::clone(&upload),
            key: key.clone(),
            sender,
        };
        if let Err(error) = settle(&upload, &key, &asked, digest_wanted).await {
            tracing::error!(task = %key.id, error = &error as &dyn std::error::Error, "no verdict yet");
        }
    }));
    Asking { ended }
}

/// Makes room for the next asking and tells the waiting, also when the asking panicked.
struct End {
    upload: Arc<Upload>,
    key: TaskKey,
    sender: watch::Sender<bool>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.upload.verdicts.lock().remove(&self.key);
        self.sender.send_replace(true);
    }
}

async fn settle(upload: &Arc<Upload>, key: &TaskKey, asked: &Asked, digest_wanted: bool) -> Result<(), Error> {
    let Entry::Live(mut record) = upload.load(key).await? else {
        return Ok(());
    };
    // What is paused waits for whoever resumes it.
    if record.finish != Finish::VerdictPending || record.status == Status::Paused {
        return Ok(());
    }
    let mut changes = Vec::new();
    if !upload.storage().is_sealed(&record.segments) {
        // Every byte is recorded, so no writer can change anything: what is stored is made readable, then judged.
        record.segments = patiently!(upload, upload.storage().seal(key, &record.segments))?;
        changes.push(Change::Seal {
            segments: record.segments.clone(),
        });
    }
    let is_sealed_now = !changes.is_empty();
    let written = patiently!(upload, upload.storage().read_completion(key))?;
    let completion = match written {
        Some(completion) => completion,
        None => {
            let completion = judge(upload, &record, asked, digest_wanted).await?;
            match patiently!(upload, upload.storage().write_completion(key, &completion)) {
                Ok(()) => completion,
                // Another process was first.
                Err(Error::UseStorage(storage::Error::CreateDocument { path })) => {
                    let first = patiently!(upload, upload.storage().read_completion(key))?;
                    first.ok_or(storage::Error::CreateDocument { path })?
                }
                Err(error) => return Err(error),
            }
        }
    };
    let verdict = completion.verdict();
    changes.extend(completion.answer.map(Change::Answer));
    changes.extend(finish::changes(upload, verdict));
    // No token: with every byte recorded there is nothing left that a writer could change.
    match upload.commit(Commit::present(key.clone(), changes)).await? {
        Outcome::Committed(Entry::Live(record)) => {
            if is_sealed_now {
                tidy(upload, &record);
            }
            crate::concat::part_advanced(upload, &record).await;
            Ok(())
        }
        // Given already, paused, or gone: whoever waits looks at the record.
        Outcome::Refused(_, Some(_)) => Ok(()),
        other => Err(failure(other)),
    }
}

/// Removes what the sealed object was made of; nobody waits for it.
fn tidy(upload: &Arc<Upload>, record: &Record) {
    let (upload, key, segments) = (Arc::clone(upload), record.key.clone(), record.segments.clone());
    tokio::spawn(async move {
        if let Err(error) = upload.storage().tidy(&key, &segments).await {
            tracing::warn!(task = %key.id, error = &error as &dyn std::error::Error, "leftovers of an upload stay");
        }
    });
}

/// The digest first, for it is ours to judge; then the receiver's word.
async fn judge(upload: &Arc<Upload>, record: &Record, asked: &Asked, digest_wanted: bool) -> Result<Completion, Error> {
    let whole = Whole {
        key: &record.key,
        length: record.received,
        segments: &record.segments,
        demanded: record.digest.as_deref(),
        wanted: digest_wanted,
    };
    let mut completion = finish::judge(upload, &whole).await?;
    if completion.accepted {
        let word = upload.ask_before_finish(record, asked).await?;
        completion.accepted = word.accepted;
        completion.reason = (!word.accepted).then(|| "the upload was refused by the server's hook".to_owned());
        completion.answer = word.answer;
    }
    Ok(completion)
}

/// The upload as a tus HEAD may show it: where no byte can be held back, what is not judged yet looks finished, so
/// the verdict is waited for as long as a request may be held.
pub(crate) async fn before_showing(upload: &Arc<Upload>, record: Record, asked: Asked) -> Result<Record, Error> {
    let joined = matches!(record.concat, Some(windlass_task::Concat::Final { .. }));
    let shows_all = record.withheld == 0 && !joined;
    match record.finish {
        Finish::Open | Finish::Accepted => Ok(record),
        Finish::Refused { .. } if shows_all => Err(Error::refused(&record, None)),
        Finish::Refused { .. } => Ok(record),
        Finish::VerdictPending if record.status == Status::Paused => Ok(record),
        Finish::VerdictPending => {
            if !shows_all && !upload.asks_before_finish() {
                return Ok(record);
            }
            let asking = ask(upload, &record.key, asked, false);
            if !shows_all {
                return Ok(record);
            }
            match tokio::time::timeout(upload.config.hold, asking.wait(upload, &record.key)).await {
                Ok(Ok(judged)) if matches!(judged.finish, Finish::Refused { .. }) => Err(Error::refused(&judged, None)),
                Ok(done) => done,
                Err(_) => Err(Error::AwaitVerdict),
            }
        }
    }
}
