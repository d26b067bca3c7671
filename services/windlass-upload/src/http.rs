//! The HTTP side: thin handlers that extract, call the service, and map the answer.

mod ietf;
mod tus;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use axum::{Json, Router, middleware};
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyStream;
use windlass_serve::auth::Link;
use windlass_serve::{Caller, trace};
use windlass_task::change::{Change, Refusal};
use windlass_task::{Commit, Entry, Outcome, Principal, Right, Status};

use crate::append::Piece;
use crate::error::Error;
use crate::form;
use crate::hooks::Asked;
use crate::location::Target;
use crate::service::{Upload, failure};
use crate::tus::{self as tus_protocol, VERSION, response};

/// The routes of the upload service: `/files`, which is also `/files/`, and what lies under it; where uploads of tusd's
/// are taken over, their paths too.
pub fn router(upload: Arc<Upload>) -> Router {
    let own = Router::new()
        .route("/files", any(collection))
        .route("/files/", any(collection))
        .route("/files/{tenant}/{id}", any(resource))
        .route("/files/{tenant}/{id}/{key}", any(keyed_resource))
        .route("/files/{tenant}/{id}/release", post(release));
    let base_path = upload.tusd.as_ref().map(|tusd| tusd.base_path().to_owned());
    base_path
        .map_or(own.clone(), |base_path| beside_tusd(own, &base_path))
        .layer(middleware::map_response(mark))
        .with_state(upload)
}

/// Adds the paths of uploads that are taken over, and where clients of tusd create new ones.
fn beside_tusd(own: Router<Arc<Upload>>, base_path: &str) -> Router<Arc<Upload>> {
    // The router wants one name for a place in a path, whatever stands there.
    let (upload, slashed) = (format!("{base_path}{{tenant}}"), format!("{base_path}{{tenant}}/"));
    let router = own
        .route(&upload, any(foreign_resource))
        .route(&slashed, any(foreign_resource));
    if base_path == "/files/" {
        return router;
    }
    router
        .route(base_path, any(collection))
        .route(base_path.trim_end_matches('/'), any(collection))
}

/// Marks a response that is not tus'.
#[derive(Clone)]
pub(crate) struct OtherProtocol;

/// Every response of tus says which protocol version it speaks, errors too.
async fn mark(mut response: Response) -> Response {
    if response.extensions().get::<OtherProtocol>().is_some() {
        return response;
    }
    response
        .headers_mut()
        .insert(response::TUS_RESUMABLE, HeaderValue::from_static(VERSION));
    response
}

async fn collection(State(upload): State<Arc<Upload>>, caller: Caller, request: Request) -> Response {
    create_uploads(upload, caller, request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
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

async fn foreign_resource(
    State(upload): State<Arc<Upload>>,
    path: Result<Path<String>, PathRejection>,
    caller: Caller,
    request: Request,
) -> Response {
    let target = path
        .ok()
        .zip(upload.tusd.as_ref())
        .and_then(|(Path(name), tusd)| Target::read_foreign(&name, tusd));
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

/// Lets an upload out of its quarantine; one that is out already stays so.
async fn release(
    State(upload): State<Arc<Upload>>,
    path: Result<Path<(String, String)>, PathRejection>,
    caller: Caller,
) -> Result<StatusCode, Error> {
    let principal = caller.principal().filter(|principal| principal.may(Right::Release));
    let principal = principal.ok_or(Error::Permit)?;
    let target = path
        .ok()
        .and_then(|Path((tenant, id))| Target::read(&tenant, &id, None));
    let target = target
        .filter(|target| target.tenant == principal.tenant)
        .ok_or(Error::FindUpload)?;
    let key = upload.find(&target).await?;
    match upload.commit(Commit::present(key, vec![Change::Release])).await? {
        Outcome::Committed(Entry::Live(_)) => Ok(StatusCode::NO_CONTENT),
        Outcome::Refused(Refusal::Quarantine, Some(Entry::Live(record))) => match record.status {
            Status::Completed => Ok(StatusCode::NO_CONTENT),
            _ => Err(Error::Download),
        },
        Outcome::Refused(Refusal::Absent, None) => Err(Error::FindUpload),
        other => Err(failure(other)),
    }
}

async fn create_uploads(upload: Arc<Upload>, caller: Caller, request: Request) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let method = tus_protocol::meant_method(&parts.method, &parts.headers)?;
    let asked = Asked::of(&upload, &parts);
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let is_tus = parts.headers.contains_key(response::TUS_RESUMABLE);
    if method == Method::POST && !is_tus && form::is_form(content_type) {
        if caller.link().is_some() {
            return Err(Error::UseLink);
        }
        let principal = permitted(&caller)?;
        let content_type = content_type.to_owned();
        let work = form::take(Arc::clone(&upload), principal, content_type, asked, body);
        let receipt = apart(&upload, work).await?;
        return Ok((StatusCode::CREATED, Json(receipt)).into_response());
    }
    if !is_tus && crate::ietf::is_spoken(&parts.headers) && method != Method::OPTIONS {
        return ietf::create(upload, caller, &method, parts, asked, body).await;
    }
    tus::create(upload, caller, &method, &parts.headers, asked, body).await
}

async fn use_upload(upload: Arc<Upload>, target: Option<Target>, caller: Caller, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let method = match tus_protocol::meant_method(&parts.method, &parts.headers) {
        Ok(method) => method,
        Err(rejection) => return Error::from(rejection).into_response(),
    };
    let asked = Asked::of(&upload, &parts);
    let is_head = method == Method::HEAD;
    let done = match target {
        Some(target) if method == Method::GET => ietf::get(&upload, &caller, &target, &parts.headers).await,
        Some(target) if is_ietf(&method, &parts.headers) => {
            ietf::act(upload, caller, target, &method, parts, asked, body).await
        }
        Some(target) => tus::act(upload, caller, target, &method, &parts.headers, asked, body).await,
        None => Err(Error::FindUpload),
    };
    match done {
        Ok(response) => response,
        Err(error) if is_head => error.on_head(),
        Err(error) => error.into_response(),
    }
}

/// Whether a request on an upload is of the IETF protocol, which has no mark of its own in the RFC: what is not tus' is.
fn is_ietf(method: &Method, headers: &HeaderMap) -> bool {
    let marked = crate::ietf::is_spoken(headers) || matches!(*method, Method::HEAD | Method::DELETE | Method::PATCH);
    marked && !headers.contains_key(response::TUS_RESUMABLE) && *method != Method::OPTIONS
}

/// Who creates an upload, and within which bounds.
struct Creator {
    principal: Principal,
    /// The signed link by which it came.
    link: Option<Link>,
    /// The largest upload, bytes.
    max_size: Option<u64>,
}

fn permitted(caller: &Caller) -> Result<Principal, Error> {
    let principal = caller.principal().filter(|principal| principal.may(Right::Upload));
    principal.cloned().ok_or(Error::Permit)
}

/// Who may turn to an upload that is there: its writers, and who may look into its quarantine.
fn admitted(caller: &Caller) -> Result<Principal, Error> {
    let may = |principal: &&Principal| principal.may(Right::Upload) || principal.may(Right::Release);
    caller.principal().filter(may).cloned().ok_or(Error::Permit)
}

/// Runs work that must come to its end though its client goes away: a body that breaks off is saved.
async fn apart<T: Send + 'static>(
    upload: &Upload,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let guard = upload.parts.tracker.guard();
    let work = async move {
        let result = work.await;
        drop(guard);
        result
    };
    match tokio::spawn(trace::carry(work)).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A request's body as what follows one another in it.
fn pieces(body: Body) -> impl Stream<Item = Result<Piece, Error>> {
    BodyStream::new(body).filter_map(|frame| {
        let piece = match frame {
            Ok(frame) => match frame.into_data() {
                Ok(bytes) => Some(Ok(Piece::Bytes(bytes))),
                Err(frame) => frame.into_trailers().ok().map(|trailers| Ok(Piece::Trailers(trailers))),
            },
            Err(error) => Some(Err(Error::of_body(&error))),
        };
        std::future::ready(piece)
    })
}
