//! Signed upload links: a URL that lets somebody without a token create one upload.
//!
//! Whoever holds the link secret, usually the web application's back end, signs who the upload will belong to, until
//! when it may be created and how large it may be; see `docs/uploading.md`. The creation answers with a `Location` that
//! is signed for that one upload, so its appends need no token either. A link takes the place of a token: where one is
//! shown, the `Authorization` header is not looked at.

use std::fmt;
use std::sync::Arc;

use axum::extract::Query;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{StatusCode, Uri};
use sha2::{Digest as _, Sha256};
use windlass_task::{Principal, Right, Tenant, UnixMillis};

use super::Verified;
use crate::problem::Problem;

/// The first line of what is signed: the version of this scheme.
const SCHEME: &str = "windlass-link-1";

/// The longest `id`, bytes.
const ID_BYTES: usize = 64;

/// Signs and verifies links by one secret.
#[derive(Clone)]
pub struct LinkKey(Arc<Hmac<Sha256>>);

/// What a verified link permits, besides what its principal does.
#[derive(Debug, Clone)]
pub struct Link {
    /// To whom the upload belongs; its only right is `upload`.
    pub principal: Principal,
    /// The largest upload, bytes.
    pub max_bytes: Option<u64>,
    /// Until when an upload may be created; none on the upload itself, which has a lifetime of its own.
    pub expires: Option<UnixMillis>,
    /// The same for each use of one creation link and for no other link: what the upload's id is made of, so that a
    /// link creates one upload however often it is used. It is public then, so it is a digest of the signature and no
    /// part of it. None on the upload itself.
    pub once: Option<[u8; 10]>,
    key: LinkKey,
}

/// Why a link is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is not signed as it must be, or says something else than it may.
    #[error("the link is not valid: {0}")]
    Invalid(&'static str),
    /// Its time is over.
    #[error("the link has expired")]
    Expired,
}

impl LinkError {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Invalid(_) => "link_invalid",
            Self::Expired => "link_expired",
        }
    }
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        Self::new(StatusCode::FORBIDDEN, error.code(), error.to_string())
    }
}

/// The parameters of a link, as they stand in the query, decoded.
#[derive(Debug, Default)]
struct Shown {
    sig: Option<String>,
    exp: Option<String>,
    sub: Option<String>,
    tenant: Option<String>,
    max: Option<String>,
    id: Option<String>,
}

/// What a path is to links.
enum Place<'a> {
    Collection,
    Upload { tenant: &'a str, name: &'a str },
}

impl Shown {
    /// None when there is no signature: no link.
    fn read(uri: &Uri) -> Result<Option<Self>, LinkError> {
        let query = uri.query().unwrap_or("");
        if !query.split('&').any(|pair| pair.starts_with("sig=")) {
            return Ok(None);
        }
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| LinkError::Invalid("the query is malformed"))?;
        let mut shown = Self::default();
        for (name, value) in pairs {
            let place = match name.as_str() {
                "sig" => &mut shown.sig,
                "exp" => &mut shown.exp,
                "sub" => &mut shown.sub,
                "tenant" => &mut shown.tenant,
                "max" => &mut shown.max,
                "id" => &mut shown.id,
                // Not signed and not looked at: proxies and pages add what they like.
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(LinkError::Invalid("a parameter stands twice"));
            }
        }
        Ok(Some(shown))
    }
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/files")?;
        if rest.is_empty() || rest == "/" {
            return Some(Self::Collection);
        }
        let (tenant, name) = rest.strip_prefix('/')?.split_once('/')?;
        (!tenant.is_empty() && !name.is_empty() && !name.contains('/')).then_some(Self::Upload { tenant, name })
    }
}

impl LinkKey {
    /// A key from the link secret, whose length is the caller's concern.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(Arc::new(
            Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"),
        ))
    }

    /// What the target of a request permits: `None` when it shows no link.
    ///
    /// # Errors
    /// When it shows one that is not good.
    pub fn verify(&self, uri: &Uri, now: UnixMillis) -> Result<Option<Link>, LinkError> {
        let Some(place) = Place::of(uri.path()) else {
            return Ok(None);
        };
        let Some(shown) = Shown::read(uri)? else {
            return Ok(None);
        };
        let sub = shown.sub.as_deref().ok_or(LinkError::Invalid("sub is missing"))?;
        let max = shown.max.as_deref().unwrap_or("");
        let default = Tenant::default_tenant();
        let tenant = match place {
            Place::Collection => shown.tenant.as_deref().unwrap_or(default.as_str()),
            Place::Upload { tenant, .. } => tenant,
        };
        // Names have no line breaks, so that what is signed can be read in one way only.
        let principal = principal(tenant, sub)?;
        let max_bytes = match max {
            "" => None,
            text => Some(decimal(text).ok_or(LinkError::Invalid("max is no size"))?),
        };
        let (signed, expires) = match place {
            Place::Collection => {
                let exp = shown.exp.as_deref().ok_or(LinkError::Invalid("exp is missing"))?;
                let id = shown.id.as_deref().unwrap_or("");
                let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                if id.len() > ID_BYTES || !id.bytes().all(legal) {
                    return Err(LinkError::Invalid("id has other characters, or more than 64"));
                }
                let seconds = decimal(exp).ok_or(LinkError::Invalid("exp is no time"))?;
                let expires = UnixMillis(seconds.saturating_mul(1_000));
                (["create", tenant, sub, exp, max, id].join("\n"), Some(expires))
            }
            Place::Upload { name, .. } => (["upload", tenant, sub, name, max].join("\n"), None),
        };
        let sig = shown.sig.as_deref().unwrap_or_default();
        let sig = URL_SAFE_NO_PAD
            .decode(sig)
            .map_err(|_| LinkError::Invalid("sig is not base64url"))?;
        self.mac(&signed)
            .verify_slice(&sig)
            .map_err(|_| LinkError::Invalid("its signature does not match"))?;
        if expires.is_some_and(|expires| expires.0 <= now.0) {
            return Err(LinkError::Expired);
        }
        let once = expires.and_then(|_| Sha256::digest(&sig).first_chunk().copied());
        Ok(Some(Link {
            principal,
            max_bytes,
            expires,
            once,
            key: self.clone(),
        }))
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::clone(&self.0);
        mac.update(SCHEME.as_bytes());
        mac.update(b"\n");
        mac.update(signed.as_bytes());
        mac
    }
}

impl Link {
    /// The query, without its `?`, that makes `/files/<tenant>/<name>` usable by whoever holds this link: to be put
    /// behind the `Location` that its creation answers with.
    #[must_use]
    pub fn query_for(&self, name: &str) -> String {
        let (tenant, sub) = (self.principal.tenant.as_str(), self.principal.owner.as_str());
        let max = self.max_bytes.map(|max| max.to_string()).unwrap_or_default();
        let signed = ["upload", tenant, sub, name, &max].join("\n");
        let sig = URL_SAFE_NO_PAD.encode(self.key.mac(&signed).finalize().into_bytes());
        let mut query = format!("sub={}&sig={sig}", percent_encoded(sub));
        if !max.is_empty() {
            query.push_str("&max=");
            query.push_str(&max);
        }
        query
    }

    pub(super) fn verified(&self) -> Verified {
        Verified {
            principal: self.principal.clone(),
            expires: self.expires,
        }
    }
}

impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        (&self.principal, self.max_bytes, self.expires, self.once)
            == (&other.principal, other.max_bytes, other.expires, other.once)
    }
}

impl Eq for Link {}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey { [redacted] }")
    }
}

fn principal(tenant: &str, sub: &str) -> Result<Principal, LinkError> {
    Ok(Principal {
        tenant: tenant
            .parse()
            .map_err(|_| LinkError::Invalid("tenant is no tenant's name"))?,
        owner: sub.parse().map_err(|_| LinkError::Invalid("sub is no owner's name"))?,
        rights: [Right::Upload].into_iter().collect(),
    })
}

/// Plain decimal digits, so that one number has one spelling but for leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// For a value in a query: all but the unreserved characters (RFC 3986 section 2.3).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
