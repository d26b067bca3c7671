//! Taking a body into an upload: bytes to the storage, and every so often a checkpoint that acknowledges them.
//!
//! Order of a checkpoint: the bytes are durable, then the commit, then whatever shows the new offset. A body may end
//! in many ways; whatever the way, what came is saved before the request is answered. The one exception is a body
//! longer than its upload: what has not been acknowledged of it is thrown away.

mod body;
mod checkpoint;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use windlass_task::change::{Change, Refusal};
use windlass_task::record::Creation;
use windlass_task::{Commit, Entry, Expected, Finish, Outcome, Record, Status, UnixMillis};

pub(crate) use self::body::{Check, Piece};

use self::body::Reader;
use crate::content::{self, HEAD_BYTES};
use crate::error::Error;
use crate::holder::{Hold, Release};
use crate::hooks::{Asked, Receiving, Turn};
use crate::ietf::Interims;
use crate::service::{Upload, failure, patiently};
use crate::storage::{Manifest, Writer};
use crate::tenants::Pace;
use crate::tus::{Admission, Rejection};
use crate::upkeep;

/// How long bytes wait for room in the budget before the writer makes some of what it holds: a part of somebody's that is
/// just being answered makes more, and small tails cost a request each.
const RELIEF_AFTER: Duration = Duration::from_millis(100);

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
    /// Who tells the client of offsets, where that was asked for and may be.
    interims: Option<Interims>,
    /// The upload's first bytes, until they are enough to be looked at; `None` where nobody looks at them.
    head: Option<Vec<u8>>,
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

    /// A session on a task that has just been recorded by this very process.
    pub(crate) async fn begin(upload: Arc<Upload>, hold: Hold, record: Record) -> Result<Self, Error> {
        let expected = Expected::Holder {
            token: record.token,
            received: record.received,
        };
        Self::open(upload, hold, expected, Vec::new(), record).await
    }

    /// A session on a task that is there.
    pub(crate) async fn resume(
        upload: Arc<Upload>,
        mut hold: Hold,
        record: Record,
        admission: Admission,
    ) -> Result<Self, Error> {
        let admitted = record.received;
        let record = upload.fence(&hold, record).await?;
        if record.received != admitted {
            // Its former holder, in another process, went on until it was fenced: the body begins before that.
            return Err(Error::KeepUpload {
                offset: record.offset(),
            });
        }
        // At once and not with the first checkpoint: a pause that comes before that must find something to pause.
        let record = match record.status {
            Status::Paused => unpause(&upload, record).await?,
            Status::Pending | Status::Uploading | Status::Completed | Status::Failed => record,
        };
        hold.goes_on_from(record.revision);
        upload.tenants.go_on(&record.key, record.lifetime()).await;
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
        let looked_at = record.received == 0 && upload.config.content.are_there();
        Ok(Self {
            head: looked_at.then(Vec::new),
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
            interims: None,
            unsaved: 0,
            due: None,
        })
    }

    /// Takes the whole body, saves it, and finishes the upload when nothing is missing.
    pub(crate) async fn take<E: Into<Error>>(
        &mut self,
        body: impl Stream<Item = Result<Piece, E>>,
        admission: Admission,
        check: Option<Box<dyn Check>>,
    ) -> Result<(), Error> {
        let checked = check.is_some();
        if checked {
            self.writer.counts_as_a_whole();
        }
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
            Err(Error::TakeContent { found }) => {
                self.fail(content::refusal(found)).await?;
                Err(Error::TakeContent { found })
            }
            Err(Error::StopByHook { answer }) => {
                self.invalidate().await?;
                Err(Error::StopByHook { answer })
            }
            Err(error) => {
                // Another request may want the upload: the verdict comes without this one.
                self.waiting = false;
                let asked = Instant::now();
                self.save().await?;
                if matches!(error, Error::KeepUpload { .. }) {
                    self.upload.metrics.released(asked.elapsed());
                }
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
        if let Err(error) = self.upload.tenants.close(key).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a refused creation is counted"
            );
        }
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

    /// Tells the client of each offset that is acknowledged, while its body runs.
    pub(crate) fn tell(&mut self, interims: Interims) {
        self.interims = Some(interims);
    }

    /// Records the upload before its body is read, and tells the client where it is.
    ///
    /// # Errors
    /// That the store does not record it.
    pub(crate) async fn announce(&mut self, location: &HeaderValue, fields: HeaderMap) -> Result<(), Error> {
        if let Some(interims) = self.interims.take() {
            // Whoever has heard of an upload must find it, whatever happens to this process.
            self.save().await?;
            interims.created(location, fields);
            self.interims = Some(interims);
        }
        Ok(())
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
            Outcome::Committed(Entry::Gone(tombstone)) => {
                upkeep::remove_bytes(&self.upload, &tombstone).await.map(drop)
            }
            // It was never made.
            Outcome::Refused(Refusal::Absent, None) => Ok(()),
            other => Err(failure(other)),
        }
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

    async fn take_body<E: Into<Error>>(
        &mut self,
        body: impl Stream<Item = Result<Piece, E>>,
        admission: Admission,
        check: Option<Box<dyn Check>>,
    ) -> Result<(), Error> {
        let upload = Arc::clone(&self.upload);
        let body = pin!(body);
        let mut body = Reader::new(
            body,
            upload.config.idle_timeout,
            admission,
            self.beyond(admission),
            check,
        );
        let mut asked = pin!(self.hold.asked());
        let mut draining = pin!(upload.parts.shutdown.draining());
        let mut receiving = Receiving::new(&upload, self.record.received);
        let tenant = &self.record.key.tenant;
        let pace = upload.tenants.pace(tenant);
        let budget = upload.storage().budget();
        let purse = budget.map(|budget| budget.purse(tenant, upload.tenants.bytes_in_flight(tenant)));
        let _flight = budget.and_then(|budget| upload.tenants.take_off(tenant, budget));
        // Bytes that were taken and not paid for: nothing more is read until they are.
        let mut owed = 0;
        // Bytes that wait for room in the budget, and when what the writer holds must make some.
        let mut charging: Option<BoxFuture<'static, Bytes>> = None;
        let mut relief = None;
        loop {
            let due = self.due;
            let saving = !body.is_checked();
            let is_waiting = charging.is_some();
            tokio::select! {
                // Who wants the upload is heard although the body never stops bringing bytes.
                biased;
                reason = &mut asked => return Err(self.released(reason)),
                () = &mut draining => return Err(Error::Drain),
                turn = receiving.turn() => match turn {
                    Turn::Stop(answer) => return Err(Error::StopByHook { answer }),
                    Turn::Tell if self.recorded => receiving.tell(&upload, &self.record, &self.asked),
                    Turn::Tell => {}
                },
                () = pay(pace.as_ref(), owed), if owed > 0 => {
                    owed = 0;
                    body.looked_away();
                }
                settled = self.writer.settled() => {
                    settled?;
                    if saving {
                        self.save_settled().await?;
                    }
                    body.looked_away();
                }
                bytes = charged(&mut charging), if is_waiting => {
                    (charging, relief) = (None, None);
                    self.push(bytes, saving).await?;
                    body.looked_away();
                }
                bytes = body.next(), if owed == 0 && !is_waiting => match bytes? {
                    None => return Ok(()),
                    Some(bytes) => {
                        self.hold.moved();
                        owed = if pace.is_some() { bytes.len() as u64 } else { 0 };
                        match &purse {
                            None => self.push(bytes, saving).await?,
                            Some(purse) => match purse.try_charge(bytes) {
                                Ok(bytes) => self.push(bytes, saving).await?,
                                Err(bytes) => {
                                    charging = Some(Box::pin(purse.clone().charge(bytes)));
                                    relief = Some(Instant::now() + RELIEF_AFTER);
                                }
                            },
                        }
                    }
                },
                () = at(due) => {
                    if saving {
                        self.save().await?;
                    } else {
                        self.due = None;
                        self.writer.relieve().await?;
                    }
                    body.looked_away();
                }
                () = at(relief) => {
                    relief = None;
                    self.writer.relieve().await?;
                }
            }
        }
    }

    /// Takes bytes that follow; with `saving`, a checkpoint may fall here.
    async fn push(&mut self, piece: Bytes, saving: bool) -> Result<(), Error> {
        self.look_at(&piece)?;
        self.unsaved += piece.len() as u64;
        self.writer.write(piece).await?;
        while let Some(multipart) = self.writer.reservation().await? {
            let mut changes = std::mem::take(&mut self.lead);
            changes.push(Change::Reserve(multipart));
            self.commit(changes).await?;
            // What waited for its number goes out now.
            self.writer.write(Bytes::new()).await?;
        }
        let due = *self
            .due
            .get_or_insert_with(|| Instant::now() + self.upload.checkpoint());
        let is_part = self.unsaved >= self.record.part_size && self.upload.storage().pace().by_part;
        if saving && (is_part || Instant::now() >= due) {
            self.save().await?;
        }
        Ok(())
    }

    /// Refuses content that is not taken as soon as it shows what it is; what is shorter is looked at with the verdict.
    fn look_at(&mut self, piece: &[u8]) -> Result<(), Error> {
        let Some(head) = &mut self.head else { return Ok(()) };
        let missing = HEAD_BYTES - head.len();
        head.extend_from_slice(&piece[..piece.len().min(missing)]);
        if head.len() < HEAD_BYTES {
            return Ok(());
        }
        let found = self.upload.config.content.unwanted(head);
        self.head = None;
        found.map_or(Ok(()), |found| Err(Error::TakeContent { found }))
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

    /// What a body is told that has more bytes than are admitted.
    fn beyond(&self, admission: Admission) -> Rejection {
        match (self.record.length.or(admission.declare), admission.room) {
            // The length stays deferred, so it was the largest size that bounded the body.
            (None, Some(room)) => Rejection::MaxSize {
                limit: self.record.offset().saturating_add(room),
            },
            (length, _) => Rejection::BeyondLength {
                length: length.unwrap_or_default(),
            },
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
pub(crate) async fn take_nothing<E: Into<Error>>(
    upload: &Upload,
    body: impl Stream<Item = Result<Piece, E>>,
    length: u64,
    known: u64,
) -> Result<(), Error> {
    let admission = Admission {
        skip: known,
        declare: None,
        room: Some(known),
    };
    let beyond = Rejection::BeyondLength { length };
    let body = pin!(body);
    Reader::new(body, upload.config.idle_timeout, admission, beyond, None)
        .next()
        .await
        .map(drop)
}

/// Pays for bytes out of a tenant's allowance.
async fn pay(pace: Option<&Pace>, bytes: u64) {
    if let Some(pace) = pace {
        pace.pay(bytes).await;
    }
}

/// Waits until there was room for the bytes.
async fn charged(charging: &mut Option<BoxFuture<'static, Bytes>>) -> Bytes {
    match charging {
        Some(charging) => charging.await,
        None => std::future::pending().await,
    }
}

/// Waits until `due`; without one, for ever.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
