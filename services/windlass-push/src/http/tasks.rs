//! `/tasks`: a task as it is, also by waiting for it to change; a caller's list; pause and resume.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use windlass_serve::Caller;
use windlass_serve::auth::TokenError;
use windlass_task::operation::Operation;
use windlass_task::{Entry, Principal, Right, TaskId, TaskKey, TaskView};

use super::error::Error;
use super::extract::{Id, Parameters};
use crate::channel::ChannelKey;
use crate::hub::Wanted;
use crate::metrics::Transport;
use crate::outbox::Outbox;
use crate::push::Push;
use crate::queue::{Item, Slot};
use crate::session::Failure;
use crate::variant::Variant;
use crate::view::unavailable;

/// The longest poll in seconds: proxies close what is silent for longer.
const WAIT_SECONDS_MAX: u64 = 60;
/// A page of the list when the caller does not say.
const PAGE: usize = 50;
/// The longest page: each line is one read of the store.
const PAGE_MAX: usize = 200;

#[derive(Deserialize)]
pub(super) struct Poll {
    wait: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
    after: Option<String>,
}

#[derive(Serialize)]
struct List {
    tasks: Vec<Line>,
    next: Option<TaskId>,
}

#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    task: TaskView,
    name: Option<String>,
}

/// `GET /tasks/<id>[?wait=SECONDS]`.
pub(super) async fn show(
    State(push): State<Arc<Push>>,
    caller: Caller,
    Id(id): Id,
    Parameters(poll): Parameters<Poll>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let principal = allowed(&caller, Right::Watch)?;
    let key = task_key(principal, &id)?;
    let known = headers.get(header::IF_NONE_MATCH);
    let wait = match poll.wait {
        Some(seconds) if seconds > WAIT_SECONDS_MAX => return Err(Error::Query("wait is at most 60 seconds")),
        Some(seconds) if known.is_some() => Duration::from_secs(seconds),
        Some(_) | None => Duration::ZERO,
    };
    let (body, tag) = read(&push, &key, principal).await?;
    if !known.is_some_and(|known| names(known, &tag)) {
        return Ok(shown(body, &tag));
    }
    if wait.is_zero() {
        return Ok(not_modified(&tag));
    }
    watch(&push, &key, principal, &tag, wait).await
}

/// Waits until the task's representation is another than `tag` names.
async fn watch(
    push: &Arc<Push>,
    key: &TaskKey,
    principal: &Principal,
    tag: &str,
    wait: Duration,
) -> Result<Response, Error> {
    let deadline = Instant::now() + wait;
    let outbox = Arc::new(Outbox::new(push.settings().queue_bytes_max));
    let _place = push.connections().add(&outbox, Transport::Poll, push.metrics());
    let channel = ChannelKey::of_task(key);
    let subscribe = || {
        push.hub()
            .subscribe(&channel, &outbox, Wanted::publications(Slot(0), Variant::Plain))
    };
    let _subscription = push
        .interest()
        .join(push.bringer(), &channel, subscribe)
        .await
        .map_err(Failure::from)?;
    loop {
        // Read after subscribing, so that no change falls between the two.
        let (body, now) = read(push, key, principal).await?;
        if now != tag {
            return Ok(shown(body, &now));
        }
        let item = tokio::time::timeout_at(deadline, std::future::poll_fn(|cx| outbox.poll_take(cx)));
        match item.await {
            Ok(Item::Delivery(_) | Item::Overflow(_)) => {}
            // The server wants to be left, or the time is over: the client asks again.
            Ok(Item::Order(_)) | Err(_) => return Ok(not_modified(tag)),
        }
    }
}

/// `GET /tasks?limit=N&after=CURSOR`.
pub(super) async fn list(
    State(push): State<Arc<Push>>,
    caller: Caller,
    Parameters(page): Parameters<Page>,
) -> Result<Response, Error> {
    let principal = allowed(&caller, Right::Watch)?;
    let view = push.view()?;
    let limit = match page.limit {
        Some(0) => return Err(Error::Query("limit is at least 1")),
        Some(limit) => limit.min(PAGE_MAX),
        None => PAGE,
    };
    let after = match &page.after {
        Some(after) => Some(
            after
                .parse()
                .map_err(|_| Error::Query("after is the `next` of another page"))?,
        ),
        None => None,
    };
    let (tenant, owner) = (&principal.tenant, &principal.owner);
    let listed = view
        .catalogue
        .list(tenant, owner, after.as_ref(), limit)
        .await
        .map_err(unavailable)?;
    let next = (listed.len() == limit)
        .then(|| listed.last().map(|line| line.id.clone()))
        .flatten();
    let mut tasks = Vec::with_capacity(listed.len());
    for line in listed {
        let key = TaskKey {
            tenant: tenant.clone(),
            id: line.id,
        };
        // The list lags: what has gone meanwhile is left out.
        if let Some(Entry::Live(record)) = view.store.load(&key).await.map_err(unavailable)? {
            tasks.push(Line {
                task: TaskView::from(&*record),
                name: line.name,
            });
        }
    }
    Ok(([(header::CACHE_CONTROL, NO_STORE)], Json(List { tasks, next })).into_response())
}

/// `POST /tasks/<id>/pause`.
pub(super) async fn pause(State(push): State<Arc<Push>>, caller: Caller, Id(id): Id) -> Result<Response, Error> {
    operate(&push, &caller, &id, Operation::Pause).await
}

/// `POST /tasks/<id>/resume`.
pub(super) async fn resume(State(push): State<Arc<Push>>, caller: Caller, Id(id): Id) -> Result<Response, Error> {
    operate(&push, &caller, &id, Operation::Resume).await
}

async fn operate(push: &Push, caller: &Caller, id: &str, operation: Operation) -> Result<Response, Error> {
    let principal = allowed(caller, Right::Upload)?;
    let key = task_key(principal, id)?;
    let record = push.view()?.operate(&key, &principal.owner, operation).await?;
    let (body, tag) = represent(&TaskView::from(&record))?;
    Ok(shown(body, &tag))
}

async fn read(push: &Push, key: &TaskKey, principal: &Principal) -> Result<(Vec<u8>, String), Error> {
    let record = push.view()?.record(key, &principal.owner).await?;
    represent(&TaskView::from(&record))
}

/// The body and its strong entity tag (RFC 9110 section 8.8.3): a digest, so that it changes with what is shown and
/// with nothing else.
fn represent(view: &TaskView) -> Result<(Vec<u8>, String), Error> {
    let body = serde_json::to_vec(view).map_err(|_| Failure::Unavailable)?;
    let digest = Sha256::digest(&body);
    let tag = digest
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    Ok((body, format!("\"{tag}\"")))
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// A private answer that may be kept, but is asked for again each time.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

fn shown(body: Vec<u8>, tag: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, JSON),
        (header::CACHE_CONTROL, REVALIDATE),
        (header::ETAG, tag_value(tag)),
    ];
    (headers, body).into_response()
}

fn not_modified(tag: &str) -> Response {
    let headers = [(header::CACHE_CONTROL, REVALIDATE), (header::ETAG, tag_value(tag))];
    (StatusCode::NOT_MODIFIED, headers).into_response()
}

fn tag_value(tag: &str) -> HeaderValue {
    HeaderValue::from_str(tag).expect("a quoted hexadecimal text is a header value")
}

/// Whether an `If-None-Match` names the tag (RFC 9110 section 13.1.2, weak comparison).
fn names(known: &HeaderValue, tag: &str) -> bool {
    let Ok(known) = known.to_str() else { return false };
    known
        .split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// The caller, if it has the right.
fn allowed(caller: &Caller, right: Right) -> Result<&Principal, Error> {
    let principal = caller.principal().ok_or(TokenError::Missing)?;
    permit(principal, right)?;
    Ok(principal)
}

/// Whether the caller has the right.
pub(super) fn permit(principal: &Principal, right: Right) -> Result<(), Error> {
    if principal.may(right) {
        Ok(())
    } else {
        Err(Error::Forbidden(right))
    }
}

/// The task of the caller's tenant. A text that is no id names no task.
pub(super) fn task_key(principal: &Principal, id: &str) -> Result<TaskKey, Error> {
    let id = id.parse().map_err(|_| Failure::UnknownTask)?;
    Ok(TaskKey {
        tenant: principal.tenant.clone(),
        id,
    })
}
