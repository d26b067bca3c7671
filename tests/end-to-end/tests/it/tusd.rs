//! tusd's upload directory, taken over: its uploads go on under their URLs, and its files stay as they were. That a
//! real tusd writes such a directory is for the tests with its clients.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use end_to_end::content::Content;
use end_to_end::random::Random;
use end_to_end::server::{Server, Settings};
use end_to_end::token;
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::{Body, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

/// tusd's directory, on the file system of the servers' data.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder can be made"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn settings(&self, more: &[&str]) -> Settings {
        let directory = format!("  directory: {}", self.path().display());
        let mut lines = vec!["tusd:", &directory];
        let more: Vec<String> = more.iter().map(|line| format!("  {line}")).collect();
        lines.extend(more.iter().map(String::as_str));
        Settings::upload(&lines)
    }

    /// An upload of which tusd has the first `have` bytes, as its file store writes it.
    fn upload(&self, content: Content, have: u64, info: &Value) -> Upload {
        let id = format!("{:032x}", Random::seeded(content.length ^ have << 20).number());
        self.upload_as(&id, content, have, info)
    }

    fn upload_as(&self, id: &str, content: Content, have: u64, info: &Value) -> Upload {
        let path = self.path().join(id);
        fs::write(&path, content.bytes(0..have)).expect("a file can be written");
        let mut document = json!({
            "ID": id, "Size": content.length, "SizeIsDeferred": false, "Offset": 0, "MetaData": {"filename": "ä.bin"},
            "IsPartial": false, "IsFinal": false, "PartialUploads": null,
            "Storage": {"InfoPath": format!("data/{id}.info"), "Path": format!("data/{id}"), "Type": "filestore"},
        });
        for (key, value) in info.as_object().expect("fields") {
            document[key] = value.clone();
        }
        fs::write(self.info_of(id), document.to_string()).expect("a file can be written");
        Upload {
            location: format!("/files/{id}"),
            task: id.to_owned(),
            content,
        }
    }

    fn info_of(&self, id: &str) -> std::path::PathBuf {
        self.path().join(format!("{id}.info"))
    }

    /// Every file with its content.
    fn content(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path()).expect("it is there");
        let read = |entry: fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).expect("a file can be read"))
        };
        entries.map(|entry| read(entry.expect("it is there"))).collect()
    }
}

async fn taken_over(client: &Client, outcome: &str) -> u64 {
    let text = client.answer(&Request::new("GET", "/metrics")).await.text();
    let start = format!("windlass_upload_tusd_uploads_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Waits for the end of the sweep of the server's `start`-th start; what it logged.
async fn sweep_ends(server: &Server, start: usize) -> String {
    eventually(SOON, "the end of the sweep", async || {
        let log = server.log();
        let mut lines = log.lines().filter(|line| line.contains("swept tusd's directory"));
        lines.nth(start - 1).map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn an_unfinished_upload_goes_on_under_its_url_and_tusds_files_stay() {
    let tusd = Directory::new();
    let upload = tusd.upload(Content::new(1, 3_000_000), 1_234_567, &json!({}));
    let before = tusd.content();
    let mut server = Server::with(tusd.settings(&[])).await;
    let client = Client::of(&server);

    let head = client.ask(&upload, &Request::tus("HEAD", &upload.location)).await;
    assert_eq!((head.status, head.offset()), (200, Some(1_234_567)), "{head:?}");
    assert_eq!(head.header("Upload-Length"), Some("3000000"));
    assert_eq!(head.header("Upload-Metadata"), Some("filename w6QuYmlu"));
    let file = fs::metadata(tusd.path().join(&upload.task)).unwrap();
    assert_eq!(file.nlink(), 2, "its bytes are not copied");

    assert_eq!(client.patch(&upload, 1_234_567..2_000_000).await.status, 204);
    server.kill();
    server.restart().await;
    assert_eq!(client.head(&upload).await, 2_000_000);
    // tusd takes no notice of a slash at the end.
    let slashed = Upload {
        location: format!("{}/", upload.location),
        ..upload.clone()
    };
    client.complete(&slashed).await;
    client.verify(&upload).await;
    assert_eq!(tusd.content(), before);
}

#[tokio::test]
async fn what_is_finished_or_of_unknown_length_or_part_of_another_comes_over_as_it_is() {
    let tusd = Directory::new();
    let whole = tusd.upload(Content::new(2, 100_000), 100_000, &json!({}));
    let empty = tusd.upload(Content::new(3, 0), 0, &json!({}));
    let unwritten = tusd.upload(Content::new(4, 50_000), 0, &json!({}));
    let deferred = tusd.upload(
        Content::new(5, 70_000),
        30_000,
        &json!({"Size": 0, "SizeIsDeferred": true}),
    );
    let first = tusd.upload(Content::new(6, 40_000), 40_000, &json!({"IsPartial": true}));
    let second = tusd.upload(Content::new(7, 20_000), 9_999, &json!({"IsPartial": true}));
    let parts = json!({"IsFinal": true, "PartialUploads": [first.task, "0123"]});
    let joined = tusd.upload(Content::new(8, 60_000), 60_000, &parts);
    let server = Server::with(tusd.settings(&[])).await;
    let client = Client::of(&server);
    assert!(sweep_ends(&server, 1).await.contains("taken_over=7"));

    for finished in [&whole, &empty, &joined] {
        assert_eq!(client.head(finished).await, finished.content.length);
        client.verify(finished).await;
    }
    let head = client.ask(&joined, &Request::tus("HEAD", &joined.location)).await;
    let header = format!("final;/files/{} /files/0123", first.task);
    assert_eq!(head.header("Upload-Concat"), Some(header.as_str()));
    client.complete(&unwritten).await;

    let head = client.ask(&deferred, &Request::tus("HEAD", &deferred.location)).await;
    assert_eq!(
        (head.offset(), head.header("Upload-Defer-Length")),
        (Some(30_000), Some("1"))
    );
    let rest = Request::patch(&deferred.location, 30_000).header("Upload-Length", "70000");
    let rest = rest.body(deferred.content.bytes(30_000..70_000));
    assert_eq!(client.ask(&deferred, &rest).await.offset(), Some(70_000));
    client.verify(&deferred).await;

    let head = client.ask(&second, &Request::tus("HEAD", &second.location)).await;
    assert_eq!(
        (head.offset(), head.header("Upload-Concat")),
        (Some(9_999), Some("partial"))
    );
    client.complete(&second).await;
    // Parts that tusd took are joined here, by their old URLs.
    let concat = format!("final;{} http://localhost{}", first.location, second.location);
    let created = client
        .answer(&Request::tus("POST", "/files/").header("Upload-Concat", concat))
        .await;
    assert_eq!(created.status, 201, "{created:?}");
    let location = created.header("Location").expect("a creation has one").to_owned();
    let bytes = client.answer(&Request::new("GET", &location)).await.body;
    assert_eq!(bytes, [first.content.whole(), second.content.whole()].concat());
    // Its bytes are its own: they outlive the parts.
    let ended = client.answer(&Request::tus("DELETE", &first.location)).await;
    assert_eq!(ended.status, 204);
    client.verify(&joined).await;
}

#[tokio::test]
async fn what_cannot_be_taken_over_waits_for_its_cure_and_holds_up_nothing_else() {
    let tusd = Directory::new();
    let content = Content::new(9, 10_000);
    let good = tusd.upload(content, 5_000, &json!({}));
    let bad = [
        tusd.upload_as("toolong", content, 10_001, &json!({})),
        tusd.upload_as(
            "unjoined",
            content,
            5_000,
            &json!({"IsFinal": true, "PartialUploads": ["a"]}),
        ),
        tusd.upload_as(
            "elsewhere",
            content,
            5_000,
            &json!({"Storage": {"Path": "/etc/passwd"}}),
        ),
        tusd.upload_as("unknown", content, 5_000, &json!({"Colour": "red"})),
        tusd.upload_as("s3", content, 5_000, &json!({"Storage": {"Type": "s3store"}})),
        tusd.upload_as("nodata", content, 5_000, &json!({})),
        tusd.upload_as("link", content, 5_000, &json!({})),
        tusd.upload_as("broken", content, 5_000, &json!({})),
    ];
    fs::remove_file(tusd.path().join("nodata")).unwrap();
    fs::remove_file(tusd.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", tusd.path().join("link")).unwrap();
    fs::write(tusd.info_of("broken"), "{\"ID\":\"bro").unwrap();
    fs::write(tusd.info_of("a b"), "{}").unwrap();
    let before = tusd.content();
    let server = Server::with(tusd.settings(&[])).await;
    let client = Client::of(&server);
    let swept = sweep_ends(&server, 1).await;
    assert!(swept.contains("taken_over=1") && swept.contains("refused=9"), "{swept}");
    assert_eq!(taken_over(&client, "taken_over").await, 1);
    assert_eq!(taken_over(&client, "refused").await, 8);
    assert!(
        !server.log().contains(&good.task),
        "who reads the log must not be able to write"
    );

    for bad in &bad {
        // Never 404: a client that is told so starts from zero.
        let head = client.answer(&Request::tus("HEAD", &bad.location)).await;
        assert_eq!((head.status, head.offset()), (423, None), "{}", bad.task);
        assert!(head.retry_after().is_some());
        let patch = client.answer(&Request::patch(&bad.location, 5_000).body("x")).await;
        assert_eq!(
            (patch.status, patch.code().as_str()),
            (503, "takeover_failed"),
            "{}",
            bad.task
        );
    }
    assert_eq!(tusd.content(), before);
    for absent in [
        "/files/0123456789abcdef",
        "/files/..",
        "/files/%2e%2e%2fx",
        "/files/toolong.info",
        "/files/a%20b",
    ] {
        let head = client.answer(&Request::tus("HEAD", absent)).await;
        assert_eq!(head.status, 404, "{absent}");
    }
    // Cured, it comes over with the next request.
    let cured = tusd.upload_as("broken", content, 5_000, &json!({}));
    client.complete(&cured).await;
    client.complete(&good).await;
}

#[tokio::test]
async fn an_upload_that_was_ended_here_does_not_come_back() {
    let tusd = Directory::new();
    let upload = tusd.upload(Content::new(10, 10_000), 5_000, &json!({}));
    let mut server = Server::with(tusd.settings(&[])).await;
    let client = Client::of(&server);
    let ended = client.answer(&Request::tus("DELETE", &upload.location)).await;
    assert_eq!(ended.status, 204);
    sweep_ends(&server, 1).await;
    for start in 2..4 {
        let head = client.answer(&Request::tus("HEAD", &upload.location)).await;
        assert_eq!(head.status, 410);
        server.kill();
        server.restart().await;
        assert!(sweep_ends(&server, start).await.contains("taken_over=0"));
    }
    assert_eq!(tusd.content().len(), 2, "tusd's files are its owner's to remove");
}

#[tokio::test]
async fn kills_in_the_middle_of_the_sweep_take_nothing_over_twice_and_forget_nothing() {
    let tusd = Directory::new();
    let uploads: Vec<Upload> = (0..400)
        .map(|seed| tusd.upload(Content::new(seed, 2_000 + seed), 1_000 + seed / 2, &json!({})))
        .collect();
    let before = tusd.content();
    let mut server = Server::with(tusd.settings(&[])).await;
    let mut random = Random::seeded(11);
    for _ in 0..4 {
        let client = Client::of(&server);
        let asked = &uploads[random.between(0..400) as usize];
        assert_eq!(client.head(asked).await, 1_000 + (asked.content.length - 2_000) / 2);
        server.kill();
        server.restart().await;
    }
    let client = Client::of(&server);
    for upload in &uploads {
        client.complete(upload).await;
    }
    assert_eq!(tusd.content(), before);
    let manifests = end_to_end::disk::files(&server.data());
    let manifests = manifests
        .keys()
        .filter(|path| path.to_string_lossy().ends_with(".jsonl"));
    assert_eq!(manifests.count(), uploads.len(), "one task each");
}

#[tokio::test]
async fn another_base_path_is_served_too_and_clients_create_there() {
    let tusd = Directory::new();
    let mut upload = tusd.upload(Content::new(12, 10_000), 5_000, &json!({}));
    upload.location = format!("/v1/uploads/{}", upload.task);
    let server = Server::with(tusd.settings(&["basePath: /v1/uploads/", "transfer: copy"])).await;
    let client = Client::of(&server);
    client.complete(&upload).await;
    assert_eq!(
        fs::metadata(tusd.path().join(&upload.task)).unwrap().nlink(),
        1,
        "it was copied"
    );
    let content = Content::new(13, 1_000);
    for endpoint in ["/v1/uploads/", "/v1/uploads"] {
        let options = client.answer(&Request::new("OPTIONS", endpoint)).await;
        assert!(options.header("Tus-Version").is_some(), "{options:?}");
        let request = Request::tus("POST", endpoint).header("Upload-Length", "1000");
        let created = client.create_by(&request, content).await;
        client.complete(&created).await;
    }
    let head = client
        .answer(&Request::tus("HEAD", &format!("/files/{}", upload.task)))
        .await;
    assert_eq!(head.status, 404, "only where tusd had it");
}

#[tokio::test]
async fn with_tokens_the_old_url_is_the_right_to_write_for_those_of_the_tenant() {
    let tusd = Directory::new();
    let upload = tusd.upload(Content::new(14, 10_000), 5_000, &json!({}));
    let secret = tusd.path().join("secret");
    fs::write(&secret, token::SECRET).unwrap();
    let mut settings = tusd.settings(&["owner: ada"]);
    settings.config = format!("auth:\n  hs256SecretFile: {}\n{}", secret.display(), settings.config);
    let server = Server::with(settings).await;
    let stranger = Client::of(&server);
    let head = stranger.answer(&Request::tus("HEAD", &upload.location)).await;
    assert_eq!(head.status, 401);
    let head = Request::tus("HEAD", &upload.location);
    let other_tenant = stranger.with_token(&token::of_tenant("ada", "other"));
    assert_eq!(other_tenant.exchange(&head).await.unwrap().status, 404);
    stranger.with_token(&token::of("bob")).exchange(&head).await.unwrap();
    for user in ["bob", "ada"] {
        let client = Client::of(&server).with_token(&token::of(user));
        let response = client.exchange(&head).await.unwrap();
        assert_eq!((response.status, response.offset()), (200, Some(5_000)), "{user}");
    }
    let client = Client::of(&server).with_token(&token::of("bob"));
    let rest = Body::of(upload.content, 5_000..10_000);
    assert_eq!(client.begin(&upload, rest).await.answer().await.status, 204);
}

#[tokio::test]
async fn settings_that_cannot_be_end_the_start() {
    let tusd = Directory::new();
    for (config, says) in [
        ("directory: /nowhere/at/all".to_owned(), "/nowhere/at/all"),
        (
            format!("directory: {}\n    basePath: files", tusd.path().display()),
            "basePath",
        ),
        ("directory: /proc".to_owned(), "another file system"),
    ] {
        let settings = Settings {
            config: format!("upload:\n  tusd:\n    {config}\n"),
            ..Settings::default()
        };
        let (status, log) = Server::run_to_end(&settings, "127.0.0.1:0", SOON).await;
        assert_eq!(status.code(), Some(2), "{log}");
        assert!(log.contains(says), "{log}");
    }
}
