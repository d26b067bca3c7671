//! What becomes of an upload: created, filled, paused, finished, ended, expired.

use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::disk;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::{eventually, stays};
use end_to_end::watch::Watcher;
use end_to_end::wire::{Body, Framing, Pace, Request};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;

fn operation(upload: &Upload, operation: &str) -> Request {
    Request::new("POST", &format!("/tasks/{}/{operation}", upload.task)).framing(Framing::Length(0))
}

#[tokio::test]
async fn a_creation_says_where_and_until_when() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for path in ["/files", "/files/"] {
        let request = Request::tus("POST", path)
            .header("Upload-Length", "100")
            .header("Upload-Metadata", "filename YS50eHQ=,is_confidential");
        let response = client.answer(&request).await;
        assert_eq!((response.status, response.body.len()), (201, 0), "{response:?}");
        assert_eq!(response.offset(), None, "there was no body to speak of");
        let expires = response
            .header("Upload-Expires")
            .expect("it says until when")
            .to_owned();
        assert!(
            expires.ends_with(" GMT") && expires.len() == 29,
            "no IMF-fixdate: {expires}"
        );
        let upload = Upload::at(
            response.header("Location").expect("it says where"),
            Content::new(1, 100),
        );
        assert_eq!(upload.location.split('/').count(), 5, "{}", upload.location);

        let head = client.ask(&upload, &Request::tus("HEAD", &upload.location)).await;
        assert_eq!(
            (head.status, head.offset(), head.number("Upload-Length")),
            (200, Some(0), Some(100))
        );
        assert_eq!(head.header("Upload-Defer-Length"), None);
        assert_eq!(
            head.header("Upload-Metadata"),
            Some("filename YS50eHQ=,is_confidential")
        );
        assert_eq!(head.header("Cache-Control"), Some("no-store"));
        let patch = client.patch(&upload, 0..40).await;
        assert!(
            patch.header("Upload-Expires").is_some(),
            "every PATCH says until when: {patch:?}"
        );
        client.complete(&upload).await;
        let done = client.ask(&upload, &Request::tus("HEAD", &upload.location)).await;
        assert_eq!(done.header("Upload-Expires"), None, "a finished upload does not expire");
    }
}

#[tokio::test]
async fn a_creation_with_its_bytes_stands_where_they_end() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let content = Content::new(2, 1_000);
    let request = |bytes: Vec<u8>| {
        Request::tus("POST", "/files/")
            .header("Upload-Length", "1000")
            .header("Content-Type", "application/offset+octet-stream")
            .body(bytes)
    };
    let part = client.answer(&request(content.bytes(0..400))).await;
    assert_eq!((part.status, part.offset()), (201, Some(400)), "{part:?}");
    let upload = Upload::at(part.header("Location").expect("it says where"), content);
    assert_eq!(client.task(&upload).await["status"], "uploading");
    client.complete(&upload).await;

    let whole = client.answer(&request(content.whole())).await;
    assert_eq!((whole.status, whole.offset()), (201, Some(1_000)), "{whole:?}");
    let upload = Upload::at(whole.header("Location").expect("it says where"), content);
    assert_eq!(client.task(&upload).await["status"], "completed");
    client.verify(&upload).await;
}

#[tokio::test]
async fn an_empty_upload_is_complete_when_it_is_created() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(3, 0)).await;
    assert_eq!(client.head(&upload).await, 0);
    let task = client.task(&upload).await;
    assert_eq!(
        (
            &task["status"],
            &task["progress"],
            &task["totalChunks"],
            &task["remaining"],
            &task["expiresAt"]
        ),
        (&json!("completed"), &json!(100), &json!(0), &json!(0), &Value::Null)
    );
    client.verify(&upload).await;
    let range = client
        .answer(&Request::new("GET", &upload.location).header("Range", "bytes=0-0"))
        .await;
    assert_eq!((range.status, range.header("Content-Range")), (416, Some("bytes */0")));
}

#[tokio::test]
async fn a_deferred_length_is_told_later_and_once() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let content = Content::new(4, 1_000);
    let create = Request::tus("POST", "/files/").header("Upload-Defer-Length", "1");
    let upload = client.create_by(&create, content).await;
    assert_eq!(client.patch(&upload, 0..100).await.status, 204);
    let head = client.ask(&upload, &Request::tus("HEAD", &upload.location)).await;
    assert_eq!(
        (head.header("Upload-Length"), head.header("Upload-Defer-Length")),
        (None, Some("1"))
    );
    let task = client.task(&upload).await;
    assert_eq!(
        (&task["length"], &task["progress"], &task["totalChunks"]),
        (&Value::Null, &json!(0), &Value::Null)
    );
    assert_eq!(task["partSize"], 16 * MIB);

    let telling = |offset: u64, length: u64, bytes: Vec<u8>| {
        Request::patch(&upload.location, offset)
            .header("Upload-Length", length.to_string())
            .body(bytes)
    };
    let below = client.ask(&upload, &telling(100, 99, Vec::new())).await;
    assert_eq!((below.status, below.code().as_str()), (400, "length_mismatch"));
    let beyond = client.ask(&upload, &telling(100, 150, content.bytes(100..151))).await;
    assert_eq!((beyond.status, beyond.code().as_str()), (413, "body_beyond_length"));
    let still = client.ask(&upload, &Request::tus("HEAD", &upload.location)).await;
    assert_eq!(
        (still.offset(), still.header("Upload-Defer-Length")),
        (Some(100), Some("1")),
        "a refused length stays"
    );
    let told = client.ask(&upload, &telling(100, 1_000, content.bytes(100..200))).await;
    assert_eq!((told.status, told.offset()), (204, Some(200)));
    let again = client.ask(&upload, &telling(200, 1_001, Vec::new())).await;
    assert_eq!((again.status, again.code().as_str()), (400, "length_mismatch"));
    client.complete(&upload).await;

    // Told after the last byte: nothing is missing then.
    let upload = client.create_by(&create, content).await;
    assert_eq!(client.patch(&upload, 0..1_000).await.offset(), Some(1_000));
    let last = Request::patch(&upload.location, 1_000)
        .header("Upload-Length", "1000")
        .body("");
    assert_eq!(client.ask(&upload, &last).await.status, 204);
    assert_eq!(client.task(&upload).await["status"], "completed");
    client.verify(&upload).await;
}

#[tokio::test]
async fn the_figures_of_a_task_follow_from_its_length_and_offset() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let length = 20 * MIB + 1;
    let upload = client.create(Content::new(5, length)).await;
    let mut seen = Vec::new();
    for end in [0, 1, 8 * MIB - 1, 8 * MIB, 17 * MIB, 20 * MIB, length] {
        let at = client.head(&upload).await;
        if end > at {
            assert_eq!(client.patch(&upload, at..end).await.offset(), Some(end));
        }
        let task = client.task(&upload).await;
        assert_eq!(task["taskId"], upload.task.as_str());
        assert_eq!((&task["offset"], &task["length"]), (&json!(end), &json!(length)));
        assert_eq!(
            (&task["partSize"], &task["totalChunks"], &task["v"]),
            (&json!(8 * MIB), &json!(3), &json!(1))
        );
        let chunks = task["uploadedChunks"].as_u64().expect("it is a number");
        assert_eq!(task["remaining"], 3 - chunks);
        let created = task["createdAt"].as_u64().expect("it is a time");
        let expires = task["expiresAt"].as_u64();
        assert!(
            expires.is_none_or(|expires| expires >= created + 24 * 3_600_000),
            "{task}"
        );
        assert_eq!(expires.is_none(), end == length, "{task}");
        let status = task["status"].as_str().expect("it is a text").to_owned();
        seen.push((status, task["progress"].as_u64().expect("it is a number"), chunks));
    }
    let expected = [
        ("pending", 0, 0),
        ("uploading", 0, 0),
        ("uploading", 39, 0),
        ("uploading", 39, 1),
        ("uploading", 84, 2),
        ("uploading", 99, 2),
        ("completed", 100, 3),
    ];
    assert_eq!(
        seen,
        expected.map(|(status, progress, chunks)| (status.to_owned(), progress, chunks))
    );
}

#[tokio::test]
async fn an_unfinished_upload_expires_and_its_bytes_go() {
    let server = Server::with(Settings::upload(&["lifetime: 1s"])).await;
    let client = Client::of(&server);
    let finished = client.create(Content::new(6, 1_000)).await;
    client.complete(&finished).await;
    let idle = client.create(Content::new(7, 3 * MIB)).await;
    assert_eq!(client.patch(&idle, 0..2 * MIB).await.status, 204);
    let watcher = Watcher::events(&client, &idle).await;
    assert!(!disk::files_of(&server.data(), &idle.task).is_empty());

    // A body that goes on for longer than the lifetime keeps its upload alive.
    let busy = client.create(Content::new(8, 3 * MIB)).await;
    let pace = Pace::Pieces {
        bytes: 8 * 1024,
        every: Duration::from_millis(8),
    };
    let patch = client
        .begin(&busy, Body::of(busy.content, 0..3 * MIB).paced(pace))
        .await;

    eventually(SOON, "the idle upload to expire", async || {
        let response = client.answer(&Request::tus("HEAD", &idle.location)).await;
        assert!(matches!(response.status, 200 | 410), "{response:?}");
        (response.status == 410).then_some(response)
    })
    .await;
    for request in [
        Request::new("GET", &idle.location),
        Request::patch(&idle.location, 2 * MIB).body("x"),
        Request::tus("DELETE", &idle.location),
    ] {
        let response = client.answer(&request).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (410, "upload_expired"),
            "{response:?}"
        );
        assert_eq!(response.offset(), None);
    }
    let task = client
        .answer(&Request::new("GET", &format!("/tasks/{}", idle.task)))
        .await;
    assert_eq!((task.status, task.code().as_str()), (410, "task_gone"));
    watcher
        .sees("the end of the task", |value| value["event"] == "failed")
        .await;
    watcher.ends().await;
    eventually(SOON, "the bytes to be removed", async || {
        disk::files_of(&server.data(), &idle.task).is_empty().then_some(())
    })
    .await;
    assert_eq!(patch.answer().await.status, 204);
    client.verify(&busy).await;
    client.verify(&finished).await;
}

#[tokio::test]
async fn what_expired_while_the_server_was_down_is_gone_when_it_is_back() {
    let mut server = Server::with(Settings::upload(&["lifetime: 1s", "origin: eu-1"])).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(9, 3 * MIB)).await;
    assert!(upload.task.starts_with("eu-1-"), "{}", upload.task);
    assert_eq!(client.patch(&upload, 0..MIB).await.status, 204);
    server.kill();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    server.restart().await;
    eventually(SOON, "the upload to be gone with its bytes", async || {
        let response = client.answer(&Request::new("GET", &upload.location)).await;
        (response.code() == "upload_expired" && disk::files_of(&server.data(), &upload.task).is_empty()).then_some(())
    })
    .await;
    server.kill();
    server.restart().await;
    assert_eq!(client.answer(&Request::new("GET", &upload.location)).await.status, 410);
}

#[tokio::test]
async fn a_terminated_upload_is_gone_with_its_bytes_for_its_owner_and_its_watchers() {
    let mut server = Server::start().await;
    let client = Client::of(&server);
    let running = client.create(Content::new(10, 4 * MIB)).await;
    let patch = client
        .begin(&running, Body::of(running.content, 0..4 * MIB).halting_after(2 * MIB))
        .await;
    patch.has_sent(2 * MIB).await;
    let finished = client.create(Content::new(11, MIB)).await;
    client.complete(&finished).await;
    let pending = client.create(Content::new(12, MIB)).await;
    let watcher = Watcher::plain(&client, &running).await;
    watcher
        .sees("the present state", |value| value.get("progress").is_some())
        .await;
    for upload in [&running, &finished, &pending] {
        let deleted = client.answer(&Request::tus("DELETE", &upload.location)).await;
        assert_eq!((deleted.status, deleted.header("Tus-Resumable")), (204, Some("1.0.0")));
        for request in [
            Request::new("GET", &upload.location),
            Request::patch(&upload.location, 0).body("x"),
            Request::tus("DELETE", &upload.location),
        ] {
            let response = client.answer(&request).await;
            assert_eq!(
                (response.status, response.code().as_str()),
                (410, "upload_terminated"),
                "{response:?}"
            );
        }
        assert_eq!(client.answer(&Request::tus("HEAD", &upload.location)).await.status, 410);
        assert_eq!(client.answer(&operation(upload, "pause")).await.code(), "task_gone");
        assert_eq!(disk::files_of(&server.data(), &upload.task).len(), 0);
    }
    let ended = patch.answer().await;
    assert!(matches!(ended.status, 410 | 423), "{ended:?}");
    watcher
        .sees("the end of the task", |value| value["type"] == "error")
        .await;
    let list = client.answer(&Request::new("GET", "/tasks")).await.json();
    assert_eq!(list["tasks"], json!([]));
    server.kill();
    server.restart().await;
    assert_eq!(client.answer(&Request::new("GET", &running.location)).await.status, 410);
}

#[tokio::test]
async fn writers_that_were_killed_leave_nothing_behind_a_termination() {
    let mut server = Server::with(Settings::upload(&["checkpoint: 60s"])).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(13, 40 * MIB)).await;
    for _ in 0..3 {
        let offset = client.head(&upload).await;
        let body = Body::of(upload.content, offset..40 * MIB).halting_after(3 * MIB + MIB / 2);
        let patch = client.begin(&upload, body).await;
        patch.has_sent(3 * MIB + MIB / 2).await;
        eventually(SOON, "bytes on the disk that no checkpoint has recorded", async || {
            let files = disk::files_of(&server.data(), &upload.task);
            files.values().any(|size| *size >= 2 * MIB).then_some(())
        })
        .await;
        server.kill();
        drop(patch);
        server.restart().await;
    }
    assert_eq!(client.head(&upload).await, 0);
    assert_eq!(client.patch(&upload, 0..MIB).await.status, 204);
    assert_eq!(
        client.answer(&Request::tus("DELETE", &upload.location)).await.status,
        204
    );
    assert_eq!(
        disk::files_of(&server.data(), &upload.task)
            .into_keys()
            .collect::<Vec<_>>(),
        Vec::<std::path::PathBuf>::new()
    );
}

#[tokio::test]
async fn a_pause_stops_the_running_body_and_an_append_resumes() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(14, 8 * MIB)).await;
    let early = client.answer(&operation(&upload, "pause")).await;
    assert_eq!(
        (early.status, early.code().as_str()),
        (409, "illegal_transition"),
        "nothing runs yet"
    );
    let pace = Pace::Pieces {
        bytes: 4 * 1024,
        every: Duration::from_millis(4),
    };
    let patch = client
        .begin(&upload, Body::of(upload.content, 0..8 * MIB).paced(pace))
        .await;
    client.task_becomes(&upload, "uploading").await;
    let paused = client.answer(&operation(&upload, "pause")).await;
    assert_eq!(
        (paused.status, &paused.json()["status"]),
        (200, &json!("paused")),
        "{paused:?}"
    );
    let stopped = patch.answer().await;
    assert_eq!(
        (stopped.status, stopped.code().as_str()),
        (409, "paused"),
        "{stopped:?}"
    );
    let offset = stopped.offset().expect("it says where the upload stands");
    assert!(0 < offset && offset < 8 * MIB);
    stays(Duration::from_millis(300), "nothing more is taken", async || {
        let task = client.task(&upload).await;
        (&task["status"], &task["offset"]) == (&json!("paused"), &json!(offset))
    })
    .await;
    let again = client.answer(&operation(&upload, "pause")).await;
    assert_eq!(again.status, 200, "a pause of what is paused is no fault: {again:?}");

    let resumed = client.answer(&operation(&upload, "resume")).await;
    assert_eq!((resumed.status, &resumed.json()["status"]), (200, &json!("uploading")));
    client.answer(&operation(&upload, "pause")).await;
    assert_eq!(client.head(&upload).await, offset, "HEAD resumes nothing");
    assert_eq!(client.task(&upload).await["status"], "paused");
    client.complete(&upload).await;
    for name in ["pause", "resume"] {
        let late = client.answer(&operation(&upload, name)).await;
        assert_eq!(
            (late.status, late.code().as_str()),
            (409, "illegal_transition"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_append_resumes_at_once_so_that_a_second_pause_stops_it_too() {
    let server = Server::with(Settings::upload(&["checkpoint: 60s"])).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(15, 8 * MIB)).await;
    assert_eq!(client.patch(&upload, 0..MIB).await.status, 204);
    assert_eq!(client.answer(&operation(&upload, "pause")).await.status, 200);
    // Its bytes stay below a checkpoint for as long as it runs.
    let request = Request::patch(&upload.location, MIB);
    let body = Body::of(upload.content, MIB..8 * MIB).halting_after(1_000);
    let patch = client.begin_read(&upload, request, body, 1_000).await;
    client.task_becomes(&upload, "uploading").await;
    assert_eq!(client.answer(&operation(&upload, "pause")).await.status, 200);
    let stopped = patch.answer().await;
    assert_eq!(
        (stopped.status, stopped.code().as_str()),
        (409, "paused"),
        "{stopped:?}"
    );
    assert_eq!(stopped.offset(), Some(MIB + 1_000), "what had come is kept");
    client.complete(&upload).await;
}

#[tokio::test]
async fn a_pause_with_the_last_bytes_under_way_leaves_the_verdict_to_whoever_resumes() {
    let server = Server::with(Settings::upload(&["checkpoint: 60s"])).await;
    let client = Client::of(&server);
    let length = 2 * MIB;
    let upload = client.create(Content::new(16, length)).await;
    assert_eq!(client.patch(&upload, 0..100).await.status, 204);
    // Chunked: every byte is there, and the body has not ended.
    let request = Request::patch(&upload.location, 100);
    let body = Body::of(upload.content, 100..length + 1)
        .chunked()
        .halting_after(length - 100);
    let patch = client.begin_read(&upload, request, body, length - 100).await;
    assert_eq!(client.answer(&operation(&upload, "pause")).await.status, 200);
    let stopped = patch.answer().await;
    assert_eq!(
        (stopped.status, stopped.code().as_str()),
        (409, "paused"),
        "{stopped:?}"
    );
    assert_eq!(
        stopped.offset(),
        Some(length - 1),
        "the last byte is held back until the verdict"
    );
    assert_eq!(client.head(&upload).await, length - 1);
    let task = client.task(&upload).await;
    assert_eq!((&task["status"], &task["progress"]), (&json!("paused"), &json!(99)));

    let last = client.patch(&upload, length - 1..length).await;
    assert_eq!((last.status, last.offset()), (204, Some(length)), "{last:?}");
    assert_eq!(client.task(&upload).await["status"], "completed");
    client.verify(&upload).await;
}

#[tokio::test]
async fn a_paused_upload_survives_a_kill_as_it_was() {
    let mut server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(17, MIB)).await;
    assert_eq!(client.patch(&upload, 0..1_000).await.status, 204);
    assert_eq!(client.answer(&operation(&upload, "pause")).await.status, 200);
    server.kill();
    server.restart().await;
    let task = client.task(&upload).await;
    assert_eq!((&task["status"], &task["offset"]), (&json!("paused"), &json!(1_000)));
    client.complete(&upload).await;
}

#[tokio::test]
async fn watchers_of_every_kind_see_a_file_arrive_and_nothing_run_back() {
    let server = Server::with(Settings::upload(&["checkpoint: 20ms"])).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(18, 4 * MIB)).await;
    let events = Watcher::events(&client, &upload).await;
    let plain = Watcher::plain(&client, &upload).await;
    let pace = Pace::Pieces {
        bytes: 16 * 1024,
        every: Duration::from_millis(4),
    };
    let patch = client
        .begin(&upload, Body::of(upload.content, 0..4 * MIB).paced(pace))
        .await;
    let mut tag = String::new();
    let mut polls = 0;
    while !patch.is_inside() {
        tokio::task::yield_now().await;
    }
    loop {
        let request = Request::new("GET", &format!("/tasks/{}?wait=20", upload.task)).header("If-None-Match", &tag);
        let mark = client.ledger().mark(&upload.task);
        let response = client.answer(&request).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.header("ETag").expect("it has an ETag").clone_into(&mut tag);
        let task = response.json();
        client
            .ledger()
            .shown(&mark, task["offset"].as_u64().expect("it has an offset"), "long poll");
        polls += 1;
        if task["status"] == "completed" {
            break;
        }
    }
    assert!(polls > 3, "{polls} polls");
    assert_eq!(patch.answer().await.status, 204);
    events
        .sees("the last event", |value| {
            value["event"] == "completed" && value["data"]["progress"] == 100
        })
        .await;
    events.ends().await;
    let last = plain.sees("the last value", |value| value["progress"] == 100).await;
    assert_eq!(last["fileId"], upload.task.as_str());
    let seen = events.values().len();
    assert!((4..60).contains(&seen), "{seen} events: {:?}", events.values());
    client.verify(&upload).await;
}

#[tokio::test]
async fn a_finished_file_is_served_whole_and_in_ranges() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let content = Content::new(19, 3 * MIB);
    let upload = client.create(content).await;
    // In several pieces and from several writers, so that what is read is put together.
    for end in [MIB, MIB + 1, 2 * MIB] {
        let at = client.head(&upload).await;
        assert_eq!(client.patch(&upload, at..end).await.status, 204);
    }
    client.complete(&upload).await;
    let tag = client
        .answer(&Request::new("GET", &upload.location))
        .await
        .header("ETag")
        .expect("it has an ETag")
        .to_owned();
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=1048570-1048590", 1_048_570..1_048_591),
        ("bytes=-1", 3 * MIB - 1..3 * MIB),
        ("bytes=3145700-9999999", 3_145_700..3 * MIB),
        ("bytes=2000000-", 2_000_000..3 * MIB),
    ] {
        let response = client
            .answer(&Request::new("GET", &upload.location).header("Range", range))
            .await;
        assert_eq!(response.status, 206, "{range}");
        let told = format!("bytes {}-{}/{}", expected.start, expected.end - 1, 3 * MIB);
        assert_eq!(response.header("Content-Range"), Some(told.as_str()));
        assert!(response.body == content.bytes(expected), "{range} brought other bytes");
    }
    let known = client
        .answer(&Request::new("GET", &upload.location).header("If-None-Match", &tag))
        .await;
    assert_eq!(known.status, 304);
    for (field, value, status) in [
        ("If-Match", tag.as_str(), 206),
        ("If-Match", "*", 206),
        ("If-Match", "\"another\"", 412),
        ("If-Range", tag.as_str(), 206),
        ("If-Range", "\"another\"", 200),
        ("If-Range", "Sun, 22 Nov 2026 12:00:00 GMT", 200),
    ] {
        let request = Request::new("GET", &upload.location).header("Range", "bytes=0-9");
        let response = client.answer(&request.header(field, value)).await;
        assert_eq!(response.status, status, "{field}: {value}");
    }
    let outside = client
        .answer(&Request::new("GET", &upload.location).header("Range", "bytes=3145728-"))
        .await;
    assert_eq!(
        (outside.status, outside.code().as_str()),
        (416, "range_not_satisfiable")
    );
}
