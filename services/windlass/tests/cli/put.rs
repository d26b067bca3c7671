//! `windlass put` against a real server, and against ones that misbehave.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

use crate::command::{Ended, run, start};
use crate::fake::{Fake, Reply, answer};
use crate::http::ask;
use crate::proxy::Proxy;
use crate::server::{Server, digest_of};
use crate::{eventually, stays};

/// Large enough that the proxy holds long before the end, whatever the socket buffers take.
const LARGE: usize = 48 << 20;

/// Where the proxy holds: past the first part, so that something is acknowledged.
const HOLD: usize = 20 << 20;

fn put<'a>(file: &'a Path, to: &'a str) -> Vec<&'a str> {
    vec!["put", file.to_str().unwrap(), "--to", to, "--json"]
}

fn locations(ended: &Ended) -> Vec<String> {
    ended
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["location"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// The file of a fake server's test: nothing but a length.
fn sparse(home: &Path, bytes: u64) -> PathBuf {
    let path = home.join("sparse.bin");
    std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
    path
}

#[test]
fn many_files_of_all_sizes_arrive_whole_and_each_is_told() {
    let server = Server::new();
    let files: Vec<_> = [0, 1, 65_536, 1_048_577, 9_000_000]
        .map(|size| server.file(&format!("file {size} ä.bin"), size))
        .into_iter()
        .collect();
    let names = files.iter().map(|file| file.to_str().unwrap());
    let ended = run(
        server.home.path(),
        ["put", "--to", &server.url(), "--jobs", "2"].into_iter().chain(names),
    );
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("5 of 5 files uploaded"), "{}", ended.err);
    for file in &files {
        let line = ended
            .out
            .lines()
            .find(|line| line.ends_with(file.to_str().unwrap()))
            .unwrap();
        let (task, _) = line.split_once('\t').unwrap();
        let task = ask(server.address, "GET", &format!("/tasks/{task}"), &[]).json();
        assert_eq!(task["status"], "completed");
        assert_eq!(task["length"], file.metadata().unwrap().len());
    }
    let quiet = run(
        server.home.path(),
        ["put", "-q", "--json", "--to", &server.url(), files[4].to_str().unwrap()],
    );
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));
    assert_eq!(server.digest(&locations(&quiet)[0]), digest_of(&files[4]));
}

#[test]
fn a_server_killed_in_the_middle_of_a_body_is_waited_for_and_gets_the_rest() {
    let mut server = Server::new();
    let file = server.file("large.bin", LARGE);
    let proxy = Proxy::start(server.address, HOLD);
    let url = proxy.url();
    let log = server.home.path().join("failures");
    let more = ["--failure-log", log.to_str().unwrap()];
    let mut process = start(server.home.path(), put(&file, &url).into_iter().chain(more));
    proxy.wait_until_held();
    server.kill();
    proxy.release();
    eventually("the failure is noticed", || {
        std::fs::read_to_string(&log).ok().filter(|log| log.contains('\n'))
    });
    assert!(process.is_running());
    server.start();
    let ended = process.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(
        server.digest(&locations(&ended)[0].replace(&url, &server.url())),
        digest_of(&file)
    );
    let patches = proxy.patches();
    assert_eq!(patches[0], 0);
    assert!(
        patches.len() >= 2 && patches[1..].iter().all(|offset| *offset > 0),
        "begun again: {patches:?}"
    );
    let failure: Value = serde_json::from_str(std::fs::read_to_string(&log).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!(
        (&failure["final"], &failure["status"]),
        (&json!(false), &Value::Null),
        "{failure}"
    );
    assert!(failure["file"].as_str().unwrap().ends_with("large.bin") && failure["time"].is_u64());
}

#[test]
fn a_put_killed_in_the_middle_goes_on_in_the_next_process() {
    let server = Server::new();
    let file = server.file("large.bin", LARGE);
    let proxy = Proxy::start(server.address, HOLD);
    let url = proxy.url();
    let first = start(server.home.path(), put(&file, &url));
    proxy.wait_until_held();
    let claimed = run(server.home.path(), put(&file, &url));
    assert_eq!(claimed.code, Some(1));
    assert!(claimed.err.contains("another windlass put"), "{}", claimed.err);
    first.kill();
    proxy.release();
    let second = run(server.home.path(), put(&file, &url));
    assert_eq!(second.code, Some(0), "{}", second.err);
    assert!(second.err.contains("going on at"), "{}", second.err);
    assert_eq!(
        server.digest(&locations(&second)[0].replace(&url, &server.url())),
        digest_of(&file)
    );
    assert!(
        matches!(proxy.patches()[..], [0, resumed] if resumed > 0),
        "{:?}",
        proxy.patches()
    );
    server.only_task();
    // It is complete, so the same command is another upload.
    let third = run(server.home.path(), put(&file, &url));
    assert_eq!(third.code, Some(0));
    assert!(!third.err.contains("going on"), "{}", third.err);
}

#[test]
fn no_resume_begins_anew_and_so_does_a_file_that_changed_between_runs() {
    let server = Server::new();
    let file = server.file("large.bin", LARGE);
    for more in [Some("--no-resume"), None] {
        let proxy = Proxy::start(server.address, HOLD);
        let url = proxy.url();
        let first = start(server.home.path(), put(&file, &url));
        proxy.wait_until_held();
        first.kill();
        proxy.release();
        if more.is_none() {
            std::fs::File::options()
                .append(true)
                .open(&file)
                .unwrap()
                .set_len(LARGE as u64 + 1)
                .unwrap();
        }
        let second = run(server.home.path(), put(&file, &url).into_iter().chain(more));
        assert_eq!(second.code, Some(0), "{}", second.err);
        assert_eq!(proxy.patches(), [0, 0]);
        assert_eq!(
            server.digest(&locations(&second)[0].replace(&url, &server.url())),
            digest_of(&file)
        );
    }
}

#[test]
fn a_remembered_upload_that_is_gone_is_begun_anew_with_a_word() {
    let server = Server::new();
    let file = server.file("large.bin", LARGE);
    let proxy = Proxy::start(server.address, HOLD);
    let url = proxy.url();
    let first = start(server.home.path(), put(&file, &url));
    proxy.wait_until_held();
    first.kill();
    proxy.release();
    let state = std::fs::read_to_string(server.home.path().join("windlass/uploads.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    let location = state["uploads"][0]["location"].as_str().unwrap().replace(&url, "");
    assert_eq!(
        ask(server.address, "DELETE", &location, &[("Tus-Resumable", "1.0.0")]).status,
        204
    );
    let second = run(server.home.path(), put(&file, &url));
    assert_eq!(second.code, Some(0), "{}", second.err);
    assert!(
        second.err.contains("no longer has the earlier upload"),
        "{}",
        second.err
    );
    assert_eq!(
        server.digest(&locations(&second)[0].replace(&url, &server.url())),
        digest_of(&file)
    );
}

#[test]
fn an_upload_that_vanishes_while_it_runs_is_never_silently_begun_anew() {
    let fake = Fake::start(|request| match (request.method, request.before) {
        ("POST", _) => answer("201 Created\r\nLocation: /files/x"),
        ("PATCH", _) => answer("503 Service Unavailable"),
        _ => answer("404 Not Found"),
    });
    let home = tempfile::tempdir().unwrap();
    let file = sparse(home.path(), 100);
    let ended = run(home.path(), put(&file, &fake.url()));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("404"), "{}", ended.err);
    assert_eq!(
        fake.requests.lock().unwrap()[..],
        ["POST /files/", "PATCH /files/x", "HEAD /files/x"]
    );
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_stopped() {
    let server = Server::new();
    let file = server.file("large.bin", LARGE);
    let proxy = Proxy::start(server.address, HOLD);
    let url = proxy.url();
    let process = start(server.home.path(), put(&file, &url));
    proxy.wait_until_held();
    std::fs::File::options()
        .append(true)
        .open(&file)
        .unwrap()
        .set_len(LARGE as u64 + 1)
        .unwrap();
    proxy.release();
    let ended = process.wait();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.contains("changed while it was being uploaded"),
        "{}",
        ended.err
    );
    assert_eq!(ended.out, "");
}

#[test]
fn a_server_that_stops_reading_or_never_answers_is_given_its_time_and_tried_again() {
    for (stalls, code, words) in [
        (true, "stalled", "nothing could be sent"),
        (false, "no_answer", "no answer within"),
    ] {
        let fake = Fake::start(move |request| match request.method {
            "POST" => answer("201 Created\r\nLocation: /files/x"),
            "HEAD" => answer("200 OK\r\nUpload-Offset: 0\r\nUpload-Length: 67108864"),
            _ if stalls => Reply::Stall,
            _ => Reply::Silence,
        });
        let home = tempfile::tempdir().unwrap();
        // More than the socket buffers of both sides take.
        let file = sparse(home.path(), 64 << 20);
        let log = home.path().join("log");
        let limits = ["--stall-after", "300ms", "--answer-within", "300ms", "--retries", "1"];
        let more = ["--failure-log", log.to_str().unwrap()];
        let ended = run(
            home.path(),
            put(&file, &fake.url()).into_iter().chain(limits).chain(more),
        );
        assert_eq!(ended.code, Some(1));
        assert!(ended.err.contains(words), "{}", ended.err);
        assert_eq!(
            fake.requests.lock().unwrap()[..],
            ["POST /files/", "PATCH /files/x", "HEAD /files/x", "PATCH /files/x"]
        );
        let log = std::fs::read_to_string(log).unwrap();
        let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            log.iter().map(|line| &line["final"]).collect::<Vec<_>>(),
            [&json!(false), &json!(true)]
        );
        assert!(log.iter().all(|line| line["code"] == code), "{log:?}");
    }
}

#[test]
fn a_refusal_is_told_in_the_servers_own_words_and_not_repeated() {
    let server = Server::configured("upload: {maxSizeBytes: 10}\n");
    let (large, small) = (server.file("large.bin", 11), server.file("small.bin", 10));
    let files = [large.to_str().unwrap(), small.to_str().unwrap(), "/nowhere/x.bin"];
    let ended = run(
        server.home.path(),
        ["put", "--to", &server.url()].into_iter().chain(files),
    );
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.contains("413") && ended.err.contains("/nowhere/x.bin: failed: cannot open it"),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("1 of 3 files uploaded"), "{}", ended.err);
    assert_eq!(ended.out.lines().count(), 1);
    let words = r#"{"code":"quota","detail":"the tenant's quota is used up"}"#;
    let fake = Fake::start(move |_| Reply::Answer("403 Forbidden".into(), words.into()));
    let ended = run(server.home.path(), put(&small, &fake.url()));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .err
            .contains("the tenant's quota is used up (403 Forbidden) [quota]"),
        "{}",
        ended.err
    );
    assert_eq!(fake.requests.lock().unwrap().len(), 1);
}

#[test]
fn busy_answers_pass_and_a_conflict_makes_it_ask_for_the_offset() {
    let fake = Fake::start(|request| match (request.method, request.before) {
        ("POST", 0) => answer("429 Too Many Requests\r\nRetry-After: 1"),
        ("POST", 1) => answer("503 Service Unavailable"),
        ("POST", _) => answer("201 Created\r\nLocation: http://elsewhere.invalid/x"),
        _ => unreachable!("{} {}", request.method, request.path),
    });
    let home = tempfile::tempdir().unwrap();
    let file = sparse(home.path(), 0);
    let ended = run(home.path(), put(&file, &fake.url()));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let fake = Fake::start(|request| match (request.method, request.before) {
        ("POST", _) => answer("201 Created\r\nLocation: x"),
        ("PATCH", 0) => answer("409 Conflict\r\nUpload-Offset: 7"),
        ("HEAD", 0) => answer("423 Locked\r\nRetry-After: 1"),
        ("HEAD", _) => answer("200 OK\r\nUpload-Offset: 7\r\nUpload-Length: 10"),
        ("PATCH", 1) if request.length == 3 => answer("460 Checksum Mismatch"),
        ("PATCH", _) if request.length == 3 => answer("204 No Content\r\nUpload-Offset: 10"),
        _ => answer("400 Bad Request"),
    });
    let file = sparse(home.path(), 10);
    let ended = run(home.path(), put(&file, &fake.url()));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(
        fake.requests
            .lock()
            .unwrap()
            .iter()
            .filter(|line| *line == "PATCH /files/x")
            .count(),
        3
    );
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error_and_not_a_loop() {
    let home = tempfile::tempdir().unwrap();
    for (post, patch, words) in [
        ("201 Created", "", "did not say where"),
        (
            "301 Moved\r\nLocation: http://elsewhere.invalid/",
            "",
            "elsewhere.invalid",
        ),
        ("201 Created\r\nLocation: x", "204 No Content", "no Upload-Offset"),
        (
            "201 Created\r\nLocation: x",
            "204 No Content\r\nUpload-Offset: 11",
            "more bytes than this file",
        ),
        (
            "201 Created\r\nLocation: x",
            "204 No Content\r\nUpload-Offset: -1",
            "no Upload-Offset",
        ),
        (
            "201 Created\r\nLocation: x",
            "204 No Content\r\nUpload-Offset: 0",
            "none of its bytes",
        ),
    ] {
        let fake = Fake::start(move |request| match request.method {
            "POST" => answer(post),
            "PATCH" => answer(patch),
            _ => answer("200 OK\r\nUpload-Offset: 0"),
        });
        let file = sparse(home.path(), 10);
        let ended = run(
            home.path(),
            put(&file, &fake.url()).into_iter().chain(["--retries", "0"]),
        );
        assert_eq!(ended.code, Some(1), "{post} {patch}");
        assert!(ended.err.contains(words), "{post} {patch}: {}", ended.err);
    }
}

#[test]
fn a_paused_upload_is_left_paused_until_its_owner_resumes_it() {
    let server = Server::new();
    let file = server.file("large.bin", LARGE);
    let proxy = Proxy::start(server.address, HOLD);
    let url = proxy.url();
    let process = start(server.home.path(), put(&file, &url));
    proxy.wait_until_held();
    let task = format!("/tasks/{}", server.only_task());
    assert_eq!(ask(server.address, "POST", &format!("{task}/pause"), &[]).status, 200);
    proxy.release();
    eventually("put says that it waits", || {
        process.err().contains("paused; waiting").then_some(())
    });
    // Longer than any first retry: who went on by itself would have done so by now.
    let status = || ask(server.address, "GET", &task, &[]).json()["status"].clone();
    stays(Duration::from_millis(1_500), "it is paused", || status() == "paused");
    assert_eq!(ask(server.address, "POST", &format!("{task}/resume"), &[]).status, 200);
    let ended = process.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(
        server.digest(&locations(&ended)[0].replace(&url, &server.url())),
        digest_of(&file)
    );
}

#[test]
fn a_token_is_sent_where_one_is_asked_for() {
    let secret = "0123456789abcdef0123456789abcdef";
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("secret");
    std::fs::write(&path, secret).unwrap();
    let server = Server::configured(&format!("auth: {{hs256SecretFile: {}}}\n", path.display()));
    let file = server.file("small.bin", 1_000);
    let claims = json!({"sub": "ann", "exp": get_current_timestamp() + 60});
    let token = encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(secret.as_bytes()),
    )
    .unwrap();
    let refused = run(home.path(), put(&file, &server.url()));
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .err
            .contains("a bearer token is needed (401 Unauthorized) [token_missing]"),
        "{}",
        refused.err
    );
    let ended = run(
        home.path(),
        put(&file, &server.url()).into_iter().chain(["--token", &token]),
    );
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let watch = ["watch", &locations(&ended)[0], "--token", &token];
    assert_eq!(run(home.path(), watch).code, Some(0));
}

#[test]
fn a_server_that_is_not_there_is_tried_for_as_long_as_was_said() {
    let home = tempfile::tempdir().unwrap();
    let file = sparse(home.path(), 10);
    // Bound and closed again, so that nobody has it.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let begun = std::time::Instant::now();
    let ended = run(
        home.path(),
        put(&file, &url).into_iter().chain(["--give-up-after", "2s"]),
    );
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.contains("gave up") && ended.err.contains("refused"),
        "{}",
        ended.err
    );
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(10),
        "{took:?}"
    );
}

#[test]
fn wrong_flags_leave_with_2() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["put"][..],
        &["put", "x", "--to", "ftp://x"],
        &["put", "x", "--jobs", "0"],
        &["put", "x", "--stall-after", "0s"],
        &["put", "x", "--failure-log", "/nowhere/log"],
        &["put", "x", "--token", "a b"],
        &["watch", "nonsense"],
        &["watch"],
        &["nonsense"],
    ] {
        let ended = run(home.path(), arguments);
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (Some(2), ""),
            "{arguments:?}: {}",
            ended.err
        );
    }
}
