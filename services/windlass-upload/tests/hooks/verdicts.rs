//! Verdicts of a receiver that does whatever it likes, to clients that insist, on a server that is killed again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Manner, PATIENCE, Receiver, Server, eventually};

/// How many uploads there are, of both protocols in turn.
const UPLOADS: usize = 24;
/// How often the server is killed in the middle.
const KILLS: usize = 6;

/// Splitmix64: the whole run follows from its seed, but for the time that things take.
struct Chance(AtomicU64);

impl Chance {
    fn below(&self, limit: u64) -> u64 {
        let mut value = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % limit
    }
}

/// What a client was told at last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    status: u16,
    text: String,
}

struct Client {
    path: String,
    ietf: bool,
    told: Option<Told>,
}

impl Client {
    async fn create(server: &Server, ietf: bool) -> Option<Self> {
        let headers: &[_] = if ietf {
            &[("upload-complete", "?0"), ("upload-length", "5")]
        } else {
            &[("upload-length", "5")]
        };
        let created = server.tus("POST", "/files/", headers).send().await.ok()?;
        assert_eq!(created.status(), 201);
        let path = created.headers()["location"].to_str().unwrap().to_owned();
        Some(Self { path, ietf, told: None })
    }

    /// Sends what is missing, as a client does after whatever has happened; `None` while there is no verdict.
    async fn insist(&self, server: &Server) -> Option<Told> {
        let headers: &[_] = if self.ietf { &[("upload-complete", "?0")] } else { &[] };
        let head = server.tus("HEAD", &self.path, headers).send().await.ok()?;
        let status = head.status().as_u16();
        assert!(matches!(status, 200 | 204 | 423), "HEAD {status}");
        let offset: u64 = head.headers().get("upload-offset")?.to_str().unwrap().parse().unwrap();
        let rest = &"hello"[usize::try_from(offset).unwrap()..];
        let patch = if self.ietf {
            let offset = offset.to_string();
            let headers = [
                ("upload-complete", "?1"),
                ("upload-offset", offset.as_str()),
                ("content-type", "application/partial-upload"),
            ];
            server.tus("PATCH", &self.path, &headers).body(rest)
        } else {
            server.patch(&self.path, offset, rest)
        };
        let answer = patch.send().await.ok()?;
        let has_code = answer
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind == "application/problem+json");
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        let pending = has_code && matches!(status, 409 | 423 | 503);
        (!pending).then_some(Told { status, text })
    }
}

/// A receiver's answer to `pre-finish`: refusals with any status, words, failures and silence.
fn verdict(chance: &Chance) -> Manner {
    let word = chance.below(1_000);
    match chance.below(6) {
        0 => Manner::Fail(500),
        1 => Manner::Hang,
        2 => Manner::Say(json!({"RejectUpload": true, "HTTPResponse": {"Body": format!("refused {word}")}})),
        3 => Manner::Say(json!({"HTTPResponse": {"StatusCode": 422, "Body": format!("no {word}")}})),
        4 => Manner::Say(json!({"HTTPResponse": {"StatusCode": 502, "Body": format!("late {word}")}})),
        _ => Manner::Say(json!({"HTTPResponse": {"StatusCode": 200, "Body": format!("taken {word}")}})),
    }
}

#[tokio::test]
async fn a_verdict_is_given_once_whatever_the_receiver_does_and_whenever_the_server_dies() {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let chance = Arc::new(Chance(AtomicU64::new(seed)));
    let (receiver, hook) = Receiver::start().await;
    let moody = Arc::clone(&chance);
    receiver.set("pre-finish", Manner::Decide(Arc::new(move |_| verdict(&moody))));
    for kind in ["post-create", "post-finish"] {
        let moody = Arc::clone(&chance);
        receiver.set(
            kind,
            Manner::Decide(Arc::new(move |_| match moody.below(3) {
                0 => Manner::Fail(503),
                _ => Manner::Say(json!({})),
            })),
        );
    }
    let mut server = Server::start(&hook, "    timeout: 300ms\n");
    let mut clients = Vec::new();
    for number in 0..UPLOADS {
        clients.push(Client::create(&server, number % 2 == 1).await.unwrap());
    }

    let deadline = Instant::now() + PATIENCE * 2;
    let mut kills = 0;
    while clients.iter().any(|client| client.told.is_none()) {
        assert!(Instant::now() < deadline, "no verdict in time");
        let at = usize::try_from(chance.below(UPLOADS as u64)).unwrap();
        if kills < KILLS && chance.below(10) == 0 {
            kills += 1;
            // In the middle of a request, at any moment of it.
            let delay = std::time::Duration::from_micros(chance.below(20_000));
            tokio::select! {
                told = clients[at].insist(&server) => keep(&mut clients[at], told),
                () = sleep(delay) => {}
            }
            server.kill();
            server.restart();
            continue;
        }
        let told = clients[at].insist(&server).await;
        keep(&mut clients[at], told);
    }
    let asked = receiver.calls("pre-finish").len();
    server.kill();
    server.restart();
    for client in &mut clients {
        let told = client.insist(&server).await;
        assert!(told.is_some(), "a verdict was forgotten");
        keep(client, told);
    }
    assert_eq!(receiver.calls("pre-finish").len(), asked, "nobody is asked again");
    check_tidings(&receiver, &clients).await;
}

/// A verdict that was told once stays what it is, word by word.
fn keep(client: &mut Client, told: Option<Told>) {
    match (&client.told, told) {
        (_, None) => {}
        (None, told) => client.told = told,
        (Some(first), Some(again)) => assert_eq!(first, &again, "{}", client.path),
    }
}

/// What happened is told in order for each upload, none is lost, and each repetition has the key of the first.
async fn check_tidings(receiver: &Receiver, clients: &[Client]) {
    let id_of = |client: &Client| client.path.split('/').nth(3).unwrap().to_owned();
    let taken: BTreeSet<String> = clients
        .iter()
        .filter(|client| client.told.as_ref().is_some_and(|told| told.status < 300))
        .map(id_of)
        .collect();
    eventually("the end of each accepted upload to be told", || {
        let finished = receiver.calls("post-finish");
        let told: BTreeSet<String> = finished.iter().map(|(call, _)| upload_of(call)).collect();
        taken.is_subset(&told).then_some(())
    })
    .await;
    let calls = receiver.calls.lock().unwrap().clone();
    let mut order: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (call, headers) in &calls {
        let kind = call["Type"].as_str().unwrap().to_owned();
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        if kind.starts_with("post-c") || kind.starts_with("post-f") {
            order.entry(upload_of(call)).or_default().push((kind, key));
        }
    }
    for client in clients {
        let told = &order[&id_of(client)];
        let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
        assert!(kinds.is_sorted(), "{kinds:?}");
        let keys: BTreeSet<_> = told.iter().collect();
        let distinct: BTreeSet<_> = kinds.iter().collect();
        assert_eq!(
            keys.len(),
            distinct.len(),
            "a repetition with a key of its own: {told:?}"
        );
        let finished = kinds.contains(&"post-finish");
        assert_eq!(finished, taken.contains(&id_of(client)), "{:?} {kinds:?}", client.told);
    }
}

fn upload_of(call: &Value) -> String {
    call["Event"]["Upload"]["ID"].as_str().unwrap().to_owned()
}
