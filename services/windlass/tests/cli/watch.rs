//! `windlass watch` against a real server, and against one whose streams do not come through.

use serde_json::{Value, json};

use crate::command::{run, start};
use crate::eventually;
use crate::fake::{Fake, Reply, answer};
use crate::http::ask;
use crate::proxy::Proxy;
use crate::server::Server;

const LARGE: usize = 48 << 20;
const HOLD: usize = 20 << 20;
const ID: &str = "local-01890a5d-ac96-774b-bcce-b302099a8057";

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_upload_is_followed_over_the_death_of_its_server_to_its_end() {
    let mut server = Server::new();
    let file = server.file("large.bin", LARGE);
    let proxy = Proxy::start(server.address, HOLD);
    let put = [
        "put",
        file.to_str().unwrap(),
        "--to",
        &proxy.url(),
        "--give-up-after",
        "30s",
    ];
    let uploading = start(server.home.path(), put);
    proxy.wait_until_held();
    let task = server.only_task();
    let watching = start(server.home.path(), ["watch", &task, "--to", &server.url(), "--json"]);
    eventually("the present state is shown", || {
        watching.out().contains("progress").then_some(())
    });
    server.kill();
    eventually("the loss is noticed", || {
        std::net::TcpStream::connect(server.address).is_err().then_some(())
    });
    server.start();
    proxy.release();
    assert_eq!(uploading.wait().code, Some(0));
    let ended = watching.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let lines = lines(&ended.out);
    let progress: Vec<_> = lines.iter().map(|line| line["progress"].as_u64().unwrap()).collect();
    assert!(progress.is_sorted(), "{progress:?}");
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["event"], &last["progress"], &last["taskId"]),
        (&json!("completed"), &json!(100), &json!(task))
    );
}

#[test]
fn a_task_that_is_unknown_or_gone_ends_it_with_1() {
    let server = Server::new();
    let unknown = run(server.home.path(), ["watch", ID, "--to", &server.url()]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("[task_not_found]"), "{}", unknown.err);
    let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "5")];
    let created = ask(server.address, "POST", "/files/", &headers);
    let location = created.header("location");
    let mut watching = start(server.home.path(), ["watch", location, "--to", &server.url()]);
    eventually("the present state is shown", || {
        watching.err().contains("progress 0 %").then_some(())
    });
    assert!(watching.is_running());
    assert_eq!(ask(server.address, "DELETE", location, &headers[..1]).status, 204);
    let ended = watching.wait();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.contains("failed 0 %"),
        "who watches sees it fail: {}",
        ended.err
    );
    let late = run(server.home.path(), ["watch", location, "--to", &server.url()]);
    assert_eq!(late.code, Some(1));
    assert!(late.err.contains("[task_gone]"), "{}", late.err);
}

#[test]
fn where_a_stream_does_not_come_through_it_polls() {
    let fake = Fake::start(|request| {
        let task = |status, progress| json!({"taskId": ID, "status": status, "progress": progress}).to_string();
        let ok = |tag| format!("200 OK\r\nContent-Type: application/json\r\nETag: \"{tag}\"");
        match (request.path.starts_with("/tasks/"), request.before) {
            (false, _) => Reply::Answer("200 OK\r\nContent-Type: text/html".into(), "<p>".into()),
            (true, 1) => Reply::Answer(ok(1), task("uploading", 10)),
            (true, 2) => answer("304 Not Modified"),
            (true, 3) => answer("502 Bad Gateway"),
            (true, 4) => Reply::Answer(ok(2), task("paused", 20)),
            _ => Reply::Answer(ok(3), task("failed", 20)),
        }
    });
    let home = tempfile::tempdir().unwrap();
    let ended = run(home.path(), ["watch", ID, "--to", &fake.url(), "--json"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let events: Vec<_> = lines(&ended.out)
        .iter()
        .map(|line| line["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(events, ["progress", "paused", "failed"]);
}

#[test]
fn a_server_that_is_not_there_is_given_up() {
    let home = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}/files/default/{ID}/key");
    let ended = run(home.path(), ["watch", &url, "--give-up-after", "1s"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("refused"), "{}", ended.err);
    assert!(!ended.err.contains("/key"), "the key is shown: {}", ended.err);
}
