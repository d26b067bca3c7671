//! The checkpoints of a session: bytes durable, then the commit, then the verdict where nothing is missing.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument as _;
use windlass_serve::step;
use windlass_task::change::{Change, Refusal, Verdict};
use windlass_task::status::{IllegalTransition, Trigger};
use windlass_task::{Commit, Entry, Expected, Finish, Outcome, Segment, Status};

use super::Session;
use crate::error::Error;
use crate::finish::{self, Whole};
use crate::service::{failure, patiently};
use crate::storage::Completion;
use crate::verdict;

impl Session {
    /// A checkpoint: makes durable and commits what was taken, and the verdict when nothing is missing.
    pub(super) async fn save(&mut self) -> Result<(), Error> {
        let accepted = self.foregone();
        let storing = self.writer.checkpoint(accepted.as_ref());
        let checkpoint = storing.instrument(step!("store bytes")).await?;
        let advance = checkpoint.received - self.record.received;
        let finished = self
            .length()
            .filter(|length| *length == checkpoint.received && self.finishing && self.is_unjudged());
        // What has to be turned into a readable object first is judged in a step of its own too.
        let is_sealed = self.upload.storage().is_sealed(&checkpoint.segments);
        let asking = finished.is_some() && (self.is_to_be_asked() || !is_sealed);
        let verdict = match finished {
            Some(_) if asking => None,
            Some(_) if accepted.is_some() => Some(Verdict::Accept),
            Some(length) => Some(self.judge(length, &checkpoint.segments).await?),
            None => None,
        };
        let is_told = accepted.is_some_and(|completion| completion.length == checkpoint.received);
        if let Some(length) = self.declared().filter(|_| !is_told) {
            let (upload, key) = (&self.upload, &self.record.key);
            patiently!(upload, upload.storage().write_length(key, length))?;
        }
        let mut changes = std::mem::take(&mut self.lead);
        if finished.is_none() {
            changes.extend(self.writer.renewal().map(Change::Reserve));
        }
        if advance > 0 {
            changes.push(Change::Advance {
                received: checkpoint.received,
                segments: checkpoint.segments,
            });
        }
        changes.extend(
            verdict
                .into_iter()
                .flat_map(|verdict| finish::changes(&self.upload, verdict)),
        );
        (self.unsaved, self.due) = (0, None);
        if !changes.is_empty() {
            self.commit(changes).await?;
            self.upload.metrics.checkpoint(advance);
        }
        if asking { self.settle().await } else { Ok(()) }
    }

    /// Commits what has become durable by itself, while more is under way.
    pub(super) async fn save_settled(&mut self) -> Result<(), Error> {
        let checkpoint = self.writer.durable();
        let advance = checkpoint.received - self.record.received;
        if advance == 0 {
            return Ok(());
        }
        let mut changes = std::mem::take(&mut self.lead);
        changes.extend(self.writer.renewal().map(Change::Reserve));
        changes.push(Change::Advance {
            received: checkpoint.received,
            segments: checkpoint.segments,
        });
        self.unsaved = self.unsaved.saturating_sub(advance);
        self.due = (self.unsaved > 0).then(|| Instant::now() + self.upload.checkpoint());
        self.commit(changes).await?;
        self.upload.metrics.checkpoint(advance);
        Ok(())
    }

    /// The completion that the upload gets with its last byte, where nothing but its length has to be judged.
    fn foregone(&self) -> Option<Completion> {
        let looked_at = self.digest_wanted || self.upload.config.content.are_there();
        let is_free = self.finishing && self.is_unjudged() && !self.is_to_be_asked() && !looked_at;
        let length = self.length().filter(|_| is_free && self.demanded().is_none());
        length.map(Completion::accepted)
    }

    fn is_unjudged(&self) -> bool {
        matches!(self.record.finish, Finish::Open | Finish::VerdictPending)
    }

    /// Whether the verdict is a step of its own: somebody else gives it, or an earlier asking came to no end.
    fn is_to_be_asked(&self) -> bool {
        self.upload.asks_before_finish() || self.recorded && self.record.finish == Finish::VerdictPending
    }

    /// The digests that the whole must have, as they are known or are about to be.
    fn demanded(&self) -> Option<&str> {
        let about_to_be = self.lead.iter().find_map(|change| match change {
            Change::DemandDigest(text) => Some(text.as_str()),
            _ => None,
        });
        self.record.digest.as_deref().or(about_to_be)
    }

    async fn judge(&mut self, length: u64, segments: &[Segment]) -> Result<Verdict, Error> {
        let whole = Whole {
            key: &self.record.key,
            length,
            segments,
            demanded: self.demanded(),
            wanted: self.digest_wanted,
        };
        let decision = finish::decide(&self.upload, whole).await?;
        self.digest = decision.digest;
        Ok(decision.verdict)
    }

    /// Gets the verdict from whoever gives it, as long as nobody else wants the upload.
    async fn settle(&mut self) -> Result<(), Error> {
        let (upload, key) = (Arc::clone(&self.upload), self.record.key.clone());
        let asking = verdict::ask(&upload, &key, self.asked.clone(), self.digest_wanted);
        if !self.waiting {
            return Ok(());
        }
        let record = tokio::select! {
            biased;
            judged = asking.wait(&upload, &key) => judged?,
            reason = self.hold.asked() => return Err(self.released(reason)),
            () = upload.parts.shutdown.draining() => return Err(Error::Drain),
        };
        if self.digest_wanted {
            let completion = patiently!(upload, upload.storage().read_completion(&key))?;
            self.digest = completion.and_then(|completion| completion.digest);
        }
        self.expected = Expected::Holder {
            token: record.token,
            received: record.received,
        };
        self.record = record;
        Ok(())
    }

    pub(super) async fn commit(&mut self, mut changes: Vec<Change>) -> Result<(), Error> {
        let mut commit = Commit {
            key: self.record.key.clone(),
            expected: self.expected.clone(),
            changes: changes.clone(),
            traceparent: None,
        };
        let mut outcome = self.upload.commit(commit.clone()).await?;
        if let Outcome::Refused(
            Refusal::Transition(IllegalTransition {
                from: Status::Paused,
                trigger: Trigger::Complete,
            }),
            _,
        ) = outcome
        {
            // Paused with the last bytes under way: they count, the verdict waits for whoever resumes.
            changes.retain(|change| !matches!(change, Change::Finish(_) | Change::Quarantine));
            commit.changes.clone_from(&changes);
            outcome = self.upload.commit(commit).await?;
        }
        if let Outcome::Refused(Refusal::Generation, _) | Outcome::Conflict(None) = outcome {
            return self.go_on_in_another_generation(changes).await;
        }
        self.recorded |= matches!(outcome, Outcome::Committed(_) | Outcome::Unknown);
        match outcome {
            Outcome::Committed(Entry::Live(record)) => {
                self.expected = Expected::Holder {
                    token: record.token,
                    received: record.received,
                };
                self.record = *record;
                self.writer.recorded(&self.record);
                self.show();
                if self.record.status == Status::Paused {
                    return Err(Error::ContinuePaused {
                        offset: self.record.offset(),
                    });
                }
                Ok(())
            }
            other => Err(failure(other)),
        }
    }

    /// The store has begun another generation since this session's last commit, and may not know the task any more. What it was about to commit is durable, so
    /// the record is reconciled to just that, and the session goes on with the record's new token.
    async fn go_on_in_another_generation(&mut self, mut changes: Vec<Change>) -> Result<(), Error> {
        let saved = changes.iter().find_map(|change| match change {
            Change::Advance { received, .. } => Some(*received),
            _ => None,
        });
        let record = match self.upload.load(&self.record.key).await? {
            Entry::Live(record) => *record,
            Entry::Gone(tombstone) => return Err(Error::ReachUpload { cause: tombstone.cause }),
        };
        let own = self.hold.successor_of(&record.token).is_none();
        if !own || record.received != saved.unwrap_or(self.record.received) {
            // Somebody else reconciled it and goes on, or the storage knows of bytes that this body does not follow.
            return Err(Error::KeepUpload {
                offset: record.offset(),
            });
        }
        self.writer = self.upload.storage().open(&record).await?;
        self.hold.goes_on_from(record.revision);
        self.expected = Expected::Holder {
            token: record.token,
            received: record.received,
        };
        let is_judged = !matches!(record.finish, Finish::Open | Finish::VerdictPending);
        changes.retain(|change| match change {
            Change::Advance { .. } => false,
            Change::Finish(_) | Change::Answer(_) => !is_judged,
            _ => true,
        });
        self.record = record;
        if changes.is_empty() {
            self.show();
            return Ok(());
        }
        Box::pin(self.commit(changes)).await
    }

    /// Tells who listens of what is acknowledged now.
    fn show(&mut self) {
        if let Some(interims) = &mut self.interims {
            interims.progressed(self.record.offset());
        }
    }

    /// The length, as it is known or is about to be.
    fn length(&self) -> Option<u64> {
        self.record.length.or(self.declared())
    }

    /// The length that the next commit declares.
    fn declared(&self) -> Option<u64> {
        self.lead.iter().find_map(|change| match change {
            Change::DeclareLength(length) => Some(*length),
            _ => None,
        })
    }
}
