//! Signed links: one upload for somebody without a token, within its size, and nothing else.

use end_to_end::content::Content;
use end_to_end::form::Form;
use end_to_end::report;
use end_to_end::server::{Server, Settings};
use end_to_end::token;
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::{Body, Request, Response};
use fixture_redis::Redis;
use serde_json::json;
use tempfile::TempDir;

const LATER: u64 = 4_000_000_000;

async fn server() -> (TempDir, Server) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let settings = Settings {
        config: config(&folder),
        ..Settings::default()
    };
    (folder, Server::with(settings).await)
}

/// A configuration with both secrets, which lie in `folder`.
fn config(folder: &TempDir) -> String {
    let (secret, links) = (folder.path().join("secret"), folder.path().join("links"));
    std::fs::write(&secret, token::SECRET).expect("a file can be written");
    std::fs::write(&links, token::LINK_SECRET).expect("a file can be written");
    format!(
        "auth: {{ hs256SecretFile: {}, linkSecretFile: {} }}\n",
        secret.display(),
        links.display()
    )
}

fn creation(query: &str, length: u64) -> Request {
    Request::tus("POST", &format!("/files/?{query}")).header("Upload-Length", length.to_string())
}

/// The upload at the `Location` of a creation's answer, which ends with a query.
fn upload(response: &Response, content: Content) -> Upload {
    assert_eq!(response.status, 201, "{response:?}");
    let location = response.header("Location").expect("a creation has a Location");
    let task = location.split(['/', '?']).nth(3).expect("a location names a task");
    Upload {
        location: location.to_owned(),
        task: task.to_owned(),
        content,
    }
}

fn refusal(response: &Response) -> (u16, String) {
    (response.status, response.code())
}

#[tokio::test]
async fn a_link_makes_one_upload_whoever_uses_it_however_often() {
    let (_folder, server) = server().await;
    let client = Client::of(&server);
    let link = token::link("acme", "ann", LATER, "1000", "a");
    let content = Content::new(1, 1_000);
    let made = upload(&client.answer(&creation(&link, 1_000)).await, content);
    assert!(made.location.starts_with("/files/acme/"), "{}", made.location);
    assert_eq!(client.patch(&made, 0..400).await.status, 204);
    let again = client.answer(&creation(&link, 1_000)).await;
    assert_eq!(upload(&again, content).location, made.location, "the same upload");
    assert_eq!(client.head(&made).await, 400, "as far as it was");
    for other in [
        creation(&link, 999),
        creation(&link, 1_000).header("Upload-Metadata", "filename YQ=="),
        Request::new("POST", &format!("/files/?{link}"))
            .header("Upload-Complete", "?0")
            .header("Upload-Length", "1000")
            .body("x"),
    ] {
        assert_eq!(refusal(&client.answer(&other).await), (409, "link_used".to_owned()));
    }
    client.complete(&made).await;
    let late = client.answer(&creation(&link, 1_000)).await;
    assert_eq!(
        upload(&late, content).location,
        made.location,
        "also when it is complete"
    );
    // Its owner sees it by a token; the link sees no list.
    let ann = client.with_token(&token::of_tenant("ann", "acme"));
    assert_eq!(ann.task(&made).await["status"], "completed");
    let tasks = client.answer(&Request::new("GET", &format!("/tasks?{link}"))).await;
    assert_eq!(refusal(&tasks), (401, "token_missing".to_owned()));
    assert_eq!(client.answer(&Request::tus("DELETE", &made.location)).await.status, 204);
    let gone = client.answer(&creation(&link, 1_000)).await;
    assert_eq!(refusal(&gone), (410, "upload_terminated".to_owned()));
    // Another link of the same person is another upload.
    let other = token::link("acme", "ann", LATER, "1000", "b");
    let fresh = upload(&client.answer(&creation(&other, 1_000)).await, content);
    assert_ne!(fresh.task, made.task);
    client.complete(&fresh).await;
}

#[tokio::test]
async fn a_link_makes_an_upload_of_the_ietf_protocol_too() {
    let (_folder, server) = server().await;
    let client = Client::of(&server);
    let link = token::link("default", "ann", LATER, "11", "");
    let create = || {
        Request::new("POST", &format!("/files/?{link}"))
            .header("Upload-Complete", "?0")
            .header("Upload-Draft-Interop-Version", "8")
            .body("hello ")
    };
    let created = client.answer(&create()).await;
    let made = upload(&created, Content::new(0, 0));
    assert!(
        created
            .header("Upload-Limit")
            .is_some_and(|limit| limit.contains("max-size=11"))
    );
    let again = client.answer(&create()).await;
    assert_eq!(again.header("Location"), created.header("Location"));
    assert_eq!((again.offset(), again.header("Upload-Complete")), (Some(6), Some("?0")));
    let append = |complete: &str, body: &str| {
        Request::new("PATCH", &made.location)
            .header("Upload-Complete", complete)
            .header("Upload-Draft-Interop-Version", "8")
            .header("Upload-Offset", "6")
            .header("Content-Type", "application/partial-upload")
            .chunked(body)
    };
    let long = client.answer(&append("?1", "world, and more")).await;
    assert_eq!(refusal(&long), (413, "upload_too_large".to_owned()));
    assert_eq!(client.answer(&append("?1", "world")).await.status, 204);
    let file = client.answer(&Request::new("GET", &made.location)).await;
    assert_eq!(file.text(), "hello world");
}

#[tokio::test]
async fn a_links_size_bounds_lengths_and_bodies_also_when_the_length_is_deferred() {
    let (_folder, server) = server().await;
    let client = Client::of(&server);
    let link = |id| token::link("default", "ann", LATER, "1000", id);
    let too_large = (413, "upload_too_large".to_owned());
    assert_eq!(refusal(&client.answer(&creation(&link("a"), 1_001)).await), too_large);
    let described = client
        .answer(&Request::new("OPTIONS", &format!("/files/?{}", link("a"))))
        .await;
    assert_eq!(described.header("Tus-Max-Size"), Some("1000"));
    let deferred = Request::tus("POST", &format!("/files/?{}", link("b"))).header("Upload-Defer-Length", "1");
    let content = Content::new(2, 5_000);
    let made = upload(&client.answer(&deferred).await, content);
    let long = client.patch(&made, 0..1_001).await;
    assert_eq!(refusal(&long), too_large);
    let chunked = Request::patch(&made.location, 0).chunked(content.bytes(0..1_001));
    assert_eq!(refusal(&client.ask(&made, &chunked).await), too_large);
    let declared = Request::patch(&made.location, 0)
        .header("Upload-Length", "1001")
        .body("");
    assert_eq!(refusal(&client.ask(&made, &declared).await), too_large);
    // The bound is part of what is signed.
    let wider = made.location.replace("max=1000", "max=5000");
    for path in [&wider, &made.location.replace("&max=1000", "")] {
        let patch = client.answer(&Request::patch(path, 0).body("x")).await;
        assert_eq!(refusal(&patch), (403, "link_invalid".to_owned()), "{path}");
    }
    let at = client.head(&made).await;
    let last = Request::patch(&made.location, at)
        .header("Upload-Length", "1000")
        .body(content.bytes(at..1_000));
    assert_eq!(client.ask(&made, &last).await.status, 204);
}

#[tokio::test]
async fn what_is_expired_tampered_with_or_of_another_purpose_is_refused() {
    let (_folder, server) = server().await;
    let client = Client::of(&server);
    let expired = token::link("default", "ann", 1_000_000_000, "", "");
    assert_eq!(
        refusal(&client.answer(&creation(&expired, 1)).await),
        (403, "link_expired".to_owned())
    );
    let good = token::link("acme", "ann", LATER, "1000", "a");
    let invalid = (403, "link_invalid".to_owned());
    for (from, to) in [
        ("tenant=acme", "tenant=default"),
        ("sub=ann", "sub=bob"),
        ("max=1000", "max=9999"),
        ("id=a", "id=b"),
        ("sig=", "sig=AAAA"),
    ] {
        let changed = good.replace(from, to);
        assert_eq!(
            refusal(&client.answer(&creation(&changed, 1)).await),
            invalid,
            "{changed}"
        );
    }
    let made = upload(&client.answer(&creation(&good, 10)).await, Content::new(3, 10));
    let (path, query) = made.location.split_once('?').expect("a link's Location has a query");
    // The upload's link is for that upload, and the creation's for the creation.
    let other = upload(
        &client
            .answer(&creation(&token::link("acme", "ann", LATER, "1000", "z"), 10))
            .await,
        Content::new(3, 10),
    );
    let (other_path, _) = other.location.split_once('?').expect("a link's Location has a query");
    for target in [format!("{other_path}?{query}"), format!("{path}?{good}")] {
        let head = client.answer(&Request::tus("HEAD", &target)).await;
        assert_eq!(head.status, 403, "{target}");
    }
    let elsewhere = client.answer(&creation(query, 1)).await;
    assert_eq!(refusal(&elsewhere), invalid);
    let nobody = client.answer(&Request::tus("HEAD", path)).await;
    assert_eq!(nobody.status, 401, "without its query it needs a token");
    let stranger = client.with_token(&token::of_tenant("bob", "acme"));
    assert_eq!(stranger.answer(&Request::tus("HEAD", path)).await.status, 404);
    let elsewhere = client.with_token(&token::of("ann"));
    assert_eq!(
        elsewhere.answer(&Request::tus("HEAD", path)).await.status,
        404,
        "another tenant's ann"
    );
    let ann = client.with_token(&token::of_tenant("ann", "acme"));
    assert_eq!(ann.answer(&Request::tus("HEAD", path)).await.status, 200, "it is hers");
}

#[tokio::test]
async fn forms_and_concatenations_need_a_token() {
    let (_folder, server) = server().await;
    let client = Client::of(&server);
    let link = token::link("default", "ann", LATER, "", "a");
    let target = format!("/files/?{link}");
    let form = Form::new().file("a", "b").request();
    let head = String::from_utf8(form.head()).expect("a head is ASCII");
    let boundary = head.lines().find_map(|line| line.strip_prefix("Content-Type: "));
    let posted = Request::new("POST", &target)
        .header("Content-Type", boundary.expect("a form has a type"))
        .body(Form::new().file("a", "b").body());
    let part = creation(&link, 1).header("Upload-Concat", "partial");
    let whole = Request::tus("POST", &target).header("Upload-Concat", "final;/files/default/x");
    for request in [posted, part, whole] {
        assert_eq!(
            refusal(&client.answer(&request).await),
            (403, "link_not_permitted".to_owned())
        );
    }
    let ann = client.with_token(&token::of("ann"));
    assert_eq!(
        ann.answer(&Request::new("GET", "/tasks")).await.json()["tasks"],
        json!([])
    );
}

#[tokio::test]
async fn a_creation_by_link_that_broke_off_is_found_again_by_the_link() {
    let (_folder, mut server) = server().await;
    let client = Client::of(&server);
    let link = token::link("default", "ann", LATER, "", "a");
    let content = Content::new(5, 4_000_000);
    let request = || creation(&link, content.length).header("Content-Type", "application/offset+octet-stream");
    let ann = client.with_token(&token::of("ann"));
    let tasks = async || ann.answer(&Request::new("GET", "/tasks")).await.json()["tasks"].clone();
    let sending = client
        .connect()
        .await
        .start(request(), Body::of(content, 0..content.length).halting_after(1_000_000));
    let task = eventually(SOON, "its record", async || tasks().await.get(0).cloned()).await;
    server.kill();
    sending.cut();
    server.restart().await;
    let again = client.answer(&request().body("")).await;
    let made = upload(&again, content);
    assert_eq!(task["taskId"], made.task.as_str());
    assert_eq!(tasks().await.as_array().map(Vec::len), Some(1));
    client.complete(&made).await;
}

#[tokio::test]
async fn of_two_processes_that_a_link_comes_to_at_once_one_makes_the_upload() {
    const LENGTH: u64 = 100_000;
    let (folder, redis) = (
        TempDir::new().expect("a temporary folder can be made"),
        Redis::start().await,
    );
    let settings = Settings {
        config: format!("{}store: {{ redis: {{ url: {} }} }}\n", config(&folder), redis.url()),
        data: Some(folder.path().join("data")),
        ..Settings::default()
    };
    let (one, other) = (Server::with(settings.clone()).await, Server::with(settings).await);
    let client = Client::of(&one);
    let elsewhere = client.at(&other);
    let mut together = 0;
    for number in 0..30 {
        let content = Content::new(number, LENGTH);
        let link = token::link("acme", "ann", LATER, "1000000", &format!("n{number}"));
        let creation = creation(&link, LENGTH)
            .header("Content-Type", "application/offset+octet-stream")
            .body(content.bytes(0..LENGTH));
        let answers = tokio::join!(client.answer(&creation), elsewhere.answer(&creation));
        let answers = [answers.0, answers.1];
        for answer in &answers {
            // Who comes second is told to come again, or where the first one's is.
            assert!(matches!(answer.status, 201 | 423), "{answer:?}");
        }
        together += answers.iter().filter(|answer| answer.status == 423).count();
        let made = answers.iter().find(|answer| answer.status == 201);
        let made = upload(made.expect("one of the two makes it"), content);
        client.complete(&made).await;
    }
    report::line(&format!(
        "30 links at two processes at once: {together} told to come again"
    ));
}
