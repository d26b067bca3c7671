//! `GET /events/<id>`: a task's values as they come, until the last.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use tokio::time::Instant;
use windlass_serve::auth::{TokenError, Verified};
use windlass_task::{Right, UnixMillis};

use super::error::Error;
use super::extract::{Id, Parameters};
use super::tasks::{permit, task_key};
use crate::channel::ChannelKey;
use crate::connections::Place;
use crate::events::{HEARTBEAT, encode_publication};
use crate::hub::{Subscription, Wanted};
use crate::limits::Ticket;
use crate::metrics::Transport;
use crate::outbox::Outbox;
use crate::publication::Publication;
use crate::push::Push;
use crate::queue::{Class, End, Item, Slot};
use crate::session::Failure;
use crate::variant::Variant;
use crate::wheel::Alarm;

/// What an `EventSource` sends when it comes back (HTML Living Standard section 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Deserialize)]
pub(super) struct Token {
    token: Option<String>,
}

/// One open stream.
struct Stream {
    push: Arc<Push>,
    outbox: Arc<Outbox>,
    alarm: Alarm,
    ready: VecDeque<Bytes>,
    revision: u64,
    /// An `EventSource` that has had a stream of this task before.
    came_back: bool,
    ended: bool,
    /// When what the caller showed expires.
    expires: Option<Instant>,
    _subscription: Subscription,
    _place: Place,
    _ticket: Ticket,
}

/// `GET /events/<id>[?token=…]`: an `EventSource` cannot send headers.
pub(super) async fn stream(
    State(push): State<Arc<Push>>,
    shown: Option<Extension<Verified>>,
    Id(id): Id,
    Parameters(query): Parameters<Token>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let verified = match (shown, query.token) {
        (Some(Extension(shown)), _) => shown,
        (None, Some(token)) => push.authenticator().verify_fresh(&token).await?,
        (None, None) => return Err(TokenError::Missing.into()),
    };
    let ticket = push.admit()?;
    let principal = &verified.principal;
    permit(principal, Right::Watch)?;
    let key = task_key(principal, &id)?;
    let view = push.view()?;

    let outbox = Arc::new(Outbox::new(push.settings().queue_bytes_max));
    let place = push.connections().add(&outbox, Transport::Events, push.metrics());
    let channel = ChannelKey::of_task(&key);
    let subscribe = || {
        push.hub()
            .subscribe(&channel, &outbox, Wanted::publications(Slot(0), Variant::Events))
    };
    let subscription = push
        .interest()
        .join(push.bringer(), &channel, subscribe)
        .await
        .map_err(Failure::from)?;
    // Read after subscribing, so that no change falls between the two.
    let update = view.value(&key, &principal.owner).await?.update;
    let (revision, publication) = (update.revision, Publication::Task(update));
    let ended = publication.end() != End::Open;
    if ended && last_event_id(&headers) == Some(revision) {
        // An EventSource reconnects by itself for ever; this is how it learns that there is nothing more.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let ready = encode_publication(&publication).into_iter().collect();
    let state = Stream {
        push: Arc::clone(&push),
        alarm: push.wheel().alarm(&outbox),
        outbox,
        ready,
        revision,
        came_back: headers.contains_key(LAST_EVENT_ID),
        ended,
        expires: verified
            .expires
            .and_then(|expires| Instant::now().checked_add(expires.since(UnixMillis::now()))),
        _subscription: subscription,
        _place: place,
        _ticket: ticket,
    };
    let body = futures_util::stream::unfold(state, |mut state| async {
        let chunk = state.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), state))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would hold the events back until its buffer is full.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(chunk);
            }
            if self.ended {
                return None;
            }
            let beat = Instant::now() + self.push.settings().rhythm.silence(self.came_back);
            let until = self.expires.map_or(beat, |expires| expires.min(beat));
            match self.take(until).await {
                None if self.expires.is_some_and(|expires| Instant::now() >= expires) => return None,
                None => return Some(HEARTBEAT),
                // Streams end on drain: a graceful shutdown would wait for them for ever.
                Some(Item::Order(_)) => return None,
                Some(Item::Overflow(_)) => {}
                Some(Item::Delivery(delivery)) => {
                    if let Class::Latest(revision) = delivery.class
                        && revision > self.revision
                    {
                        self.revision = revision;
                        self.ended = delivery.end != End::Open;
                        self.ready.push_back(delivery.frame.into_whole());
                    }
                }
            }
        }
    }
}

impl Stream {
    /// The next item; `None` when there is none until then.
    async fn take(&mut self, until: Instant) -> Option<Item> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(item) = self.outbox.poll_take(cx) {
                return Poll::Ready(Some(item));
            }
            if Instant::now() >= until {
                return Poll::Ready(None);
            }
            self.alarm.set(until);
            Poll::Pending
        })
        .await
    }
}

fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}
