//! Requests of the IETF protocol: parse by the version's row, admit, do, answer.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::Body as _;
use windlass_serve::Caller;
use windlass_task::{Principal, Protocol, Record, Right, Status, UnixMillis};

use super::{Creator, OtherProtocol, admitted, apart, permitted, pieces};
use crate::append::{Check, Session};
use crate::creation::{Claim, New};
use crate::digest::{Expected, Hasher};
use crate::download;
use crate::error::{Error, decorate};
use crate::holder::Hold;
use crate::hooks::Asked;
use crate::ietf::{self, Admitted, Append, Command, Create, Head, Interims, Rejection, Row, response};
use crate::location::Target;
use crate::service::Upload;
use crate::tus::{self, Admission};

/// No body is taken, or its size does not matter.
const ANY_BODY: Admission = Admission {
    skip: 0,
    declare: None,
    room: None,
};

/// A request on the place where uploads are created.
pub(super) async fn create(
    upload: Arc<Upload>,
    caller: Caller,
    method: &Method,
    parts: Parts,
    asked: Asked,
    body: Body,
) -> Result<Response, Error> {
    let row = Row::of(&parts.headers);
    let head = Head {
        method,
        headers: &parts.headers,
        names_upload: false,
    };
    let max_size = upload.max_size(&caller);
    match ietf::parse(head, row, max_size).map_err(refused(row))? {
        Command::Create(create) => {
            let creator = Creator {
                principal: permitted(&caller)?,
                link: caller.link().cloned(),
                max_size,
            };
            let incoming = Incoming::of(&parts, row, body);
            apart(
                &upload,
                create_upload(Arc::clone(&upload), creator, create, row, asked, incoming),
            )
            .await
        }
        Command::Retrieve | Command::Append(_) | Command::Cancel => Err(refused(row)(Rejection::Method)),
    }
}

/// A request on an upload, but GET.
pub(super) async fn act(
    upload: Arc<Upload>,
    caller: Caller,
    target: Target,
    method: &Method,
    parts: Parts,
    asked: Asked,
    body: Body,
) -> Result<Response, Error> {
    let row = Row::of(&parts.headers);
    let principal = admitted(&caller)?;
    let head = Head {
        method,
        headers: &parts.headers,
        names_upload: true,
    };
    let max_size = upload.max_size(&caller);
    let command = match ietf::parse(head, row, max_size) {
        Ok(command) => command,
        Err(rejection) => return Err(of_its_own_protocol(&upload, &principal, &target, refused(row)(rejection)).await),
    };
    match command {
        Command::Retrieve => {
            let work = retrieve(Arc::clone(&upload), principal, target, Terms { row, max_size });
            Ok(respond(StatusCode::NO_CONTENT, apart(&upload, work).await?))
        }
        Command::Append(append) => {
            let incoming = Incoming::of(&parts, row, body);
            apart(
                &upload,
                append_body(
                    Arc::clone(&upload),
                    principal,
                    target,
                    append,
                    Terms { row, max_size },
                    asked,
                    incoming,
                ),
            )
            .await
        }
        Command::Cancel => {
            upload
                .ask_before_termination(&principal, &target, &asked, Some(row))
                .await?;
            apart(&upload, cancel(Arc::clone(&upload), principal, target)).await?;
            Ok(respond(StatusCode::NO_CONTENT, HeaderMap::new()))
        }
        Command::Create(_) => Err(refused(row)(Rejection::Method)),
    }
}

/// GET: a finished upload is downloaded; of an unfinished one of this protocol, the offset is told.
pub(super) async fn get(
    upload: &Arc<Upload>,
    caller: &Caller,
    target: &Target,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let principal = admitted(caller)?;
    let terms = Terms {
        row: Row::of(headers),
        max_size: upload.max_size(caller),
    };
    let may_release = principal.may(Right::Release);
    let read = read(Arc::clone(upload), principal, target.clone());
    match apart(upload, read).await? {
        Readable::Finished(record) if record.quarantined && !may_release => Err(Error::Quarantine),
        Readable::Finished(record) => download::answer(upload, &record, headers).await,
        Readable::Unfinished(record) => Ok(respond(StatusCode::NO_CONTENT, terms.standing(&record))),
        Readable::Not => Err(Error::Download),
    }
}

/// What a GET finds.
enum Readable {
    /// An upload with all its bytes.
    Finished(Record),
    /// One of this protocol, at the offset at which whoever wrote it has stopped.
    Unfinished(Record),
    /// One of another protocol.
    Not,
}

async fn read(upload: Arc<Upload>, principal: Principal, target: Target) -> Result<Readable, Error> {
    let unfinished = |record: &Record| record.status != Status::Completed && record.protocol == Protocol::Ietf;
    let (hold, record) = upload.hold_if(&principal, &target, unfinished).await?;
    Ok(match hold {
        _ if record.status == Status::Completed => Readable::Finished(record),
        Some(_) => Readable::Unfinished(record),
        None => Readable::Not,
    })
}

async fn create_upload(
    upload: Arc<Upload>,
    creator: Creator,
    create: Create,
    row: &'static Row,
    asked: Asked,
    incoming: Incoming,
) -> Result<Response, Error> {
    let terms = Terms {
        row,
        max_size: creator.max_size,
    };
    let mut new = New::begin(
        &upload,
        &creator.principal,
        Protocol::Ietf,
        create.length,
        create.metadata,
    )
    .await?;
    if let Some(link) = &creator.link {
        new = match new.by_link(link).await? {
            Claim::Ours(new) => *new,
            Claim::Made(record, location) => {
                let mut headers = terms.standing(&record);
                headers.insert(header::LOCATION, location);
                return Ok(respond(StatusCode::CREATED, headers));
            }
        };
    }
    let new = new.demanding(create.digests.representation);
    let location = new.location_field();
    let (mut session, answer) = new.open(&asked, Some(row)).await?;
    if let Some(interims) = incoming.interims
        && !incoming.body.is_end_stream()
    {
        session.tell(interims);
        session.announce(&location, terms.limits()).await?;
    }
    let turn = Turn {
        complete: create.complete,
        content: create.digests.content,
        wanted: create.digests.wanted,
        terms,
    };
    let admission = Admission {
        room: create.length.or(terms.max_size),
        ..ANY_BODY
    };
    let (mut headers, worded) = turn.take(session, admission, incoming.body).await?;
    headers.insert(header::LOCATION, location);
    let response = decorate(respond(StatusCode::CREATED, headers), answer.as_ref());
    Ok(decorate(response, worded.as_deref()))
}

async fn append_body(
    upload: Arc<Upload>,
    principal: Principal,
    target: Target,
    append: Append,
    terms: Terms,
    asked: Asked,
    incoming: Incoming,
) -> Result<Response, Error> {
    let row = terms.row;
    if upload.parts.shutdown.is_draining() {
        return Err(Error::Drain);
    }
    let (hold, record) = hold_own(&upload, &principal, &target).await?;
    let admission = match ietf::admit_append(&record, &append, terms.max_size) {
        Ok(Admitted::Take(admission)) => admission,
        Ok(Admitted::Replay) => {
            let response = respond(StatusCode::NO_CONTENT, terms.standing(&record));
            return Ok(decorate(response, record.answer.as_deref()));
        }
        Err(Rejection::Failed { .. }) => return Err(Error::refused(&record, Some(row))),
        Err(Rejection::Length) => {
            // What contradicts itself cannot be gone on with (section 4.1.3).
            Session::resume(upload, hold, record, ANY_BODY)
                .await?
                .invalidate()
                .await?;
            return Err(refused(row)(Rejection::Length));
        }
        Err(rejection) => return Err(refused(row)(rejection)),
    };
    let mut session = Session::resume(Arc::clone(&upload), hold, record, admission).await?;
    session.on_behalf_of(&asked);
    session.demand_digest(append.digests.representation);
    if let Some(interims) = incoming.interims {
        session.tell(interims);
    }
    let turn = Turn {
        complete: append.complete,
        content: append.digests.content,
        wanted: append.digests.wanted,
        terms,
    };
    let status = if row.append_creates && !append.complete {
        StatusCode::CREATED
    } else {
        StatusCode::NO_CONTENT
    };
    let (headers, worded) = turn.take(session, admission, incoming.body).await?;
    Ok(decorate(respond(status, headers), worded.as_deref()))
}

/// By which version of the protocol a request is answered, and the largest upload that its sender may make.
#[derive(Clone, Copy)]
struct Terms {
    row: &'static Row,
    max_size: Option<u64>,
}

impl Terms {
    /// Where an upload stands, in this version's fields.
    fn standing(self, record: &Record) -> HeaderMap {
        response::standing(record, self.row, self.max_size, UnixMillis::now())
    }

    /// `Upload-Limit`, where this version has it.
    fn limits(self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        response::limit(&mut fields, self.row, self.max_size, None);
        fields
    }
}

/// A request's body, and who tells its client of what came before it has ended.
struct Incoming {
    body: Body,
    interims: Option<Interims>,
}

impl Incoming {
    fn of(parts: &Parts, row: &'static Row, body: Body) -> Self {
        let informational = parts.extensions.get().cloned();
        Self {
            body,
            interims: Interims::of(informational, &parts.headers, row),
        }
    }
}

/// One request's body into one upload.
struct Turn {
    /// Whether it is the last.
    complete: bool,
    /// The body's digests.
    content: Vec<Expected>,
    /// Whether the whole upload's digest is wanted.
    wanted: bool,
    terms: Terms,
}

impl Turn {
    async fn take(self, mut session: Session, admission: Admission, body: Body) -> Result<Taken, Error> {
        let row = self.terms.row;
        if self.complete {
            session.want_digest(self.wanted);
        } else if !row.length_ends {
            session.leave_open();
        }
        let check = (!self.content.is_empty()).then(|| ContentDigest::boxed(self.content, row));
        match session.take(pieces(body), admission, check).await {
            Ok(()) => {}
            Err(Error::Reject(tus::Rejection::BeyondLength { .. })) => {
                session.invalidate().await?;
                return Err(refused(row)(Rejection::Length));
            }
            Err(Error::Reject(tus::Rejection::MaxSize { limit })) => {
                return Err(refused(row)(Rejection::MaxSize { limit }));
            }
            Err(error) => return Err(error),
        }
        match session.record().length {
            None if self.complete => session.end().await?,
            Some(length) if self.complete && length != session.record().received => {
                session.invalidate().await?;
                return Err(refused(row)(Rejection::Length));
            }
            None | Some(_) => {}
        }
        let digest = session.digest().map(str::to_owned);
        let record = session.into_record().map_err(|error| match error {
            Error::Reject(tus::Rejection::Failed { reason }) => refused(row)(Rejection::Failed { reason }),
            Error::RefuseByHook { answer, .. } => Error::RefuseByHook {
                answer,
                ietf: Some((row, true)),
            },
            other => other,
        })?;
        let mut headers = self.terms.standing(&record);
        if let Some(digest) = digest {
            headers.insert(response::REPR_DIGEST, digest.try_into().expect("base64 is ASCII"));
        }
        Ok((headers, record.answer))
    }
}

/// The fields of an answer, and what a hook adds to it.
type Taken = (HeaderMap, Option<Box<windlass_task::Answer>>);

async fn retrieve(upload: Arc<Upload>, principal: Principal, target: Target, terms: Terms) -> Result<HeaderMap, Error> {
    let (hold, record) = hold_own(&upload, &principal, &target).await?;
    drop(hold);
    Ok(terms.standing(&record))
}

async fn cancel(upload: Arc<Upload>, principal: Principal, target: Target) -> Result<(), Error> {
    let (hold, record) = hold_own(&upload, &principal, &target).await?;
    Session::resume(upload, hold, record, ANY_BODY)
        .await?
        .invalidate()
        .await
}

/// The upload that a path names, held, if it is one of this protocol; another's writer is not disturbed.
async fn hold_own(upload: &Arc<Upload>, principal: &Principal, target: &Target) -> Result<(Hold, Record), Error> {
    let own = |record: &Record| own_protocol(record).is_ok();
    match upload.hold_if(principal, target, own).await? {
        (Some(hold), record) => Ok((hold, record)),
        (None, _) => Err(tus::Rejection::Version.into()),
    }
}

/// An upload of tus that is addressed without `Tus-Resumable` is answered as tus answers that.
fn own_protocol(record: &Record) -> Result<(), Error> {
    match record.protocol {
        Protocol::Ietf => Ok(()),
        Protocol::Tus | Protocol::Form => Err(tus::Rejection::Version.into()),
    }
}

/// A request that cannot be read by this protocol may be one of tus that lacks its version.
async fn of_its_own_protocol(upload: &Arc<Upload>, principal: &Principal, target: &Target, error: Error) -> Error {
    let record = async {
        let key = upload.find(target).await?;
        upload.authorise(upload.load(&key).await?, principal, target)
    };
    match record.await.and_then(|record| own_protocol(&record)) {
        Ok(()) => error,
        Err(other) => other,
    }
}

fn respond(status: StatusCode, headers: HeaderMap) -> Response {
    let mut response = (status, headers).into_response();
    response.extensions_mut().insert(OtherProtocol);
    response
}

fn refused(row: &'static Row) -> impl Fn(Rejection) -> Error {
    move |rejection| Error::RejectIetf { rejection, row }
}

/// The check of one body against its `Content-Digest`.
struct ContentDigest {
    expected: Vec<(Expected, Hasher)>,
    row: &'static Row,
}

impl ContentDigest {
    fn boxed(expected: Vec<Expected>, row: &'static Row) -> Box<dyn Check> {
        let expected = expected.into_iter().map(|expected| {
            let hasher = Hasher::new(expected.algorithm);
            (expected, hasher)
        });
        Box::new(Self {
            expected: expected.collect(),
            row,
        })
    }
}

impl Check for ContentDigest {
    fn see(&mut self, bytes: &[u8]) {
        for (_, hasher) in &mut self.expected {
            hasher.update(bytes);
        }
    }

    fn judge(self: Box<Self>, _trailers: Option<&HeaderMap>) -> Result<(), Error> {
        let row = self.row;
        let right = self
            .expected
            .into_iter()
            .all(|(expected, hasher)| expected.matches(&hasher.finish()));
        if right {
            Ok(())
        } else {
            Err(refused(row)(Rejection::Digest))
        }
    }
}
