//! The HTTP side: thin handlers that extract, call the service, and map the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router, middleware};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use windlass_serve::Caller;
use windlass_task::change::Change;
use windlass_task::record::Creation;
use windlass_task::{Commit, Entry, Outcome, Principal, Protocol, Record, Right, TaskId, TaskKey, WriteKey};

use crate::append::{self, Session};
use crate::error::Error;
use crate::location::{Target, location};
use crate::service::{Upload, failure};
use crate::tus::{self, Admission, Append, Command, Create, Head, Rejection, response};
use crate::{download, form, upkeep};

/// The routes of the upload service: `/files`, which is also `/files/`, and what lies under it.
pub fn router(upload: Arc<Upload>) -> Router {
    Router::new()
        .route("/files", any(collection))
        .route("/files/", any(collection))
        .route("/files/{tenant}/{id}", any(resource))
        .route("/files/{tenant}/{id}/{key}", any(keyed_resource))
        .layer(middleware::map_response(mark))
        .with_state(upload)
}

/// Every response says which protocol version it speaks, errors too.
async fn mark(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(response::TUS_RESUMABLE, HeaderValue::from_static(tus::VERSION));
    response
}

async fn collection(State(upload): State<Arc<Upload>>, caller: Caller, request: Request) -> Response {
    let done = match as_meant(request) {
        Ok(request) => create_uploads(upload, caller, request).await,
        Err(error) => Err(error),
    };
    done.unwrap_or_else(IntoResponse::into_response)
}

async fn resource(
    State(upload): State<Arc<Upload>>,
    path: Result<Path<(String, String)>, PathRejection>,
    caller: Caller,
    request: Request,
) -> Response {
    // A path that is no UTF-8 names nothing, as one that is outside the grammar.
    let target = path
        .ok()
        .and_then(|Path((tenant, id))| Target::read(&tenant, &id, None));
    use_upload(upload, target, caller, request).await
}

async fn keyed_resource(
    State(upload): State<Arc<Upload>>,
    path: Result<Path<(String, String, String)>, PathRejection>,
    caller: Caller,
    request: Request,
) -> Response {
    let target = path
        .ok()
        .and_then(|Path((tenant, id, key))| Target::read(&tenant, &id, Some(&key)));
    use_upload(upload, target, caller, request).await
}

/// The request under the method that it means.
fn as_meant(mut request: Request) -> Result<Request, Error> {
    *request.method_mut() = tus::meant_method(request.method(), request.headers())?;
    Ok(request)
}

fn permitted(caller: &Caller) -> Result<Principal, Error> {
    let principal = caller.principal().filter(|principal| principal.may(Right::Upload));
    principal.cloned().ok_or(Error::Permit)
}

async fn create_uploads(upload: Arc<Upload>, caller: Caller, request: Request) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let tus = parts.headers.contains_key(response::TUS_RESUMABLE);
    if parts.method == Method::POST && !tus && form::is_form(content_type) {
        let principal = permitted(&caller)?;
        let content_type = content_type.to_owned();
        let receipt = apart(&upload, form::take(Arc::clone(&upload), principal, content_type, body)).await?;
        return Ok((StatusCode::CREATED, Json(receipt)).into_response());
    }
    let head = Head {
        method: &parts.method,
        headers: &parts.headers,
        names_upload: false,
        has_body: !body.is_end_stream(),
    };
    match tus::parse(head, upload.config.max_size)? {
        Command::Describe => Ok((StatusCode::NO_CONTENT, response::describe(upload.config.max_size)).into_response()),
        Command::Create(create) => {
            let principal = permitted(&caller)?;
            apart(&upload, create_upload(Arc::clone(&upload), principal, create, body)).await
        }
        Command::Retrieve | Command::Append(_) | Command::Terminate => Err(Rejection::Method.into()),
    }
}

async fn create_upload(
    upload: Arc<Upload>,
    principal: Principal,
    create: Create,
    body: Body,
) -> Result<Response, Error> {
    if upload.parts.shutdown.is_draining() {
        return Err(Error::Drain);
    }
    let write_key = (!upload.parts.demands_token).then(WriteKey::random);
    let key = TaskKey {
        tenant: principal.tenant,
        id: TaskId::generate(&upload.config.origin),
    };
    let creation = Creation {
        key: key.clone(),
        owner: principal.owner,
        protocol: Protocol::Tus,
        length: create.length,
        metadata: create.metadata,
        token: upload.first_token().await?,
        write_key: write_key.as_ref().map(WriteKey::hash),
        lifetime: upload.config.lifetime,
        aliases: Vec::new(),
    };
    let hold = upload.holders.try_hold(&key).ok_or(Error::FindUpload)?;
    let room = create.length.or(upload.config.max_size);
    let mut session = Session::create(Arc::clone(&upload), hold, creation).await?;
    session
        .take(
            data(body),
            Admission {
                skip: 0,
                declare: None,
                room,
            },
        )
        .await?;
    let record = session.into_record();
    let mut headers = response::progress(&record);
    if !create.with_body {
        headers.remove(response::UPLOAD_OFFSET);
    }
    let location = location(upload.config.public_url.as_deref(), &key, write_key.as_ref());
    headers.insert(header::LOCATION, location.try_into().map_err(|_| Error::FindUpload)?);
    Ok((StatusCode::CREATED, headers).into_response())
}

async fn use_upload(upload: Arc<Upload>, target: Option<Target>, caller: Caller, request: Request) -> Response {
    let request = match as_meant(request) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let is_head = request.method() == Method::HEAD;
    let done = match target {
        Some(target) => use_target(upload, target, caller, request).await,
        None => Err(Error::FindUpload),
    };
    match done {
        Ok(response) => response,
        Err(error) if is_head => error.on_head(),
        Err(error) => error.into_response(),
    }
}

async fn use_target(upload: Arc<Upload>, target: Target, caller: Caller, request: Request) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET {
        return download::answer(&upload, &permitted(&caller)?, &target, &parts.headers).await;
    }
    let head = Head {
        method: &parts.method,
        headers: &parts.headers,
        names_upload: true,
        has_body: !body.is_end_stream(),
    };
    match tus::parse(head, upload.config.max_size)? {
        Command::Describe => Ok((StatusCode::NO_CONTENT, response::describe(upload.config.max_size)).into_response()),
        Command::Retrieve => {
            let principal = permitted(&caller)?;
            let (_, record) = apart(&upload, hold(Arc::clone(&upload), principal, target)).await?;
            Ok((StatusCode::OK, response::retrieve(&record)).into_response())
        }
        Command::Append(append) => {
            let principal = permitted(&caller)?;
            let record = apart(
                &upload,
                append_body(Arc::clone(&upload), principal, target, append, body),
            )
            .await?;
            Ok((StatusCode::NO_CONTENT, response::progress(&record)).into_response())
        }
        Command::Terminate => {
            let principal = permitted(&caller)?;
            apart(&upload, terminate(Arc::clone(&upload), principal, target)).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Command::Create(_) => Err(Rejection::Method.into()),
    }
}

async fn hold(upload: Arc<Upload>, principal: Principal, target: Target) -> Result<((), Record), Error> {
    let (hold, record) = upload.hold(&principal, &target).await?;
    // Whoever wrote before has stopped: the next append will be taken at this very offset.
    drop(hold);
    Ok(((), record))
}

async fn append_body(
    upload: Arc<Upload>,
    principal: Principal,
    target: Target,
    append: Append,
    body: Body,
) -> Result<Record, Error> {
    if upload.parts.shutdown.is_draining() {
        return Err(Error::Drain);
    }
    let (hold, record) = upload.hold(&principal, &target).await?;
    let admission = tus::admit_append(&record, &append, upload.config.max_size)?;
    if record.status.is_final() {
        drop(hold);
        append::take_nothing(&upload, data(body), record.received).await?;
        return Ok(record);
    }
    let mut session = Session::resume(Arc::clone(&upload), hold, record, admission).await?;
    session.take(data(body), admission).await?;
    Ok(session.into_record())
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

/// Runs work that must come to its end though its client goes away: a body that breaks off is saved.
async fn apart<T: Send + 'static>(
    upload: &Upload,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let guard = upload.parts.tracker.guard();
    let span = tracing::Span::current();
    let work = async move {
        let result = work.await;
        drop(guard);
        result
    };
    match tokio::spawn(tracing::Instrument::instrument(work, span)).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn data(body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    body.into_data_stream()
}
