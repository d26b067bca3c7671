//! Forms: many files in one request, and everything that a form can get wrong.

use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::disk;
use end_to_end::form::{BOUNDARY, Form, head};
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::{Request, Response};
use serde_json::Value;
use tokio::time::Instant;

fn assert_problem(response: &Response, status: u16, code: &str, about: &str) {
    assert_eq!(
        (response.status, response.code().as_str()),
        (status, code),
        "{about}: {response:?}"
    );
}

async fn tasks(client: &Client) -> Vec<Value> {
    let list = client.answer(&Request::new("GET", "/tasks?limit=200")).await.json();
    list["tasks"].as_array().expect("a list has tasks").clone()
}

fn received(response: &Response) -> Vec<Value> {
    assert_eq!(response.status, 201, "{response:?}");
    response.json()["files"]
        .as_array()
        .expect("a receipt has files")
        .clone()
}

#[tokio::test]
async fn every_file_of_a_form_becomes_a_task_of_its_own() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let contents: Vec<_> = (0..100)
        .map(|index| Content::new(index, [0, 1, 7, 3_000, 70_000][index as usize % 5]))
        .collect();
    let mut form = Form::new().field("note", "between the files");
    for (index, content) in contents.iter().enumerate() {
        form = form.file(format!("file {index}.bin"), content.whole());
    }
    let response = client.answer(&form.field("last", "").request()).await;
    let files = received(&response);
    assert_eq!(files.len(), 100);
    for (index, (file, content)) in files.iter().zip(contents).enumerate() {
        assert_eq!(file["name"], format!("file {index}.bin"));
        let upload = Upload::at(file["location"].as_str().expect("a file has a location"), content);
        assert_eq!(file["taskId"], upload.task);
        client.verify(&upload).await;
        let task = client.task(&upload).await;
        assert_eq!(
            (&task["status"], &task["progress"]),
            (&"completed".into(), &100.into()),
            "{task}"
        );
        assert_eq!(task["length"], content.length);
    }
    let listed = eventually(SOON, "all files to be listed", async || {
        let listed = tasks(&client).await;
        (listed.len() == 100).then_some(listed)
    })
    .await;
    assert!(listed.iter().any(|task| task["name"] == "file 99.bin"));
}

#[tokio::test]
async fn a_large_file_of_a_form_is_streamed_and_watched() {
    let server = Server::with(Settings::upload(&["checkpoint: 20ms"])).await;
    let client = Client::of(&server);
    let content = Content::new(1, 24 * 1024 * 1024);
    let response = client
        .answer(&Form::new().file("large.bin", content.whole()).request())
        .await;
    let files = received(&response);
    client
        .verify(&Upload::at(
            files[0]["location"].as_str().expect("a file has a location"),
            content,
        ))
        .await;
}

#[tokio::test]
async fn names_are_text_and_never_paths() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let mut names: Vec<String> = [
        "../../../../../../tmp/evil",
        "..",
        ".",
        "/etc/passwd",
        "C:\\Windows\\x",
        "..\\..\\x",
        "a/b/c.txt",
        "%2e%2e%2f",
        "~",
        "con",
        "a;b=c.txt",
        "na\u{ef}ve \u{1f4a9}.txt",
        "\u{202e}gpj.exe",
        "%0d%0aX-Injected: yes",
        "a%00b",
        "'; DROP TABLE task; --",
        "<script>alert(1)</script>.html",
        "${jndi:ldap://x}",
        " leading and trailing ",
        "name=\u{201c}quoted\u{201d}",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(4_000));
    for (index, name) in names.iter().enumerate() {
        let content = Content::new(index as u64, 50);
        let files = received(&client.answer(&Form::new().file(name, content.whole()).request()).await);
        assert_eq!(files[0]["name"], name.as_str());
        let upload = Upload::at(files[0]["location"].as_str().expect("a file has a location"), content);
        client.verify(&upload).await;
        download_is_safe(&client, &upload, name).await;
    }
    nothing_outside(&server);
    for name in &names {
        eventually(SOON, &format!("{name:?} to be listed"), async || {
            let listed = tasks(&client).await;
            listed.iter().any(|task| task["name"] == name.as_str()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn names_in_tus_metadata_are_text_and_never_paths() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for (name, base64) in [
        (&b"../../../../tmp/evil"[..], "Li4vLi4vLi4vLi4vdG1wL2V2aWw="),
        (b"a\r\nX-Injected: yes", "YQ0KWC1JbmplY3RlZDogeWVz"),
        (b"a\0b", "YQBi"),
        (b"a\"; filename=\"evil.html", "YSI7IGZpbGVuYW1lPSJldmlsLmh0bWw="),
        ("na\u{ef}ve.txt".as_bytes(), "bmHDr3ZlLnR4dA=="),
        (b"\xff\xfe", "//4="),
        (b"", ""),
    ] {
        let content = Content::new(base64.len() as u64, 50);
        let metadata = format!("filename {base64},filetype dGV4dC9odG1sDQpYLUluamVjdGVkOiB5ZXM=");
        let request = Request::tus("POST", "/files")
            .header("Upload-Length", "50")
            .header("Upload-Metadata", metadata);
        let upload = client.create_by(&request, content).await;
        let echoed = client.ask(&upload, &Request::tus("HEAD", &upload.location)).await;
        let echoed = echoed.header("Upload-Metadata").expect("metadata is echoed").to_owned();
        assert!(echoed.starts_with(format!("filename {base64}").trim_end()), "{echoed}");
        client.complete(&upload).await;
        download_is_safe(&client, &upload, &String::from_utf8_lossy(name)).await;
    }
    nothing_outside(&server);
}

/// What a browser is told about the file leaves no room for the name to do anything.
async fn download_is_safe(client: &Client, upload: &Upload, name: &str) {
    let response = client.answer(&Request::new("GET", &upload.location)).await;
    let disposition = response
        .header("Content-Disposition")
        .expect("a download has a disposition");
    assert!(disposition.starts_with("attachment"), "{disposition}");
    assert!(
        disposition.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
        "{disposition}"
    );
    assert!(!disposition.contains(['/', '\\']), "{name:?}: {disposition}");
    assert!(disposition.matches('"').count() <= 2, "{disposition}");
    assert_eq!(response.header("X-Injected"), None);
    assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
    assert!(
        response
            .header("Content-Security-Policy")
            .is_some_and(|policy| policy.contains("sandbox"))
    );
    assert!(!response.header("Content-Type").unwrap_or_default().contains('\r'));
}

/// The server has made its data folder in the folder where it was started, and nothing else.
fn nothing_outside(server: &Server) {
    for (path, _) in disk::files(server.folder()) {
        let text = path.to_string_lossy();
        let known = text.starts_with("data/") || matches!(&*text, "stderr.log" | "windlass.yaml");
        assert!(known, "{text} was written");
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"/.-".contains(&byte)),
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn wrong_forms_are_refused_and_leave_nothing() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let file = || Form::new().file("a.txt", "hello");
    let as_form = |content_type: &str, body: Vec<u8>| {
        Request::new("POST", "/files/")
            .header("Content-Type", content_type)
            .body(body)
    };
    for (about, request, status, code) in [
        (
            "no boundary",
            as_form("multipart/form-data", file().body()),
            400,
            "form_boundary_missing",
        ),
        (
            "empty boundary",
            as_form("multipart/form-data; boundary=", file().body()),
            400,
            "form_boundary_missing",
        ),
        (
            "another boundary",
            as_form("multipart/form-data; boundary=other", file().body()),
            400,
            "form_malformed",
        ),
        ("no body", head(), 400, "form_malformed"),
        ("empty body", head().body(""), 400, "form_malformed"),
        ("no file", Form::new().request(), 400, "form_without_file"),
        (
            "only fields",
            Form::new().field("a", "b").field("c", "").request(),
            400,
            "form_without_file",
        ),
        (
            "an input without a file",
            Form::new().file("", "").request(),
            400,
            "form_without_file",
        ),
        (
            "no disposition",
            Form::new().part("Content-Type: text/plain", "x").request(),
            400,
            "form_without_file",
        ),
        ("garbage", head().body(vec![0xff; 5_000]), 400, "form_malformed"),
        (
            "no headers' end",
            head().body(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"a\"")),
            400,
            "form_malformed",
        ),
        (
            "bad header",
            Form::new().part("Content Disposition\0", "x").request(),
            400,
            "form_malformed",
        ),
        (
            "NUL in a name",
            Form::new().file("a\0b", "x").request(),
            400,
            "form_malformed",
        ),
        (
            "a long field",
            Form::new().field("a", vec![b'x'; 100_000]).request(),
            413,
            "form_field_too_large",
        ),
        (
            "a long name",
            Form::new().file("x".repeat(9_000), "x").request(),
            400,
            "metadata_malformed",
        ),
        (
            "a tus creation",
            head()
                .header("Tus-Resumable", "1.0.0")
                .header("Upload-Length", "1")
                .body(file().body()),
            415,
            "content_type_unsupported",
        ),
        (
            "another type",
            as_form("application/x-www-form-urlencoded", b"a=b".to_vec()),
            412,
            "version_unsupported",
        ),
        (
            "mixed",
            as_form(&format!("multipart/mixed; boundary={BOUNDARY}"), file().body()),
            412,
            "version_unsupported",
        ),
    ] {
        let response = client.answer(&request).await;
        assert_problem(&response, status, code, about);
        assert_eq!(response.header("Tus-Resumable"), Some("1.0.0"), "{about}");
    }
    assert_eq!(tasks(&client).await, Vec::<Value>::new());
    assert!(disk::files(&server.data().join("uploads")).is_empty());
    client.complete(&client.create(Content::new(1, 10)).await).await;
}

#[tokio::test]
async fn a_field_header_that_does_not_end_is_bounded() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let memory = resident_kib(server.pid());
    let mut body = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"").into_bytes();
    body.resize(64 * 1024 * 1024, b'x');
    let response = client.answer(&head().body(body)).await;
    assert_problem(&response, 400, "form_malformed", "an endless header");
    let grown = resident_kib(server.pid()).saturating_sub(memory);
    assert!(grown < 32 * 1024, "an endless header took {grown} KiB");
}

#[tokio::test]
async fn ten_thousand_empty_fields_are_read_over() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let form = (0..10_000).fold(Form::new(), |form, index| form.field(&format!("f{index}"), ""));
    let began = Instant::now();
    let response = client.answer(&form.clone().request()).await;
    assert_problem(&response, 400, "form_without_file", "10,000 fields");
    let files = received(&client.answer(&form.file("a.txt", "hello").request()).await);
    assert_eq!(files.len(), 1);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_form_that_breaks_off_keeps_what_was_whole_and_fails_the_rest() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let content = Content::new(1, 100_000);
    let mut body = Form::new()
        .file("whole.bin", content.whole())
        .file("broken.bin", content.bytes(0..5_000_000))
        .open_end();
    body.truncate(3_000_000);
    let mut wire = client.connect().await;
    let request = head().framing(end_to_end::wire::Framing::Length(10_000_000));
    wire.send(request.head()).await.expect("the head can be sent");
    wire.send(&body).await.expect("the body can be sent");
    drop(wire);
    let listed = eventually(SOON, "one file complete, one failed", async || {
        let listed = tasks(&client).await;
        let of = |name: &str, status: &str| {
            listed
                .iter()
                .any(|task| task["name"] == name && task["status"] == status)
        };
        (of("whole.bin", "completed") && of("broken.bin", "failed")).then_some(listed)
    })
    .await;
    let broken = listed
        .iter()
        .find(|task| task["name"] == "broken.bin")
        .expect("it is listed");
    let id = broken["taskId"].as_str().expect("a task has an id");
    eventually(SOON, "the failed file's bytes to be removed", async || {
        disk::files_of(&server.data(), id).is_empty().then_some(())
    })
    .await;
    assert_eq!(listed.len(), 2);
}

#[tokio::test]
async fn a_form_with_too_many_files_keeps_those_before() {
    let server = Server::with(Settings::upload(&["formFilesMax: 3", "maxSizeBytes: 1000000"])).await;
    let client = Client::of(&server);
    let form = (0..5).fold(Form::new(), |form, index| form.file(format!("{index}"), "hello"));
    assert_problem(
        &client.answer(&form.request()).await,
        413,
        "form_files_too_many",
        "5 files of 3",
    );
    let listed = eventually(SOON, "three files", async || {
        let listed = tasks(&client).await;
        (listed.len() == 3).then_some(listed)
    })
    .await;
    assert!(listed.iter().all(|task| task["status"] == "completed"), "{listed:?}");

    let before = disk::files(&server.data().join("uploads"));
    let large = Form::new().file("large", vec![0; 3_000_000]);
    assert_problem(
        &client.answer(&large.request()).await,
        413,
        "upload_too_large",
        "3 MB of 1",
    );
    eventually(SOON, "the bytes of what was too large to be removed", async || {
        (disk::files(&server.data().join("uploads")) == before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_form_that_brings_nothing_for_too_long_is_ended() {
    let server = Server::with(Settings::upload(&["idleTimeout: 300ms"])).await;
    let client = Client::of(&server);
    for start in [
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"a\"; filename=\"slow\"\r\n\r\nhello"),
        format!("--{BOUNDARY}\r\nContent-Disp"),
        String::new(),
    ] {
        let mut wire = client.connect().await;
        let began = Instant::now();
        wire.send(head().framing(end_to_end::wire::Framing::Length(100_000)).head())
            .await
            .expect("it can be sent");
        wire.send(&start).await.expect("it can be sent");
        let response = wire.answer("POST").await.expect("it is answered");
        assert!(matches!(response.status, 400 | 408), "{start:?}: {response:?}");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{start:?}: {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn a_form_made_file_is_no_tus_upload() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let content = Content::new(1, 500);
    let files = received(&client.answer(&Form::new().file("a", content.whole()).request()).await);
    let upload = Upload::at(files[0]["location"].as_str().expect("a file has a location"), content);
    let patch = client.answer(&Request::patch(&upload.location, 500).body("")).await;
    assert_problem(&patch, 400, "protocol_mismatch", "PATCH");
    client.verify(&upload).await;
    assert_eq!(
        client.answer(&Request::tus("DELETE", &upload.location)).await.status,
        204
    );
    assert_problem(
        &client.answer(&Request::new("GET", &upload.location)).await,
        410,
        "upload_terminated",
        "GET",
    );
    assert!(disk::files_of(&server.data(), &upload.task).is_empty());
}

/// The resident memory of a process, KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process has a status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("it has a resident size");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}
