//! A tus client that does not give up, loses its connections, opens a second tab, and remembers each offset that it saw.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::sleep;

use crate::pod::Pod;
use crate::random::Random;
use crate::trace::Trace;

/// The largest file, bytes: enough for many checkpoints, little enough for thousands of runs.
const LENGTH_MAX: u64 = 24 * 1024;

/// The pods, of which a balancer gives any.
pub(crate) type Pods = Rc<std::cell::RefCell<Vec<Pod>>>;

/// One file on its way.
#[derive(Clone)]
pub(crate) struct Client {
    name: u64,
    length: u64,
    random: Random,
    trace: Trace,
    pods: Pods,
    /// Whether it still breaks things: connections, and its own patience.
    wild: Rc<Cell<bool>>,
    /// The greatest offset that was shown, whatever showed it.
    shown: Rc<Cell<u64>>,
}

/// What a PATCH came to.
enum Sent {
    Whole,
    Broken,
}

impl Client {
    pub(crate) fn new(name: u64, random: Random, trace: Trace, pods: Pods, wild: Rc<Cell<bool>>) -> Self {
        Self {
            name,
            length: random.between(1, LENGTH_MAX),
            random,
            trace,
            pods,
            wild,
            shown: Rc::default(),
        }
    }

    /// Uploads the file and proves that it is there; answers where, unless a promise is broken.
    pub(crate) async fn upload(self) -> Option<String> {
        let location = self.create().await;
        loop {
            let offset = self.head(&location).await?;
            if offset == self.length {
                break;
            }
            if self.wild.get() && self.random.once_in(4) {
                // A tab that was forgotten goes on sending what the other will send too.
                let (other, place) = (self.clone(), location.clone());
                tokio::task::spawn_local(async move { other.patch(&place, offset).await });
                sleep(self.random.millis(0, 1_500)).await;
                continue;
            }
            if matches!(self.patch(&location, offset).await, Sent::Whole) {
                break;
            }
            sleep(self.random.millis(1, 400)).await;
        }
        self.verify(&location).await;
        Some(location)
    }

    async fn create(&self) -> String {
        loop {
            let request = self.request(Method::POST, "/files/");
            let request = request.header("Upload-Length", self.length);
            let answer = self.ask(request.body(Body::empty())).await;
            let location = answer
                .filter(|answer| answer.status() == StatusCode::CREATED)
                .and_then(|answer| Some(answer.headers().get("location")?.to_str().ok()?.to_owned()));
            if let Some(location) = location {
                self.say("has its location");
                return location;
            }
            sleep(self.random.millis(100, 1_000)).await;
        }
    }

    /// The offset; none once a promise is broken.
    async fn head(&self, location: &str) -> Option<u64> {
        loop {
            let mark = self.shown.get();
            if let Some(answer) = self.ask(self.request(Method::HEAD, location).body(Body::empty())).await {
                match answer.status() {
                    StatusCode::OK => {
                        let offset = self.note(mark, &answer, "HEAD").unwrap_or(0);
                        return (!self.trace.is_violated()).then_some(offset);
                    }
                    StatusCode::LOCKED => {
                        self.note(mark, &answer, "a refused HEAD");
                    }
                    status => {
                        self.violate(&format!("HEAD was answered {status}: the client begins from zero (P4)"));
                        return None;
                    }
                }
            }
            sleep(self.random.millis(100, 1_000)).await;
        }
    }

    async fn patch(&self, location: &str, offset: u64) -> Sent {
        let mark = self.shown.get();
        let cut = (self.wild.get() && self.random.once_in(3)).then(|| self.random.between(offset, self.length + 1));
        let request = self
            .request(Method::PATCH, location)
            .header("Upload-Offset", offset)
            .header("Content-Type", "application/offset+octet-stream")
            .body(self.body(offset, cut));
        let Some(answer) = self.ask(request).await else {
            return Sent::Broken;
        };
        let status = answer.status();
        let after = self.note(mark, &answer, "PATCH");
        if status.is_success() && after == Some(self.length) {
            return Sent::Whole;
        }
        if status == StatusCode::NOT_FOUND || status == StatusCode::GONE {
            self.violate(&format!("PATCH was answered {status}: the upload is gone"));
        }
        Sent::Broken
    }

    pub(crate) async fn verify(&self, location: &str) {
        self.shown.set(self.length);
        loop {
            let request = self.request(Method::GET, location).body(Body::empty());
            if let Some(answer) = self.ask(request).await {
                let status = answer.status();
                let Ok(body) = answer.into_body().collect().await else {
                    continue;
                };
                let expected: Vec<u8> = (0..self.length).map(|at| self.byte(at)).collect();
                match status {
                    StatusCode::OK if body.to_bytes() == expected => {
                        self.say("has its file back");
                        return;
                    }
                    StatusCode::OK => return self.violate("another file came out than went in (P1)"),
                    status if status.is_server_error() || status == StatusCode::LOCKED => {}
                    status => return self.violate(&format!("a finished file was answered {status} (P1)")),
                }
            }
            if self.trace.is_violated() {
                return;
            }
            sleep(self.random.millis(100, 1_000)).await;
        }
    }

    /// Enters the offset that an answer shows: never less than the greatest shown before it was asked for.
    fn note(&self, mark: u64, answer: &Response, what: &str) -> Option<u64> {
        let offset = answer.headers().get("upload-offset")?.to_str().ok()?.parse().ok()?;
        self.say(&format!("{what} shows {offset} ({})", answer.status().as_u16()));
        if offset < mark {
            self.violate(&format!("{what} shows {offset} after {mark} (P1)"));
        }
        self.shown.set(self.shown.get().max(offset));
        Some(offset)
    }

    async fn ask(&self, request: Result<Request<Body>, http::Error>) -> Option<Response> {
        let pod = {
            let pods = self.pods.borrow();
            let index = self.random.between(0, pods.len() as u64) as usize;
            pods.get(index)?.clone()
        };
        let request = request.expect("a request of ours is one");
        let patience = if self.wild.get() {
            self.random.millis(2_000, 30_000)
        } else {
            Duration::from_secs(60)
        };
        tokio::time::timeout(patience, pod.ask(request)).await.ok().flatten()
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("Tus-Resumable", "1.0.0")
    }

    /// The rest of the file in pieces with pauses, up to where it breaks off.
    fn body(&self, offset: u64, cut: Option<u64>) -> Body {
        let (name, length, random, wild) = (self.name, self.length, self.random.clone(), self.wild.get());
        let end = cut.unwrap_or(length);
        let pieces = stream::unfold(Some(offset), move |at| {
            let random = random.clone();
            async move {
                let at = at?;
                sleep(random.millis(0, if wild { 120 } else { 5 })).await;
                if at >= end {
                    let broken = io::Error::from(io::ErrorKind::ConnectionReset);
                    return (end < length).then_some((Err(broken), None));
                }
                let next = (at + random.between(1, 3_000)).min(end);
                let bytes: Bytes = (at..next).map(|at| byte(name, at)).collect::<Vec<u8>>().into();
                Some((Ok(bytes), Some(next)))
            }
        });
        Body::from_stream(pieces)
    }

    fn byte(&self, at: u64) -> u8 {
        byte(self.name, at)
    }

    fn say(&self, what: &str) {
        self.trace.say(&format!("client {} {what}", self.name));
    }

    fn violate(&self, what: &str) {
        self.trace.violate(&format!("client {}: {what}", self.name));
    }
}

/// The byte of a client's file at a position; no two files and no two places are alike for long.
fn byte(name: u64, at: u64) -> u8 {
    (at.wrapping_mul(31) ^ at >> 8 ^ name.wrapping_mul(97)) as u8
}
