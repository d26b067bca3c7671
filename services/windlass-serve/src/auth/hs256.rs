//! Tokens signed with one shared secret: JWT with HMAC-SHA-256.

use std::fmt;
use std::path::Path;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use windlass_task::{Principal, Right, Rights, Tenant, UnixMillis};

use super::{Error, TokenError, Verified};

/// The least length of a secret, bytes: a key at least as long as the hash (RFC 7518 section 3.2).
pub(super) const SECRET_BYTES: usize = 32;

/// The clocks of issuer and server may differ by this much, seconds.
const LEEWAY: u64 = 5;

/// A longer text is not looked at; a token of ours has some hundred bytes.
const TOKEN_BYTES: usize = 8 * 1024;

/// Verifies tokens by one secret.
pub struct Hs256 {
    key: DecodingKey,
    validation: Validation,
}

/// What a token says. Unknown claims are ignored (RFC 7519 section 4).
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since the Unix epoch, which may have a fraction (RFC 7519 section 2).
    exp: f64,
    tenant: Option<String>,
    rights: Option<Vec<Right>>,
}

impl Hs256 {
    /// The secret in this file, without one newline at its end.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(|source| Error::ReadSecret {
            path: path.into(),
            source,
        })?;
        let secret = text
            .strip_suffix(b"\n")
            .map_or(&text[..], |line| line.strip_suffix(b"\r").unwrap_or(line));
        if secret.len() < SECRET_BYTES {
            return Err(Error::ShortSecret {
                path: path.into(),
                length: secret.len(),
            });
        }
        Ok(Self::new(secret))
    }

    /// A verifier for tokens signed with `secret`, whose length is the caller's concern.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        // One algorithm only: a token that names another, `none` included, is refused before its signature is read.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_exp = true;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Self {
            key: DecodingKey::from_secret(secret),
            validation,
        }
    }

    pub(super) fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        if token.len() > TOKEN_BYTES {
            return Err(TokenError::Invalid("too long"));
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|error| reason(error.kind()))?
            .claims;
        let tenant = match claims.tenant {
            None => Tenant::default_tenant(),
            Some(name) => name
                .parse()
                .map_err(|_| TokenError::Invalid("the tenant claim is no tenant's name"))?,
        };
        let principal = Principal {
            tenant,
            owner: claims
                .sub
                .parse()
                .map_err(|_| TokenError::Invalid("the sub claim is no owner's name"))?,
            rights: claims
                .rights
                .map_or(Rights::DEFAULT, |rights| rights.into_iter().collect()),
        };
        // It was checked to be no less than the present; a float beyond the integer's range becomes its end.
        let expires = UnixMillis((claims.exp * 1_000.0) as u64);
        Ok(Verified {
            principal,
            expires: Some(expires),
        })
    }
}

impl fmt::Debug for Hs256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hs256 { key: [redacted] }")
    }
}

fn reason(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::InvalidSignature => TokenError::Invalid("its signature does not match"),
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            TokenError::Invalid("its algorithm is not HS256")
        }
        ErrorKind::MissingRequiredClaim(_) => TokenError::Invalid("the claims exp and sub must be there"),
        ErrorKind::ImmatureSignature => TokenError::Invalid("its nbf is in the future"),
        ErrorKind::InvalidAudience => TokenError::Invalid("it has an audience, and none is configured here"),
        ErrorKind::InvalidClaimFormat(_) => TokenError::Invalid("a claim has the wrong type"),
        ErrorKind::Json(_) => TokenError::Invalid("its claims are not of the expected shape"),
        _ => TokenError::Invalid("it is no JSON Web Token"),
    }
}
