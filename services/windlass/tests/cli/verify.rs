//! `windlass verify` as a process: beside a server that runs, and on what it left.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{Ended, run};
use crate::server::Server;

fn verify(home: &Path, data: &Path, more: &[&str]) -> Ended {
    let base = ["verify", "--data-dir", data.to_str().unwrap()];
    run(home, base.iter().chain(more))
}

/// The one file of an upload's bytes, and its documents.
fn files(data: &Path, task: &str) -> (PathBuf, PathBuf) {
    let tenant = data.join("uploads/default");
    let folders = std::fs::read_dir(tenant).unwrap().map(|entry| entry.unwrap().path());
    let folder = folders
        .into_iter()
        .find(|folder| folder.join(format!("{task}.jsonl")).is_file());
    let folder = folder.unwrap();
    (folder.join(format!("{task}.1")), folder.join(format!("{task}.jsonl")))
}

#[test]
fn what_is_wrong_is_told_beside_the_server_and_repaired_when_it_has_stopped() {
    let mut server = Server::new();
    let home = server.home.path().to_owned();
    let data = home.join("data");
    let to = format!("http://{}", server.address);
    let file = home.join("x.bin");
    std::fs::write(&file, vec![7; 100_000]).unwrap();
    let put = || {
        let put = run(
            &home,
            ["put", file.to_str().unwrap(), "--to", &to, "--json", "--no-resume"],
        );
        let put: Value = serde_json::from_str(&put.out).unwrap();
        put["taskId"].as_str().unwrap().to_owned()
    };
    let (cut, bare) = (put(), put());
    let clean = verify(&home, &data, &["--digests"]);
    assert_eq!((clean.code, clean.out.as_str()), (Some(0), ""), "{clean:?}");
    assert!(
        clean.err.contains("nothing wrong; 2 records and 2 stored uploads"),
        "{clean:?}"
    );

    std::fs::File::options()
        .write(true)
        .open(files(&data, &cut).0)
        .unwrap()
        .set_len(99_000)
        .unwrap();
    std::fs::remove_file(files(&data, &bare).1).unwrap();
    let plan = home.join("plan");
    let found = verify(&home, &data, &["--plan", plan.to_str().unwrap()]);
    assert_eq!(found.code, Some(1), "{found:?}");
    let lines: Vec<&str> = found.out.lines().collect();
    let expected = format!("default/{cut}  lost: bytes 99000..100000 are not there");
    assert!(lines[0].starts_with(&expected), "{found:?}");
    let expected = format!("default/{bare}  risk: its manifest is missing; the plan would write it again");
    assert!(lines[1].starts_with(&expected) && lines.len() == 2, "{found:?}");
    assert!(found.err.contains("1 lost, 1 risk"), "{found:?}");

    let json = verify(&home, &data, &["--format", "json"]);
    let lines: Vec<Value> = json
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["flaw"], &lines[0]["cost"]),
        (&"bytes_missing".into(), &"lost".into())
    );
    assert_eq!(
        (&lines[0]["bytes"], &lines[1]["repair"]),
        (&1_000.into(), &"writeManifest".into())
    );
    assert_eq!((&lines[2]["findings"]["lost"], lines.len()), (&1.into(), 3), "{json:?}");

    // A plan is not written over another, and not applied beside the server.
    let again = verify(&home, &data, &["--plan", plan.to_str().unwrap()]);
    assert!(again.code == Some(2) && again.err.contains("plan"), "{again:?}");
    let apply = ["--apply", plan.to_str().unwrap()];
    let refused = verify(&home, &data, &apply);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("in use by another process"), "{refused:?}");

    server.terminate();
    let applied = verify(&home, &data, &apply);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(
        applied.err.contains("2 steps done, 0 no longer true, 0 failed"),
        "{applied:?}"
    );
    let applied = verify(&home, &data, &apply);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(
        applied.err.contains("0 steps done, 2 no longer true, 0 failed"),
        "{applied:?}"
    );
    let rest = verify(&home, &data, &[]);
    assert!(
        rest.out.contains("nothing beside its bytes says so") && rest.out.lines().count() == 1,
        "{rest:?}"
    );
}

#[test]
fn where_nobody_can_look_the_code_is_2_and_nothing_is_made() {
    let home = tempfile::tempdir().unwrap();
    let nowhere = home.path().join("nowhere");
    let ended = verify(home.path(), &nowhere, &[]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{ended:?}");
    let ended = verify(home.path(), &nowhere, &["--apply", "/no/such/plan"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(!nowhere.exists());
    let file = home.path().join("plan");
    std::fs::write(&file, "something else\n").unwrap();
    let ended = verify(home.path(), &nowhere, &["--apply", file.to_str().unwrap()]);
    assert!(ended.code == Some(2) && ended.err.contains("no plan"), "{ended:?}");
}
