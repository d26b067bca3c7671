//! The binary alone: it serves channels, sees no tasks, and refuses a wrong configuration before it binds anything.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use super::socket::{publish, subscriber};
use super::tasks::request;

const BINARY: &str = env!("CARGO_BIN_EXE_windlass-push");

/// A process that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn it_serves_channels_without_tasks_and_goes_when_it_is_told() {
    let mut process = Process(
        Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .trim()
        .strip_prefix("ready on http://")
        .expect("the ready line")
        .parse()
        .unwrap();
    let mut client = subscriber(address, "news").await;
    publish(&mut client, "news", "1").await;
    assert_eq!(request(address, "GET", "/tasks", "").await.code(), "no_task_view");
    let metrics = request(address, "GET", "/metrics", "").await.body;
    for line in [
        "windlass_push_connections{transport=\"centrifuge\"} 1",
        "windlass_push_subscriptions 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    Command::new("kill")
        .args(["-TERM", &process.0.id().to_string()])
        .status()
        .unwrap();
    assert_eq!(client.close_code().await, Some(3001));
    drop(client);
    let status = tokio::task::spawn_blocking(move || process.0.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_wrong_configuration_ends_it_with_code_2_and_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    for (config, sentence) in [
        ("push:\n  heartbeet: {}\n", "heartbeet"),
        ("push:\n  heartbeat: { interval: 15 }\n", "15s"),
        ("push:\n  heartbeat: { interval: 90s }\n", "push.heartbeat.readDeadline"),
        ("push:\n  channels: { history_size: 5 }\n", "history_ttl"),
    ] {
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(2), "{config}");
        assert!(told.contains(sentence), "{told}");
    }
}
