//! One key and the algorithms that it verifies.
//!
//! What a key is decides what it verifies (RFC 8725 section 3.1): a public key never becomes an HMAC secret, however a
//! token's header reads.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

/// RSA moduli that are taken, bytes: 2048 bits at least (RFC 7518 section 3.3), 4096 at most, which is what the
/// verifying library takes; longer ones only cost time.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// RSA exponents are short; a long one makes each verification expensive.
const RSA_EXPONENT_BYTES: usize = 4;

const HMAC: [(Algorithm, usize); 3] = [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)];

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The least length of a secret, bytes: a key at least as long as the hash (RFC 7518 section 3.2).
pub(super) const SECRET_BYTES: usize = HMAC[0].1;

/// A key that verifies tokens.
#[derive(Clone)]
pub(super) struct Key {
    /// Its `kid`, in a set.
    pub(super) id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) material: DecodingKey,
}

/// Why something is no usable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing that is known.
    #[error("this is no RSA, P-256, P-384 or Ed25519 public key in PEM (-----BEGIN PUBLIC KEY-----)")]
    Unknown,
    /// It lies where only public keys belong.
    #[error("this is a private key: put the public key here, and the private one where only the issuer can read it")]
    Private,
    /// RSA of another size.
    #[error("an RSA key must have 2048 to 4096 bits and an exponent of at most 32")]
    RsaSize,
    /// A point that is not on its curve, or coordinates of another length.
    #[error("the key is not a point of its curve")]
    Point,
    /// A secret in a set that everybody can read.
    #[error("a symmetric key in a public set verifies nothing")]
    Symmetric,
    /// Its `use`, `key_ops` or `alg` says something else.
    #[error("the key is not for verifying signatures by an algorithm that is known here")]
    Purpose,
}

impl Key {
    /// HS256 only.
    pub(super) fn hs256(secret: &[u8]) -> Self {
        Self::hmac(secret, &[Algorithm::HS256])
    }

    /// Each HMAC whose hash is no longer than the secret.
    pub(super) fn hmac_by_length(secret: &[u8]) -> Self {
        let fits = HMAC.iter().filter(|(_, bytes)| secret.len() >= *bytes);
        let algorithms: Vec<_> = fits.map(|(algorithm, _)| *algorithm).collect();
        Self::hmac(secret, &algorithms)
    }

    fn hmac(secret: &[u8], algorithms: &[Algorithm]) -> Self {
        Self {
            id: None,
            algorithms: algorithms.to_vec(),
            material: DecodingKey::from_secret(secret),
        }
    }

    /// A public key in PEM; the key's own identifier says of which kind.
    pub(super) fn pem(pem: &[u8]) -> Result<Self, Fault> {
        if pem.windows(b"PRIVATE KEY".len()).any(|window| window == b"PRIVATE KEY") {
            return Err(Fault::Private);
        }
        let bytes = |key: &DecodingKey| key.try_get_as_bytes().map(<[u8]>::to_vec).map_err(|_| Fault::Unknown);
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            let (modulus, exponent) = rsa_lengths(&bytes(&key)?).ok_or(Fault::Unknown)?;
            return Self::rsa(key, modulus, exponent);
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            let curve = match bytes(&key)?.len() {
                65 => Algorithm::ES256,
                97 => Algorithm::ES384,
                _ => return Err(Fault::Unknown),
            };
            return Self::checked(key, &[curve]);
        }
        let key = DecodingKey::from_ed_pem(pem).map_err(|_| Fault::Unknown)?;
        match bytes(&key)?.len() {
            32 => Self::checked(key, &[Algorithm::EdDSA]),
            _ => Err(Fault::Unknown),
        }
    }

    /// A member of a key set.
    pub(super) fn jwk(jwk: &Jwk) -> Result<Self, Fault> {
        let common = &jwk.common;
        let signs = common
            .public_key_use
            .as_ref()
            .is_none_or(|it| *it == PublicKeyUse::Signature);
        let verifies = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !(signs && verifies) {
            return Err(Fault::Purpose);
        }
        let key = |jwk| DecodingKey::from_jwk(jwk).map_err(|_| Fault::Unknown);
        let mut made = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => return Err(Fault::Symmetric),
            AlgorithmParameters::Other(_) => return Err(Fault::Unknown),
            AlgorithmParameters::RSA(parameters) => Self::rsa(
                key(jwk)?,
                decoded_length(&parameters.n)?,
                decoded_length(&parameters.e)?,
            )?,
            AlgorithmParameters::EllipticCurve(parameters) => {
                let (algorithm, bytes) = match parameters.curve {
                    EllipticCurve::P256 => (Algorithm::ES256, 32),
                    EllipticCurve::P384 => (Algorithm::ES384, 48),
                    _ => return Err(Fault::Unknown),
                };
                if decoded_length(&parameters.x)? != bytes || decoded_length(&parameters.y)? != bytes {
                    return Err(Fault::Point);
                }
                Self::checked(key(jwk)?, &[algorithm])?
            }
            AlgorithmParameters::OctetKeyPair(parameters) => {
                // The verifying library takes the first 32 bytes unseen.
                if parameters.curve != EllipticCurve::Ed25519 || decoded_length(&parameters.x)? != 32 {
                    return Err(Fault::Unknown);
                }
                Self::checked(key(jwk)?, &[Algorithm::EdDSA])?
            }
            _ => return Err(Fault::Unknown),
        };
        if let Some(named) = common.key_algorithm {
            let named = Algorithm::try_from(named).map_err(|_| Fault::Purpose)?;
            made.keep(&[named]);
        }
        made.id.clone_from(&common.key_id);
        if made.algorithms.is_empty() {
            Err(Fault::Purpose)
        } else {
            Ok(made)
        }
    }

    /// Keeps only these algorithms.
    pub(super) fn keep(&mut self, wanted: &[Algorithm]) {
        self.algorithms.retain(|algorithm| wanted.contains(algorithm));
    }

    fn rsa(key: DecodingKey, modulus: usize, exponent: usize) -> Result<Self, Fault> {
        if !RSA_BYTES.contains(&modulus) || !(1..=RSA_EXPONENT_BYTES).contains(&exponent) {
            return Err(Fault::RsaSize);
        }
        Self::checked(key, &RSA)
    }

    /// Lets the verifying library read the key once: what it cannot use is refused now, not at each token.
    fn checked(material: DecodingKey, algorithms: &[Algorithm]) -> Result<Self, Fault> {
        jsonwebtoken::crypto::verify("", b"", &material, algorithms[0]).map_err(|_| Fault::Point)?;
        Ok(Self {
            id: None,
            algorithms: algorithms.to_vec(),
            material,
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// The length of a base64url number without its leading zeros, bytes.
fn decoded_length(text: &str) -> Result<usize, Fault> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .map(|bytes| bytes.len())
        .map_err(|_| Fault::Unknown)
}

/// The lengths of modulus and exponent in an RSAPublicKey (RFC 8017 appendix A.1.1), without their sign bytes.
fn rsa_lengths(der: &[u8]) -> Option<(usize, usize)> {
    let (sequence, _) = element(der, 0x30)?;
    let (modulus, rest) = element(sequence, 0x02)?;
    let (exponent, rest) = element(rest, 0x02)?;
    let unsigned = |number: &[u8]| number.iter().skip_while(|byte| **byte == 0).count();
    rest.is_empty().then(|| (unsigned(modulus), unsigned(exponent)))
}

/// The content of the DER element at the beginning, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest
            .split_first_chunk::<2>()
            .map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests;
