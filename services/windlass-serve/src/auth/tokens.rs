//! From the text of a token to who its bearer is: JWT (RFC 7519) by the keys of one configuration.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use windlass_task::{Principal, Right, Rights, Tenant, UnixMillis};

use super::jwks::Rotation;
use super::key::Key;
use super::{Claims as AllClaims, Settings, TokenError, Verified};

/// The clocks of issuer and server may differ by this much, seconds.
const LEEWAY: u64 = 5;

/// A longer text is not looked at; a token of ours has some hundred bytes, one of a large identity provider 4 KiB.
const TOKEN_BYTES: usize = 8 * 1024;

/// Keys that are tried for a token that names none: each costs a verification to whoever can reach the port.
const TRIED_KEYS: usize = 4;

/// Verifies tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    keys: Keys,
    rules: HashMap<Algorithm, Validation>,
    /// The same, but `exp` and `sub` may be left out.
    lenient: HashMap<Algorithm, Validation>,
}

#[derive(Debug)]
pub(super) enum Keys {
    /// Known from the start; any `kid` will do.
    Fixed(Box<Key>),
    /// A set that changes.
    Rotating(Arc<Rotation>),
}

/// What can be said of a token with the keys at hand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Token(TokenError),
    /// None of the keys is the one that it names: there may be newer keys.
    UnknownKey,
}

/// What a token says. Unknown claims are ignored (RFC 7519 section 4).
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since the Unix epoch, which may have a fraction (RFC 7519 section 2).
    exp: Option<f64>,
    tenant: Option<String>,
    rights: Option<Vec<Right>>,
    channel: Option<IgnoredAny>,
}

impl Tokens {
    pub(super) fn new(keys: Keys, settings: &Settings) -> Self {
        let all = [
            Algorithm::HS256,
            Algorithm::HS384,
            Algorithm::HS512,
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::EdDSA,
        ];
        let wanted = |algorithm: &Algorithm| settings.algorithms.as_ref().is_none_or(|list| list.contains(algorithm));
        let rules = |required: &'static [&'static str]| {
            let wanted = all.into_iter().filter(wanted);
            wanted
                .map(|algorithm| (algorithm, rule(algorithm, settings, required)))
                .collect()
        };
        Self {
            keys,
            rules: rules(if settings.needs_expiry {
                &["exp", "sub"]
            } else {
                &["sub"]
            }),
            lenient: rules(&[]),
        }
    }

    /// Starts to keep the keys fresh, where they change.
    pub(super) fn start(&self) {
        if let Keys::Rotating(rotation) = &self.keys {
            rotation.start();
        }
    }

    /// Verifies with the keys at hand. An unknown key makes the set be read again for the next one who asks.
    pub(super) fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        self.judge(token).map_err(|fault| match (fault, &self.keys) {
            (Fault::Token(error), _) => error,
            (Fault::UnknownKey, Keys::Fixed(_)) => UNKNOWN_KEY,
            (Fault::UnknownKey, Keys::Rotating(rotation)) => {
                rotation.wish();
                unknown(rotation)
            }
        })
    }

    /// Verifies, and where the key is unknown waits a moment for newer keys.
    pub(super) async fn verify_fresh(&self, token: &str) -> Result<Verified, TokenError> {
        self.with_fresh_keys(|| self.judge(token)).await
    }

    /// The same, with everything that the token says.
    pub(super) async fn verify_with_claims(&self, token: &str) -> Result<(Verified, AllClaims), TokenError> {
        self.with_fresh_keys(|| {
            let all: AllClaims = self.decode(token, &self.rules)?;
            let claims = serde_json::from_value(Value::Object(all.clone()));
            let claims = claims.map_err(|_| Fault::Token(TokenError::Invalid(SHAPE)))?;
            Ok((read(claims).map_err(Fault::Token)?, all))
        })
        .await
    }

    /// What a token says that need not say who its bearer is, nor until when.
    pub(super) async fn claims(&self, token: &str) -> Result<AllClaims, TokenError> {
        self.with_fresh_keys(|| self.decode(token, &self.lenient)).await
    }

    async fn with_fresh_keys<T>(&self, judge: impl Fn() -> Result<T, Fault>) -> Result<T, TokenError> {
        let rotation = match (judge(), &self.keys) {
            (Ok(verified), _) => return Ok(verified),
            (Err(Fault::Token(error)), _) => return Err(error),
            (Err(Fault::UnknownKey), Keys::Fixed(_)) => return Err(UNKNOWN_KEY),
            (Err(Fault::UnknownKey), Keys::Rotating(rotation)) => rotation,
        };
        rotation.refreshed().await;
        judge().map_err(|fault| match fault {
            Fault::Token(error) => error,
            Fault::UnknownKey => unknown(rotation),
        })
    }

    pub(super) fn judge(&self, token: &str) -> Result<Verified, Fault> {
        read(self.decode(token, &self.rules)?).map_err(Fault::Token)
    }

    fn decode<T: DeserializeOwned>(&self, token: &str, rules: &HashMap<Algorithm, Validation>) -> Result<T, Fault> {
        let invalid = |reason| Fault::Token(TokenError::Invalid(reason));
        if token.len() > TOKEN_BYTES {
            return Err(invalid("too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| Fault::Token(reason(error.kind())))?;
        let rule = rules.get(&header.alg).ok_or(invalid(ALGORITHM))?;
        let set;
        let named: Vec<&Key> = match &self.keys {
            Keys::Fixed(key) => vec![key],
            Keys::Rotating(rotation) => {
                set = rotation.keys();
                set.named(header.kid.as_deref())
            }
        };
        if named.is_empty() {
            return Err(Fault::UnknownKey);
        }
        let mut failed = invalid(ALGORITHM);
        let fitting = named.into_iter().filter(|key| key.algorithms.contains(&header.alg));
        for key in fitting.take(TRIED_KEYS) {
            match jsonwebtoken::decode::<T>(token, &key.material, rule) {
                Ok(data) => return Ok(data.claims),
                Err(error) => failed = Fault::Token(reason(error.kind())),
            }
            if failed != invalid(SIGNATURE) {
                break;
            }
        }
        // Keys without names may have changed under a token that names none.
        let unnamed = header.kid.is_none() && matches!(self.keys, Keys::Rotating(_));
        if unnamed && failed == invalid(SIGNATURE) {
            return Err(Fault::UnknownKey);
        }
        Err(failed)
    }
}

const ALGORITHM: &str = "its algorithm is not one that the key is for";
const SHAPE: &str = "its claims are not of the expected shape";
const SIGNATURE: &str = "its signature does not match";
const UNKNOWN_KEY: TokenError = TokenError::Invalid("no key that is known here has signed it");

/// The word on a token by an unknown key: it is invalid only if the keys have been read well lately.
fn unknown(rotation: &Rotation) -> TokenError {
    if rotation.is_current() {
        UNKNOWN_KEY
    } else {
        TokenError::Unverifiable
    }
}

fn rule(algorithm: Algorithm, settings: &Settings, required: &[&'static str]) -> Validation {
    // One algorithm only: a token that names another is refused before its signature is read.
    let mut rule = Validation::new(algorithm);
    rule.leeway = LEEWAY;
    rule.validate_exp = true;
    rule.validate_nbf = true;
    let mut required = required.to_vec();
    if let Some(issuer) = &settings.issuer {
        rule.set_issuer(&[issuer]);
        required.push("iss");
    }
    if !settings.audience.is_empty() {
        rule.set_audience(&settings.audience);
        required.push("aud");
    }
    rule.set_required_spec_claims(&required);
    rule
}

fn read(claims: Claims) -> Result<Verified, TokenError> {
    if claims.channel.is_some() {
        // Whoever may receive one channel is not given everything else of its user.
        return Err(TokenError::Invalid(
            "it is a subscription token: it has a channel claim",
        ));
    }
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
    let expires = claims.exp.map(|seconds| UnixMillis((seconds * 1_000.0) as u64));
    Ok(Verified { principal, expires })
}

fn reason(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::InvalidSignature => TokenError::Invalid(SIGNATURE),
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName
        | ErrorKind::UnsupportedAlgorithm
        | ErrorKind::InvalidKeyFormat => TokenError::Invalid(ALGORITHM),
        ErrorKind::MissingRequiredClaim(_) => {
            TokenError::Invalid("the claims exp and sub must be there, and iss and aud where they are configured")
        }
        ErrorKind::ImmatureSignature => TokenError::Invalid("its nbf is in the future"),
        ErrorKind::InvalidIssuer => TokenError::Invalid("its issuer is not the one that is configured"),
        ErrorKind::InvalidAudience => {
            TokenError::Invalid("its audience is not one that is configured here (auth.audience)")
        }
        ErrorKind::InvalidClaimFormat(_) => TokenError::Invalid("a claim has the wrong type"),
        ErrorKind::Json(_) => TokenError::Invalid(SHAPE),
        _ => TokenError::Invalid("it is no JSON Web Token"),
    }
}
