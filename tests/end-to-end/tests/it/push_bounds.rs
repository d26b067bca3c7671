//! Clients of live updates that are greedy, slow or mute: the real server's resident size stays within bounds that are
//! printed, each gets the documented code, and somebody who behaves is served meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use end_to_end::report;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::Client;
use end_to_end::wait::eventually;
use end_to_end::websocket::{BINARY, Message, Socket, TEXT, frame};
use end_to_end::wire::Request;
use fixture_redis::Redis;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::bounds::{KIB, Memory, OWN_GROWTH};
use crate::limits::raise_own_limit;

const PATH: &str = "/connection/websocket";

/// The default of `push.connection.messageBytes`.
const MESSAGE_BYTES: u64 = 64 * KIB;

/// What a connection takes beside its queue and its message: its task, its session, its socket's state.
const CONNECTION_BYTES: u64 = 16 * KIB;

/// What is taken from a queue for one write, beyond which a queue grows.
const BATCH_BYTES: u64 = 64 * KIB;

/// Somebody on the Centrifuge protocol who answers pings.
struct Peer {
    socket: Socket,
    /// Of one frame, what was not looked at yet.
    lines: VecDeque<Value>,
}

impl Peer {
    async fn connect(client: &Client) -> Self {
        let mut peer = Self {
            socket: Socket::open(client, PATH).await,
            lines: VecDeque::new(),
        };
        peer.say(&json!({ "id": 1, "connect": {} })).await;
        assert!(peer.next().await["connect"].is_object());
        peer
    }

    async fn subscribed(client: &Client, channel: &str) -> Self {
        let mut peer = Self::connect(client).await;
        peer.subscribe(channel).await;
        peer
    }

    async fn subscribe(&mut self, channel: &str) {
        self.say(&json!({ "id": 2, "subscribe": { "channel": channel } })).await;
        let reply = self.next().await;
        assert!(reply["id"] == 2 && reply["subscribe"].is_object(), "{reply}");
    }

    async fn say(&mut self, command: &Value) {
        self.socket.send_json(command).await;
    }

    /// Several commands in one frame.
    async fn say_all(&mut self, commands: &[Value]) {
        let lines: Vec<_> = commands.iter().map(Value::to_string).collect();
        self.socket.send_raw(&frame(TEXT, lines.join("\n").as_bytes())).await;
    }

    /// The next reply or push, pings aside.
    async fn next(&mut self) -> Value {
        loop {
            if let Some(line) = self.lines.pop_front() {
                if line != json!({}) {
                    return line;
                }
                self.say(&line).await;
                continue;
            }
            match self.socket.next().await {
                Some(Message::Text(text)) => {
                    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
                    self.lines.extend(lines);
                }
                Some(Message::Ping) => {}
                other => panic!("expected a text, got {other:?}"),
            }
        }
    }

    /// The data of the next publication.
    async fn publication(&mut self) -> Value {
        let push = self.next().await;
        assert!(push["push"]["pub"].is_object(), "{push}");
        push["push"]["pub"]["data"].clone()
    }
}

/// Somebody who behaves: publishes to a channel of its own and hears each publication once and in order.
struct Calm {
    peer: Peer,
    said: u64,
    longest: Duration,
}

impl Calm {
    async fn on(client: &Client) -> Self {
        Self {
            peer: Peer::subscribed(client, "calm").await,
            said: 0,
            longest: Duration::ZERO,
        }
    }

    async fn is_served(&mut self) {
        self.said += 1;
        let began = Instant::now();
        let publish = json!({ "channel": "calm", "data": self.said });
        self.peer.say(&json!({ "id": 9, "publish": publish })).await;
        let heard = [self.peer.next().await, self.peer.next().await];
        self.longest = self.longest.max(began.elapsed());
        let replies = heard
            .iter()
            .filter(|line| line["id"] == 9 && line["publish"].is_object());
        let pushes = heard.iter().filter(|line| line["push"]["pub"]["data"] == self.said);
        assert_eq!((replies.count(), pushes.count()), (1, 1), "{heard:?}");
    }

    fn report(&self, what: &str) {
        let (said, longest) = (self.said, self.longest.as_millis());
        report::line(&format!(
            "{what}: {said} publications of another client heard, each within {longest} ms"
        ));
    }
}

/// Without a history: what is missed is lost, and takes no memory.
const CHANNELS: &str = "allow_subscribe_for_client: true, allow_publish_for_client: true, \
                        allow_presence_for_subscriber: true, join_leave: true";

fn push(lines: &[&str]) -> Settings {
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    Settings {
        config: format!("push:\n  channels: {{ {CHANNELS} }}\n{lines}"),
        ..Settings::default()
    }
}

#[tokio::test]
async fn three_thousand_messages_that_never_end_take_their_bytes_and_are_cut_off_at_their_deadline() {
    const COUNT: usize = 3_000;
    const OPENERS: usize = 50;
    /// The buffer of a message grows by doubling, and the message's head comes on top of its 64 KiB.
    const EACH: u64 = 2 * MESSAGE_BYTES + CONNECTION_BYTES;
    raise_own_limit(COUNT as u64 + 1_000);
    let server = Server::with(Settings {
        open_files: Some(COUNT as u64 + 500),
        ..push(&[
            "heartbeat: { interval: 5s, readDeadline: 15s }",
            "connection: { staleAfter: 15s }",
        ])
    })
    .await;
    let client = Client::of(&server);
    let mut calm = Calm::on(&client).await;
    let memory = Memory::of(&server).await;
    let mut unfinished = frame(TEXT, &vec![b'x'; MESSAGE_BYTES as usize]);
    unfinished.pop();
    let openers: Vec<_> = (0..OPENERS)
        .map(|opener| {
            let (client, unfinished) = (client.clone(), unfinished.clone());
            tokio::spawn(async move {
                let mut sockets = Vec::new();
                for _ in 0..COUNT / OPENERS {
                    // Who has said who it is, and who has not.
                    let mut socket = if opener % 2 == 0 {
                        Peer::connect(&client).await.socket
                    } else {
                        Socket::open(&client, PATH).await
                    };
                    socket.send_raw(&unfinished).await;
                    sockets.push(socket);
                }
                (if opener % 2 == 0 { 3012 } else { 3502 }, sockets)
            })
        })
        .collect();
    let mut halves = Vec::new();
    for opener in openers {
        halves.push(opener.await.expect("connections can be opened"));
        calm.is_served().await;
    }
    memory.stays_within(
        OWN_GROWTH + EACH * COUNT as u64,
        "3,000 messages of 64 KiB without an end",
    );
    let closing = tokio::spawn(async move {
        for (code, sockets) in halves {
            for mut socket in sockets {
                assert_eq!(socket.close_code().await, Some(code));
            }
        }
    });
    eventually(Duration::from_secs(60), "all to be cut off", async || {
        calm.is_served().await;
        closing.is_finished().then_some(())
    })
    .await;
    closing.await.expect("each is told why");
    calm.report("3,000 messages without an end, until all are cut off");
}

#[tokio::test]
async fn a_flood_to_two_hundred_that_do_not_read_fills_their_queues_and_no_more() {
    fills_their_queues("in memory", "").await;
    let redis = Redis::start().await;
    let store = format!("store: {{ redis: {{ url: {} }} }}\n", redis.url());
    fills_their_queues("through Redis", &store).await;
}

async fn fills_their_queues(through: &str, store: &str) {
    const READERS: usize = 200;
    const QUEUE_BYTES: u64 = 256 * KIB;
    /// The kernel holds some megabytes of a loopback connection: far more than that is never needed.
    const ROUNDS_MAX: u64 = 2_000;
    let mut settings = push(&[&format!("connection: {{ queueBytes: {QUEUE_BYTES} }}")]);
    settings.config.push_str(store);
    let server = Server::with(settings).await;
    let client = Client::of(&server);
    let mut slow = Vec::new();
    let mut channels = vec!["calm".to_owned()];
    for index in 0..READERS {
        // Each has a channel of its own, for publications of one channel are shared by all who wait for them.
        let channel = format!("flood-{index}");
        slow.push(Peer::subscribed(&client, &channel).await);
        channels.push(channel);
    }
    let mut quick = Peer::subscribed(&client, "calm").await;
    let memory = Memory::of(&server).await;
    let mut api = client.connect().await;
    let filler = "x".repeat(16 * 1024);
    let mut round = 0;
    while round % 8 != 0 || client.counter("windlass_push_overflow_unsubscribes_total").await < READERS as u64 {
        round += 1;
        assert!(round <= ROUNDS_MAX, "somebody's queue does not fill");
        let body = json!({ "channels": channels, "data": { "round": round, "filler": filler } });
        let request = Request::new("POST", "/api/broadcast")
            .header("Content-Type", "application/json")
            .body(body.to_string());
        let response = api.exchange(&request).await.expect("it is answered");
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(quick.publication().await["round"], round, "once and in order");
    }
    memory.stays_within(
        OWN_GROWTH + (QUEUE_BYTES + BATCH_BYTES + CONNECTION_BYTES) * READERS as u64,
        &format!("200 full queues of 256 KiB {through}"),
    );
    report::line(&format!(
        "200 readers that do not read, {through}: all queues full after {round} publications of 16 KiB to each"
    ));
    for (mut peer, channel) in slow.into_iter().zip(&channels[1..]) {
        let mut expected = 0;
        let notice = loop {
            let line = peer.next().await;
            if line["push"]["pub"].is_null() {
                break line;
            }
            expected += 1;
            assert_eq!(line["push"]["pub"]["data"]["round"], expected, "once and in order");
        };
        assert_eq!(notice["push"]["unsubscribe"]["code"], 2500, "{notice}");
        assert!(expected > 0 && expected < round);
        // It has lost the one subscription and not the connection.
        peer.subscribe(channel).await;
    }
}

#[tokio::test]
async fn arrivals_and_departures_fill_a_queue_as_publications_do() {
    const AT_ONCE: usize = 400;
    const ROUNDS_MAX: usize = 500;
    let server = Server::with(push(&["connection: { queueBytes: 65536 }"])).await;
    let client = Client::of(&server);
    let mut mute = Peer::connect(&client).await;
    let subscribe = json!({ "channel": "door", "join_leave": true });
    mute.say(&json!({ "id": 2, "subscribe": subscribe })).await;
    assert!(mute.next().await["subscribe"].is_object());
    let mut calm = Calm::on(&client).await;
    let memory = Memory::of(&server).await;
    let mut restless = Peer::connect(&client).await;
    let commands: Vec<_> = (0..AT_ONCE)
        .map(|index| {
            let what = if index % 2 == 0 { "subscribe" } else { "unsubscribe" };
            json!({ "id": index + 1, what: { "channel": "door" } })
        })
        .collect();
    let mut rounds = 0;
    while client.counter("windlass_push_overflow_unsubscribes_total").await == 0 {
        rounds += 1;
        assert!(rounds <= ROUNDS_MAX, "the queue does not fill");
        restless.say_all(&commands).await;
        for command in &commands {
            assert_eq!(restless.next().await["id"], command["id"]);
        }
        calm.is_served().await;
    }
    memory.stays_within(OWN_GROWTH, "a queue of 64 KiB full of arrivals and departures");
    let notices = AT_ONCE * rounds;
    report::line(&format!(
        "arrivals and departures: a queue of 64 KiB is full after at most {notices}"
    ));
    let notice = loop {
        let line = mute.next().await;
        if line["push"]["join"].is_null() && line["push"]["leave"].is_null() {
            break line;
        }
    };
    assert_eq!(notice["push"]["unsubscribe"]["code"], 2500, "{notice}");
}

#[tokio::test]
async fn a_flood_of_commands_is_refused_beyond_its_rate_and_holds_nobody_up() {
    const FLOODERS: usize = 4;
    const FRAMES: usize = 50;
    const COMMANDS: usize = 200;
    /// As configured: so many at once, and so many more each second.
    const RATE: u64 = 100;
    let server = Server::with(push(&["limits: { commands: { count: 100, interval: 1s } }"])).await;
    let client = Client::of(&server);
    // It says less than its own rate: so often is asked whether it is served.
    let mut calm = Calm::on(&client).await;
    let memory = Memory::of(&server).await;
    let commands: Vec<_> = (1..=COMMANDS)
        .map(|id| json!({ "id": id, "publish": { "channel": "noise", "data": {} } }))
        .collect();
    let mut flooders = Vec::new();
    for _ in 0..FLOODERS {
        let mut peer = Peer::connect(&client).await;
        let commands = commands.clone();
        flooders.push(tokio::spawn(async move {
            let (began, mut accepted) = (Instant::now(), 0);
            for _ in 0..FRAMES {
                peer.say_all(&commands).await;
                for command in &commands {
                    let reply = peer.next().await;
                    assert_eq!(reply["id"], command["id"], "{reply}");
                    if reply["publish"].is_object() {
                        accepted += 1;
                    } else {
                        assert_eq!(reply["error"]["code"], 111, "{reply}");
                    }
                }
            }
            let most = RATE + 1 + (began.elapsed().as_secs_f64() * RATE as f64).ceil() as u64;
            assert!((RATE..=most).contains(&accepted), "{accepted} accepted, at most {most}");
            accepted
        }));
    }
    let mut accepted = 0;
    for flooder in flooders {
        for _ in 0..10 {
            calm.is_served().await;
        }
        accepted += flooder.await.expect("the flood is answered");
    }
    memory.stays_within(OWN_GROWTH, "40,000 commands");
    report::line(&format!(
        "40,000 commands: {accepted} accepted, the others refused with 111"
    ));
    calm.report("40,000 commands");
}

#[tokio::test]
async fn a_message_of_the_shortest_commands_waits_as_it_came() {
    const COUNT: usize = 100;
    let backend = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let endpoint = format!("http://{}/", backend.local_addr().expect("it has an address"));
    let proxy = format!(
        "rpc: {{ proxy: {{ endpoint: \"{endpoint}\", timeout: 30s }}, without_namespace: {{ proxy_enabled: true }} }}"
    );
    let server = Server::with(push(&[&proxy])).await;
    let client = Client::of(&server);
    let mut calm = Calm::on(&client).await;
    let memory = Memory::of(&server).await;
    // Protocol Buffers, each command after its length: id 1 connects, id 2 calls the method `m`, and an empty one, of
    // one byte, is the answer to a ping.
    let mut message = vec![4, 0x08, 1, 0x22, 0];
    message.extend_from_slice(&[7, 0x08, 2, 0x6A, 3, 0x12, 1, b'm']);
    message.resize(MESSAGE_BYTES as usize, 0);
    let mut waiting = Vec::new();
    for _ in 0..COUNT {
        let mut socket = Socket::open(&client, &format!("{PATH}?format=protobuf")).await;
        socket.send_raw(&frame(BINARY, &message)).await;
        // The backend is asked, and never answers.
        let (mut asked, _) = backend.accept().await.expect("the backend is asked");
        assert!(asked.read(&mut [0; 1_024]).await.expect("the question can be read") > 0);
        waiting.push((socket, asked));
    }
    calm.is_served().await;
    // Typed, the 65,000 commands of each are 13 MB.
    memory.stays_within(
        OWN_GROWTH + (2 * MESSAGE_BYTES + CONNECTION_BYTES) * COUNT as u64,
        "100 messages of 65,000 commands that wait",
    );
    calm.report("100 messages of 65,000 commands");
}
