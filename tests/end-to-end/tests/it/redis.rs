//! Several processes on one Redis and one folder of bytes: any of them takes any request, and one that dies or sleeps
//! harms nothing.

use std::collections::HashMap;
use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::receiver::Receiver;
use end_to_end::report;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, Patching, SOON, Upload};
use end_to_end::wait::{eventually, stays};
use end_to_end::watch::Watcher;
use end_to_end::wire::{Body, Ending, Framing, Pace, Request};
use fixture_redis::Redis;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::Instant;

const MIB: u64 = 1024 * 1024;
/// A takeover needs a question, a write in progress and an answer; a busy machine gets more. What is ruled out is the 2 s
/// after which a holder is overruled.
const QUICK: Duration = Duration::from_millis(1_500);
/// How long a process counts as living without a word of it.
const LEASE: Duration = Duration::from_secs(10);
const STEADY: Pace = Pace::Pieces {
    bytes: 8 * 1024,
    every: Duration::from_millis(2),
};

/// Processes on one Redis and one folder, and a client of each with one ledger.
struct Pods {
    redis: Redis,
    servers: Vec<Server>,
    clients: Vec<Client>,
    _data: TempDir,
}

impl Pods {
    async fn start(count: usize) -> Self {
        Self::with(count, "").await
    }

    /// With more lines of the section `upload`.
    async fn with(count: usize, lines: &str) -> Self {
        let redis = Redis::start().await;
        let data = TempDir::new().expect("a temporary folder can be made");
        let settings = Settings {
            config: format!(
                "store:\n  redis:\n    url: {}\nupload:\n  checkpoint: 50ms\n{lines}",
                redis.url()
            ),
            data: Some(data.path().to_owned()),
            ..Settings::default()
        };
        let (mut servers, mut clients) = (Vec::new(), Vec::<Client>::new());
        for _ in 0..count {
            let server = Server::with(settings.clone()).await;
            let client = clients
                .first()
                .map_or_else(|| Client::of(&server), |first| first.at(&server));
            clients.push(client);
            servers.push(server);
        }
        Self {
            redis,
            servers,
            clients,
            _data: data,
        }
    }
}

/// A body that moves all the time and would need many seconds, with bytes of it recorded.
async fn moving(client: &Client, upload: &Upload, from: u64) -> Patching {
    let body = Body::of(upload.content, from..upload.content.length).paced(STEADY);
    let patch = client.begin(upload, body).await;
    eventually(SOON, "a checkpoint", async || {
        (client.task(upload).await["offset"].as_u64() > Some(from)).then_some(())
    })
    .await;
    patch
}

#[tokio::test]
async fn any_process_takes_any_request_and_watchers_at_another_see_the_last_value() {
    let pods = Pods::start(3).await;
    let [a, b, c] = pods.clients.as_slice() else {
        panic!("three were started")
    };
    let upload = a.create(Content::new(1, 3 * MIB)).await;
    let watcher = Watcher::events(c, &upload).await;
    for (client, part) in [(a, 0), (b, 1), (c, 2)] {
        assert_eq!(client.head(&upload).await, part * MIB);
        let response = client.patch(&upload, part * MIB..(part + 1) * MIB).await;
        assert_eq!(
            (response.status, response.offset()),
            (204, Some((part + 1) * MIB)),
            "{response:?}"
        );
    }
    watcher.sees("the end", |value| value["event"] == "completed").await;
    for client in [a, b, c] {
        client.verify(&upload).await;
        client.task_becomes(&upload, "completed").await;
    }
}

#[tokio::test]
async fn a_takeover_between_processes_is_quick_and_loses_nothing_of_the_old_body() {
    let pods = Pods::start(2).await;
    let (here, there) = (&pods.clients[0], &pods.clients[1]);
    let mut times = Vec::new();
    for seed in 0..10 {
        let upload = here.create(Content::new(seed, 16 * MIB)).await;
        let old = moving(here, &upload, 0).await;
        let asked = Instant::now();
        let offset = there.head(&upload).await;
        times.push(asked.elapsed());
        let response = old.answer().await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (423, "upload_taken_over"),
            "{response:?}"
        );
        assert_eq!(
            response.offset(),
            Some(offset),
            "the interrupted request and HEAD disagree"
        );
        assert_eq!(there.patch(&upload, offset..16 * MIB).await.status, 204);
        here.verify(&upload).await;
    }
    times.sort();
    report::line(&format!(
        "takeover between two processes: median {:?}, longest {:?} of {}",
        times[times.len() / 2],
        times[times.len() - 1],
        times.len()
    ));
    assert!(times[times.len() - 1] < QUICK, "{times:?}");
    assert!(
        there
            .counter(r#"windlass_upload_takeovers_total{outcome="released"}"#)
            .await
            >= 10
    );
}

#[tokio::test]
async fn two_clients_that_fight_through_two_processes_are_judged_as_through_one() {
    let pods = Pods::start(2).await;
    let upload = pods.clients[0].create(Content::new(4, 64 * MIB)).await;
    let began = Instant::now();
    let mut holder = moving(&pods.clients[0], &upload, 0).await;
    for turn in 1..=3 {
        let client = &pods.clients[turn % 2];
        let offset = client.head(&upload).await;
        assert_eq!(holder.answer().await.status, 423);
        holder = moving(client, &upload, offset).await;
    }
    let fourth = Request::tus("HEAD", &upload.location);
    let response = pods.clients[0].ask(&upload, &fourth).await;
    assert_eq!(response.status, 423, "{response:?}");
    assert!(response.retry_after().is_some());
    assert!(began.elapsed() < Duration::from_secs(10), "too slow to prove anything");
    stays(Duration::from_millis(200), "the holder keeps its body", async || {
        holder.is_inside()
    })
    .await;
}

#[tokio::test]
async fn an_upload_of_a_killed_process_goes_on_at_another_before_its_lease_has_ended() {
    let mut pods = Pods::start(2).await;
    let upload = pods.clients[0].create(Content::new(2, 16 * MIB)).await;
    let patch = moving(&pods.clients[0], &upload, 0).await;
    pods.servers[0].kill();
    assert!(matches!(patch.ending().await, Ending::Broken(_)));
    let there = &pods.clients[1];
    let asked = Instant::now();
    let offset = there.head(&upload).await;
    report::line(&format!(
        "after a process was killed: HEAD at another took {:?}",
        asked.elapsed()
    ));
    assert!(offset > 0 && asked.elapsed() < QUICK);
    assert_eq!(there.patch(&upload, offset..16 * MIB).await.status, 204);
    there.verify(&upload).await;
}

#[tokio::test]
async fn a_process_that_slept_longer_than_its_lease_changes_nothing_when_it_wakes() {
    let pods = Pods::start(2).await;
    let upload = pods.clients[0].create(Content::new(3, 4 * MIB)).await;
    // It goes on with other bytes than the one that takes over.
    let stale = Upload {
        content: Content::new(5, 4 * MIB),
        ..upload.clone()
    };
    let old = moving(&pods.clients[0], &stale, 0).await;
    pods.servers[0].signal(Signal::STOP);
    let asleep = Instant::now();
    let there = &pods.clients[1];
    let offset = there.head(&upload).await;
    let response = there.patch(&upload, offset..4 * MIB).await;
    assert_eq!(response.status, 204, "{response:?}");
    let file = there.answer(&Request::new("GET", &upload.location)).await.body;
    eventually(2 * LEASE, "the lease's end", async || {
        (asleep.elapsed() > LEASE).then_some(())
    })
    .await;
    pods.servers[0].signal(Signal::CONT);
    match old.ending().await {
        Ending::Answered(response) => assert!(response.status >= 400, "{response:?}"),
        Ending::Broken(_) => {}
    }
    let mut expected = stale.content.bytes(0..offset);
    expected.extend(upload.content.bytes(offset..4 * MIB));
    assert!(file == expected, "another's bytes are in the file");
    for client in &pods.clients {
        let now = client.answer(&Request::new("GET", &upload.location)).await.body;
        assert!(now == expected, "the stale writer changed the file");
    }
}

#[tokio::test]
async fn a_pause_at_one_process_stops_the_writer_at_another() {
    let pods = Pods::start(2).await;
    let upload = pods.clients[0].create(Content::new(6, 64 * MIB)).await;
    let patch = moving(&pods.clients[0], &upload, 0).await;
    let pause = Request::new("POST", &format!("/tasks/{}/pause", upload.task)).framing(Framing::Length(0));
    assert_eq!(pods.clients[1].answer(&pause).await.status, 200);
    let response = patch.answer().await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (409, "paused"),
        "{response:?}"
    );
    let offset = pods.clients[1].head(&upload).await;
    assert_eq!(response.offset(), Some(offset));
    assert_eq!(pods.clients[1].patch(&upload, offset..offset + 10).await.status, 204);
}

#[tokio::test]
async fn a_redis_that_hangs_for_some_seconds_is_a_pause() {
    let pods = Pods::start(1).await;
    let client = &pods.clients[0];
    let upload = client.create(Content::new(7, 32 * MIB)).await;
    let patch = moving(client, &upload, 0).await;
    pods.redis.pause();
    let waking = async {
        stays(Duration::from_secs(4), "the request waits", async || patch.is_inside()).await;
        let text = client.answer(&Request::new("GET", "/metrics")).await.text();
        let waited = text
            .lines()
            .find_map(|line| line.strip_prefix("windlass_upload_waiting_seconds "));
        let waited: f64 = waited.expect("the longest wait is shown").parse().expect("a number");
        assert!(waited > 1.0, "{waited} s");
        pods.redis.resume();
    };
    waking.await;
    let response = patch.answer().await;
    match response.status {
        204 => assert_eq!(response.offset(), Some(32 * MIB)),
        // The reply of a commit was lost for longer than it may be looked for: the client asks and goes on.
        503 => assert_eq!(response.code(), "outcome_unknown", "{response:?}"),
        _ => panic!("{response:?}"),
    }
    client.complete(&upload).await;
    client.verify(&upload).await;
}

/// Waits until the offset is shown again; until then nothing but 423 may be.
async fn shown_again(client: &Client, upload: &Upload) {
    let head = Request::tus("HEAD", &upload.location);
    eventually(SOON, "the offset", async || {
        let response = client.answer(&head).await;
        match response.status {
            200 => Some(()),
            423 => None,
            _ => panic!("{response:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_was_killed_costs_no_acknowledged_byte_whether_it_comes_back_empty_or_not() {
    let mut pods = Pods::start(2).await;
    let finished = pods.clients[0].create(Content::new(8, MIB)).await;
    pods.clients[0].complete(&finished).await;
    for (seed, forgets) in [(9, false), (10, true)] {
        let (here, there) = (pods.clients[0].clone(), pods.clients[1].clone());
        let upload = here.create(Content::new(seed, 16 * MIB)).await;
        let patch = moving(&here, &upload, 0).await;
        pods.redis.kill();
        if forgets {
            pods.redis.restart_empty().await;
        } else {
            pods.redis.restart().await;
        }
        if let Ending::Answered(response) = patch.ending().await {
            assert!([204, 423, 503].contains(&response.status), "{response:?}");
        }
        // The ledger of both clients fails the test if the offset is smaller than one that was shown.
        shown_again(&there, &upload).await;
        there.complete(&upload).await;
        here.verify(&upload).await;
        here.verify(&finished).await;
    }
}

#[tokio::test]
async fn no_hook_is_lost_and_none_is_out_of_order_when_the_process_that_calls_them_is_killed() {
    const UPLOADS: usize = 40;
    const KINDS: [&str; 3] = ["post-create", "post-finish", "post-terminate"];
    let hooks = Receiver::start().await;
    let lines = format!(
        "  hooks:\n    url: {}/hook\n    events: [{}]\n",
        hooks.url(),
        KINDS.join(", ")
    );
    let mut pods = Pods::with(2, &lines).await;
    let client = pods.clients[1].clone();
    let heard = || {
        let mut heard: HashMap<String, Vec<usize>> = HashMap::new();
        for (document, _) in hooks.documents() {
            let kind = KINDS.iter().position(|kind| document["Type"] == **kind);
            let task = document["Event"]["Upload"]["ID"].as_str().map(str::to_owned);
            heard
                .entry(task.expect("a hook names its upload"))
                .or_default()
                .push(kind.expect("a kind"));
        }
        heard
    };
    for seed in 0..UPLOADS {
        let upload = client.create(Content::new(seed as u64, 1_000)).await;
        client.complete(&upload).await;
        assert_eq!(
            client.answer(&Request::tus("DELETE", &upload.location)).await.status,
            204
        );
        // The one that does not take the requests delivers for half of the partitions.
        if seed == UPLOADS / 2 {
            pods.servers[0].kill();
        }
    }
    let killed = Instant::now();
    eventually(4 * LEASE, "every hook of every upload", async || {
        let heard = heard();
        let all = heard
            .values()
            .filter(|kinds| (0..KINDS.len()).all(|kind| kinds.contains(&kind)))
            .count();
        (all == UPLOADS).then_some(())
    })
    .await;
    let heard = heard();
    let calls: usize = heard.values().map(Vec::len).sum();
    report::line(&format!(
        "hooks of {UPLOADS} uploads with a worker killed: {} repeated, the last after {:?}",
        calls - UPLOADS * KINDS.len(),
        killed.elapsed()
    ));
    for (task, kinds) in heard {
        // The first call of each kind; a repetition carries the same id.
        let firsts: Vec<usize> = (0..KINDS.len())
            .filter_map(|kind| kinds.iter().position(|heard| *heard == kind))
            .collect();
        assert!(firsts.is_sorted(), "{task}: {kinds:?}");
    }
}
