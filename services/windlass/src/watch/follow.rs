//! Following one task: its events, or its status where a stream does not come through.

use std::time::Duration;

use http::header;
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use windlass_task::Status;

use super::sse::{Event, Parser};
use crate::target::{self, Failure, Target};

/// The first event is the present state and comes at once. A stream without it is held back by something on the way.
const FIRST_EVENT: Duration = Duration::from_secs(10);

/// Servers send a heartbeat every 30 s at the longest; two missed ones are a dead connection (DESIGN section 6).
const SILENCE: Duration = Duration::from_secs(60);

/// How long an answer to a plain request may take.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a poll is held by the server, seconds. Under the idle time of common proxies.
const POLL_WAIT: u64 = 30;

/// The pause between polls of a server that does not hold them.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// A task as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What to print for a script: the event's own data.
    pub(crate) data: serde_json::Value,
    /// Whole percent.
    pub(crate) progress: u8,
    pub(crate) state: State,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Paused,
    Completed,
    Failed,
}

impl State {
    /// Whether nothing follows.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// The event's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "progress",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// How a stream ended without a final state.
#[derive(Debug)]
pub(crate) enum End {
    /// It broke, or was refused.
    Failed(Failure),
    /// It was opened and brought nothing: poll instead.
    Mute,
}

/// Follows `/events/<task>`; `see` gets each state. Returns only without a final one.
pub(crate) async fn stream(target: &Target, task: &str, see: &mut impl FnMut(Seen)) -> Result<(), End> {
    let request = target
        .request(Method::GET, target.at(&format!("/events/{task}")))
        .header(header::ACCEPT, "text/event-stream");
    let mut response = target.send(request, ANSWER).await.map_err(End::Failed)?;
    if !is_stream(&response) {
        return Err(End::Mute);
    }
    let (mut parser, mut heard) = (Parser::default(), false);
    let opened = Instant::now();
    loop {
        let limit = if heard {
            SILENCE
        } else {
            FIRST_EVENT.saturating_sub(opened.elapsed())
        };
        let piece = match timeout(limit, response.chunk()).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => {
                return Err(End::Failed(Failure::network(
                    "stream_ended",
                    "the server ended the stream",
                )));
            }
            Ok(Err(error)) => return Err(End::Failed(target::describe(&error))),
            Err(_) if !heard => return Err(End::Mute),
            Err(_) => {
                return Err(End::Failed(Failure::network(
                    "silence",
                    "the server sent nothing for 60 s",
                )));
            }
        };
        let events = parser
            .push(&piece)
            .map_err(|error| End::Failed(Failure::lasting("bad_answer", error.to_string())))?;
        for event in events {
            if let Some(seen) = read(&event) {
                heard = true;
                let is_final = seen.state.is_final();
                see(seen);
                if is_final {
                    return Ok(());
                }
            }
        }
    }
}

/// Polls `/tasks/<task>`; `see` gets each state. Returns without a failure only after a final one.
pub(crate) async fn poll(target: &Target, task: &str, see: &mut impl FnMut(Seen)) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Task {
        progress: u8,
        status: Status,
    }
    let mut tag: Option<http::HeaderValue> = None;
    loop {
        let mut url: Url = target.at(&format!("/tasks/{task}"));
        let mut request = target.request(Method::GET, url.clone());
        if let Some(tag) = &tag {
            url.set_query(Some(&format!("wait={POLL_WAIT}")));
            request = target.request(Method::GET, url).header(header::IF_NONE_MATCH, tag);
        }
        let asked = Instant::now();
        let response = target.send(request, ANSWER + Duration::from_secs(POLL_WAIT)).await?;
        if response.status() == http::StatusCode::NOT_MODIFIED {
            tokio::time::sleep(POLL_EVERY.saturating_sub(asked.elapsed())).await;
            continue;
        }
        tag = response.headers().get(header::ETAG).cloned();
        let body = timeout(ANSWER, response.bytes()).await;
        let body = body.map_err(|_| Failure::network("no_answer", "the answer broke off"))?;
        let data: serde_json::Value = body
            .map_err(|error| target::describe(&error))
            .and_then(|body| serde_json::from_slice(&body).map_err(|_| not_a_task()))?;
        let task = Task::deserialize(&data).map_err(|_| not_a_task())?;
        let state = match task.status {
            Status::Pending | Status::Uploading => State::Running,
            Status::Paused => State::Paused,
            Status::Completed => State::Completed,
            Status::Failed => State::Failed,
        };
        see(Seen {
            data,
            progress: task.progress.min(100),
            state,
        });
        if state.is_final() {
            return Ok(());
        }
        tokio::time::sleep(POLL_EVERY.saturating_sub(asked.elapsed())).await;
    }
}

fn not_a_task() -> Failure {
    Failure::lasting(
        "bad_answer",
        "the server's answer is no task; is this a windlass server?",
    )
}

fn is_stream(response: &Response) -> bool {
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| {
        kind.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .eq_ignore_ascii_case("text/event-stream")
    })
}

/// Events of other names, and data that makes no sense, are not for us.
fn read(event: &Event) -> Option<Seen> {
    #[derive(Deserialize)]
    struct Progress {
        progress: u8,
    }
    let state = match event.name.as_str() {
        "progress" => State::Running,
        "completed" => State::Completed,
        "failed" => State::Failed,
        _ => return None,
    };
    let data: serde_json::Value = serde_json::from_str(&event.data).ok()?;
    let progress = Progress::deserialize(&data).ok()?.progress.min(100);
    Some(Seen { data, progress, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_the_protocol_are_taken() {
        let read = |name: &str, data: &str| {
            read(&Event {
                name: name.into(),
                data: data.into(),
            })
        };
        let seen = read("progress", r#"{"taskId":"x","progress":42,"timestamp":1}"#).unwrap();
        assert_eq!((seen.progress, seen.state), (42, State::Running));
        assert_eq!(
            read("completed", r#"{"progress":100}"#).unwrap().state,
            State::Completed
        );
        assert_eq!(read("failed", r#"{"progress":7}"#).unwrap().state, State::Failed);
        assert_eq!(read("message", r#"{"progress":1}"#), None);
        assert_eq!(read("progress", "{}"), None);
        assert_eq!(read("progress", r#"{"progress":-1}"#), None);
        assert_eq!(read("progress", "nonsense"), None);
    }
}
