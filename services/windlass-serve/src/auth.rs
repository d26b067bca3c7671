//! From a bearer token to a [`Principal`].
//!
//! A listener has one [`Authenticator`]. On loopback nobody logs in and everybody is [`Principal::local`]; elsewhere a
//! JSON Web Token (RFC 7519) says who calls. [`Authenticator::layer`] puts the answer into the extensions of each
//! request: always a [`Caller`], and the `Principal` and [`Verified`] when there is one. What the keys are, a secret, a
//! public key or a key set that rotates, is behind [`Authenticator::verify`].

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use windlass_task::{Principal, UnixMillis};

use crate::metrics::Metrics;
use crate::observe::RequestSpan;
use crate::problem::Problem;

mod jwks;
mod key;
mod link;
mod settings;
mod tokens;

pub use key::Fault as KeyFault;
pub use link::{Link, LinkError, LinkKey};
pub use settings::{Error, JwksPlace, KeySource, Secret, Settings};

use jwks::{Place, Rotation};
use key::Key;
use tokens::{Keys, Tokens};

/// How long a client may wait before it shows its token again, seconds: the keys are read at most this often.
const RETRY_AFTER: &str = "5";

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
    /// It may be good: it names a key that is not known here, and the key set cannot be read now.
    #[error("the keys that verify tokens cannot be had now")]
    Unverifiable,
}

impl TokenError {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Invalid(_) => "token_invalid",
            Self::Expired => "token_expired",
            Self::Unverifiable => "keys_unavailable",
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        // RFC 6750 section 3: no error attribute when no token was shown.
        let challenge = match error {
            TokenError::Missing => r#"Bearer realm="windlass""#,
            TokenError::Unverifiable => {
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), error.to_string())
                    .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
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
    /// By a token.
    Tokens(Verifier),
}

/// Everything that a token says, verified, by the names of its claims.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// Keys and rules by which tokens are verified.
#[derive(Debug, Clone)]
pub struct Verifier {
    tokens: Arc<Tokens>,
    links: Option<LinkKey>,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Token(TokenError),
    Link(LinkError),
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
    /// By a signed link, which bounds what may be done besides the rights of its principal.
    Linked(Box<Link>),
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
    /// The authenticator that `settings` ask for, on a listener of this address. [`Authenticator::start`] makes it live.
    ///
    /// # Errors
    /// When none may be had: see [`Error`].
    pub fn configure(settings: Option<&Settings>, listen: SocketAddr, metrics: &Metrics) -> Result<Self, Error> {
        let Some(settings) = settings else {
            return if listen.ip().is_loopback() {
                Ok(Self::Loopback)
            } else {
                Err(Error::RequireAuth { listen })
            };
        };
        let keys = keys(settings, metrics)?;
        let links = match &settings.link_secret_file {
            Some(path) => Some(LinkKey::new(&read_secret("auth.linkSecretFile", path)?)),
            None => None,
        };
        Ok(Self::Tokens(Verifier {
            tokens: Arc::new(Tokens::new(keys, settings)),
            links,
        }))
    }

    /// By HS256 tokens signed with `secret`, whose length is the caller's concern.
    #[must_use]
    pub fn hs256(secret: &[u8]) -> Self {
        let settings = Settings::hs256(std::path::PathBuf::new());
        let keys = Keys::Fixed(Box::new(Key::hs256(secret)));
        Self::Tokens(Verifier {
            tokens: Arc::new(Tokens::new(keys, &settings)),
            links: None,
        })
    }

    /// Begins to keep keys fresh that change. Must run inside a tokio runtime.
    pub fn start(&self) {
        match self {
            Self::Loopback => {}
            Self::Tokens(verifier) => verifier.tokens.start(),
        }
    }

    /// Whether callers must show a token; where they need not, the right to write an upload is in its URL.
    #[must_use]
    pub fn demands_token(&self) -> bool {
        match self {
            Self::Loopback => false,
            Self::Tokens(_) => true,
        }
    }

    /// Verifies a token that came inside a protocol, such as a WebSocket's first message. On loopback any text will do.
    ///
    /// # Errors
    /// Why the token gives no principal.
    pub fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        self.verify_until(token).map(|verified| verified.principal)
    }

    /// The same, with the time at which the principal ends: a connection must not outlive its token. It verifies with
    /// the keys at hand and never waits.
    ///
    /// # Errors
    /// Why the token gives no principal.
    pub fn verify_until(&self, token: &str) -> Result<Verified, TokenError> {
        match self {
            Self::Loopback => Ok(Verified::local()),
            Self::Tokens(verifier) => verifier.tokens.verify(token),
        }
    }

    /// The same, but for a token by an unknown key it waits some seconds for newer keys. To be preferred.
    ///
    /// # Errors
    /// Why the token gives no principal.
    pub async fn verify_fresh(&self, token: &str) -> Result<Verified, TokenError> {
        match self {
            Self::Loopback => Ok(Verified::local()),
            Self::Tokens(verifier) => verifier.tokens.verify_fresh(token).await,
        }
    }

    /// The same, with everything that the token says; on loopback it says nothing.
    ///
    /// # Errors
    /// Why the token gives no principal.
    pub async fn verify_with_claims(&self, token: &str) -> Result<(Verified, Claims), TokenError> {
        match self {
            Self::Loopback => Ok((Verified::local(), Claims::new())),
            Self::Tokens(Verifier { tokens, .. }) => tokens.verify_with_claims(token).await,
        }
    }

    /// What a token says that was made for something else than to say who calls, such as one channel. It is signed
    /// and in its time as any other, but `sub` and `exp` need not be there. `None` on loopback, where there are no
    /// keys.
    ///
    /// # Errors
    /// Why nothing that the token says counts.
    pub async fn claims(&self, token: &str) -> Result<Option<Claims>, TokenError> {
        match self {
            Self::Loopback => Ok(None),
            Self::Tokens(Verifier { tokens, .. }) => tokens.claims(token).await.map(Some),
        }
    }

    /// Puts the check round every route that `router` has by now; not round pages and probes.
    pub fn layer(&self, router: Router, metrics: Metrics) -> Router {
        router.layer(middleware::from_fn_with_state((self.clone(), metrics), run))
    }

    /// What the link that a request's target shows permits; none where links are not configured or none is shown.
    ///
    /// # Errors
    /// When a link is shown that is not good.
    pub fn link(&self, uri: &Uri) -> Result<Option<Link>, LinkError> {
        match self {
            Self::Tokens(Verifier { links: Some(key), .. }) => key.verify(uri, UnixMillis::now()),
            Self::Tokens(Verifier { links: None, .. }) | Self::Loopback => Ok(None),
        }
    }

    /// Who calls; no principal where a path lets them come without a token.
    async fn call(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(Caller, Option<Verified>), Refusal> {
        if let Some(link) = self.link(uri).map_err(Refusal::Link)? {
            let verified = link.verified();
            return Ok((Caller::Linked(Box::new(link)), Some(verified)));
        }
        let verified = match self {
            Self::Loopback => Ok(Verified::local()),
            Self::Tokens(verifier) => match bearer(headers) {
                Ok(token) => verifier.tokens.verify_fresh(token).await,
                Err(TokenError::Missing) if demand(method, uri.path()) == Demand::Inside => {
                    return Ok((Caller::Anonymous, None));
                }
                Err(error) => Err(error),
            },
        };
        let verified = verified.map_err(Refusal::Token)?;
        Ok((Caller::Known(verified.principal.clone()), Some(verified)))
    }
}

impl Refusal {
    fn code(self) -> &'static str {
        match self {
            Self::Token(error) => error.code(),
            Self::Link(error) => error.code(),
        }
    }

    fn answer(self, method: &Method) -> Response {
        let mut problem = match self {
            Self::Token(error) => Problem::from(error),
            Self::Link(error) => Problem::from(error),
        };
        if self == Self::Token(TokenError::Unverifiable) && *method == Method::HEAD {
            // After any other error on HEAD a tus client starts from zero.
            problem.status = StatusCode::LOCKED;
        }
        problem.into_response()
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

/// The keys that the settings name.
fn keys(settings: &Settings, metrics: &Metrics) -> Result<Keys, Error> {
    let mut key = match &settings.keys {
        KeySource::Hs256SecretFile(path) => Key::hs256(&read_secret("auth.hs256SecretFile", path)?),
        KeySource::HmacSecretFile(path) => Key::hmac_by_length(&read_secret("auth.hmacSecretFile", path)?),
        KeySource::Secret { option, secret } => {
            Key::hmac_by_length(&long_enough((*option).to_owned(), secret.0.clone().into_bytes())?)
        }
        KeySource::PublicKeyFile(path) => {
            let key = "auth.publicKeyFile";
            let pem = read_file(key, path)?;
            public_key(place(key, path), &pem)?
        }
        KeySource::PublicKey { option, pem } => public_key((*option).to_owned(), pem.as_bytes())?,
        KeySource::Jwks { place, refresh } => {
            let place = Place::open(place)?;
            let rotation = Rotation::new(place, *refresh, settings.algorithms.clone(), metrics.clone());
            return Ok(Keys::Rotating(Arc::new(rotation)));
        }
    };
    let allowed = key.algorithms.clone();
    if let Some(wanted) = &settings.algorithms {
        key.keep(wanted);
    }
    if key.algorithms.is_empty() {
        return Err(Error::NoAlgorithm { allowed });
    }
    Ok(Keys::Fixed(Box::new(key)))
}

fn read_file(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::ReadFile {
        key,
        path: path.into(),
        source,
    })
}

/// The secret in this file, without one newline at its end.
fn read_secret(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let mut secret = read_file(key, path)?;
    if secret.pop_if(|byte| *byte == b'\n').is_some() {
        secret.pop_if(|byte| *byte == b'\r');
    }
    long_enough(place(key, path), secret)
}

fn long_enough(place: String, secret: Vec<u8>) -> Result<Vec<u8>, Error> {
    if secret.len() < key::SECRET_BYTES {
        return Err(Error::ShortSecret {
            place,
            length: secret.len(),
            least: key::SECRET_BYTES,
        });
    }
    Ok(secret)
}

fn public_key(place: String, pem: &[u8]) -> Result<Key, Error> {
    Key::pem(pem).map_err(|fault| Error::ReadKey { place, fault })
}

/// A key of the configuration file and the file that it names.
fn place(key: &str, path: &Path) -> String {
    format!("{key} {}", path.display())
}

impl Caller {
    /// The principal, if the caller is known.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        match self {
            Self::Known(principal) => Some(principal),
            Self::Linked(link) => Some(&link.principal),
            Self::Anonymous => None,
        }
    }

    /// The link, if the caller came by one.
    #[must_use]
    pub fn link(&self) -> Option<&Link> {
        match self {
            Self::Linked(link) => Some(link),
            Self::Known(_) | Self::Anonymous => None,
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
    let called = authenticator
        .call(request.method(), request.uri(), request.headers())
        .await;
    match called {
        Ok((caller, verified)) => {
            let extensions = request.extensions_mut();
            extensions.insert(caller);
            if let Some(verified) = verified {
                if let Some(RequestSpan(span)) = extensions.get() {
                    span.record("tenant", verified.principal.tenant.as_str());
                }
                extensions.insert(verified.principal.clone());
                extensions.insert(verified);
            }
            next.run(request).await
        }
        Err(refusal) => {
            metrics.auth_failed(refusal.code());
            refusal.answer(request.method())
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
mod issuer;
#[cfg(test)]
mod tests;
