//! Which requests a browser may send us, and what another page may read of the answers.
//!
//! On a loopback listener nobody logs in, so any page that a browser on this machine shows could use it. Two checks
//! keep it out: `Host` must be a loopback name (a DNS name that an attacker rebinds to 127.0.0.1 is not one), and
//! `Origin` must be this server's own or an allowed one. On other listeners the token decides and only `Origin` is
//! checked, for WebSockets know no CORS. Requests without `Origin` are no cross-origin requests of a browser.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri, header};

use crate::metrics::Metrics;
use crate::problem::Problem;

mod cors;
mod host;
mod origin;

pub use origin::{Origin, OriginError, OriginPattern, PatternError};

/// Where the listener can be reached from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Only this machine, without login: `Host` must be loopback.
    Loopback,
    /// Other machines, with tokens: `Host` may be anything.
    Network,
}

/// The rules of one listener.
#[derive(Debug, Clone)]
pub struct Guard {
    reach: Reach,
    /// Whether the listener itself speaks TLS.
    secure: bool,
    allowed: Arc<[OriginPattern]>,
    metrics: Metrics,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `Host` is missing, ambiguous, or not a loopback name on a loopback listener.
    #[error("the Host of this request is not one that this listener answers to")]
    Host,
    /// `Origin` is neither this server's own nor an allowed one.
    #[error("pages of this origin are not allowed here")]
    Origin,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Host => "host_not_allowed",
            Self::Origin => "origin_not_allowed",
        }
    }
}

/// What the check found about where a permitted request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// No browser page, or a page of this server.
    Here,
    /// A page of this allowed origin.
    Allowed(Origin),
}

impl Guard {
    /// The rules for a listener of this reach; pages of `allowed` origins may use it besides its own.
    #[must_use]
    pub fn new(reach: Reach, allowed: impl IntoIterator<Item = OriginPattern>, metrics: Metrics) -> Self {
        Self {
            reach,
            secure: false,
            allowed: allowed.into_iter().collect(),
            metrics,
        }
    }

    /// The same rules for a listener that speaks TLS: its own pages are `https`.
    #[must_use]
    pub fn secured(self) -> Self {
        Self { secure: true, ..self }
    }

    /// Puts the check and the CORS answers round every route and fallback that `router` has by now.
    pub fn layer(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), run))
    }

    /// Whether a request with this target and these headers may pass.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        self.find(uri, headers).map(drop)
    }

    fn find(&self, uri: &Uri, headers: &HeaderMap) -> Result<Source, Refusal> {
        let host = host::of(uri, headers);
        if self.reach == Reach::Loopback && !host.as_ref().is_some_and(host::Host::is_loopback) {
            return Err(Refusal::Host);
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Ok(Source::Here);
        };
        if origins.next().is_some() {
            return Err(Refusal::Origin);
        }
        let origin: Origin = origin
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Refusal::Origin)?;
        if self.allowed.iter().any(|allowed| allowed.allows(&origin)) {
            return Ok(Source::Allowed(origin));
        }
        // Behind a proxy that ends TLS the page's scheme is https while ours is http, so the scheme is compared
        // only where nothing can be in front.
        let same_scheme = self.reach == Reach::Network || origin.is_secure() == self.secure;
        match host {
            Some(host) if origin.is_of(&host) && same_scheme => Ok(Source::Here),
            _ => Err(Refusal::Origin),
        }
    }
}

async fn run(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let source = match guard.find(request.uri(), request.headers()) {
        Ok(source) => source,
        Err(refusal) => {
            guard.metrics.guard_refused(refusal.code());
            return Problem::new(StatusCode::FORBIDDEN, refusal.code(), refusal.to_string()).into_response();
        }
    };
    let mut response = match source {
        Source::Allowed(_) if is_preflight(&request) => cors::preflight(&request),
        Source::Allowed(_) | Source::Here => next.run(request).await,
    };
    cors::mark(
        &mut response,
        match &source {
            Source::Allowed(origin) => Some(origin),
            Source::Here => None,
        },
    );
    response
}

/// A CORS preflight, as against the OPTIONS by which tus clients ask for capabilities.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests;
