//! The IETF protocol byte by byte, in each version that the drafts have, from their text: what no client library can
//! show, such as 104 before the body has ended.

use end_to_end::content::Content;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON};
use end_to_end::wait::{eventually, stays};
use end_to_end::wire::{Body, Framing, Pace, Request, Response, Wire};
use std::time::Duration;

/// The versions of the table; none is the RFC's mode.
const VERSIONS: [Option<u8>; 8] = [Some(3), Some(4), Some(5), Some(6), Some(7), Some(8), Some(9), None];

/// A client of one version.
#[derive(Debug, Clone, Copy)]
struct Dialect(Option<u8>);

impl Dialect {
    fn all() -> impl Iterator<Item = Self> {
        VERSIONS.into_iter().map(Self)
    }

    fn is_before(self, version: u8) -> bool {
        self.0.is_some_and(|own| own < version)
    }

    fn request(self, method: &str, path: &str) -> Request {
        let request = Request::new(method, path);
        match self.0 {
            Some(version) => request.header("Upload-Draft-Interop-Version", version.to_string()),
            None => request,
        }
    }

    /// The field that says whether the body is the last, and its value.
    fn complete(self, complete: bool) -> (&'static str, &'static str) {
        let inverted = self.0 == Some(3);
        let name = if inverted {
            "Upload-Incomplete"
        } else {
            "Upload-Complete"
        };
        (name, if complete != inverted { "?1" } else { "?0" })
    }

    fn says(self, response: &Response, complete: bool) -> bool {
        let (name, value) = self.complete(complete);
        response.header(name) == Some(value)
    }

    fn create(self, complete: bool) -> Request {
        let (name, value) = self.complete(complete);
        self.request("POST", "/files/").header(name, value)
    }

    fn append(self, path: &str, offset: u64, complete: bool) -> Request {
        let (name, value) = self.complete(complete);
        let request = self.request("PATCH", path).header(name, value);
        request
            .header("Upload-Offset", offset.to_string())
            .header("Content-Type", "application/partial-upload")
    }
}

fn location(response: &Response) -> String {
    response.header("Location").expect("there is a Location").to_owned()
}

#[tokio::test]
async fn a_whole_upload_in_one_request_is_answered_by_the_final_response() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for dialect in Dialect::all() {
        let created = client.answer(&dialect.create(true).body("hello")).await;
        assert_eq!(created.status, 201, "{dialect:?}: {created:?}");
        assert!(dialect.says(&created, true), "{dialect:?}: {created:?}");
        let file = client.answer(&Request::new("GET", &location(&created))).await;
        assert_eq!(file.text(), "hello", "{dialect:?}");
    }
}

#[tokio::test]
async fn an_upload_in_parts_is_created_asked_for_and_appended_to() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for dialect in Dialect::all() {
        let create = dialect.create(false).header("Upload-Length", "11").body("hello ");
        let created = client.answer(&create).await;
        assert_eq!(created.status, 201, "{dialect:?}");
        assert!(dialect.says(&created, false), "{dialect:?}: {created:?}");
        assert_eq!(
            created.header("Upload-Limit").is_some(),
            !dialect.is_before(6),
            "{dialect:?}"
        );
        let path = location(&created);
        for method in ["HEAD", "GET"] {
            let asked = client.answer(&dialect.request(method, &path)).await;
            assert_eq!((asked.status, asked.offset()), (204, Some(6)), "{dialect:?} {method}");
            assert!(dialect.says(&asked, false), "{dialect:?} {method}");
            assert_eq!(asked.number("Upload-Length"), Some(11), "{dialect:?} {method}");
            assert_eq!(asked.header("Cache-Control"), Some("no-store"), "{dialect:?} {method}");
        }
        let wrong = client.answer(&dialect.append(&path, 5, false).body("x")).await;
        assert_eq!((wrong.status, wrong.offset()), (409, Some(6)), "{dialect:?}");
        assert!(dialect.says(&wrong, false), "{dialect:?}");
        let problem = wrong.json();
        assert_eq!(
            (&problem["expected-offset"], &problem["provided-offset"]),
            (&6.into(), &5.into())
        );
        let middle = client.answer(&dialect.append(&path, 6, false).body("wor")).await;
        assert!((200..300).contains(&middle.status), "{dialect:?}: {middle:?}");
        assert!(
            dialect.says(&middle, false) && middle.offset() == Some(9),
            "{dialect:?}: {middle:?}"
        );
        let last = client.answer(&dialect.append(&path, 9, true).body("ld")).await;
        assert!(
            (200..300).contains(&last.status) && dialect.says(&last, true),
            "{dialect:?}: {last:?}"
        );
        let asked = client.answer(&dialect.request("HEAD", &path)).await;
        assert!(
            dialect.says(&asked, true) && asked.offset() == Some(11),
            "{dialect:?}: {asked:?}"
        );
        let again = client.answer(&dialect.append(&path, 11, true).body("")).await;
        assert!(
            dialect.says(&again, true),
            "{dialect:?}: a repeated completion is answered as the first: {again:?}"
        );
        let file = client.answer(&Request::new("GET", &path)).await;
        assert_eq!(file.text(), "hello world", "{dialect:?}");
    }
}

#[tokio::test]
async fn an_append_without_its_fields_or_of_another_type_changes_nothing() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for dialect in Dialect::all().filter(|dialect| !dialect.is_before(6)) {
        let path = location(&client.answer(&dialect.create(false).body("abc")).await);
        let good = || dialect.append(&path, 3, false);
        for (request, status) in [
            (good().without("Upload-Offset"), 400),
            (good().without("Upload-Complete"), 400),
            (good().replace("Upload-Offset", "\"3\""), 400),
            (good().replace("Upload-Offset", "-3"), 400),
            (good().replace("Upload-Complete", "1"), 400),
            (good().without("Content-Type"), 415),
            (good().replace("Content-Type", "application/offset+octet-stream"), 415),
        ] {
            let answer = client.answer(&request.body("x")).await;
            assert_eq!(answer.status, status, "{dialect:?}: {answer:?}");
        }
        let asked = client.answer(&dialect.request("HEAD", &path)).await;
        assert_eq!(asked.offset(), Some(3), "{dialect:?}");
    }
}

#[tokio::test]
async fn an_upload_that_contradicts_its_length_is_ended_and_one_that_is_cancelled_too() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for dialect in Dialect::all() {
        let create = || dialect.create(false).header("Upload-Length", "5").body("abc");
        if !dialect.is_before(7) {
            let wrong = dialect.create(true).header("Upload-Length", "9").body("abc");
            let refused = client.answer(&wrong).await;
            assert_eq!(refused.status, 400, "{dialect:?}");
            let kind = refused.json()["type"].as_str().unwrap_or_default().to_owned();
            assert!(kind.ends_with("#inconsistent-upload-length"), "{dialect:?}: {kind}");
        }
        let path = location(&client.answer(&create()).await);
        // Nothing but the counting of its bytes can find this.
        let long = client.answer(&dialect.append(&path, 3, false).chunked("abc")).await;
        assert_eq!(long.status, 400, "{dialect:?}: {long:?}");
        let gone = client.answer(&dialect.request("HEAD", &path)).await;
        assert!(
            matches!(gone.status, 404 | 410) && gone.offset().is_none(),
            "{dialect:?}: {gone:?}"
        );
        let path = location(&client.answer(&create()).await);
        let cancelled = client.answer(&dialect.request("DELETE", &path)).await;
        assert_eq!(cancelled.status, 204, "{dialect:?}");
        for method in ["HEAD", "DELETE"] {
            let gone = client.answer(&dialect.request(method, &path)).await;
            assert!(matches!(gone.status, 404 | 410), "{dialect:?} {method}: {gone:?}");
        }
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_the_limit_that_was_announced() {
    let server = Server::with(Settings::upload(&["maxSizeBytes: 10"])).await;
    let client = Client::of(&server);
    let described = client.answer(&Request::new("OPTIONS", "/files/")).await;
    assert_eq!(described.header("Upload-Limit"), Some("max-size=10"));
    for dialect in Dialect::all() {
        let large = client.answer(&dialect.create(true).body("01234567890")).await;
        assert_eq!(large.status, 413, "{dialect:?}");
        let limit = (!dialect.is_before(6)).then_some("max-size=10");
        assert_eq!(large.header("Upload-Limit"), limit, "{dialect:?}");
        let path = location(&client.answer(&dialect.create(false).body("0123456")).await);
        let counted = client.answer(&dialect.append(&path, 7, true).chunked("7890")).await;
        assert_eq!(counted.status, 413, "{dialect:?}: {counted:?}");
    }
    let unlimited = Server::start().await;
    let described = Client::of(&unlimited).answer(&Request::new("OPTIONS", "/files/")).await;
    assert_eq!(described.header("Upload-Limit"), Some("min-size=0"));
}

/// The head of the next response, interim or final, and nothing after it.
async fn head(wire: &mut Wire) -> Vec<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.extend(wire.take(1).await.expect("a head comes"));
    }
    let text = String::from_utf8(text).expect("a head is ASCII");
    let line = |line: &str| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    };
    text.trim_end().split("\r\n").map(line).collect()
}

fn field<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn telling() -> Settings {
    Settings {
        config: "listener: { interimResponses: true }\nupload: { checkpoint: 50ms }\n".to_owned(),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_client_is_told_where_its_upload_is_and_how_far_before_its_body_has_ended() {
    let server = Server::with(telling()).await;
    let client = Client::of(&server);
    for dialect in Dialect::all() {
        let version = dialect.0.map(|version| version.to_string());
        let mut wire = client.connect().await;
        let request = dialect.create(true).framing(Framing::Length(100));
        wire.send(request.head()).await.expect("it can be sent");
        let told = head(&mut wire).await;
        assert!(told[0].starts_with("HTTP/1.1 104 "), "{dialect:?}: {told:?}");
        assert_eq!(
            field(&told, "upload-draft-interop-version"),
            version.as_deref(),
            "{dialect:?}"
        );
        assert_eq!(
            field(&told, "upload-limit").is_some(),
            !dialect.is_before(6),
            "{dialect:?}"
        );
        let path = field(&told, "location").expect("104 has the Location").to_owned();
        wire.send([b'x'; 40]).await.expect("it can be sent");
        if !dialect.is_before(5) {
            let told = head(&mut wire).await;
            assert!(told[0].starts_with("HTTP/1.1 104 "), "{dialect:?}: {told:?}");
            assert_eq!(field(&told, "upload-offset"), Some("40"), "{dialect:?}");
            assert_eq!(field(&told, "location"), None, "{dialect:?}: said once");
        }
        // The connection breaks: what was told holds.
        drop(wire);
        let offset = eventually(SOON, "the upload to be found", async || {
            let asked = client.answer(&dialect.request("HEAD", &path)).await;
            assert_eq!(asked.status, 204, "{dialect:?}: {asked:?}");
            asked.offset().filter(|offset| *offset == 40 || dialect.is_before(5))
        })
        .await;
        let rest = vec![b'x'; usize::try_from(100 - offset).expect("a small number")];
        let last = client.answer(&dialect.append(&path, offset, true).body(rest)).await;
        assert!(dialect.says(&last, true), "{dialect:?}: {last:?}");
    }
}

#[tokio::test]
async fn the_final_response_follows_what_was_told_and_names_the_same_place() {
    let server = Server::with(telling()).await;
    let client = Client::of(&server);
    for dialect in Dialect::all() {
        let mut wire = client.connect().await;
        let request = dialect
            .create(true)
            .header("Expect", "100-continue")
            .framing(Framing::Length(5));
        wire.send(request.head()).await.expect("it can be sent");
        let (mut place, mut continued) = (None, false);
        while place.is_none() || !continued {
            let told = head(&mut wire).await;
            continued |= told[0].starts_with("HTTP/1.1 100 ");
            place = place.or(field(&told, "location").map(str::to_owned));
        }
        wire.send("hello").await.expect("it can be sent");
        let answer = wire.answer("POST").await.expect("it is answered");
        assert_eq!(answer.status, 201, "{dialect:?}");
        assert_eq!(answer.header("Location"), place.as_deref(), "{dialect:?}");
        // The connection serves the next request as ever.
        let asked = wire.exchange(&dialect.request("HEAD", &location(&answer))).await;
        assert_eq!(asked.expect("it is answered").offset(), Some(5), "{dialect:?}");
    }
}

#[tokio::test]
async fn nobody_is_told_who_did_not_ask_or_may_not_understand() {
    let server = Server::with(telling()).await;
    let silent = Server::start().await;
    let known = Dialect(Some(8)).create(true);
    let old = String::from_utf8(known.clone().framing(Framing::Length(10)).head()).expect("a head is ASCII");
    let framed = |request: Request| request.framing(Framing::Length(10)).head();
    let unknown = known.clone().replace("Upload-Draft-Interop-Version", "42");
    let tus = Request::tus("POST", "/files/")
        .header("Upload-Length", "10")
        .header("Content-Type", "application/offset+octet-stream");
    let form = Request::new("POST", "/files/").header("Content-Type", "multipart/form-data; boundary=x");
    for (about, server, bytes) in [
        ("a listener that does not permit it", &silent, framed(known)),
        ("HTTP/1.0", &server, old.replace("HTTP/1.1", "HTTP/1.0").into_bytes()),
        ("an unknown version", &server, framed(unknown)),
        ("tus", &server, framed(tus)),
        ("a form", &server, framed(form)),
    ] {
        let mut wire = Client::of(server).connect().await;
        wire.send(bytes).await.expect("it can be sent");
        stays(Duration::from_millis(200), about, async || wire.is_quiet()).await;
    }
}

#[tokio::test]
async fn a_body_that_comes_in_drops_is_answered_408_and_what_came_is_kept() {
    let server = Server::with(Settings {
        config: "listener: { bodyRate: { bytesPerSecond: 1000, window: 300ms } }\n".to_owned(),
        ..Settings::default()
    })
    .await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(1, 1_000_000)).await;
    let drops = Pace::Pieces {
        bytes: 1,
        every: Duration::from_millis(10),
    };
    let body = Body::of(upload.content, 0..1_000_000).paced(drops);
    let answer = client.begin(&upload, body).await.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_slow"));
    let at = client.head(&upload).await;
    assert!(at > 0 && at < 1_000, "{at}");
    let rest = client.patch(&upload, at..1_000_000).await;
    assert_eq!(rest.offset(), Some(1_000_000));
    client.verify(&upload).await;
}
