//! Hooks against the real binary and a real receiver: words, refusals that are remembered, silence, and `kill -9`
//! while somebody is being asked.

#![expect(clippy::unwrap_used, reason = "a test file: what cannot be done is a failed test")]

mod https;
mod support;
mod verdicts;

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use support::{Manner, PATIENCE, Receiver, Server};

#[tokio::test]
async fn a_creation_is_refused_in_the_receivers_words_and_leaves_nothing() {
    let (receiver, hook) = Receiver::start().await;
    let server = Server::start(&hook, "    forwardHeaders: [x-user]\n");
    receiver.set(
        "pre-create",
        Manner::Say(json!({"RejectUpload": true, "HTTPResponse": {
            "StatusCode": 422, "Body": "no such album", "Header": {"X-Why": "album", "Upload-Offset": "9"}}})),
    );
    let headers = [
        ("upload-length", "3"),
        ("upload-metadata", "name YQ=="),
        ("x-user", "ada"),
    ];
    let refused = server.tus("POST", "/files/", &headers).send().await.unwrap();
    assert_eq!(refused.status(), 422);
    assert_eq!(refused.headers()["x-why"], "album");
    assert!(refused.headers().get("upload-offset").is_none());
    assert_eq!(refused.text().await.unwrap(), "no such album");
    let (call, sent) = receiver.calls("pre-create").remove(0);
    assert_eq!(call["Event"]["Upload"]["MetaData"], json!({"name": "a"}));
    assert_eq!(call["Event"]["Upload"]["Size"], 3);
    assert_eq!(call["Event"]["HTTPRequest"]["Header"]["Upload-Length"], json!(["3"]));
    assert!(
        call["Event"]["HTTPRequest"]["RemoteAddr"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    assert_eq!(sent["x-user"], "ada");

    receiver.set("pre-create", Manner::Say(json!({"RejectUpload": true})));
    let refused = server.tus("POST", "/files/", &headers).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "hook_refused");

    receiver.set("pre-create", Manner::Fail(500));
    let silent = server.tus("POST", "/files/", &headers).send().await.unwrap();
    assert_eq!(
        (silent.status().as_u16(), silent.headers().contains_key("retry-after")),
        (503, true)
    );

    receiver.set(
        "pre-create",
        Manner::Say(
            json!({"ChangeFileInfo": {"MetaData": {"owner": "7"}}, "HTTPResponse": {"Header": {"X-Yes": "1"}}}),
        ),
    );
    let created = server.tus("POST", "/files/", &headers).send().await.unwrap();
    assert_eq!(
        (created.status().as_u16(), &created.headers()["x-yes"]),
        (201, &"1".parse().unwrap())
    );
    let path = created.headers()["location"].to_str().unwrap().to_owned();
    let head = server.tus("HEAD", &path, &[]).send().await.unwrap();
    assert_eq!(head.headers()["upload-metadata"], "owner Nw==");
    // Neither the receiver's address nor the key of the upload is anybody's to read.
    assert!(!server.log().contains("secret-path"));
    let key = path.rsplit('/').next().unwrap();
    assert!(
        receiver
            .calls
            .lock()
            .unwrap()
            .iter()
            .all(|(call, _)| !call.to_string().contains(key))
    );
}

#[tokio::test]
async fn a_refused_finish_is_remembered_and_repeated_across_a_restart() {
    let (receiver, hook) = Receiver::start().await;
    let mut server = Server::start(&hook, "");
    let words = json!({"HTTPResponse": {"StatusCode": 451, "Body": "virus", "Header": {"X-Scan": "eicar"}}});
    receiver.set("pre-finish", Manner::Say(words));
    let path = server.create(&[("upload-length", "5")]).await;
    for restarted in [false, true] {
        let (from, body) = if restarted { (4, "o") } else { (0, "hello") };
        let refused = server.patch(&path, from, body).send().await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["x-scan"]),
            (451, &"eicar".parse().unwrap())
        );
        assert_eq!(refused.text().await.unwrap(), "virus");
        assert_eq!(server.offset(&path).await, 4);
        server.kill();
        server.restart();
    }
    let calls = receiver.calls("pre-finish");
    assert_eq!(calls.len(), 1, "the verdict was asked for again");
    let upload = &calls[0].0["Event"]["Upload"];
    assert_eq!(upload["Offset"], 5);
    assert!(receiver.calls("post-finish").is_empty());
}

#[tokio::test]
async fn killed_while_the_receiver_is_asked_it_asks_again_and_then_knows() {
    let (receiver, hook) = Receiver::start().await;
    let mut server = Server::start(&hook, "");
    receiver.set("pre-finish", Manner::Hang);
    let path = server.create(&[("upload-length", "5")]).await;
    let patch = tokio::spawn(server.patch(&path, 0, "hello").send());
    receiver.called("pre-finish", 1).await;
    server.kill();
    assert!(patch.await.unwrap().is_err());
    server.restart();
    // HEAD asks anew on its own, and shows one byte less.
    assert_eq!(server.offset(&path).await, 4);
    receiver.called("pre-finish", 2).await;
    server.kill();
    receiver.set(
        "pre-finish",
        Manner::Say(json!({"HTTPResponse": {"Header": {"X-Id": "42"}}})),
    );
    server.restart();
    let done = server.patch(&path, 4, "o").send().await.unwrap();
    assert_eq!(
        (done.status().as_u16(), &done.headers()["x-id"]),
        (204, &"42".parse().unwrap())
    );
    let calls = receiver.calls("pre-finish");
    let ids: Vec<_> = calls
        .iter()
        .map(|(_, headers)| headers["idempotency-key"].clone())
        .collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let bytes = server.tus("GET", &path, &[]).send().await.unwrap();
    assert_eq!(bytes.text().await.unwrap(), "hello");
    // A client that was shown 4 before the verdict sends the last byte all the same.
    assert_eq!(server.patch(&path, 4, "o").send().await.unwrap().status(), 204);
    receiver.called("post-finish", 1).await;
}

#[tokio::test]
async fn killed_between_the_written_word_and_its_commit_it_keeps_the_word() {
    let (receiver, hook) = Receiver::start().await;
    let mut server = Server::start(&hook, "");
    receiver.set("pre-finish", Manner::Hang);
    let path = server.create(&[("upload-length", "5")]).await;
    let patch = tokio::spawn(server.patch(&path, 0, "hello").send());
    receiver.called("pre-finish", 1).await;
    server.kill();
    let _ = patch.await.unwrap();
    // What the process would have left, had it died one step later.
    let documents = find(&server.folder.path().join("data"), ".jsonl");
    let completion =
        json!({"v": 1, "length": 5, "accepted": false, "reason": "no", "answer": {"status": 403, "body": "no"}});
    let manifest = std::fs::read_to_string(&documents).unwrap();
    let written = format!("{manifest}{}\n", json!({ "completion": completion }));
    std::fs::write(documents, written).unwrap();
    server.restart();
    let refused = server.patch(&path, 4, "o").send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), refused.text().await.unwrap()),
        (403, "no".to_owned())
    );
    assert_eq!(receiver.calls("pre-finish").len(), 1);
}

fn find(folder: &std::path::Path, end: &str) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                return path;
            }
        }
    }
    panic!("no {end}");
}

#[tokio::test]
async fn a_silent_receiver_leaves_the_verdict_open_and_a_newer_request_is_not_kept_waiting() {
    let (receiver, hook) = Receiver::start().await;
    let server = Server::start(&hook, "    timeout: 2s\n");
    receiver.set("pre-finish", Manner::Fail(503));
    let path = server.create(&[("upload-length", "5")]).await;
    let silent = server.patch(&path, 0, "hello").send().await.unwrap();
    assert_eq!(
        (silent.status().as_u16(), silent.headers().contains_key("retry-after")),
        (503, true)
    );
    assert_eq!(silent.json::<Value>().await.unwrap()["code"], "verdict_pending");

    receiver.set("pre-finish", Manner::Hang);
    let asked = receiver.calls("pre-finish").len();
    let waiting = tokio::spawn(server.patch(&path, 4, "o").send());
    receiver.called("pre-finish", asked + 1).await;
    assert_eq!(server.offset(&path).await, 4);
    assert_eq!(
        waiting.await.unwrap().unwrap().status(),
        423,
        "the HEAD took the upload over"
    );

    receiver.set("pre-finish", Manner::Say(json!({})));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let done = server.patch(&path, 4, "o").send().await.unwrap().status();
        if done == 204 {
            break;
        }
        assert!(done == 503 && Instant::now() < deadline, "{done}");
    }
}

#[tokio::test]
async fn where_no_byte_can_be_held_back_head_says_423_until_the_verdict() {
    let (receiver, hook) = Receiver::start().await;
    let server = Server::start(&hook, "");
    let path = server.create(&[("upload-defer-length", "1")]).await;
    assert_eq!(server.patch(&path, 0, "hello").send().await.unwrap().status(), 204);
    receiver.set("pre-finish", Manner::Hang);
    let end = tokio::spawn(server.patch(&path, 5, "").header("upload-length", "5").send());
    receiver.called("pre-finish", 1).await;
    let head = server.tus("HEAD", &path, &[]).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), head.headers().contains_key("retry-after")),
        (423, true)
    );
    assert_eq!(end.await.unwrap().unwrap().status(), 423);
}

#[tokio::test]
async fn the_ietf_protocol_shows_all_bytes_without_a_final_response_until_the_verdict() {
    let (receiver, hook) = Receiver::start().await;
    let server = Server::start(&hook, "");
    receiver.set("pre-finish", Manner::Fail(500));
    let path = server
        .create(&[("upload-complete", "?0"), ("upload-length", "5")])
        .await;
    let append = |body: &'static str, offset: &'static str| {
        let headers = [
            ("upload-complete", "?1"),
            ("upload-offset", offset),
            ("content-type", "application/partial-upload"),
        ];
        server.tus("PATCH", &path, &headers).body(body).send()
    };
    assert_eq!(append("hello", "0").await.unwrap().status(), 503);
    let state = async || {
        let head = server.http.head(format!("{}{path}", server.url)).send().await.unwrap();
        let field = |name: &str| head.headers()[name].to_str().unwrap().to_owned();
        (field("upload-offset"), field("upload-complete"))
    };
    assert_eq!(state().await, ("5".to_owned(), "?0".to_owned()));
    receiver.set(
        "pre-finish",
        Manner::Say(json!({"HTTPResponse": {"StatusCode": 415, "Body": "no text"}})),
    );
    for _ in 0..2 {
        let refused = append("", "5").await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["upload-complete"]),
            (415, &"?1".parse().unwrap())
        );
        assert_eq!(refused.text().await.unwrap(), "no text");
    }
    assert_eq!(state().await, ("5".to_owned(), "?1".to_owned()));
}

#[tokio::test]
async fn what_happened_is_told_in_order_and_one_failing_upload_holds_back_no_other() {
    let (receiver, hook) = Receiver::start().await;
    let mut server = Server::start(&hook, "");
    receiver.set("post-create", Manner::Fail(500));
    let path = server
        .create(&[("upload-length", "5"), ("upload-metadata", "name YQ==")])
        .await;
    assert_eq!(server.patch(&path, 0, "hello").send().await.unwrap().status(), 204);
    receiver.called("post-create", 1).await;
    server.kill();
    receiver.set("post-create", Manner::Say(json!({})));
    server.restart();
    let (finished, headers) = receiver.called("post-finish", 1).await.remove(0);
    assert!(headers["idempotency-key"].to_str().unwrap().ends_with("/2"));
    assert_eq!(finished["Event"]["Upload"]["Offset"], 5);
    let file = finished["Event"]["Upload"]["Storage"]["Path"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "hello");
    {
        let calls = receiver.calls.lock().unwrap();
        let last = |kind: &str| calls.iter().rposition(|(call, _)| call["Type"] == kind).unwrap();
        assert!(last("post-create") < last("post-finish"));
    }
    receiver.set(
        "pre-terminate",
        Manner::Say(json!({"RejectTermination": true, "HTTPResponse": {"StatusCode": 403, "Body": "kept"}})),
    );
    let kept = server.tus("DELETE", &path, &[]).send().await.unwrap();
    assert_eq!(
        (kept.status().as_u16(), kept.text().await.unwrap()),
        (403, "kept".to_owned())
    );
    receiver.set("pre-terminate", Manner::Say(json!({})));
    assert_eq!(server.tus("DELETE", &path, &[]).send().await.unwrap().status(), 204);
    let (ended, _) = receiver.called("post-terminate", 1).await.remove(0);
    assert_eq!(ended["Event"]["Upload"]["MetaData"], json!({"name": "a"}));
}

#[tokio::test]
async fn a_running_append_is_told_of_and_can_be_stopped() {
    let (receiver, hook) = Receiver::start().await;
    let server = Server::start(&hook, "");
    receiver.set(
        "post-receive",
        Manner::Say(json!({"StopUpload": true, "HTTPResponse": {"StatusCode": 409, "Body": "enough"}})),
    );
    let path = server.create(&[("upload-length", "1000000")]).await;
    let pieces = futures_util::stream::unfold((), async |()| {
        sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"x")), ()))
    });
    let body = reqwest::Body::wrap_stream(Box::pin(pieces));
    let stopped = server.patch(&path, 0, "").body(body).send().await.unwrap();
    assert_eq!(
        (stopped.status().as_u16(), stopped.text().await.unwrap()),
        (409, "enough".to_owned())
    );
    let (call, _) = receiver.calls("post-receive").remove(0);
    assert!(call["Event"]["Upload"]["Offset"].as_u64().unwrap() > 0);
    let head = server.tus("HEAD", &path, &[]).send().await.unwrap();
    assert_eq!(head.status(), 410);
}

#[test]
fn settings_that_cannot_be_end_the_start() {
    for (hooks, says) in [
        ("url: ftp://x/\n    events: [pre-create]", "upload.hooks.url"),
        ("url: http://x/\n    events: []", "upload.hooks.events"),
        ("url: http://x/\n    events: [pre-crate]", "pre-crate"),
        ("url: http://x/\n    events: [pre-create]\n    timeout: 0s", "timeout"),
        (
            "url: http://x/\n    events: [pre-create]\n    forwardHeaders: [\"a b\"]",
            "forwardHeaders",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, format!("upload:\n  hooks:\n    {hooks}\n")).unwrap();
        let run = Command::new(env!("CARGO_BIN_EXE_windlass-upload"))
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(2), "{log}");
        assert!(log.contains(says), "{log}");
        assert!(!folder.path().join("data").exists());
    }
}

#[tokio::test]
async fn words_on_a_success_reach_forms_and_final_uploads_too() {
    let (receiver, hook) = Receiver::start().await;
    let server = Server::start(&hook, "");
    let say = |text: &str| Manner::Say(json!({"HTTPResponse": {"Body": text, "Header": {"X-Word": text}}}));
    receiver.set("pre-create", say("made"));
    let form = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\nhello\r\n--b--\r\n";
    let send = || {
        let request = server.http.post(format!("{}/files", server.url));
        request
            .header("content-type", "multipart/form-data; boundary=b")
            .body(form)
    };
    let receipt: Value = send().send().await.unwrap().json().await.unwrap();
    assert_eq!(
        receipt["files"][0]["answer"],
        json!({"body": "made", "fields": {"X-Word": "made"}})
    );
    receiver.set("pre-finish", say("whole"));
    let receipt: Value = send().send().await.unwrap().json().await.unwrap();
    assert_eq!(receipt["files"][0]["answer"]["body"], "whole");

    receiver.set("pre-finish", Manner::Say(json!({})));
    let part = server
        .create(&[("upload-concat", "partial"), ("upload-length", "5")])
        .await;
    assert_eq!(server.patch(&part, 0, "hello").send().await.unwrap().status(), 204);
    let concat = format!("final;{part}");
    let joined = server
        .tus("POST", "/files/", &[("upload-concat", &concat)])
        .send()
        .await
        .unwrap();
    assert_eq!(
        (joined.status().as_u16(), &joined.headers()["x-word"]),
        (201, &"made".parse().unwrap())
    );
    assert_eq!(joined.text().await.unwrap(), "made");

    // Without words there is no answer of a hook.
    receiver.set("pre-create", Manner::Say(json!({})));
    let receipt: Value = send().send().await.unwrap().json().await.unwrap();
    assert!(receipt["files"][0].get("answer").is_none(), "{receipt}");
}

#[tokio::test]
async fn a_refused_creation_is_final_and_a_refusal_by_5xx_is_no_reason_to_come_again() {
    let (receiver, hook) = Receiver::start().await;
    let server = Server::start(&hook, "");
    receiver.set("pre-create", Manner::Say(json!({"RejectUpload": true})));
    let headers = [("upload-complete", "?0"), ("upload-length", "5")];
    let refused = server.tus("POST", "/files/", &headers).send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["upload-complete"]),
        (400, &"?1".parse().unwrap())
    );
    assert!(refused.headers().get("location").is_none());

    receiver.set("pre-create", Manner::Say(json!({})));
    receiver.set(
        "pre-finish",
        Manner::Say(json!({"HTTPResponse": {"StatusCode": 503, "Body": "never"}})),
    );
    // An empty upload is judged at its creation, one of deferred length where no byte can be held back.
    let path = server.create(&[("upload-defer-length", "1")]).await;
    assert_eq!(server.patch(&path, 0, "hello").send().await.unwrap().status(), 204);
    let end = server
        .patch(&path, 5, "")
        .header("upload-length", "5")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (end.status().as_u16(), end.text().await.unwrap()),
        (503, "never".to_owned())
    );
    for _ in 0..2 {
        let head = server.tus("HEAD", &path, &[]).send().await.unwrap();
        assert_eq!((head.status().as_u16(), head.headers().get("retry-after")), (400, None));
    }
}
