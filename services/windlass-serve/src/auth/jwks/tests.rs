//! A real key server on loopback that rotates, fails and hangs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::issuer::Issuer;
use super::super::settings::JwksPlace;
use super::super::tokens::{Keys, Tokens};
use super::super::{KeySource, Settings, TokenError};
use super::*;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(10);
const NEVER: Duration = Duration::from_secs(3_600);

/// What the server does at the next request.
#[derive(Clone)]
enum Mood {
    Serve(Value),
    Fail,
    Hang,
    Endless,
    Redirect,
    Text(&'static str),
}

struct Server {
    url: String,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    async fn start(mood: Mood) -> Self {
        let (mood, asked) = (Arc::new(Mutex::new(mood)), Arc::new(AtomicUsize::new(0)));
        let handler = {
            let (mood, asked) = (Arc::clone(&mood), Arc::clone(&asked));
            move || {
                asked.fetch_add(1, Ordering::SeqCst);
                let mood = mood.lock().unwrap().clone();
                answer(mood)
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let served = crate::serve(
            listener,
            Router::new().route("/keys", get(handler)),
            crate::Options::default(),
            crate::Shutdown::new(),
            crate::Tracker::new(),
        );
        tokio::spawn(served);
        Self { url, mood, asked }
    }

    fn turn(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn place(&self) -> JwksPlace {
        JwksPlace::Url {
            url: self.url.clone(),
            ca_file: None,
        }
    }
}

async fn answer(mood: Mood) -> http::Response<Body> {
    let response = http::Response::builder();
    match mood {
        Mood::Serve(set) => response.body(set.to_string().into()),
        Mood::Text(text) => response.body(text.into()),
        Mood::Fail => response.status(500).body(Body::empty()),
        Mood::Hang => std::future::pending().await,
        Mood::Redirect => response
            .status(302)
            .header("location", "/elsewhere")
            .body(Body::empty()),
        Mood::Endless => response.body(Body::from(vec![b' '; 4 << 20])),
    }
    .unwrap()
}

fn tokens(place: &JwksPlace, refresh: Duration, cooldown: Duration) -> (Arc<Tokens>, Arc<Rotation>) {
    let settings = Settings::of(KeySource::Jwks {
        place: place.clone(),
        refresh,
    });
    let place = Place::open(place).unwrap();
    let rotation = Arc::new(Rotation::with_cooldown(
        place,
        refresh,
        None,
        Metrics::default(),
        cooldown,
    ));
    rotation.start();
    let tokens = Tokens::new(Keys::Rotating(Arc::clone(&rotation)), &settings);
    (Arc::new(tokens), rotation)
}

fn set(members: &[(&Issuer, &str)]) -> Value {
    let keys: Vec<Value> = members
        .iter()
        .map(|(issuer, id)| issuer.jwk(&json!({"kid": id, "use": "sig"})))
        .collect();
    json!({ "keys": keys })
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn es256() -> Issuer {
    Issuer::elliptic(Algorithm::ES256)
}

#[tokio::test]
async fn the_first_request_waits_for_the_first_keys_and_a_new_key_is_fetched_when_it_is_shown() {
    let (old, new) = (es256(), es256());
    let server = Server::start(Mood::Serve(set(&[(&old, "1")]))).await;
    let (tokens, _rotation) = tokens(&server.place(), NEVER, Duration::ZERO);
    assert!(tokens.verify_fresh(&old.token(Some("1"))).await.is_ok());
    server.turn(Mood::Serve(set(&[(&old, "1"), (&new, "2")])));
    assert!(tokens.verify_fresh(&new.token(Some("2"))).await.is_ok(), "rotated in");
    assert_eq!(server.asked(), 2, "a known key asks for nothing");
    server.turn(Mood::Serve(set(&[(&new, "2")])));
    let stranger = es256();
    let refused = tokens.verify_fresh(&stranger.token(Some("3"))).await;
    assert!(matches!(refused, Err(TokenError::Invalid(_))));
    let withdrawn = tokens.verify_fresh(&old.token(Some("1"))).await;
    assert!(matches!(withdrawn, Err(TokenError::Invalid(_))), "rotated out");
    let forged = tokens.verify_fresh(&stranger.token(Some("2"))).await;
    assert!(matches!(forged, Err(TokenError::Invalid(_))), "another's key id");
}

#[tokio::test]
async fn a_key_that_is_rotated_in_is_found_without_being_shown_too() {
    let (old, new) = (es256(), es256());
    let server = Server::start(Mood::Serve(set(&[(&old, "1")]))).await;
    let (tokens, _rotation) = tokens(&server.place(), Duration::from_millis(20), Duration::from_millis(1));
    server.turn(Mood::Serve(set(&[(&new, "2")])));
    eventually("the refresh brings it", || tokens.judge(&new.token(Some("2"))).is_ok()).await;
    assert!(tokens.judge(&old.token(Some("1"))).is_err());
}

#[tokio::test]
async fn while_the_server_fails_the_last_good_keys_stay_and_unknown_ones_are_no_clients_fault() {
    let (old, new) = (es256(), es256());
    let server = Server::start(Mood::Serve(set(&[(&old, "1")]))).await;
    let (tokens, rotation) = tokens(&server.place(), Duration::from_millis(10), Duration::from_millis(1));
    assert!(tokens.verify_fresh(&old.token(Some("1"))).await.is_ok());
    for mood in [
        Mood::Fail,
        Mood::Redirect,
        Mood::Endless,
        Mood::Text("no JSON"),
        Mood::Text(r#"{"keys": []}"#),
        Mood::Text(r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}, {"kty": "new"}, 7]}"#),
    ] {
        server.turn(mood);
        eventually("the failure is noticed", || !rotation.is_current()).await;
        assert!(
            tokens.verify_fresh(&old.token(Some("1"))).await.is_ok(),
            "the last good one stays"
        );
        let unknown = tokens.verify_fresh(&new.token(Some("2"))).await;
        assert_eq!(unknown, Err(TokenError::Unverifiable));
        server.turn(Mood::Serve(set(&[(&old, "1")])));
        eventually("it recovers", || rotation.is_current()).await;
    }
}

#[tokio::test]
async fn made_up_key_ids_do_not_make_the_server_be_asked_more_often() {
    let issuer = es256();
    let server = Server::start(Mood::Serve(set(&[(&issuer, "1")]))).await;
    let (tokens, _rotation) = tokens(&server.place(), NEVER, NEVER);
    assert!(tokens.verify_fresh(&issuer.token(Some("1"))).await.is_ok());
    for id in 0..100 {
        let refused = tokens.verify_fresh(&issuer.token(Some(&format!("made-up-{id}")))).await;
        assert!(matches!(refused, Err(TokenError::Invalid(_))));
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_never_comes_holds_a_request_for_a_bounded_time() {
    let server = Server::start(Mood::Hang).await;
    let (tokens, _rotation) = tokens(&server.place(), NEVER, COOLDOWN);
    let begun = Instant::now();
    let held = tokens.verify_fresh(&es256().token(Some("1"))).await;
    assert_eq!(held, Err(TokenError::Unverifiable));
    assert!(begun.elapsed() <= PATIENCE + COOLDOWN, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_set_in_a_file_is_read_again_and_tokens_without_a_key_id_are_tried_by_kind() {
    let (first, second, other) = (es256(), es256(), Issuer::rsa(Algorithm::PS256));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    std::fs::write(&path, set(&[(&other, "rsa"), (&first, "1")]).to_string()).unwrap();
    let place = JwksPlace::File(path.clone());
    let (tokens, _rotation) = tokens(&place, NEVER, Duration::ZERO);
    assert!(tokens.verify_fresh(&first.token(None)).await.is_ok());
    assert!(tokens.verify_fresh(&other.token(None)).await.is_ok());
    std::fs::write(&path, set(&[(&second, "2")]).to_string()).unwrap();
    assert!(tokens.verify_fresh(&second.token(None)).await.is_ok());
    assert!(tokens.verify_fresh(&first.token(None)).await.is_err());
}
