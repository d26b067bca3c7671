use super::*;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use windlass_task::{Right, Rights};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn authenticator() -> Authenticator {
    Authenticator::hs256(SECRET)
}

fn sign_as(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn sign(claims: &Value) -> String {
    sign_as(Algorithm::HS256, SECRET, claims)
}

fn later() -> u64 {
    get_current_timestamp() + 60
}

fn invalid(token: &str) -> &'static str {
    match authenticator().verify(token) {
        Err(TokenError::Invalid(reason)) => reason,
        other => panic!("{other:?} for {token}"),
    }
}

#[test]
fn a_token_gives_tenant_owner_and_rights() {
    let principal = authenticator()
        .verify(&sign(&json!({"sub": "ann", "exp": later()})))
        .unwrap();
    assert_eq!(principal.tenant.as_str(), "default");
    assert_eq!(principal.owner.as_str(), "ann");
    assert_eq!(principal.rights, Rights::DEFAULT);
    let claims = json!({"sub": "ann", "tenant": "acme", "exp": later(), "rights": ["watch", "publish"], "x": 1});
    let principal = authenticator().verify(&sign(&claims)).unwrap();
    assert_eq!(principal.tenant.as_str(), "acme");
    assert!(principal.may(Right::Watch) && principal.may(Right::Publish) && !principal.may(Right::Upload));
    let none = authenticator()
        .verify(&sign(&json!({"sub": "ann", "exp": later(), "rights": []})))
        .unwrap();
    assert_eq!(none.rights, Rights::NONE);
}

#[test]
fn a_token_says_until_when_it_holds() {
    let end = later();
    let expires = |exp: Value| {
        let token = sign(&json!({"sub": "ann", "exp": exp}));
        authenticator().verify_until(&token).unwrap().expires.unwrap().0
    };
    assert_eq!(expires(json!(end)), end * 1_000);
    assert_eq!(expires(json!(end as f64 + 0.5)), end * 1_000 + 500);
    assert_eq!(Authenticator::Loopback.verify_until("x").unwrap().expires, None);
}

#[test]
fn another_algorithm_or_secret_is_refused() {
    let claims = json!({"sub": "ann", "exp": later()});
    assert!(invalid(&sign_as(Algorithm::HS256, b"another", &claims)).contains("signature"));
    assert!(invalid(&sign_as(Algorithm::HS512, SECRET, &claims)).contains("algorithm"));
    let base64 = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    for algorithm in ["none", "None", "NONE", "nOnE", "hs256", "RS256", "ES256", ""] {
        let header = base64(&format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#));
        let unsigned = format!("{header}.{}.", base64(&claims.to_string()));
        invalid(&unsigned);
        let good = sign(&claims);
        let signature = good.rsplit('.').next().unwrap();
        invalid(&format!("{unsigned}{signature}"));
    }
    let stripped = sign(&claims)
        .rsplit_once('.')
        .map(|(rest, _)| format!("{rest}."))
        .unwrap();
    invalid(&stripped);
}

#[test]
fn a_token_whose_time_is_over_is_expired_and_one_without_an_end_invalid() {
    let now = get_current_timestamp();
    let verify = |claims: Value| authenticator().verify(&sign(&claims));
    assert_eq!(verify(json!({"sub": "ann", "exp": now - 60})), Err(TokenError::Expired));
    assert!(verify(json!({"sub": "ann", "exp": now - 2})).is_ok(), "leeway");
    assert_eq!(verify(json!({"sub": "ann", "exp": now - 8})), Err(TokenError::Expired));
    for exp in [json!(null), json!("9999999999"), json!(-1), json!([]), json!(1e300)] {
        let claims = json!({"sub": "ann", "exp": exp});
        assert!(matches!(verify(claims), Err(TokenError::Invalid(_))), "exp {exp}");
    }
    invalid(&sign(&json!({"sub": "ann"})));
    invalid(&sign(&json!({"sub": "ann", "exp": later(), "nbf": now + 30})));
}

#[test]
fn names_that_do_not_fit_and_claims_of_other_types_are_refused() {
    for claims in [
        json!({"exp": later()}),
        json!({"sub": "", "exp": later()}),
        json!({"sub": 7, "exp": later()}),
        json!({"sub": "a\nb", "exp": later()}),
        json!({"sub": "x".repeat(256), "exp": later()}),
        json!({"sub": "ann", "tenant": "", "exp": later()}),
        json!({"sub": "ann", "tenant": "../acme", "exp": later()}),
        json!({"sub": "ann", "tenant": "Acme", "exp": later()}),
        json!({"sub": "ann", "tenant": 1, "exp": later()}),
        json!({"sub": "ann", "rights": ["root"], "exp": later()}),
        json!({"sub": "ann", "rights": "upload", "exp": later()}),
        json!({"sub": "ann", "aud": "somebody-else", "exp": later()}),
        json!([]),
        json!("ann"),
    ] {
        invalid(&sign(&claims));
    }
    invalid(&"x".repeat(100_000));
}

proptest! {
    #[test]
    fn no_text_is_a_token_and_none_panics(text in "\\PC{0,200}") {
        prop_assert!(authenticator().verify(&text).is_err());
    }

    #[test]
    fn a_token_with_any_byte_changed_is_refused(at: prop::sample::Index, to in "[A-Za-z0-9_-]") {
        let mut token = sign(&json!({"sub": "ann", "exp": later()}));
        let at = at.index(token.len());
        prop_assume!(token[at..=at] != to);
        token.replace_range(at..=at, &to);
        prop_assert!(authenticator().verify(&token).is_err());
    }
}

fn headers(values: &[&str]) -> HeaderMap {
    values
        .iter()
        .map(|value| {
            (
                header::AUTHORIZATION,
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn only_paths_that_carry_tokens_inside_may_come_without_one() {
    let authenticator = authenticator();
    let call = async |method: Method, path: &'static str| {
        let called = authenticator
            .call(&method, &Uri::from_static(path), &HeaderMap::new())
            .await;
        called.map(|(caller, _)| caller)
    };
    for path in ["/ws", "/events/x", "/connection/websocket", "/connection/sse"] {
        assert_eq!(call(Method::GET, path).await, Ok(Caller::Anonymous), "{path}");
    }
    for path in [
        "/files",
        "/files/",
        "/tasks/x",
        "/tasks",
        "/wsx",
        "/ws/",
        "/events",
        "/connection",
        "/",
        "//ws",
    ] {
        assert_eq!(
            call(Method::GET, path).await,
            Err(Refusal::Token(TokenError::Missing)),
            "{path}"
        );
    }
    assert_eq!(call(Method::OPTIONS, "/files").await, Ok(Caller::Anonymous));
    assert_eq!(
        Authenticator::Loopback
            .call(&Method::GET, &Uri::from_static("/files"), &headers(&["Basic x"]))
            .await
            .unwrap()
            .0,
        Caller::Known(Principal::local())
    );
}

#[tokio::test]
async fn a_token_that_is_shown_is_verified_on_every_path() {
    let authenticator = authenticator();
    let good = format!("bEaReR {}", sign(&json!({"sub": "ann", "exp": later()})));
    for path in ["/files", "/ws"] {
        let call = async |values: &[&str]| {
            let uri = Uri::from_static(path);
            authenticator.call(&Method::GET, &uri, &headers(values)).await
        };
        assert!(
            matches!(call(&[&good]).await, Ok((Caller::Known(_), Some(_)))),
            "{path}"
        );
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            "Basic eDp5",
            "Token x",
            "Bearer \u{e9}",
        ] {
            assert!(
                matches!(call(&[bad]).await, Err(Refusal::Token(TokenError::Invalid(_)))),
                "{path} {bad}"
            );
        }
        assert!(
            matches!(call(&[&good, &good]).await, Err(Refusal::Token(TokenError::Invalid(_)))),
            "{path} twice"
        );
    }
}

#[test]
fn a_listener_for_the_network_needs_auth_and_a_long_secret() {
    let address = |text: &str| text.parse().unwrap();
    let metrics = Metrics::default();
    assert!(matches!(
        Authenticator::configure(None, address("127.0.0.1:80"), &metrics),
        Ok(Authenticator::Loopback)
    ));
    assert!(matches!(
        Authenticator::configure(None, address("[::1]:80"), &metrics),
        Ok(Authenticator::Loopback)
    ));
    for listen in ["0.0.0.0:80", "[::]:80", "192.168.0.1:80"] {
        let error = Authenticator::configure(None, address(listen), &metrics).unwrap_err();
        assert!(error.to_string().contains("hs256SecretFile"), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let settings = Settings::hs256(path.clone());
    let configure = || Authenticator::configure(Some(&settings), address("0.0.0.0:80"), &metrics);
    assert!(matches!(configure(), Err(Error::ReadFile { .. })));
    std::fs::write(&path, b"short\n").unwrap();
    assert!(matches!(configure(), Err(Error::ShortSecret { length: 5, .. })));
    std::fs::write(&path, [SECRET, b"\n"].concat()).unwrap();
    let authenticator = configure().unwrap();
    assert!(
        authenticator
            .verify(&sign(&json!({"sub": "ann", "exp": later()})))
            .is_ok()
    );
    assert!(!format!("{authenticator:?}").contains("0123"));
}

#[tokio::test]
async fn a_token_for_one_channel_is_verified_but_says_not_who_calls() {
    let authenticator = authenticator();
    let channel = sign(&json!({"sub": "ann", "exp": later(), "channel": "news", "info": {"name": "Ann"}}));
    assert!(matches!(authenticator.verify(&channel), Err(TokenError::Invalid(_))));
    let claims = authenticator.claims(&channel).await.unwrap().unwrap();
    assert_eq!(
        (&claims["channel"], &claims["info"]["name"]),
        (&json!("news"), &json!("Ann"))
    );
    assert!(authenticator.claims(&sign(&json!({"channel": "news"}))).await.is_ok());
    let late = sign(&json!({"channel": "news", "exp": 1}));
    assert_eq!(authenticator.claims(&late).await, Err(TokenError::Expired));
    let foreign = format!("{}x", sign(&json!({"channel": "news"})));
    assert!(matches!(
        authenticator.claims(&foreign).await,
        Err(TokenError::Invalid(_))
    ));

    let connection = sign(&json!({"sub": "ann", "exp": later(), "channels": ["news"]}));
    let (verified, claims) = authenticator.verify_with_claims(&connection).await.unwrap();
    assert_eq!(
        (verified.principal.owner.as_str(), &claims["channels"]),
        ("ann", &json!(["news"]))
    );
    assert_eq!(Authenticator::Loopback.claims("anything").await, Ok(None));
}
