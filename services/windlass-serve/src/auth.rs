//! From a bearer token to a [`Principal`].
//!
//! A listener has one [`Authenticator`]. On loopback nobody logs in and everybody is [`Principal::local`]; elsewhere a
//! JSON Web Token (RFC 7519) says who calls. [`Authenticator::layer`] puts the answer into the extensions of each
//! request: always a [`Caller`], and the `Principal` and [`Verified`] when there is one. Keys by which tokens are verified are
//! behind [`Authenticator::verify`], so that public keys and key sets can come without a change to any caller.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use windlass_task::{Principal, UnixMillis};

use crate::metrics::Metrics;
use crate::problem::Problem;

mod hs256;

pub use hs256::Hs256;

/// The `auth` section of a configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// A file with the secret that HS256 tokens are signed with, at least 32 bytes; one newline at its end is not
    /// part of it.
    pub hs256_secret_file: PathBuf,
}

/// A configuration that gives no authenticator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Anybody on the network could read and write everything.
    #[error(
        "{listen} can be reached from other machines, and no auth is configured: set auth.hs256SecretFile in the \
         --config file, or listen on a loopback address such as 127.0.0.1:8080"
    )]
    RequireAuth {
        /// The address that was asked for.
        listen: SocketAddr,
    },
    /// The secret's file cannot be read.
    #[error("cannot read auth.hs256SecretFile {}", path.display())]
    ReadSecret {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The secret can be guessed.
    #[error("auth.hs256SecretFile {} holds {length} bytes, HS256 needs at least {} (RFC 7518 section 3.2)",
        path.display(), hs256::SECRET_BYTES)]
    ShortSecret {
        /// The file.
        path: PathBuf,
        /// Its length without a final newline.
        length: usize,
    },
}

/// Why a token gives no principal. None of them says anything of the token's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("a bearer token is needed")]
    Missing,
    /// It is no token, or not signed as it must be, or a claim in it is not acceptable.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

impl TokenError {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Invalid(_) => "token_invalid",
            Self::Expired => "token_expired",
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        // RFC 6750 section 3: no error attribute when no token was shown.
        let challenge = match error {
            TokenError::Missing => r#"Bearer realm="windlass""#,
            TokenError::Invalid(_) | TokenError::Expired => r#"Bearer realm="windlass", error="invalid_token""#,
        };
        Self::new(StatusCode::UNAUTHORIZED, error.code(), error.to_string())
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }
}

/// How a listener knows its callers.
#[derive(Debug, Clone)]
pub enum Authenticator {
    /// It is reachable from this machine only: everybody is [`Principal::local`], tokens are not looked at.
    Loopback,
    /// By a token signed with a shared secret.
    Hs256(Arc<Hs256>),
}

/// A principal and how long it is one: an extension of each request whose caller is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who it is.
    pub principal: Principal,
    /// When its token ends; never where nobody logs in.
    pub expires: Option<UnixMillis>,
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Verified.
    Known(Principal),
    /// Nobody yet: a path whose protocol carries the token inside, and no `Authorization` header.
    Anonymous,
}

/// What a path demands of a request that shows no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// 401.
    Header,
    /// [`Caller::Anonymous`].
    Inside,
}

impl Authenticator {
    /// The authenticator that `settings` ask for, on a listener of this address.
    ///
    /// # Errors
    /// When none may be had: see [`Error`].
    pub fn configure(settings: Option<&Settings>, listen: SocketAddr) -> Result<Self, Error> {
        match settings {
            Some(settings) => Hs256::read(&settings.hs256_secret_file).map(Self::from),
            None if listen.ip().is_loopback() => Ok(Self::Loopback),
            None => Err(Error::RequireAuth { listen }),
        }
    }

    /// Whether callers must show a token; where they need not, the right to write an upload is in its URL.
    #[must_use]
    pub fn demands_token(&self) -> bool {
        match self {
            Self::Loopback => false,
            Self::Hs256(_) => true,
        }
    }

    /// Verifies a token that came inside a protocol, such as a WebSocket's first message. On loopback any text will do.
    ///
    /// # Errors
    /// Why the token gives no principal.
    pub fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        self.verify_until(token).map(|verified| verified.principal)
    }

    /// The same, with the time at which the principal ends: a connection must not outlive its token.
    ///
    /// # Errors
    /// Why the token gives no principal.
    pub fn verify_until(&self, token: &str) -> Result<Verified, TokenError> {
        match self {
            Self::Loopback => Ok(Verified::local()),
            Self::Hs256(hs256) => hs256.verify(token),
        }
    }

    /// Puts the check round every route that `router` has by now; not round pages and probes.
    pub fn layer(&self, router: Router, metrics: Metrics) -> Router {
        router.layer(middleware::from_fn_with_state((self.clone(), metrics), run))
    }

    /// Who calls; none where a path lets them come without a token.
    fn call(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Option<Verified>, TokenError> {
        let shown = match self {
            Self::Loopback => return Ok(Some(Verified::local())),
            Self::Hs256(_) => bearer(headers),
        };
        match shown {
            Ok(token) => self.verify_until(token).map(Some),
            Err(TokenError::Missing) if demand(method, path) == Demand::Inside => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Verified {
    fn local() -> Self {
        Self {
            principal: Principal::local(),
            expires: None,
        }
    }
}

impl From<Hs256> for Authenticator {
    fn from(hs256: Hs256) -> Self {
        Self::Hs256(Arc::new(hs256))
    }
}

impl Caller {
    /// The principal, if the caller is known.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        match self {
            Self::Known(principal) => Some(principal),
            Self::Anonymous => None,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    /// Anonymous where no [`Authenticator::layer`] is round the handler.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self::Anonymous))
    }
}

async fn run(
    State((authenticator, metrics)): State<(Authenticator, Metrics)>,
    mut request: Request,
    next: Next,
) -> Response {
    match authenticator.call(request.method(), request.uri().path(), request.headers()) {
        Ok(verified) => {
            let extensions = request.extensions_mut();
            match verified {
                Some(verified) => {
                    tracing::Span::current().record("tenant", verified.principal.tenant.as_str());
                    extensions.insert(Caller::Known(verified.principal.clone()));
                    extensions.insert(verified.principal.clone());
                    extensions.insert(verified);
                }
                None => drop(extensions.insert(Caller::Anonymous)),
            }
            next.run(request).await
        }
        Err(error) => {
            metrics.auth_failed(error.code());
            Problem::from(error).into_response()
        }
    }
}

/// Browsers cannot set headers on WebSockets and EventSources, so those protocols have a place for the token inside.
/// OPTIONS tells only what the server can do, which tus clients ask without a token.
fn demand(method: &Method, path: &str) -> Demand {
    let inside = path == "/ws" || path.starts_with("/events/") || path.starts_with("/connection/");
    if inside || method == Method::OPTIONS {
        Demand::Inside
    } else {
        Demand::Header
    }
}

/// The token of the only `Authorization` header (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenError::Missing)?;
    if values.next().is_some() {
        return Err(TokenError::Invalid("more than one Authorization header"));
    }
    let text = value.to_str().map_err(|_| TokenError::Invalid("not ASCII"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(TokenError::Invalid(
            "the Authorization header is not of the Bearer scheme",
        )),
    }
}

#[cfg(test)]
mod tests;
