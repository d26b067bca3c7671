//! With tokens: who may do what, and that nobody learns of what is not theirs.

use std::path::Path;

use end_to_end::content::Content;
use end_to_end::form::Form;
use end_to_end::server::{Server, Settings};
use end_to_end::token;
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::websocket::{Message, Socket, handshake};
use end_to_end::wire::{Body, Framing, Request};
use serde_json::json;
use tempfile::TempDir;

/// A server that demands tokens, and the folder with its secret.
async fn guarded() -> (TempDir, Server) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let server = Server::with(settings(folder.path())).await;
    (folder, server)
}

fn settings(folder: &Path) -> Settings {
    let secret = folder.join("secret");
    std::fs::write(&secret, token::SECRET).expect("a file can be written");
    Settings {
        config: format!("auth: {{ hs256SecretFile: {} }}", secret.display()),
        ..Settings::default()
    }
}

#[tokio::test]
async fn the_location_has_no_key_and_only_the_owner_finds_the_upload() {
    let (_folder, server) = guarded().await;
    let nobody = Client::of(&server);
    let ada = nobody.with_token(&token::of("ada"));
    let upload = ada.create(Content::new(1, 1_000)).await;
    assert_eq!(
        upload.location,
        format!("/files/default/{}", upload.task),
        "a key has no place here"
    );
    assert_eq!(ada.patch(&upload, 0..100).await.status, 204);
    let elsewhere = upload.location.replace("/default/", "/acme/");
    let strangers = [
        token::of("bob"),
        token::of_tenant("ada", "acme"),
        token::of_tenant("bob", "acme"),
        token::of("Ada"),
        token::of("ada "),
    ];
    for stranger in strangers {
        let stranger = nobody.with_token(&stranger);
        for path in [
            &upload.location,
            &format!("{}/AAAAAAAAAAAAAAAAAAAAAA", upload.location),
            &elsewhere,
        ] {
            for method in ["HEAD", "GET", "DELETE"] {
                let response = stranger.answer(&Request::tus(method, path)).await;
                assert_eq!((response.status, response.offset()), (404, None), "{method} {path}");
            }
            let patch = stranger.answer(&Request::patch(path, 100).body("x")).await;
            assert_eq!(
                (patch.status, patch.code().as_str()),
                (404, "upload_not_found"),
                "{path}"
            );
        }
        for (method, path) in [("GET", ""), ("POST", "/pause"), ("POST", "/resume")] {
            let path = format!("/tasks/{}{path}", upload.task);
            let response = stranger
                .answer(&Request::new(method, &path).framing(Framing::Length(0)))
                .await;
            assert_eq!(
                (response.status, response.code().as_str()),
                (404, "task_not_found"),
                "{method} {path}"
            );
        }
        let events = stranger
            .answer(&Request::new("GET", &format!("/events/{}", upload.task)))
            .await;
        assert_eq!(events.code(), "task_not_found");
        assert_eq!(
            stranger.answer(&Request::new("GET", "/tasks")).await.json()["tasks"],
            json!([])
        );
    }
    assert_eq!(ada.task(&upload).await["status"], "uploading");
    ada.complete(&upload).await;
    assert_eq!(
        nobody
            .with_token(&token::of("bob"))
            .answer(&Request::new("GET", &upload.location))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn the_same_owner_in_another_tenant_is_another_owner() {
    let (_folder, server) = guarded().await;
    let nobody = Client::of(&server);
    let here = nobody.with_token(&token::of_tenant("ada", "acme"));
    let upload = here.create(Content::new(2, 100)).await;
    assert!(upload.location.starts_with("/files/acme/"), "{}", upload.location);
    here.complete(&upload).await;
    assert_eq!(
        here.answer(&Request::new("GET", "/tasks")).await.json()["tasks"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let there = nobody.with_token(&token::of("ada"));
    assert_eq!(there.answer(&Request::new("GET", &upload.location)).await.status, 404);
    let files = server.data().join("uploads").join("acme");
    assert!(files.is_dir(), "a tenant's bytes are apart");
}

#[tokio::test]
async fn without_a_good_token_nothing_is_answered_but_why() {
    let (_folder, server) = guarded().await;
    let nobody = Client::of(&server);
    let ada = nobody.with_token(&token::of("ada"));
    let upload = ada.create(Content::new(3, 100)).await;
    let task = format!("/tasks/{}", upload.task);
    let requests = [
        Request::tus("POST", "/files/").header("Upload-Length", "1"),
        Form::new().file("a", "b").request(),
        Request::tus("HEAD", &upload.location),
        Request::patch(&upload.location, 0).body("x"),
        Request::new("GET", &upload.location),
        Request::tus("DELETE", &upload.location),
        Request::new("GET", "/tasks"),
        Request::new("GET", &task),
        Request::new("POST", &format!("{task}/pause")).framing(Framing::Length(0)),
    ];
    let good = token::of("ada");
    let far = jsonwebtoken_time() + 600;
    let (head, rest) = good.split_once('.').expect("a token has dots");
    let unsigned = format!(
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
        rest.split_once('.').expect("a token has dots").0
    );
    for (about, header, code) in [
        ("none", None, "token_missing"),
        ("empty", Some(String::new()), "token_invalid"),
        ("basic", Some("Basic YWRhOmFkYQ==".to_owned()), "token_invalid"),
        ("garbage", Some("Bearer abc".to_owned()), "token_invalid"),
        ("long", Some(format!("Bearer {}", "a".repeat(20_000))), "token_invalid"),
        (
            "cut",
            Some(format!("Bearer {head}.{}", &rest[..rest.len() - 2])),
            "token_invalid",
        ),
        ("alg none", Some(format!("Bearer {unsigned}")), "token_invalid"),
        (
            "expired",
            Some(format!("Bearer {}", token::expired("ada"))),
            "token_expired",
        ),
        (
            "other secret",
            Some(format!(
                "Bearer {}",
                token::signed(&json!({"sub": "ada", "exp": far}), &"x".repeat(40))
            )),
            "token_invalid",
        ),
        (
            "no exp",
            Some(format!("Bearer {}", token::claiming(&json!({"sub": "ada"})))),
            "token_invalid",
        ),
        (
            "no sub",
            Some(format!("Bearer {}", token::claiming(&json!({"exp": far})))),
            "token_invalid",
        ),
        (
            "empty sub",
            Some(format!("Bearer {}", token::claiming(&json!({"sub": "", "exp": far})))),
            "token_invalid",
        ),
        (
            "bad tenant",
            Some(format!("Bearer {}", token::of_tenant("ada", "../default"))),
            "token_invalid",
        ),
        (
            "not yet",
            Some(format!(
                "Bearer {}",
                token::claiming(&json!({"sub": "ada", "exp": far, "nbf": far}))
            )),
            "token_invalid",
        ),
        (
            "bad right",
            Some(format!("Bearer {}", token::with_rights("ada", &["admin"]))),
            "token_invalid",
        ),
    ] {
        for request in &requests {
            let request = match &header {
                Some(value) => request.clone().header("Authorization", value),
                None => request.clone(),
            };
            let response = nobody.answer(&request).await;
            let expected = if request.method() == "HEAD" { "" } else { code };
            assert_eq!(
                (response.status, response.code().as_str()),
                (401, expected),
                "{about} {:?}",
                request.method()
            );
            assert!(
                response
                    .header("WWW-Authenticate")
                    .is_some_and(|value| value.starts_with("Bearer")),
                "{about}"
            );
            assert_eq!((response.offset(), response.header("Location")), (None, None));
        }
    }
    assert_eq!(
        nobody.answer(&Request::new("OPTIONS", "/files/")).await.status,
        204,
        "what it can do is no secret"
    );
    assert_eq!(ada.head(&upload).await, 0);
    assert_eq!(
        ada.answer(&Request::new("GET", "/tasks")).await.json()["tasks"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    for secret in [&good, token::SECRET] {
        assert!(!server.log().contains(secret), "the log has a secret");
    }
}

fn jsonwebtoken_time() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("it is after 1970").as_secs()
}

#[tokio::test]
async fn a_right_that_is_not_in_the_token_is_not_had() {
    let (_folder, server) = guarded().await;
    let nobody = Client::of(&server);
    let ada = nobody.with_token(&token::of("ada"));
    let upload = ada.create(Content::new(4, 100)).await;
    let watcher = nobody.with_token(&token::with_rights("ada", &["watch"]));
    for request in [
        Request::tus("POST", "/files/").header("Upload-Length", "1"),
        Form::new().file("a", "b").request(),
        Request::patch(&upload.location, 0).body("x"),
        Request::tus("DELETE", &upload.location),
        Request::new("GET", &upload.location),
    ] {
        let response = watcher.answer(&request).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (403, "upload_not_permitted"),
            "{response:?}"
        );
    }
    assert_eq!(
        watcher.answer(&Request::tus("HEAD", &upload.location)).await.status,
        403
    );
    assert_eq!(watcher.task(&upload).await["offset"], 0);
    let pause = Request::new("POST", &format!("/tasks/{}/pause", upload.task)).framing(Framing::Length(0));
    assert_eq!(watcher.answer(&pause).await.code(), "forbidden");

    let writer = nobody.with_token(&token::with_rights("ada", &["upload"]));
    assert_eq!(
        writer
            .answer(&Request::new("GET", &format!("/tasks/{}", upload.task)))
            .await
            .code(),
        "forbidden"
    );
    writer.complete(&upload).await;
    let none = nobody.with_token(&token::with_rights("ada", &[]));
    assert_eq!(none.answer(&Request::new("GET", &upload.location)).await.status, 403);
}

#[tokio::test]
async fn who_watches_shows_a_token_inside_where_headers_cannot_be_set() {
    let (_folder, server) = guarded().await;
    let nobody = Client::of(&server);
    let ada = nobody.with_token(&token::of("ada"));
    let upload = ada.create(Content::new(5, 100)).await;
    let join = |token: Option<&str>| match token {
        Some(token) => json!({ "type": "join", "fileId": upload.task, "token": token }),
        None => json!({ "type": "join", "fileId": upload.task }),
    };
    let mut socket = Socket::open(&nobody, "/ws").await;
    socket.send_json(&join(Some(&token::of("ada")))).await;
    assert_eq!(
        socket.next_json().await,
        json!({ "fileId": upload.task, "progress": 0 })
    );
    for bad in [
        Some(token::of("bob")),
        Some(token::expired("ada")),
        Some("x".to_owned()),
        None,
    ] {
        let mut socket = Socket::open(&nobody, "/ws").await;
        socket.send_json(&join(bad.as_deref())).await;
        match socket.next().await {
            Some(Message::Text(text)) => {
                assert!(text.contains("\"error\"") && !text.contains("progress"), "{text}");
            }
            Some(Message::Close(_)) | None => {}
            other => panic!("{other:?}"),
        }
    }
    let events = |token: &str| Request::new("GET", &format!("/events/{}?token={token}", upload.task));
    assert_eq!(nobody.answer(&events(&token::of("bob"))).await.code(), "task_not_found");
    assert_eq!(
        nobody.answer(&events(&token::expired("ada"))).await.code(),
        "token_expired"
    );
    assert_eq!(nobody.answer(&events("x")).await.code(), "token_invalid");
    assert_eq!(
        nobody
            .answer(&Request::new("GET", &format!("/events/{}", upload.task)))
            .await
            .code(),
        "token_missing"
    );
    let mut wire = nobody.connect().await;
    wire.send(events(&token::of("ada")).bytes())
        .await
        .expect("it can be sent");
    let (status, mut lines) = wire.lines().await.expect("it is answered");
    assert_eq!(status, 200);
    while let Some(line) = lines.next().await {
        if line.starts_with("data: ") {
            assert!(line.contains(&upload.task), "{line}");
            break;
        }
    }
    let bad = handshake("/connection/websocket").bearer(&token::expired("ada"));
    assert_eq!(nobody.answer(&bad).await.code(), "token_expired");
}

#[tokio::test]
async fn an_upload_goes_on_with_a_new_token_of_the_same_owner_after_a_kill() {
    let (_folder, mut server) = guarded().await;
    let ada = Client::of(&server).with_token(&token::of("ada"));
    let length = 2 * 1024 * 1024;
    let upload = ada.create(Content::new(6, length)).await;
    let patch = ada
        .begin(&upload, Body::of(upload.content, 0..length).halting_after(1_500_000))
        .await;
    patch.has_sent(1_500_000).await;
    end_to_end::wait::eventually(SOON, "a checkpoint", async || {
        (ada.task(&upload).await["offset"].as_u64() > Some(0)).then_some(())
    })
    .await;
    server.kill();
    drop(patch);
    server.restart().await;
    let renewed = ada.with_token(&token::with_rights("ada", &["upload"]));
    renewed.complete(&upload).await;
}

#[tokio::test]
async fn a_server_that_others_can_reach_does_not_start_without_tokens() {
    let (status, log) = Server::run_to_end(&Settings::default(), "0.0.0.0:0", SOON).await;
    assert_eq!(status.code(), Some(2));
    assert!(
        log.contains("no auth is configured") && log.contains("auth.hs256SecretFile"),
        "{log}"
    );
    let folder = TempDir::new().expect("a temporary folder can be made");
    let mut short = settings(folder.path());
    std::fs::write(folder.path().join("secret"), "too short").expect("a file can be written");
    let (status, log) = Server::run_to_end(&short, "127.0.0.1:0", SOON).await;
    assert_eq!(status.code(), Some(2));
    assert!(log.contains("at least 32"), "{log}");
    short.config = "auth: { hs256SecretFile: /nowhere/secret }".to_owned();
    let (status, log) = Server::run_to_end(&short, "127.0.0.1:0", SOON).await;
    assert_eq!(status.code(), Some(2));
    assert!(log.contains("/nowhere/secret"), "{log}");
}

#[tokio::test]
async fn no_secret_is_ever_logged() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let mut with_tokens = settings(folder.path());
    with_tokens.log = Some("trace".to_owned());
    let without = Settings {
        log: Some("trace".to_owned()),
        ..Settings::default()
    };
    for settings in [with_tokens, without] {
        let server = Server::with(settings).await;
        let ada = token::of("ada");
        let client = Client::of(&server).with_token(&ada);
        let upload = client.create(Content::new(8, 100)).await;
        client.complete(&upload).await;
        client
            .answer(&Request::new("GET", &format!("/events/{}?token={ada}", upload.task)))
            .await;
        let files = client
            .answer(&Form::new().file("a", "secret-content").request())
            .await
            .json();
        let log = server.log();
        assert!(log.contains(&upload.task), "it logs what happens: {log}");
        let signature = ada.rsplit_once('.').expect("a token has dots").1;
        assert!(
            !log.contains(signature) && !log.contains(token::SECRET),
            "a token is in the log: {log}"
        );
        for location in [
            upload.location.as_str(),
            files["files"][0]["location"].as_str().expect("it has a location"),
        ] {
            if let Some(key) = location.split('/').nth(4) {
                assert!(!log.contains(key), "a key is in the log: {log}");
            }
        }
        assert!(!log.contains("secret-content"));
    }
}

#[tokio::test]
async fn a_key_of_a_server_without_tokens_admits_nobody_where_tokens_are_demanded() {
    let mut server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(7, 100)).await;
    let folder = TempDir::new().expect("a temporary folder can be made");
    server.kill();
    server.restart_with(&settings(folder.path()).config).await;
    assert_eq!(client.answer(&Request::tus("HEAD", &upload.location)).await.status, 401);
    let ada = client.with_token(&token::of("ada"));
    assert_eq!(ada.answer(&Request::tus("HEAD", &upload.location)).await.status, 404);
    // The owner of everything on a loopback listener has a name like any other.
    let local = client.with_token(&token::of("local"));
    let keyless = Upload::at(
        upload.location.rsplit_once('/').expect("it has a key").0,
        upload.content,
    );
    local.complete(&keyless).await;
}
