//! Proxies: a backend of the application's is asked over HTTP what clients may do, in Centrifugo's JSON.
//!
//! The protocol's engine says what it wants to know ([`Ask`]) and goes on with an [`Answer`] or a [`Denial`]; here is
//! what lies between. Each call is bounded in time, also in the time that it waits for others; calls at once and the
//! size of an answer are bounded too. Nothing of a call is logged but its kind and what went wrong.

mod ask;
pub mod config;
mod routes;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Client, Url};
use tokio::sync::Semaphore;
use windlass_task::UnixMillis;

pub use ask::{About, Answer, Ask, DEFAULT, Edited, Event, Kind, Prolonged, Question};
pub use routes::{Proxies, RpcRoute};

use self::config::{ProxyConfig, Transform};
use self::wire::{Encoding, Request};
use crate::client::ClientId;
use crate::codes::{Denial, ErrorCode};

/// Centrifugo's default: who asks is a person that waits.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Half of the read deadline (DESIGN section 6): while a call is under way its connection is not read, and must not be
/// taken for silent.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// As many as Centrifugo keeps connections to a backend, and one: more at once would open and close connections.
const IN_FLIGHT: usize = 256;
/// An answer holds data for one client, and no message of a client may be larger by default.
const RESPONSE_BYTES: usize = 64 * 1024;

/// One backend, and how it is called.
pub struct Proxy {
    config: ProxyConfig,
    url: Url,
    client: Client,
    timeout: Duration,
    static_headers: HeaderMap,
    http_headers: Vec<HeaderName>,
    emulated_headers: Vec<HeaderName>,
    permits: Semaphore,
}

impl fmt::Debug for Proxy {
    /// What was written, whose secrets are hidden; they are in the rest as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Proxy {
    /// What was written decides.
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config
    }
}

/// On whose behalf a backend is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// The connection.
    pub(crate) client: ClientId,
    /// How it is connected, as the API names it.
    pub(crate) transport: &'static str,
    /// What it speaks.
    pub(crate) protocol: &'static str,
    /// Headers of the request that opened it, as far as any proxy wants them.
    pub(crate) headers: Option<&'a HeaderMap>,
    /// Headers that the client names itself, as far as any proxy wants them.
    pub(crate) emulated: Option<&'a HeaderMap>,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It waited for others for half of the time that it may last, and the rest would hardly do.
    #[error("too many calls are under way")]
    Wait,
    /// It was not over in time.
    #[error("the backend does not answer in time")]
    Time,
    /// The backend cannot be reached.
    #[error("the backend cannot be reached")]
    Reach(#[source] reqwest::Error),
    /// It answers with another status than 200.
    #[error("the backend answers {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// Its answer is too long.
    #[error("the backend's answer is longer than {limit} bytes")]
    Size {
        /// The limit.
        limit: usize,
    },
    /// Its answer is not of the shape.
    #[error("the backend's answer is not what it should be")]
    Parse(#[source] serde_json::Error),
    /// Its answer says nothing, or what cannot be.
    #[error("the backend's answer has no result, error or disconnect that can be")]
    Understand,
    /// What a client says cannot be written as JSON.
    #[error("what the client says is not JSON, and binary_encoding is off")]
    Encode,
    /// There is no such proxy.
    #[error("there is no such proxy")]
    Find,
}

impl Failure {
    /// What the client is told where nobody has other words for it.
    pub(crate) fn denial(&self) -> Denial {
        match self {
            Self::Wait => ErrorCode::TooManyRequests.into(),
            Self::Encode => ErrorCode::BadRequest.into(),
            Self::Find => ErrorCode::NotAvailable.into(),
            Self::Time
            | Self::Reach(_)
            | Self::Status { .. }
            | Self::Size { .. }
            | Self::Parse(_)
            | Self::Understand => ErrorCode::Internal.into(),
        }
    }
}

impl Proxy {
    /// Asks.
    ///
    /// # Errors
    /// [`Failure`] when nobody said yes or no.
    pub(crate) async fn ask(&self, ask: &Ask, asker: &Asker<'_>) -> Result<Result<Answer, Denial>, Failure> {
        let with_meta = self.config.include_connection_meta;
        let request = Request::of_question(ask, asker, self.encoding(), with_meta).ok_or(Failure::Encode)?;
        match self.call(&request, asker).await {
            Ok(text) => wire::read_answer(&ask.question, &text, UnixMillis::now()),
            Err(Failure::Status { status }) => match self.said_by(status) {
                Some(denial) => Ok(Err(denial)),
                None => Err(Failure::Status { status }),
            },
            Err(failure) => Err(failure),
        }
    }

    /// Tells. What is answered does not matter.
    ///
    /// # Errors
    /// [`Failure`] when it may not have been heard; it is not told again.
    pub(crate) async fn tell(&self, event: &Event, user: &str, asker: &Asker<'_>) -> Result<(), Failure> {
        let request = Request::of_event(event, user, asker, self.encoding());
        self.call(&request, asker).await.map(drop)
    }

    fn encoding(&self) -> Encoding {
        if self.config.binary_encoding {
            Encoding::Binary
        } else {
            Encoding::Json
        }
    }

    /// What a status says by the configuration.
    fn said_by(&self, status: u16) -> Option<Denial> {
        let transforms = &self.config.http.status_to_code_transforms;
        let Transform {
            to_error,
            to_disconnect,
            ..
        } = transforms
            .iter()
            .find(|transform| transform.status_code == status)?
            .clone();
        let error = to_error.and_then(config::WrittenError::denial);
        error.or_else(|| to_disconnect.and_then(config::WrittenDisconnect::denial))
    }

    async fn call(&self, request: &Request<'_>, asker: &Asker<'_>) -> Result<Vec<u8>, Failure> {
        // The data in it are JSON, and nothing else in it can fail.
        let body = serde_json::to_vec(request).map_err(|_| Failure::Encode)?;
        let begun = tokio::time::Instant::now();
        let permit = tokio::time::timeout_at(begun + self.timeout / 2, self.permits.acquire()).await;
        let _permit = permit.map_err(|_| Failure::Wait)?;
        tokio::time::timeout_at(begun + self.timeout, self.exchange(body, asker))
            .await
            .unwrap_or(Err(Failure::Time))
    }

    async fn exchange(&self, body: Vec<u8>, asker: &Asker<'_>) -> Result<Vec<u8>, Failure> {
        // The URL may hold a secret, and errors are logged.
        let reach = |error: reqwest::Error| Failure::Reach(error.without_url());
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers(asker))
            .body(body);
        let mut response = request.send().await.map_err(reach)?;
        let status = response.status();
        if status != http::StatusCode::OK {
            let status = status.as_u16();
            return Err(Failure::Status { status });
        }
        let limit = self.config.max_response_bytes.unwrap_or(RESPONSE_BYTES);
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(reach)? {
            if text.len() + chunk.len() > limit {
                return Err(Failure::Size { limit });
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    /// What the configuration says, over it what the client says, over it what the request said that opened the
    /// connection, for that alone can be set by somebody who is trusted.
    fn headers(&self, asker: &Asker<'_>) -> HeaderMap {
        let mut headers = self.static_headers.clone();
        let sources = [
            (&self.emulated_headers, asker.emulated),
            (&self.http_headers, asker.headers),
        ];
        for (names, source) in sources {
            let Some(source) = source else { continue };
            for name in names {
                let mut values = source.get_all(name).iter();
                if let Some(first) = values.next() {
                    headers.insert(name, first.clone());
                    for value in values {
                        headers.append(name, value.clone());
                    }
                }
            }
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }
}

/// A proxy that several may use.
type Shared = Arc<Proxy>;

#[cfg(test)]
mod tests;
