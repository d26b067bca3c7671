//! Keys that tests make for themselves, and tokens signed with them.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

/// A key pair of an identity provider.
pub(super) struct Issuer {
    pub(super) algorithm: Algorithm,
    signing: EncodingKey,
    pub(super) public_pem: String,
    pub(super) private_pem: String,
    jwk: Value,
}

impl Issuer {
    /// The one RSA key of a test process, for this algorithm: making one takes a while.
    pub(super) fn rsa(algorithm: Algorithm) -> Self {
        static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
        Self::of_rsa(KEY.get_or_init(|| rsa_key(2048)), algorithm)
    }

    pub(super) fn of_rsa(key: &RsaPrivateKey, algorithm: Algorithm) -> Self {
        let private_pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
        let n = URL_SAFE_NO_PAD.encode(key.n().to_bytes_be());
        let e = URL_SAFE_NO_PAD.encode(key.e().to_bytes_be());
        Self {
            algorithm,
            signing: EncodingKey::from_rsa_pem(private_pem.as_bytes()).unwrap(),
            public_pem: key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap(),
            private_pem,
            jwk: json!({"kty": "RSA", "n": n, "e": e}),
        }
    }

    /// A fresh elliptic key for ES256, ES384 or EdDSA.
    pub(super) fn elliptic(algorithm: Algorithm) -> Self {
        let (kind, curve) = match algorithm {
            Algorithm::ES256 => (&rcgen::PKCS_ECDSA_P256_SHA256, "P-256"),
            Algorithm::ES384 => (&rcgen::PKCS_ECDSA_P384_SHA384, "P-384"),
            Algorithm::EdDSA => (&rcgen::PKCS_ED25519, "Ed25519"),
            other => panic!("{other:?} is not elliptic"),
        };
        let key = rcgen::KeyPair::generate_for(kind).unwrap();
        let private_pem = key.serialize_pem();
        let raw = key.public_key_raw();
        let (signing, jwk) = if algorithm == Algorithm::EdDSA {
            let jwk = json!({"kty": "OKP", "crv": curve, "x": URL_SAFE_NO_PAD.encode(raw)});
            (EncodingKey::from_ed_pem(private_pem.as_bytes()).unwrap(), jwk)
        } else {
            let (x, y) = raw[1..].split_at(raw.len() / 2);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            let jwk = json!({"kty": "EC", "crv": curve, "x": x, "y": y});
            (EncodingKey::from_ec_pem(private_pem.as_bytes()).unwrap(), jwk)
        };
        Self {
            algorithm,
            signing,
            public_pem: key.public_key_pem(),
            private_pem,
            jwk,
        }
    }

    /// The public key as a member of a set, with these members besides.
    pub(super) fn jwk(&self, more: &Value) -> Value {
        let mut jwk = self.jwk.clone();
        let members = more.as_object().unwrap().clone();
        jwk.as_object_mut().unwrap().extend(members);
        jwk
    }

    /// A token of `ann`, under this key id.
    pub(super) fn token(&self, id: Option<&str>) -> String {
        self.sign(id, &claims())
    }

    pub(super) fn sign(&self, id: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = id.map(str::to_owned);
        encode(&header, claims, &self.signing).unwrap()
    }
}

pub(super) fn claims() -> Value {
    json!({"sub": "ann", "exp": jsonwebtoken::get_current_timestamp() + 60})
}

pub(super) fn rsa_key(bits: usize) -> RsaPrivateKey {
    RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap()
}
