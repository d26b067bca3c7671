//! Hooks: somebody else's word over HTTP on what happens to uploads, in tusd's JSON.
//!
//! `pre-*` are asked in the request and answered before it goes on; `post-*` are told from the outbox
//! (`deliver`), in order for each upload, until they are taken. Each call carries an `Idempotency-Key` that is the
//! same for every repetition. Nothing of a call is logged but its kind, its upload and what went wrong.

mod deliver;
mod receiving;
pub mod settings;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use tokio::sync::Semaphore;
use tracing::Instrument as _;
use windlass_serve::{Connection, step, trace};
use windlass_task::record::Creation;
use windlass_task::{Answer, Metadata, Principal, Record, TaskKey, UnixMillis};

pub(crate) use deliver::Delivery;
pub(crate) use receiving::{Receiving, Turn};
pub use settings::{Endpoint, Kind, Settings};

use crate::error::Error;
use crate::ietf::Row;
use crate::location::Target;
use crate::metrics::Metrics;
use crate::service::Upload;

/// The wait before the first repetition, less its jitter; it doubles with each.
const RETRY_MIN: Duration = Duration::from_millis(250);

/// A wait shortened by up to a half: calls that failed together do not come again together. What decides is the call
/// and not chance, so that a test can have it again.
fn jittered(wait: Duration, id: &str, left: u32) -> Duration {
    let sum = crc32c::crc32c_append(crc32c::crc32c(id.as_bytes()), &left.to_le_bytes());
    wait - wait.mul_f64(f64::from(sum) / f64::from(u32::MAX) / 2.0)
}

/// The request on whose behalf a hook is called; empty where there is none, or nobody wants to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked(Option<Arc<Request>>);

#[derive(Debug)]
struct Request {
    method: Method,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
}

impl Asked {
    /// What hooks are told of this request.
    pub(crate) fn of(upload: &Upload, parts: &Parts) -> Self {
        Self(upload.hooks.as_ref().map(|_| {
            Arc::new(Request {
                method: parts.method.clone(),
                headers: parts.headers.clone(),
                peer: parts.extensions.get::<Connection>().map(|connection| connection.peer),
            })
        }))
    }
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The receiver cannot be reached, or not in time.
    #[error("the hook's receiver does not answer")]
    Reach(#[source] reqwest::Error),
    /// It answers with a status that is no success.
    #[error("the hook's receiver answers {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// Its answer is too long.
    #[error("the hook's answer is longer than {limit} bytes")]
    Size {
        /// The limit.
        limit: usize,
    },
    /// Its answer is not of the shape.
    #[error("the hook's answer is not what it should be")]
    Parse(#[source] serde_json::Error),
    /// It asks for what cannot be done here.
    #[error("the hook's answer asks for {what}")]
    Obey {
        /// For what.
        what: &'static str,
    },
    /// The call cannot be written.
    #[error("the hook's call cannot be written")]
    Encode(#[source] serde_json::Error),
}

impl Failure {
    /// Whether the same call may succeed when it is repeated at once.
    fn may_pass(&self) -> bool {
        match self {
            Self::Reach(_) => true,
            Self::Status { status } => *status >= 500 || *status == 429,
            Self::Size { .. } | Self::Parse(_) | Self::Obey { .. } | Self::Encode(_) => false,
        }
    }
}

/// The caller of hooks.
#[derive(Debug)]
pub(crate) struct Hooks {
    settings: Settings,
    forwarded: Vec<HeaderName>,
    client: reqwest::Client,
    permits: Semaphore,
    metrics: Metrics,
}

impl Hooks {
    pub(crate) fn new(settings: &Settings, metrics: Metrics) -> Result<Self, settings::Error> {
        let forwarded = settings.validate()?;
        windlass_serve::tls::install_provider();
        let mut client = reqwest::Client::builder();
        if let Some(path) = &settings.ca_file {
            let pem = std::fs::read(path).map_err(|source| settings::Error::ReadCertificates {
                path: path.clone(),
                source,
            })?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(settings::Error::BuildClient)?;
            client = client.tls_certs_only(roots);
        }
        let client = client
            // A redirected POST would go to a place that nobody configured, and proxies of the environment as well.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(settings.timeout.0)
            .build()
            .map_err(settings::Error::BuildClient)?;
        Ok(Self {
            forwarded,
            client,
            permits: Semaphore::new(settings.concurrency.min(Semaphore::MAX_PERMITS)),
            metrics,
            settings: settings.clone(),
        })
    }

    pub(crate) fn wants(&self, kind: Kind) -> bool {
        self.settings.events.contains(&kind)
    }

    /// Calls once, and as often again as is configured while it may help.
    async fn call(&self, kind: Kind, id: &str, event: wire::Event, asked: &Asked) -> Result<wire::Response, Failure> {
        let mut wait = RETRY_MIN;
        let request = wire::Request {
            r#type: kind.as_str(),
            event,
        };
        let body = serde_json::to_vec(&request).map_err(Failure::Encode)?;
        for left in (0..=self.settings.retries).rev() {
            let called = self.try_traced(kind, id, body.clone(), asked).await;
            self.metrics.hook_called(kind.as_str(), called.is_ok());
            match called {
                Err(error) if left > 0 && error.may_pass() => {
                    tracing::warn!(
                        hook = kind.as_str(),
                        call = id,
                        error = &error as &dyn std::error::Error,
                        "hook failed, trying again"
                    );
                    tokio::time::sleep(jittered(wait, id, left)).await;
                    wait *= 2;
                }
                done => return done,
            }
        }
        unreachable!("the last try returns")
    }

    /// One call, part of the trace of what runs now.
    async fn try_traced(&self, kind: Kind, id: &str, body: Vec<u8>, asked: &Asked) -> Result<wire::Response, Failure> {
        let span = step!("hook", otel.kind = "client", otel.name = kind.as_str());
        let calling = async {
            let mut headers = HeaderMap::new();
            trace::inject(&mut headers);
            self.try_once(id, body, asked, headers).await
        };
        calling.instrument(span).await
    }

    /// One call, with headers of its own.
    async fn try_once(
        &self,
        id: &str,
        body: Vec<u8>,
        asked: &Asked,
        headers: HeaderMap,
    ) -> Result<wire::Response, Failure> {
        let _permit = self.permits.acquire().await;
        let mut request = self
            .client
            .post(&self.settings.url.0)
            .header("content-type", "application/json")
            .header("idempotency-key", id)
            .headers(headers)
            .body(body);
        if let Some(asked) = &asked.0 {
            for name in &self.forwarded {
                for value in asked.headers.get_all(name) {
                    request = request.header(name, value);
                }
            }
        }
        // The URL may hold a secret, and errors are logged.
        let reach = |error: reqwest::Error| Failure::Reach(error.without_url());
        let mut response = request.send().await.map_err(reach)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Failure::Status {
                status: status.as_u16(),
            });
        }
        let limit = self.settings.max_response_bytes;
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(reach)? {
            if text.len() + chunk.len() > limit {
                return Err(Failure::Size { limit });
            }
            text.extend_from_slice(&chunk);
        }
        if text.is_empty() {
            return Ok(wire::Response::default());
        }
        serde_json::from_slice(&text).map_err(Failure::Parse)
    }
}

/// `/files/<tenant>/<id>`, never with a key.
fn uri_of(key: &TaskKey) -> String {
    format!("/files/{}/{}", key.tenant, key.id)
}

/// What a hook says of an upload whose bytes are all there.
pub(crate) struct Word {
    pub(crate) accepted: bool,
    pub(crate) answer: Option<Box<Answer>>,
}

impl Upload {
    fn hooks_for(&self, kind: Kind) -> Option<&Hooks> {
        self.hooks.as_deref().filter(|hooks| hooks.wants(kind))
    }

    /// Whether the verdict is somebody else's.
    pub(crate) fn asks_before_finish(&self) -> bool {
        self.hooks_for(Kind::PreFinish).is_some()
    }

    /// `pre-create`: refuses the creation, or changes it. Answers what the client is told with its success.
    pub(crate) async fn ask_before_creation(
        &self,
        creation: &mut Creation,
        asked: &Asked,
        row: Option<&'static Row>,
    ) -> Result<Option<Answer>, Error> {
        let Some(hooks) = self.hooks_for(Kind::PreCreate) else {
            return Ok(None);
        };
        let record = Record::create(creation.clone(), UnixMillis::now());
        let event = wire::Event {
            upload: wire::Upload::of(&record, self.storage()),
            request: wire::HttpRequest::of(asked, "/files".to_owned()),
        };
        let id = format!("{}/create", creation.key.id);
        let mut response = hooks.call(Kind::PreCreate, &id, event, asked).await?;
        let answer = response.answer();
        if response.reject_upload {
            // Nothing will come after this answer: there is no upload.
            return Err(Error::RefuseByHook {
                answer: Box::new(answer),
                ietf: row.map(|row| (row, true)),
            });
        }
        if let Some(changes) = response.change_file_info {
            if changes.id.is_some_and(|id| !id.is_empty()) || changes.storage.is_some_and(|storage| !storage.is_empty())
            {
                let what = "an ID or a Storage of its own, which uploads here do not have";
                return Err(Failure::Obey { what }.into());
            }
            if let Some(pairs) = changes.meta_data {
                let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_bytes()));
                let what = "metadata that cannot be kept";
                creation.metadata = Metadata::from_pairs(pairs).map_err(|_| Failure::Obey { what })?;
            }
        }
        Ok(Some(answer))
    }

    /// `pre-finish`: the word on a whole upload. As in tusd a status of 400 or more refuses it; `RejectUpload` does too.
    pub(crate) async fn ask_before_finish(&self, record: &Record, asked: &Asked) -> Result<Word, Failure> {
        let Some(hooks) = self.hooks_for(Kind::PreFinish) else {
            return Ok(Word {
                accepted: true,
                answer: None,
            });
        };
        let event = wire::Event {
            upload: wire::Upload::of(record, self.storage()),
            request: wire::HttpRequest::of(asked, uri_of(&record.key)),
        };
        let id = format!("{}/finish", record.key.id);
        let mut response = hooks.call(Kind::PreFinish, &id, event, asked).await?;
        let answer = response.answer();
        let accepted = !response.reject_upload && answer.status.is_none_or(|status| status < 400);
        Ok(Word {
            accepted,
            answer: (!accepted || answer.says()).then(|| Box::new(answer)),
        })
    }

    /// `pre-terminate`: may refuse that an upload is ended.
    pub(crate) async fn ask_before_termination(
        self: &Arc<Self>,
        principal: &Principal,
        target: &Target,
        asked: &Asked,
        row: Option<&'static Row>,
    ) -> Result<(), Error> {
        let Some(hooks) = self.hooks_for(Kind::PreTerminate) else {
            return Ok(());
        };
        let key = self.find(target).await?;
        let record = self.authorise(self.load(&key).await?, principal, target)?;
        let event = wire::Event {
            upload: wire::Upload::of(&record, self.storage()),
            request: wire::HttpRequest::of(asked, uri_of(&key)),
        };
        let id = format!("{}/terminate", key.id);
        let mut response = hooks.call(Kind::PreTerminate, &id, event, asked).await?;
        if response.reject_termination {
            return Err(Error::RefuseByHook {
                answer: Box::new(response.answer()),
                ietf: row.map(|row| (row, false)),
            });
        }
        Ok(())
    }
}
