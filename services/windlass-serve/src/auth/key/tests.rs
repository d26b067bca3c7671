use super::super::issuer::{Issuer, claims, rsa_key};
use super::super::{Authenticator, Error, KeySource, Settings, TokenError};
use super::*;
use crate::metrics::Metrics;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

fn configure(settings: &Settings) -> Result<Authenticator, Error> {
    Authenticator::configure(Some(settings), ([0, 0, 0, 0], 80).into(), &Metrics::default())
}

/// The settings for a key in a file.
fn settings(dir: &tempfile::TempDir, content: &[u8], source: fn(std::path::PathBuf) -> KeySource) -> Settings {
    let path = dir.path().join("key");
    std::fs::write(&path, content).unwrap();
    Settings::of(source(path))
}

fn by_pem(pem: &str, change: impl FnOnce(&mut Settings)) -> Result<Authenticator, Error> {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir, pem.as_bytes(), KeySource::PublicKeyFile);
    change(&mut settings);
    configure(&settings)
}

fn issuers() -> Vec<Issuer> {
    let rsa = RSA.into_iter().map(Issuer::rsa);
    let elliptic = [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA].map(Issuer::elliptic);
    rsa.chain(elliptic).collect()
}

#[test]
fn each_public_key_verifies_the_tokens_of_its_private_key_and_of_no_other() {
    let all = issuers();
    for issuer in &all {
        let authenticator = by_pem(&issuer.public_pem, |_| {}).unwrap();
        let verified = authenticator.verify(&issuer.token(None)).unwrap();
        assert_eq!(verified.owner.as_str(), "ann", "{:?}", issuer.algorithm);
        let others = all.iter().filter(|other| other.public_pem != issuer.public_pem);
        for other in others {
            let refused = authenticator.verify(&other.token(None));
            assert!(matches!(refused, Err(TokenError::Invalid(_))), "{:?}", issuer.algorithm);
        }
    }
}

#[test]
fn a_public_key_never_serves_as_an_hmac_secret() {
    for issuer in issuers() {
        let authenticator = by_pem(&issuer.public_pem, |_| {}).unwrap();
        let der = Key::pem(issuer.public_pem.as_bytes())
            .unwrap()
            .material
            .try_get_as_bytes()
            .unwrap()
            .to_vec();
        for secret in [issuer.public_pem.as_bytes(), issuer.public_pem.trim().as_bytes(), &der] {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let key = EncodingKey::from_secret(secret);
                let forged = encode(&Header::new(algorithm), &claims(), &key).unwrap();
                assert!(matches!(authenticator.verify(&forged), Err(TokenError::Invalid(_))));
            }
        }
    }
}

#[test]
fn a_secret_verifies_the_hmacs_that_it_is_long_enough_for() {
    let dir = tempfile::tempdir().unwrap();
    let algorithms = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    for (length, verified) in [(32, 1), (47, 1), (48, 2), (64, 3), (100, 3)] {
        let secret = vec![b'k'; length];
        let by = |source| configure(&settings(&dir, &secret, source)).unwrap();
        let (any, only) = (by(KeySource::HmacSecretFile), by(KeySource::Hs256SecretFile));
        for (index, algorithm) in algorithms.into_iter().enumerate() {
            let key = EncodingKey::from_secret(&secret);
            let token = encode(&Header::new(algorithm), &claims(), &key).unwrap();
            assert_eq!(any.verify(&token).is_ok(), index < verified, "{length} {algorithm:?}");
            assert_eq!(only.verify(&token).is_ok(), index == 0);
        }
    }
}

#[test]
fn configured_algorithms_narrow_what_a_key_verifies_and_never_widen_it() {
    let (rs256, ps512) = (Issuer::rsa(Algorithm::RS256), Issuer::rsa(Algorithm::PS512));
    let narrow = |algorithms: &[Algorithm]| {
        by_pem(&rs256.public_pem, |settings| {
            settings.algorithms = Some(algorithms.to_vec())
        })
    };
    let authenticator = narrow(&[Algorithm::PS512, Algorithm::HS256]).unwrap();
    assert!(authenticator.verify(&ps512.token(None)).is_ok());
    assert!(authenticator.verify(&rs256.token(None)).is_err());
    let error = narrow(&[Algorithm::HS256, Algorithm::ES256]).unwrap_err();
    assert!(error.to_string().contains("RS256"), "{error}");
}

#[test]
fn issuer_and_audience_must_be_there_and_fit_where_they_are_configured() {
    let issuer = Issuer::elliptic(Algorithm::ES256);
    let authenticator = by_pem(&issuer.public_pem, |settings| {
        settings.issuer = Some("https://id.example".into());
        settings.audience = vec!["up".into(), "windlass".into()];
    })
    .unwrap();
    let verify = |iss: Value, aud: Value| {
        let mut claims = claims();
        claims["iss"] = iss;
        claims["aud"] = aud;
        authenticator.verify(&issuer.sign(None, &claims))
    };
    let ours = || json!("https://id.example");
    assert!(verify(ours(), json!("windlass")).is_ok());
    assert!(verify(ours(), json!(["other", "up"])).is_ok());
    for (iss, aud) in [
        (json!("https://id.example/"), json!("up")),
        (json!(null), json!("up")),
        (json!(7), json!("up")),
        (ours(), json!("other")),
        (ours(), json!([])),
        (ours(), json!(null)),
    ] {
        assert!(matches!(verify(iss, aud), Err(TokenError::Invalid(_))));
    }
    assert!(authenticator.verify(&issuer.token(None)).is_err(), "neither is there");
}

#[test]
fn what_is_no_public_key_of_enough_strength_is_refused_in_words() {
    let issuer = Issuer::rsa(Algorithm::RS256);
    let weak = Issuer::of_rsa(&rsa_key(1024), Algorithm::RS256);
    for (pem, words) in [
        (issuer.private_pem.as_str(), "private key"),
        (Issuer::elliptic(Algorithm::ES256).private_pem.as_str(), "private key"),
        (weak.public_pem.as_str(), "2048"),
        ("", "PUBLIC KEY"),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "PUBLIC KEY",
        ),
        ("ssh-ed25519 AAAA", "PUBLIC KEY"),
    ] {
        let error = by_pem(pem, |_| {}).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("publicKeyFile"), "{error}");
    }
}

#[test]
fn a_member_of_a_set_is_for_what_it_says_and_weak_ones_are_refused() {
    let issuer = Issuer::rsa(Algorithm::RS256);
    let fault = |issuer: &Issuer, more: Value| {
        let jwk: Jwk = serde_json::from_value(issuer.jwk(&more)).unwrap();
        Key::jwk(&jwk).map(|key| key.algorithms)
    };
    assert_eq!(fault(&issuer, json!({})), Ok(RSA.to_vec()));
    assert_eq!(fault(&issuer, json!({"alg": "RS384"})), Ok(vec![Algorithm::RS384]));
    assert_eq!(
        fault(&issuer, json!({"use": "sig", "key_ops": ["verify"]})),
        Ok(RSA.to_vec())
    );
    for other in [
        json!({"alg": "HS256"}),
        json!({"alg": "ES256"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"alg": "none"}),
        json!({"use": "enc"}),
        json!({"key_ops": ["encrypt"]}),
    ] {
        assert_eq!(fault(&issuer, other), Err(Fault::Purpose));
    }
    assert_eq!(fault(&issuer, json!({"e": "AQABAQABAQAB"})), Err(Fault::RsaSize));
    assert_eq!(fault(&issuer, json!({"n": "AQAB"})), Err(Fault::RsaSize));
    let elliptic = Issuer::elliptic(Algorithm::ES256);
    assert_eq!(fault(&elliptic, json!({})), Ok(vec![Algorithm::ES256]));
    assert_eq!(fault(&elliptic, json!({"x": "AAAA"})), Err(Fault::Point));
    let off_the_curve = "A".repeat(43);
    assert_eq!(fault(&elliptic, json!({"x": off_the_curve})), Err(Fault::Point));
    let edwards = Issuer::elliptic(Algorithm::EdDSA);
    assert_eq!(fault(&edwards, json!({})), Ok(vec![Algorithm::EdDSA]));
    assert_eq!(fault(&edwards, json!({"x": "AAAA"})), Err(Fault::Unknown));
    let secret: Jwk = serde_json::from_value(json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"})).unwrap();
    assert_eq!(Key::jwk(&secret).unwrap_err(), Fault::Symmetric);
}
