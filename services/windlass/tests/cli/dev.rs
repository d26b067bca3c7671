//! `windlass dev` as a process: its one line, its exits, its refusals.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::command::{run, start, start_program};
use crate::http::ask;
use crate::server::Server;
use crate::{eventually, stays};

#[test]
fn dev_says_ready_in_one_line_and_leaves_with_0_on_sigterm() {
    let mut server = Server::new();
    for path in ["/", "/page/app.js", "/metrics", "/healthz", "/readyz", "/tasks"] {
        assert_eq!(ask(server.address, "GET", path, &[]).status, 200, "{path}");
    }
    assert_eq!(ask(server.address, "GET", "/page/test/x.mjs", &[]).status, 404);
    assert_eq!(ask(server.address, "GET", "/", &[("Host", "evil.example")]).status, 403);
    let address = server.address;
    let ended = server.terminate();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out, format!("ready on http://{address}\n"));
}

#[test]
fn a_page_of_another_site_and_a_rebound_name_are_refused() {
    let server = Server::new();
    let foreign = ask(server.address, "POST", "/files/", &[("Origin", "https://evil.example")]);
    assert_eq!(
        (foreign.status, &foreign.json()["code"]),
        (403, &json!("origin_not_allowed"))
    );
    let own = format!("http://{}", server.address);
    assert_eq!(ask(server.address, "GET", "/tasks", &[("Origin", &own)]).status, 200);
}

#[test]
fn a_data_directory_has_one_process() {
    let server = Server::new();
    let data = server.home.path().join("data");
    let second = run(
        server.home.path(),
        ["dev", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()],
    );
    assert_eq!(second.code, Some(1));
    assert!(second.err.contains("in use by another process"), "{}", second.err);
    assert_eq!(second.out, "");
}

#[test]
fn an_address_that_is_taken_is_said_so() {
    let server = Server::new();
    let data = server.home.path().join("other");
    let listen = server.address.to_string();
    let second = run(
        server.home.path(),
        ["dev", "--listen", &listen, "--data-dir", data.to_str().unwrap()],
    );
    assert_eq!(second.code, Some(1));
    assert!(
        second.err.contains(&listen) && second.err.contains("another program listens"),
        "{}",
        second.err
    );
}

#[test]
fn a_wrong_configuration_leaves_with_2_and_touches_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (config, data) = (home.path().join("c.yaml"), home.path().join("data"));
    let dev = |yaml: &str, more: &[&str]| {
        std::fs::write(&config, yaml).unwrap();
        let base = [
            "dev",
            "--data-dir",
            data.to_str().unwrap(),
            "--config",
            config.to_str().unwrap(),
        ];
        let ended = run(home.path(), base.iter().chain(more));
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (Some(2), ""),
            "{yaml} {more:?}: {}",
            ended.err
        );
        assert!(!data.exists(), "{yaml} {more:?}");
        ended.err
    };
    let listen = ["--listen", "127.0.0.1:0"];
    assert!(dev("uplaod: {}\n", &listen).contains("uplaod"));
    let unknown = dev("upload:\n  maxSize: 1\n", &listen);
    assert!(
        unknown.contains("maxSize") && unknown.contains("line 2") && unknown.contains("c.yaml"),
        "{unknown}"
    );
    for (alone, named) in [
        ("upload: {announce: {}}\n", "upload.announce"),
        ("push: {events: {}}\n", "push.events"),
    ] {
        assert!(dev(alone, &listen).contains(named), "{named}");
    }
    assert!(dev("auth: {hs256SecretFile: /nowhere}\n", &listen).contains("/nowhere"));
    assert!(dev("", &["--listen", "0.0.0.0:0"]).contains("hs256SecretFile"));
    assert!(dev("", &["--listen", "everywhere"]).contains("IP:PORT"));
    assert!(dev("", &["--allow-origin", "*"]).contains("http://HOST"));
}

#[test]
fn a_second_sigterm_ends_a_drain_at_once() {
    let server = Server::new();
    let data = server.home.path().join("second");
    let process = start(
        server.home.path(),
        ["dev", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()],
    );
    let address: SocketAddr = eventually("it is ready", || {
        process.out().strip_prefix("ready on http://")?.trim().parse().ok()
    });
    // A request that never ends keeps the drain going.
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /files/ HTTP/1.1\r\nHost: {address}\r\nContent-Length: 10\r\n\
        Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
    );
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    eventually("the request is there", || {
        let metrics = String::from_utf8(ask(address, "GET", "/metrics", &[]).body).unwrap();
        metrics.contains("windlass_connections 2").then_some(())
    });
    process.terminate();
    eventually("it drains", || process.err().contains("draining").then_some(()));
    process.terminate();
    assert_eq!(process.wait().code, Some(130));
}

#[test]
fn a_process_out_of_file_descriptors_waits_for_some_and_serves_again() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let command = format!(
        "ulimit -n 40 && exec {} dev --listen 127.0.0.1:0 --data-dir {}",
        env!("CARGO_BIN_EXE_windlass"),
        data.display()
    );
    let process = start_program(Command::new("sh").args(["-c", &command]), home.path());
    let address: SocketAddr = eventually("it is ready", || {
        process.out().strip_prefix("ready on http://")?.trim().parse().ok()
    });
    let idle: Vec<_> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
    eventually("accepting fails", || {
        process.err().contains("accept failed").then_some(())
    });
    // Pauses of 10, 20, 40 … ms: a loop that spins would have thousands of failures in this time.
    stays(Duration::from_millis(500), "few accepts are tried", || {
        process.err().matches("accept failed").count() < 20
    });
    drop(idle);
    assert_eq!(ask(address, "GET", "/healthz", &[]).status, 200);
    let metrics = String::from_utf8(ask(address, "GET", "/metrics", &[]).body).unwrap();
    let failures = metrics
        .lines()
        .find_map(|line| line.strip_prefix("windlass_accept_errors_total "))
        .unwrap();
    assert!(failures.parse::<u32>().unwrap() > 0);
}

#[test]
fn no_level_of_the_log_shows_a_key_a_token_or_a_payload() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let mut program = Command::new(env!("CARGO_BIN_EXE_windlass"));
    program.args([
        "dev",
        "--log-format",
        "json",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
    ]);
    let process = start_program(program.env("WINDLASS_LOG", "trace"), home.path());
    let address: SocketAddr = eventually("it is ready", || {
        process.out().strip_prefix("ready on http://")?.trim().parse().ok()
    });
    let file = home.path().join("x.txt");
    std::fs::write(&file, "the-secret-payload").unwrap();
    let to = format!("http://{address}");
    let put = run(
        home.path(),
        [
            "put",
            file.to_str().unwrap(),
            "--to",
            &to,
            "--json",
            "--token",
            "the.secret.token",
        ],
    );
    let put: serde_json::Value = serde_json::from_str(&put.out).unwrap();
    let path = put["location"].as_str().unwrap().strip_prefix(&to).unwrap();
    let key = path.rsplit('/').next().unwrap();
    let task = put["taskId"].as_str().unwrap();
    assert_eq!(ask(address, "GET", path, &[]).status, 200);
    assert_eq!(
        ask(address, "GET", &format!("/events/{task}?token=the.secret.token"), &[]).status,
        200
    );
    // A wrong key is as secret as a right one: it may be right with its last letter lost.
    assert_eq!(
        ask(address, "HEAD", &path[..path.len() - 1], &[("Tus-Resumable", "1.0.0")]).status,
        404
    );
    assert_eq!(ask(address, "GET", &format!("/no/such/{key}"), &[]).status, 404);
    process.terminate();
    let log = process.wait().err;
    assert!(
        log.lines().count() > 5 && log.contains("/files/{tenant}/{id}/{key}"),
        "{log}"
    );
    for secret in [&key[..key.len() - 1], "the.secret.token", "the-secret-payload"] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}
