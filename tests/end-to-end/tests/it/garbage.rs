//! Noise on every path: the one who makes it is closed, nobody else notices.

use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::random::Random;
use end_to_end::server::Server;
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::watch::Watcher;
use end_to_end::websocket::{BINARY, CLOSE, PING, Socket, TEXT, frame, handshake};
use end_to_end::wire::{Framing, Request};
use serde_json::json;

/// Somebody who behaves, on every protocol, while others do not.
struct Bystander {
    client: Client,
    upload: Upload,
    events: Watcher,
    plain: Watcher,
    centrifuge: Socket,
    pid: u32,
}

impl Bystander {
    async fn on(server: &Server) -> Self {
        let client = Client::of(server);
        let upload = client.create(Content::new(1, 1_000)).await;
        let mut centrifuge = Socket::open(&client, "/connection/websocket").await;
        centrifuge.send_json(&json!({ "id": 1, "connect": {} })).await;
        assert_eq!(centrifuge.next_json().await["id"], 1);
        centrifuge
            .send_json(&json!({ "id": 2, "subscribe": { "channel": format!("task:{}", upload.task) } }))
            .await;
        loop {
            let reply = centrifuge.next_json().await;
            assert!(reply.get("error").is_none(), "{reply}");
            if reply["id"] == 2 {
                break;
            }
        }
        Self {
            events: Watcher::events(&client, &upload).await,
            plain: Watcher::plain(&client, &upload).await,
            client,
            upload,
            centrifuge,
            pid: server.pid(),
        }
    }

    /// Everything still works for it, in the same process.
    async fn ends_well(mut self, server: &mut Server) {
        assert_eq!(server.pid(), self.pid);
        self.client.complete(&self.upload).await;
        self.events
            .sees("the last event", |value| value["event"] == "completed")
            .await;
        self.plain
            .sees("the last value", |value| value["progress"] == 100)
            .await;
        loop {
            let text = self.centrifuge.next_json().await.to_string();
            if text.contains("\"progress\":100") {
                break;
            }
        }
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}

/// What random bytes would hardly hit.
fn wrong_frames() -> Vec<(&'static str, Vec<u8>)> {
    let masked = |first: u8, payload: &[u8]| {
        let mut bytes = frame(TEXT, payload);
        bytes[0] = first;
        bytes
    };
    let long = |length: u64| [&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    vec![
        ("unmasked", vec![0x81, 0x02, b'{', b'}']),
        ("reserved bit", masked(0xc1, b"{}")),
        ("reserved opcode", masked(0x83, b"{}")),
        ("reserved control", masked(0x8b, b"")),
        ("continuation of nothing", masked(0x80, b"{}")),
        ("two beginnings", [masked(0x01, b"{"), masked(0x01, b"}")].concat()),
        ("cut ping", masked(0x09, b"x")),
        ("long ping", frame(PING, &[0; 126])),
        ("long close", frame(CLOSE, &[3; 200])),
        ("close of one byte", frame(CLOSE, &[3])),
        ("close 0", frame(CLOSE, &[0, 0])),
        ("close 1005", frame(CLOSE, &1_005_u16.to_be_bytes())),
        ("close with bad text", frame(CLOSE, b"\x03\xe8\xff\xfe")),
        ("2^63 bytes", long(1 << 63)),
        ("2^62 bytes", long(1 << 62)),
        ("4 GiB", long(1 << 32)),
        (
            "not the shortest length",
            [&[0x81, 0xfe, 0, 2][..], &[0; 4], b"{}"].concat(),
        ),
        ("bad UTF-8", frame(TEXT, b"\xff\xfe\xfd")),
        ("half a character", frame(TEXT, b"\"\xe2\x82\"")),
        ("no JSON", frame(TEXT, b"hello")),
        ("nothing", frame(TEXT, b"")),
        ("half JSON", frame(TEXT, b"{\"type\":")),
        ("a number", frame(TEXT, b"7")),
        ("an array", frame(TEXT, b"[]")),
        ("null", frame(TEXT, b"null")),
        ("a string", frame(TEXT, b"\"join\"")),
        ("deep", frame(TEXT, "[".repeat(60_000).as_bytes())),
        ("deep objects", frame(TEXT, "{\"a\":".repeat(12_000).as_bytes())),
        ("too long", frame(TEXT, &vec![b' '; 70_000])),
        ("much too long", frame(TEXT, &vec![b' '; 2_000_000])),
        ("binary", frame(BINARY, b"\0\x01\x02\x03")),
        ("NULs", frame(TEXT, &[0; 100])),
        ("surrogates", frame(TEXT, br#"{"type":"join","fileId":"\ud800"}"#)),
        ("numbers", frame(TEXT, br#"{"id":1e400,"connect":{}}"#)),
        ("negative id", frame(TEXT, br#"{"id":-1,"connect":{}}"#)),
        (
            "everything",
            frame(TEXT, br#"{"id":1,"connect":{},"subscribe":{},"publish":{},"ping":{}}"#),
        ),
        (
            "before connect",
            frame(TEXT, br#"{"id":1,"subscribe":{"channel":"x"}}"#),
        ),
        ("wrong types", frame(TEXT, br#"{"type":7,"fileId":[],"token":{}}"#)),
        (
            "a path as id",
            frame(TEXT, br#"{"type":"join","fileId":"../../etc/passwd"}"#),
        ),
        ("unknown type", frame(TEXT, br#"{"type":"obey","fileId":"x"}"#)),
        ("many lines", frame(TEXT, "{}\n".repeat(20_000).as_bytes())),
        ("many pings", frame(PING, b"x").repeat(5_000)),
        (
            "many fragments",
            [masked(0x01, b""), masked(0x00, b"").repeat(20_000)].concat(),
        ),
    ]
}

#[tokio::test]
async fn wrong_frames_close_their_own_websocket_and_no_other() {
    let mut server = Server::start().await;
    let bystander = Bystander::on(&server).await;
    let client = bystander.client.clone();
    for path in ["/ws", "/connection/websocket"] {
        for (about, bytes) in wrong_frames() {
            let mut socket = Socket::open(&client, path).await;
            socket.send_raw(&bytes).await;
            // What is wrong in words only is answered; then this is answered too, or the connection ends.
            socket.send_raw(&frame(CLOSE, &1_000_u16.to_be_bytes())).await;
            let ended = tokio::time::timeout(SOON, socket.close_code()).await;
            assert!(ended.is_ok(), "{path} {about}: neither answered nor closed");
        }
    }
    bystander.ends_well(&mut server).await;
}

#[tokio::test]
async fn random_bytes_on_every_path_hurt_nobody() {
    let mut random = Random::of_this_run("garbage");
    let mut server = Server::start().await;
    let bystander = Bystander::on(&server).await;
    let client = bystander.client.clone();
    let task = &bystander.upload.task;
    let paths = [
        "/",
        "/files",
        "/files/",
        &bystander.upload.location,
        "/tasks",
        &format!("/tasks/{task}"),
        &format!("/tasks/{task}/pause"),
        &format!("/events/{task}"),
        "/ws",
        "/connection/websocket",
        "/metrics",
        "/healthz",
        "/readyz",
        "/page/x",
        "/nowhere",
    ]
    .map(str::to_owned);
    for round in 0..200 {
        let noise = Content::new(random.number(), random.between(1..3_000)).whole();
        let path = &paths[random.between(0..paths.len() as u64) as usize];
        let mut wire = client.connect().await;
        // Noise alone, noise in a header, noise as a body of any method, noise after a handshake.
        let bytes = match round % 4 {
            0 => noise,
            1 => Request::new("GET", path).header("X-Noise", &noise).bytes(),
            2 => {
                let method =
                    ["GET", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "HEAD"][random.between(0..7) as usize];
                Request::new(method, path).body(noise).bytes()
            }
            _ => {
                let path = ["/ws", "/connection/websocket"][random.between(0..2) as usize];
                [handshake(path).bytes(), noise].concat()
            }
        };
        let _ = wire.send(bytes).await;
        if random.once_in(2) {
            let _ = wire.finish().await;
            let _ = tokio::time::timeout(Duration::from_millis(20), wire.until_closed()).await;
        }
    }
    bystander.ends_well(&mut server).await;
}

#[tokio::test]
async fn noise_in_the_body_of_an_upload_is_its_content_and_nothing_else() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for (index, bytes) in [
        &b"\r\n\r\nDELETE / HTTP/1.1\r\n\r\n"[..],
        b"0\r\n\r\n",
        b"--boundary--\r\n",
        &[0; 1_000],
        &[0xff; 1_000],
    ]
    .into_iter()
    .enumerate()
    {
        let upload = client.create(Content::new(index as u64, bytes.len() as u64)).await;
        let request = Request::patch(&upload.location, 0);
        let request = if index % 2 == 0 {
            request.body(bytes)
        } else {
            request.chunked(bytes)
        };
        assert_eq!(client.ask(&upload, &request).await.status, 204);
        assert_eq!(client.answer(&Request::new("GET", &upload.location)).await.body, bytes);
    }
}

#[tokio::test]
async fn a_websocket_path_without_a_handshake_says_what_it_wants() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for path in ["/ws", "/connection/websocket"] {
        for request in [
            Request::new("GET", path),
            handshake(path).without("Upgrade"),
            handshake(path).without("Connection"),
            handshake(path).without("Sec-WebSocket-Key"),
            handshake(path).replace("Sec-WebSocket-Key", "short"),
            handshake(path).replace("Sec-WebSocket-Version", "8"),
            handshake(path).replace("Upgrade", "h2c"),
        ] {
            let response = client.answer(&request).await;
            let found = (response.status, response.code());
            assert_eq!(
                found,
                (426, "websocket_required".to_owned()),
                "{:?}",
                String::from_utf8_lossy(&request.head())
            );
        }
        let post = Request::new("POST", path).framing(Framing::Length(0));
        assert_eq!(client.answer(&post).await.status, 405);
    }
}

#[tokio::test]
async fn who_goes_away_in_the_middle_of_anything_leaves_nothing_open() {
    let mut server = Server::start().await;
    let bystander = Bystander::on(&server).await;
    let client = bystander.client.clone();
    let open = client.counter("windlass_connections").await;
    for round in 0..60 {
        let upload = client.create(Content::new(round, 100_000)).await;
        let mut wire = client.connect().await;
        let request = match round % 5 {
            0 => handshake("/ws").bytes(),
            1 => Request::new("GET", &format!("/events/{}", upload.task)).bytes(),
            2 => Request::new("GET", &format!("/tasks/{}?wait=60", upload.task))
                .header("If-None-Match", "*")
                .bytes(),
            3 => Request::patch(&upload.location, 0)
                .framing(Framing::Length(100_000))
                .head(),
            _ => handshake("/connection/websocket").bytes(),
        };
        wire.send(request).await.expect("it can be sent");
    }
    eventually(SOON, "every abandoned connection to be noticed", async || {
        (client.counter("windlass_connections").await <= open).then_some(())
    })
    .await;
    bystander.ends_well(&mut server).await;
}
