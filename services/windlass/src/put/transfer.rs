//! One file to one server: create, ask for the offset, append, until it is whole or the policy says enough.
//!
//! Each round does the one thing that comes next and comes back here; a failure goes through [`crate::retry`], which
//! alone decides whether there is another round. After a failure the offset is asked for anew, always.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, header};
use reqwest::{Body, Method, Response, Url};
use serde::Deserialize;
use tokio::time::Instant;

use super::failure_log::FailureLog;
use super::memory::{Key, Memory};
use super::meter::{Meter, Stall, StallLimits};
use super::screen::Line;
use super::source::Source;
use crate::duration::show;
use crate::retry::{Decision, Limits, Policy};
use crate::target::{self, Failure, Target};
use crate::text::with_causes;
use crate::{random, task_name};

const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const RESUMABLE: (HeaderName, &str) = (HeaderName::from_static("tus-resumable"), "1.0.0");

/// How often the bar looks at the meter.
const TICK: Duration = Duration::from_millis(100);

/// How long one question after a paused task is held by the server, seconds.
const PAUSED_WAIT: u64 = 30;

/// What holds for every file of one run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) target: Target,
    pub(crate) limits: Limits,
    pub(crate) stalls: StallLimits,
    pub(crate) memory: Option<Memory>,
    pub(crate) resume: bool,
    pub(crate) log: Option<FailureLog>,
}

impl Run {
    /// Writes a failure to the log, if one is kept.
    pub(crate) fn log(&self, file: &Path, task: &str, offset: u64, failure: &Failure, last: bool) {
        if let Some(log) = &self.log {
            log.write(file, task, offset, failure, last);
        }
    }
}

/// A file that is on the server.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) task: String,
    pub(crate) location: Url,
    pub(crate) bytes: u64,
    pub(crate) sent: u64,
}

/// What a round came to.
enum Round {
    More,
    Complete,
}

struct Transfer<'a> {
    run: &'a Run,
    source: &'a Source,
    key: Key,
    line: &'a Line,
    meter: Arc<Meter>,
    policy: Policy,
    begun: Instant,
    location: Option<Url>,
    /// The server's acknowledged offset, unless it has to be asked for.
    offset: Option<u64>,
    /// Whether the location is from an earlier process and has not proved good yet.
    remembered: bool,
    best: u64,
    sent: u64,
}

/// Uploads one file. Every failure has been logged when this returns.
pub(crate) async fn run(run: &Run, source: &Source, line: &Line) -> Result<Done, Failure> {
    let key = Key {
        server: run.target.files().to_string(),
        path: source.path().to_owned(),
        size: source.size(),
        modified_nanos: source.modified_nanos(),
    };
    let memory = run.memory.as_ref().filter(|_| run.resume);
    // Held until this function ends.
    let claim = memory.map(|memory| memory.claim(&key)).transpose();
    let _claim = claim.map_err(|error| {
        let failure = Failure::lasting("claimed", with_causes(&error));
        run.log(source.path(), "", 0, &failure, true);
        failure
    })?;
    let location = match memory.map(|memory| memory.recall(&key)) {
        Some(Ok(location)) => location.and_then(|location| Url::parse(&location).ok()),
        Some(Err(error)) => {
            line.say(&format!("cannot look for an earlier upload: {}", with_causes(&error)));
            None
        }
        None => None,
    };
    let mut transfer = Transfer {
        run,
        source,
        key,
        line,
        meter: Arc::new(Meter::default()),
        policy: Policy::new(run.limits, Duration::ZERO),
        begun: Instant::now(),
        remembered: location.is_some(),
        location,
        offset: None,
        best: 0,
        sent: 0,
    };
    transfer.until_whole().await
}

impl Transfer<'_> {
    async fn until_whole(&mut self) -> Result<Done, Failure> {
        loop {
            let failure = match Box::pin(self.round()).await {
                Ok(Round::More) => continue,
                Ok(Round::Complete) => return Ok(self.complete()),
                Err(failure) => failure,
            };
            self.offset = None;
            if failure.status == Some(409) && failure.code == "paused" {
                if let Err(failure) = self.wait_while_paused().await {
                    return Err(self.fail(failure, ""));
                }
                continue;
            }
            match self.policy.failed(failure.kind(), self.begun.elapsed(), random::unit()) {
                Decision::Again(wait) => self.wait(&failure, wait).await,
                Decision::GiveUp => return Err(self.fail(failure, "gave up: ")),
                Decision::Stop => return Err(self.fail(failure, "")),
            }
        }
    }

    /// The one thing that comes next.
    async fn round(&mut self) -> Result<Round, Failure> {
        self.source
            .check()
            .map_err(|error| Failure::lasting("file_changed", with_causes(&error)))?;
        match (self.location.clone(), self.offset) {
            (None, _) => self.create().await,
            (Some(location), None) => self.ask(location).await,
            (Some(_), Some(offset)) if offset == self.source.size() => Ok(Round::Complete),
            (Some(location), Some(offset)) => self.append(location, offset).await,
        }
    }

    async fn create(&mut self) -> Result<Round, Failure> {
        let endpoint = self.run.target.files();
        let request = self
            .run
            .target
            .request(Method::POST, endpoint.clone())
            .header(RESUMABLE.0, RESUMABLE.1)
            .header(LENGTH, self.source.size())
            .header(METADATA, format!("filename {}", STANDARD.encode(self.source.name())))
            .header(header::CONTENT_LENGTH, 0);
        let response = self.run.target.send(request, self.run.stalls.answer).await?;
        let location = response
            .headers()
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.and_then(|text| endpoint.join(text).ok());
        let location = location.ok_or_else(|| bad_answer("the server created an upload and did not say where"))?;
        if let Some(memory) = &self.run.memory
            && let Err(error) = memory.remember(&self.key, location.as_str())
        {
            let why = with_causes(&error);
            self.line.say(&format!("cannot be resumed by another process: {why}"));
        }
        self.location = Some(location);
        self.acknowledge(0)?;
        Ok(Round::More)
    }

    async fn ask(&mut self, location: Url) -> Result<Round, Failure> {
        let request = self
            .run
            .target
            .request(Method::HEAD, location)
            .header(RESUMABLE.0, RESUMABLE.1);
        let response = match self.run.target.send(request, self.run.stalls.answer).await {
            Ok(response) => response,
            Err(failure) if self.remembered && matches!(failure.status, Some(404 | 410)) => {
                self.line
                    .say("the server no longer has the earlier upload, starting anew");
                self.forget();
                (self.location, self.remembered) = (None, false);
                return Ok(Round::More);
            }
            Err(failure) => return Err(failure),
        };
        let length = target::number(response.headers(), &LENGTH);
        if length.is_some_and(|length| length != self.source.size()) {
            return Err(bad_answer("the server's upload has another length than this file"));
        }
        let offset = offset_of(&response)?;
        if self.remembered {
            self.remembered = false;
            self.line.say(&format!(
                "going on at {} of {}",
                bytes(offset),
                bytes(self.source.size())
            ));
        }
        self.acknowledge(offset)?;
        Ok(Round::More)
    }

    /// One PATCH with everything from `offset` on.
    async fn append(&mut self, location: Url, offset: u64) -> Result<Round, Failure> {
        self.meter.begin(offset, self.source.size());
        self.line.go(offset);
        let body = self.source.body(offset, Arc::clone(&self.meter));
        let request = self
            .run
            .target
            .request(Method::PATCH, location)
            .header(RESUMABLE.0, RESUMABLE.1)
            .header(OFFSET, offset)
            .header(header::CONTENT_TYPE, "application/offset+octet-stream")
            .header(header::CONTENT_LENGTH, self.source.size() - offset)
            .body(Body::wrap(body));
        let answer = tokio::select! {
            answer = request.send() => answer.map_err(|error| target::describe(&error)),
            stall = self.meter.stalled(self.run.stalls) => Err(stalled(stall)),
            never = self.draw() => match never {},
        };
        self.sent += self.meter.offset() - offset;
        let response = target::judge(answer?, self.run.stalls.answer).await?;
        let acknowledged = offset_of(&response)?;
        if acknowledged <= offset {
            return Err(Failure::network(
                "no_advance",
                "the server took the request and none of its bytes",
            ));
        }
        self.acknowledge(acknowledged)?;
        Ok(Round::More)
    }

    async fn draw(&self) -> Infallible {
        loop {
            self.line.at(self.meter.offset());
            tokio::time::sleep(TICK).await;
        }
    }

    fn acknowledge(&mut self, offset: u64) -> Result<(), Failure> {
        if offset > self.source.size() {
            return Err(bad_answer("the server has more bytes than this file"));
        }
        if offset < self.best {
            let (best, offset) = (bytes(self.best), bytes(offset));
            self.line.say(&format!(
                "the server forgot bytes that it had acknowledged: {best} before, {offset} now"
            ));
        }
        self.best = self.best.max(offset);
        self.offset = Some(offset);
        self.policy.acknowledged(offset, self.begun.elapsed());
        self.line.at(offset);
        Ok(())
    }

    async fn wait(&self, failure: &Failure, wait: Duration) {
        self.log(failure, false);
        let which = match self.run.limits.retries {
            Some(limit) => format!("try {} of {limit}", self.policy.failures()),
            None => format!("try {}", self.policy.failures()),
        };
        self.line
            .note(&format!("again in {} ({which}): {}", show(wait), failure.message));
        tokio::time::sleep(wait).await;
    }

    /// An append resumes a task, so who appended to one that its owner has just paused would undo the pause. Asks the
    /// task's status until it is another.
    async fn wait_while_paused(&self) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Task {
            status: String,
        }
        let paused = || Failure {
            code: "paused".to_owned(),
            ..bad_answer("the upload was paused by its owner")
        };
        let task = self.location.as_ref().and_then(task_name::in_url).ok_or_else(paused)?;
        self.line.note("paused; waiting until it is resumed");
        let mut policy = Policy::new(self.run.limits, self.begun.elapsed());
        let mut tag = None;
        loop {
            let mut url = self.run.target.at(&format!("/tasks/{task}"));
            url.set_query(Some(&format!("wait={PAUSED_WAIT}")));
            let mut request = self.run.target.request(Method::GET, url);
            if let Some(tag) = &tag {
                request = request.header(header::IF_NONE_MATCH, tag);
            }
            let limit = self.run.stalls.answer + Duration::from_secs(PAUSED_WAIT);
            let failure = match self.run.target.send(request, limit).await {
                Ok(response) if response.status() == http::StatusCode::NOT_MODIFIED => continue,
                Ok(response) => {
                    tag = response.headers().get(header::ETAG).cloned();
                    match response.json::<Task>().await {
                        Ok(task) if task.status == "paused" && tag.is_some() => continue,
                        Ok(task) if task.status == "paused" => return Err(paused()),
                        Ok(_) => return Ok(()),
                        Err(error) => target::describe(&error),
                    }
                }
                Err(failure) => failure,
            };
            match policy.failed(failure.kind(), self.begun.elapsed(), random::unit()) {
                Decision::Again(wait) => tokio::time::sleep(wait).await,
                Decision::GiveUp | Decision::Stop => return Err(failure),
            }
        }
    }

    fn complete(&self) -> Done {
        self.forget();
        let location = self.location.clone().expect("a complete upload has been created");
        Done {
            task: self.task(),
            location,
            bytes: self.source.size(),
            sent: self.sent,
        }
    }

    fn fail(&self, failure: Failure, verb: &str) -> Failure {
        self.log(&failure, true);
        // What the server says is gone will not come back in the next process either.
        if matches!(failure.status, Some(404 | 410)) && self.location.is_some() {
            self.forget();
        }
        Failure {
            message: format!("{verb}{}", failure.message),
            ..failure
        }
    }

    fn forget(&self) {
        if let Some(memory) = &self.run.memory
            && let Err(error) = memory.forget(&self.key)
        {
            self.line
                .say(&format!("cannot forget a finished upload: {}", with_causes(&error)));
        }
    }

    fn log(&self, failure: &Failure, last: bool) {
        self.run.log(self.source.path(), &self.task(), self.best, failure, last);
    }

    /// The task's id; what another server's URL ends with; nothing before the upload is created.
    fn task(&self) -> String {
        let Some(location) = &self.location else {
            return String::new();
        };
        task_name::in_url(location).unwrap_or_else(|| {
            let mut segments = location.path_segments().into_iter().flatten();
            segments
                .rfind(|segment| !segment.is_empty())
                .unwrap_or_default()
                .to_owned()
        })
    }
}

fn offset_of(response: &Response) -> Result<u64, Failure> {
    target::number(response.headers(), &OFFSET)
        .ok_or_else(|| bad_answer("the server's answer has no Upload-Offset; is this a tus server?"))
}

fn bad_answer(message: &str) -> Failure {
    Failure::lasting("bad_answer", message)
}

fn stalled(stall: Stall) -> Failure {
    match stall {
        Stall::Sending(limit) => Failure::network("stalled", format!("nothing could be sent for {}", show(limit))),
        Stall::Answer(limit) => Failure::network("no_answer", format!("no answer within {}", show(limit))),
    }
}

fn bytes(count: u64) -> indicatif::BinaryBytes {
    indicatif::BinaryBytes(count)
}
