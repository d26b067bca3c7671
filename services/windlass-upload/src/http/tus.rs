//! tus requests: parse, admit, do, answer.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use windlass_serve::Caller;
use windlass_task::change::Change;
use windlass_task::{Commit, Concat, Entry, Outcome, Principal, Protocol, Record};

use super::{Creator, admitted, apart, permitted, pieces};
use crate::append::{self, Check, Session};
use crate::concat;
use crate::creation::{Claim, New};
use crate::error::{Error, decorate};
use crate::hooks::Asked;
use crate::location::Target;
use crate::service::{Upload, failure};
use crate::tus::{
    self, Admission, Append, Checksum, Command, Concatenation, Create, Head, Rejection, Verify, response,
};
use crate::{upkeep, verdict};

/// A request on the place where uploads are created.
pub(super) async fn create(
    upload: Arc<Upload>,
    caller: Caller,
    method: &Method,
    headers: &HeaderMap,
    asked: Asked,
    body: Body,
) -> Result<Response, Error> {
    let head = Head {
        method,
        headers,
        names_upload: false,
        has_body: !body.is_end_stream(),
    };
    let max_size = upload.max_size(&caller);
    match tus::parse(head, max_size)? {
        Command::Describe => Ok(describe(max_size)),
        Command::Create(create) => {
            let creator = Creator {
                principal: permitted(&caller)?,
                link: caller.link().cloned(),
                max_size,
            };
            let host = headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok())
                .map(str::to_owned);
            apart(
                &upload,
                create_upload(Arc::clone(&upload), creator, create, host, asked, body),
            )
            .await
        }
        Command::Retrieve | Command::Append(_) | Command::Terminate => Err(Rejection::Method.into()),
    }
}

/// A request on an upload.
pub(super) async fn act(
    upload: Arc<Upload>,
    caller: Caller,
    target: Target,
    method: &Method,
    headers: &HeaderMap,
    asked: Asked,
    body: Body,
) -> Result<Response, Error> {
    let head = Head {
        method,
        headers,
        names_upload: true,
        has_body: !body.is_end_stream(),
    };
    let max_size = upload.max_size(&caller);
    let command = tus::parse(head, max_size)?;
    if command == Command::Describe {
        return Ok(describe(max_size));
    }
    let principal = admitted(&caller)?;
    match command {
        Command::Retrieve => {
            let record = apart(&upload, retrieve(Arc::clone(&upload), principal, target, asked)).await?;
            Ok((StatusCode::OK, response::retrieve(&record)).into_response())
        }
        Command::Append(append) => {
            let appended = Appended { append, max_size };
            let record = apart(
                &upload,
                append_body(Arc::clone(&upload), principal, target, appended, asked, body),
            )
            .await?;
            let response = (StatusCode::NO_CONTENT, response::progress(&record)).into_response();
            Ok(decorate(response, record.answer.as_deref()))
        }
        Command::Terminate => {
            upload.ask_before_termination(&principal, &target, &asked, None).await?;
            apart(&upload, terminate(Arc::clone(&upload), principal, target)).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Command::Describe | Command::Create(_) => Err(Rejection::Method.into()),
    }
}

fn describe(max_size: Option<u64>) -> Response {
    (StatusCode::NO_CONTENT, response::describe(max_size)).into_response()
}

/// An append, and how large its upload may become.
struct Appended {
    append: Append,
    max_size: Option<u64>,
}

async fn create_upload(
    upload: Arc<Upload>,
    creator: Creator,
    create: Create,
    host: Option<String>,
    asked: Asked,
    body: Body,
) -> Result<Response, Error> {
    let principal = &creator.principal;
    let mut new = New::begin(&upload, principal, Protocol::Tus, create.length, create.metadata).await?;
    if let Some(link) = &creator.link {
        if create.concat.is_some() {
            return Err(Error::UseLink);
        }
        new = match new.by_link(link).await? {
            Claim::Ours(new) => *new,
            Claim::Made(record, location) => return Ok(created(&record, location, create.with_body)),
        };
    }
    let location = new.location_field();
    let (record, answer) = match create.concat {
        Some(Concatenation::Final { urls, header }) => {
            let final_ = concat::Final { urls: &urls, header };
            concat::create_final(&upload, principal, new, final_, host.as_deref(), &asked).await?
        }
        partial => {
            let partial = partial.map(|_| Concat::Partial { adopted_by: Vec::new() });
            let (mut session, answer) = new.in_concatenation(partial).open(&asked, None).await?;
            let admission = Admission {
                skip: 0,
                declare: None,
                room: create.length.or(creator.max_size),
            };
            session.take(pieces(body), admission, check(create.checksum)).await?;
            (session.into_record()?, answer)
        }
    };
    let response = decorate(created(&record, location, create.with_body), answer.as_ref());
    Ok(decorate(response, record.answer.as_deref()))
}

/// The answer to a creation, the first as each that repeats it.
fn created(record: &Record, location: HeaderValue, with_body: bool) -> Response {
    let mut headers = response::progress(record);
    if !with_body {
        headers.remove(response::UPLOAD_OFFSET);
    }
    headers.insert(header::LOCATION, location);
    (StatusCode::CREATED, headers).into_response()
}

async fn retrieve(upload: Arc<Upload>, principal: Principal, target: Target, asked: Asked) -> Result<Record, Error> {
    let (hold, record) = upload.hold(&principal, &target).await?;
    // Whoever wrote before has stopped: the next append will be taken at this very offset.
    drop(hold);
    if record.protocol == Protocol::Tus {
        verdict::before_showing(&upload, record, asked).await
    } else {
        Ok(record)
    }
}

async fn append_body(
    upload: Arc<Upload>,
    principal: Principal,
    target: Target,
    Appended { append, max_size }: Appended,
    asked: Asked,
    body: Body,
) -> Result<Record, Error> {
    if upload.parts.shutdown.is_draining() {
        return Err(Error::Drain);
    }
    let (hold, record) = upload.hold(&principal, &target).await?;
    let admission = match tus::admit_append(&record, &append, max_size) {
        Err(Rejection::Failed { .. }) => return Err(Error::refused(&record, None)),
        admission => admission?,
    };
    if record.status.is_final() {
        drop(hold);
        append::take_nothing(&upload, pieces(body), record.received, admission.skip).await?;
        return Ok(record);
    }
    let mut session = Session::resume(Arc::clone(&upload), hold, record, admission).await?;
    session.on_behalf_of(&asked);
    session.take(pieces(body), admission, check(append.checksum)).await?;
    let record = session.into_record()?;
    concat::part_advanced(&upload, &record).await;
    Ok(record)
}

async fn terminate(upload: Arc<Upload>, principal: Principal, target: Target) -> Result<(), Error> {
    let (_hold, record) = upload.hold(&principal, &target).await?;
    let commit = Commit::present(record.key.clone(), vec![Change::Terminate]);
    match upload.commit(commit).await? {
        Outcome::Committed(Entry::Gone(tombstone)) => {
            // The task is gone from here on; bytes that cannot be removed now are removed by the upkeep.
            if let Err(error) = upkeep::remove_bytes(&upload, &tombstone).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "bytes of a terminated upload stay for now"
                );
            }
            Ok(())
        }
        other => Err(failure(other)),
    }
}

fn check(checksum: Option<Checksum>) -> Option<Box<dyn Check>> {
    checksum.map(|checksum| Box::new(Verify::new(checksum)) as Box<dyn Check>)
}
