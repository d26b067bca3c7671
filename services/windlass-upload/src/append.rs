//! Taking a body into an upload: bytes to the storage, and every so often a checkpoint that acknowledges them.
//!
//! Order of a checkpoint: the bytes are durable, then the commit, then whatever shows the new offset. A body may end
//! in many ways; whatever the way, what came is saved before the request is answered. The one exception is a body
//! longer than its upload: what has not been acknowledged of it is thrown away.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::HeaderMap;
use tokio::time::Instant;
use tokio::time::error::Elapsed;
use windlass_task::change::{Change, Refusal};
use windlass_task::record::Creation;
use windlass_task::status::{IllegalTransition, Trigger};
use windlass_task::{Commit, Entry, Expected, Finish, Outcome, Record, Status, UnixMillis};

use crate::error::Error;
use crate::finish::{self, Whole};
use crate::holder::{Hold, Release};
use crate::hooks::{Asked, Receiving, Turn};
use crate::service::{Upload, failure, patiently};
use crate::storage::{Manifest, Writer};
use crate::tus::{Admission, Rejection};
use crate::{upkeep, verdict};

/// What a body consists of.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes of the upload.
    Bytes(Bytes),
    /// The fields after the last byte (RFC 9110 section 6.5).
    Trailers(HeaderMap),
}

/// Judges a whole body before any of it counts.
pub(crate) trait Check: Send {
    /// Sees bytes of the body.
    fn see(&mut self, bytes: &[u8]);

    /// Judges at the body's end, with its trailers if it had any.
    ///
    /// # Errors
    /// Why the body must not count.
    fn judge(self: Box<Self>, trailers: Option<&HeaderMap>) -> Result<(), Error>;
}

/// One request's writing to one upload.
pub(crate) struct Session {
    upload: Arc<Upload>,
    hold: Hold,
    /// What the next commit expects.
    expected: Expected,
    /// What the next commit does before anything else.
    lead: Vec<Change>,
    /// As last committed; before the first commit of a new task, as it will be.
    record: Record,
    /// Whether the task has a record, or may have one: false until the first commit of a new task.
    recorded: bool,
    writer: Box<dyn Writer>,
    /// Whether an upload that has all its bytes is finished by this request.
    finishing: bool,
    /// Whether the client wants the whole upload's SHA-256, and what came of it.
    digest_wanted: bool,
    digest: Option<String>,
    /// On whose behalf hooks are asked, and whether the request waits for their word.
    asked: Asked,
    waiting: bool,
    /// Bytes taken since the last checkpoint, and when the first of them came.
    unsaved: u64,
    due: Option<Instant>,
}

impl Session {
    /// A session on a new task. Its manifest is durable when this returns; its record comes with the first commit.
    pub(crate) async fn create(upload: Arc<Upload>, hold: Hold, creation: Creation) -> Result<Self, Error> {
        let now = UnixMillis::now();
        let manifest = Manifest::of(&creation, now);
        patiently!(upload, upload.storage().write_manifest(&manifest))?;
        let record = Record::create(creation.clone(), now);
        let lead = vec![Change::Create(Box::new(creation))];
        Self::open(upload, hold, Expected::Absent, lead, record).await
    }

    /// A session on a task that is there.
    pub(crate) async fn resume(
        upload: Arc<Upload>,
        mut hold: Hold,
        record: Record,
        admission: Admission,
    ) -> Result<Self, Error> {
        let record = upload.fence(&hold, record).await?;
        // At once and not with the first checkpoint: a pause that comes before that must find something to pause.
        let record = match record.status {
            Status::Paused => unpause(&upload, record).await?,
            Status::Pending | Status::Uploading | Status::Completed | Status::Failed => record,
        };
        hold.goes_on_from(record.revision);
        let lead = admission.declare.map(Change::DeclareLength).into_iter().collect();
        let expected = Expected::Holder {
            token: record.token,
            received: record.received,
        };
        Self::open(upload, hold, expected, lead, record).await
    }

    async fn open(
        upload: Arc<Upload>,
        hold: Hold,
        expected: Expected,
        lead: Vec<Change>,
        record: Record,
    ) -> Result<Self, Error> {
        let writer = upload.storage().open(&record).await?;
        Ok(Self {
            upload,
            hold,
            recorded: expected != Expected::Absent,
            expected,
            lead,
            record,
            writer,
            finishing: true,
            digest_wanted: false,
            digest: None,
            asked: Asked::default(),
            waiting: true,
            unsaved: 0,
            due: None,
        })
    }

    /// Takes the whole body, saves it, and finishes the upload when nothing is missing.
    pub(crate) async fn take<E>(
        &mut self,
        body: impl Stream<Item = Result<Piece, E>>,
        admission: Admission,
        check: Option<Box<dyn Check>>,
    ) -> Result<(), Error> {
        let checked = check.is_some();
        self.upload.metrics.append_began();
        let taken = self.take_body(body, admission, check).await;
        self.upload.metrics.append_ended();
        let kept = self.keep(taken, checked).await;
        if kept.is_err() {
            self.discard_unrecorded().await;
        }
        kept
    }

    /// Saves what was taken, where it may be saved.
    async fn keep(&mut self, taken: Result<(), Error>, checked: bool) -> Result<(), Error> {
        match taken {
            Ok(()) => self.save().await,
            // Half of a body that has to be judged whole cannot count.
            Err(error) if checked => Err(self.as_it_stands(error)),
            // Nothing that is not acknowledged is kept of a body that is too long.
            Err(error @ Error::Reject(_)) => Err(error),
            // The writer is broken, or there is nothing left to write to: saving would fail too.
            Err(error @ (Error::UseStorage(_) | Error::UseStore(_) | Error::ReachUpload { .. })) => Err(error),
            Err(Error::StopByHook { answer }) => {
                self.invalidate().await?;
                Err(Error::StopByHook { answer })
            }
            Err(error) => {
                // Another request may want the upload: the verdict comes without this one.
                self.waiting = false;
                self.save().await?;
                Err(self.as_it_stands(error))
            }
        }
    }

    /// Removes what is stored of a task that has no record, which nobody could find again.
    async fn discard_unrecorded(&mut self) {
        if self.recorded {
            return;
        }
        let Record { key, token, .. } = &self.record;
        if let Err(error) = self.upload.storage().remove(key, &[], token.epoch).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "bytes of a refused creation stay"
            );
        }
    }

    /// The same error with the offset that the upload has come to.
    fn as_it_stands(&self, error: Error) -> Error {
        match error {
            Error::KeepUpload { .. } => Error::KeepUpload {
                offset: self.record.offset(),
            },
            other => other,
        }
    }

    /// Names the request to whoever is asked or told by a hook.
    pub(crate) fn on_behalf_of(&mut self, asked: &Asked) {
        self.asked = asked.clone();
    }

    /// Leaves the verdict to a later request, although all bytes may be there after this one.
    pub(crate) fn leave_open(&mut self) {
        self.finishing = false;
    }

    /// Demands digests of the whole, a `Repr-Digest` field value.
    pub(crate) fn demand_digest(&mut self, demanded: Option<String>) {
        self.lead.extend(demanded.map(Change::DemandDigest));
    }

    /// Wants the whole upload's SHA-256 with the verdict.
    pub(crate) fn want_digest(&mut self, wanted: bool) {
        self.digest_wanted = wanted;
    }

    /// Ends the upload for good: what the client says of it contradicts itself.
    pub(crate) async fn invalidate(&mut self) -> Result<(), Error> {
        let commit = Commit::present(self.record.key.clone(), vec![Change::Terminate]);
        match self.upload.commit(commit).await? {
            Outcome::Committed(Entry::Gone(tombstone)) => upkeep::remove_bytes(&self.upload, &tombstone).await,
            // It was never made.
            Outcome::Refused(Refusal::Absent, None) => Ok(()),
            other => Err(failure(other)),
        }
    }

    /// The service that it writes for.
    pub(crate) fn upload(&self) -> Arc<Upload> {
        Arc::clone(&self.upload)
    }

    /// The digests of the whole, if they were computed with the verdict.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The record as last committed.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The record as last committed.
    ///
    /// # Errors
    /// With the words of the verdict, when that is a refusal.
    pub(crate) fn into_record(self) -> Result<Record, Error> {
        match &self.record.finish {
            Finish::Refused { .. } => Err(Error::refused(&self.record, None)),
            Finish::Open | Finish::VerdictPending | Finish::Accepted => Ok(self.record),
        }
    }

    async fn take_body<E>(
        &mut self,
        body: impl Stream<Item = Result<Piece, E>>,
        admission: Admission,
        mut check: Option<Box<dyn Check>>,
    ) -> Result<(), Error> {
        let upload = Arc::clone(&self.upload);
        let mut trailers = None;
        let mut body = pin!(body);
        let mut draining = pin!(upload.parts.shutdown.draining());
        let mut receiving = Receiving::new(&upload, self.record.received);
        let (mut skip, mut room) = (admission.skip, admission.room);
        loop {
            let idle = upload.config.idle_timeout;
            let due = self.due;
            let piece = tokio::select! {
                piece = within(idle, body.next()) => piece,
                reason = self.hold.asked() => return Err(self.released(reason)),
                () = &mut draining => return Err(Error::Drain),
                turn = receiving.turn() => match turn {
                    Turn::Stop(answer) => return Err(Error::StopByHook { answer }),
                    Turn::Tell => {
                        if self.recorded {
                            receiving.tell(&upload, &self.record, &self.asked);
                        }
                        continue;
                    }
                },
                () = at(due) => {
                    self.save().await?;
                    continue;
                }
            };
            let mut piece = match piece {
                Err(_) => return Err(Error::AwaitBody { after: idle }),
                Ok(None) => return check.map_or(Ok(()), |check| check.judge(trailers.as_ref())),
                Ok(Some(Err(_))) => return Err(Error::ReadBody),
                Ok(Some(Ok(Piece::Trailers(fields)))) => {
                    trailers = Some(fields);
                    continue;
                }
                Ok(Some(Ok(Piece::Bytes(piece)))) => piece,
            };
            if let Some(check) = &mut check {
                check.see(&piece);
            }
            if let Some(room) = &mut room {
                let size = piece.len() as u64;
                *room = room.checked_sub(size).ok_or_else(|| self.too_long(admission))?;
            }
            let known = skip.min(piece.len() as u64);
            skip -= known;
            let piece = piece.split_off(usize::try_from(known).unwrap_or(piece.len()));
            self.hold.moved();
            self.push(piece, check.is_none()).await?;
        }
    }

    /// Takes bytes that follow; with `saving`, a checkpoint may fall here.
    async fn push(&mut self, piece: Bytes, saving: bool) -> Result<(), Error> {
        if piece.is_empty() {
            return Ok(());
        }
        self.unsaved += piece.len() as u64;
        self.writer.write(piece).await?;
        if !saving {
            return Ok(());
        }
        let due = *self
            .due
            .get_or_insert_with(|| Instant::now() + self.upload.config.checkpoint);
        if self.unsaved >= self.record.part_size || Instant::now() >= due {
            self.save().await?;
        }
        Ok(())
    }

    /// A checkpoint: makes durable and commits what was taken, and the verdict when nothing is missing.
    async fn save(&mut self) -> Result<(), Error> {
        let checkpoint = self.writer.checkpoint().await?;
        let advance = checkpoint.received - self.record.received;
        let finished = self
            .length()
            .filter(|length| *length == checkpoint.received && self.finishing);
        let unfinished = matches!(self.record.finish, Finish::Open | Finish::VerdictPending);
        let mut changes = std::mem::take(&mut self.lead);
        // Steps of their own where somebody else is asked, or an earlier asking came to no end.
        let asking = finished.is_some()
            && unfinished
            && (self.upload.asks_before_finish() || self.recorded && self.record.finish == Finish::VerdictPending);
        let verdict = match finished {
            Some(length) if unfinished && !asking => {
                let demand = |change: &Change| match change {
                    Change::DemandDigest(text) => Some(text.clone()),
                    _ => None,
                };
                let demanded = self.record.digest.clone().or_else(|| changes.iter().find_map(demand));
                let whole = Whole {
                    key: &self.record.key,
                    length,
                    segments: &checkpoint.segments,
                    demanded: demanded.as_deref(),
                    wanted: self.digest_wanted,
                };
                let decision = finish::decide(&self.upload, whole).await?;
                self.digest = decision.digest;
                Some(decision.verdict)
            }
            _ => None,
        };
        if advance > 0 {
            changes.push(Change::Advance {
                received: checkpoint.received,
                segments: checkpoint.segments,
            });
        }
        changes.extend(verdict.map(Change::Finish));
        (self.unsaved, self.due) = (0, None);
        if !changes.is_empty() {
            self.commit(changes).await?;
            self.upload.metrics.checkpoint(advance);
        }
        if asking { self.settle().await } else { Ok(()) }
    }

    /// Gets the verdict from whoever gives it, as long as nobody else wants the upload.
    async fn settle(&mut self) -> Result<(), Error> {
        let (upload, key) = (Arc::clone(&self.upload), self.record.key.clone());
        let asking = verdict::ask(&upload, &key, self.asked.clone(), self.digest_wanted);
        if !self.waiting {
            return Ok(());
        }
        let record = tokio::select! {
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

    async fn commit(&mut self, mut changes: Vec<Change>) -> Result<(), Error> {
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
            changes.retain(|change| !matches!(change, Change::Finish(_)));
            commit.changes = changes;
            outcome = self.upload.commit(commit).await?;
        }
        self.recorded |= matches!(outcome, Outcome::Committed(_) | Outcome::Unknown);
        match outcome {
            Outcome::Committed(Entry::Live(record)) => {
                self.expected = Expected::Holder {
                    token: record.token,
                    received: record.received,
                };
                self.record = *record;
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

    /// The length, as it is known or is about to be.
    fn length(&self) -> Option<u64> {
        let declared = self.lead.iter().find_map(|change| match change {
            Change::DeclareLength(length) => Some(*length),
            _ => None,
        });
        self.record.length.or(declared)
    }

    /// Makes a deferred length known: it is what has been taken. That finishes the upload.
    pub(crate) async fn end(&mut self) -> Result<(), Error> {
        self.lead.push(Change::DeclareLength(self.record.received));
        self.save().await
    }

    /// Gives the upload up: it will never complete, and its bytes are of no use.
    pub(crate) async fn fail(&mut self, reason: String) -> Result<(), Error> {
        if !self.recorded {
            return Ok(());
        }
        self.commit(vec![Change::Fail { reason }]).await?;
        let Record {
            key, segments, token, ..
        } = &self.record;
        Ok(self.upload.storage().remove(key, segments, token.epoch).await?)
    }

    fn released(&self, reason: Release) -> Error {
        let offset = self.record.offset();
        match reason {
            Release::TakenOver => Error::KeepUpload { offset },
            Release::Withdrawn { .. } => Error::ContinuePaused { offset },
        }
    }

    fn too_long(&self, admission: Admission) -> Error {
        let limit = self.upload.config.max_size;
        match (self.record.length.or(admission.declare), limit) {
            (None, Some(limit)) => Rejection::MaxSize { limit }.into(),
            (length, _) => Rejection::BeyondLength {
                length: length.unwrap_or_default(),
            }
            .into(),
        }
    }
}

/// An authorised append resumes.
async fn unpause(upload: &Upload, record: Record) -> Result<Record, Error> {
    let commit = Commit::held(record.key, record.token, record.received, vec![Change::Resume]);
    match upload.commit(commit).await? {
        Outcome::Committed(Entry::Live(resumed)) => Ok(*resumed),
        other => Err(failure(other)),
    }
}

/// Reads the body of an append to an upload of `length` bytes that are all there: it may have no byte but the `known`
/// last ones, which were held back when the client asked.
pub(crate) async fn take_nothing<E>(
    upload: &Upload,
    body: impl Stream<Item = Result<Piece, E>>,
    length: u64,
    mut known: u64,
) -> Result<(), Error> {
    let idle = upload.config.idle_timeout;
    let mut body = pin!(body);
    loop {
        match within(idle, body.next()).await {
            Err(_) => return Err(Error::AwaitBody { after: idle }),
            Ok(None) => return Ok(()),
            Ok(Some(Err(_))) => return Err(Error::ReadBody),
            Ok(Some(Ok(Piece::Trailers(_)))) => {}
            Ok(Some(Ok(Piece::Bytes(piece)))) if piece.len() as u64 <= known => known -= piece.len() as u64,
            Ok(Some(Ok(_))) => return Err(Rejection::BeyondLength { length }.into()),
        }
    }
}

/// Waits for a body's next piece for as long as it may bring nothing. A process that stood still finds the time over
/// before it has looked at its sockets, so it looks once more: the time was its own, not the client's.
async fn within<T>(idle: Duration, mut next: impl Future<Output = T> + Unpin) -> Result<T, Elapsed> {
    match tokio::time::timeout(idle, &mut next).await {
        Ok(piece) => Ok(piece),
        Err(_) => tokio::time::timeout((idle / 4).min(SECOND_LOOK), next).await,
    }
}

/// How long the second look at a silent body takes at most: long enough for every task that has work to have run.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Waits until `due`; without one, for ever.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
