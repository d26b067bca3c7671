//! Names that try to be paths: none of them finds anything, and nothing is written where it should not be.

use end_to_end::content::Content;
use end_to_end::disk;
use end_to_end::server::Server;
use end_to_end::tus::Client;
use end_to_end::wire::{Framing, Request};

#[tokio::test]
async fn tricks_in_the_path_of_an_upload_find_nothing() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(1, 100)).await;
    assert_eq!(client.patch(&upload, 0..10).await.status, 204);
    let [_, _, tenant, id, key] = upload.location.split('/').collect::<Vec<_>>()[..] else {
        panic!("a location has five parts: {}", upload.location);
    };
    let before = disk::files(server.folder());
    let mut paths = Vec::new();
    for bad in [
        "..",
        ".",
        "...",
        "%2e%2e",
        "%2E%2E",
        "%2e",
        "..%2f..",
        "..%2F..%2F..%2Fetc%2Fpasswd",
        "%2fetc%2fpasswd",
        "..%5c..",
        "%00",
        "%0a",
        "%0d%0aX:%20y",
        "%20",
        "%09",
        "%7f",
        "%ff",
        "%c0%ae%c0%ae",
        "%e2%80%ae",
        "%f0%9f%92%a9",
        "d%C3%A9fault",
        "~",
        "*",
        "%",
        "%zz",
        "%2",
        "DEFAULT",
        "default.",
        "-default",
        "a.b",
        "null",
        "undefined",
        "0",
        "%2500",
    ] {
        paths.push(format!("/files/{bad}/{id}/{key}"));
        paths.push(format!("/files/{tenant}/{bad}/{key}"));
        paths.push(format!("/files/{tenant}/{id}/{bad}"));
        paths.push(format!("/files/{tenant}/{id}{bad}/{key}"));
        paths.push(format!("/files/{tenant}/{id}/{key}{bad}"));
        paths.push(format!("/files/{tenant}/{bad}{id}/{key}"));
    }
    for long in [64, 255, 256, 4_096, 20_000] {
        let long = "a".repeat(long);
        paths.push(format!("/files/{long}/{id}/{key}"));
        paths.push(format!("/files/{tenant}/{long}/{key}"));
        paths.push(format!("/files/{tenant}/{id}/{long}"));
        paths.push(format!("/files/{tenant}/local-{long}/{key}"));
    }
    paths.extend([
        format!("/files/{tenant}/{id}/{key}/"),
        format!("/files/{tenant}/{id}/{key}/x"),
        format!("/files/{tenant}/{id}/"),
        format!("/files/{tenant}//{key}"),
        format!("/files//{id}/{key}"),
        format!("//files/{tenant}/{id}/{key}"),
        format!("/files/./{tenant}/{id}/{key}"),
        format!("/files/../files/{tenant}/{id}/{key}"),
        format!("/page/../files/{tenant}/{id}/{key}"),
        format!("/page/..%2ffiles/{tenant}/{id}/{key}"),
        format!("/FILES/{tenant}/{id}/{key}"),
        format!("/files/{tenant}/{}/{key}", id.to_uppercase()),
        format!("/files/{tenant}/{}/{key}", id.replace('-', "")),
        format!("/files/{tenant}/{{{id}}}/{key}"),
        format!("/files/{tenant}/{id}/{}", key.to_lowercase()),
        format!("/files/{tenant}/{id}/{}", &key[1..]),
        format!("/files/{tenant}/{id}/{key}="),
        format!("/files/{tenant}/{id};{key}"),
        format!("/files/{tenant}/{id}?key={key}"),
        format!("/files/{tenant}"),
        format!("/files/{tenant}/"),
        "/files/../../../../../../etc/passwd".to_owned(),
        "/page/../../../../../../etc/passwd".to_owned(),
        "/page/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        "/tasks.sqlite3".to_owned(),
        "/../tasks.sqlite3".to_owned(),
    ]);
    for path in paths {
        let shown: String = path.chars().take(200).collect();
        for method in ["HEAD", "GET", "DELETE"] {
            let response = client.answer(&Request::tus(method, &path)).await;
            // The parser of HTTP itself refuses what is no path at all.
            assert!(matches!(response.status, 400 | 404), "{method} {shown}: {response:?}");
            assert_eq!(response.offset(), None, "{method} {shown}");
            if method != "HEAD" && response.status == 404 {
                let code = response.code();
                assert!(
                    matches!(code.as_str(), "upload_not_found" | "route_not_found"),
                    "{method} {shown}: {response:?}"
                );
            }
        }
        let patch = client.answer(&Request::patch(&path, 10).body("0123456789")).await;
        assert!(matches!(patch.status, 400 | 404), "PATCH {shown}: {patch:?}");
        assert_eq!(patch.offset(), None, "PATCH {shown}");
    }
    assert_eq!(client.head(&upload).await, 10);
    client.complete(&upload).await;
    let mut after = disk::files(server.folder());
    after.retain(|path, _| !path.to_string_lossy().contains(&upload.task));
    let before: Vec<_> = before
        .into_keys()
        .filter(|path| !path.to_string_lossy().contains(&upload.task))
        .collect();
    assert_eq!(after.into_keys().collect::<Vec<_>>(), before);
}

#[tokio::test]
async fn a_path_that_is_no_text_is_a_problem_like_any_other() {
    let server = Server::start().await;
    let client = Client::of(&server);
    for path in [
        "/files/default/%ff",
        "/files/%ff/local-x/y",
        "/files/default/local-x/%c3%28",
    ] {
        let response = client.answer(&Request::new("GET", path)).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (404, "upload_not_found"),
            "{path}: {response:?}"
        );
        assert_eq!(response.header("Tus-Resumable"), Some("1.0.0"), "{path}");
    }
}

#[tokio::test]
async fn tricks_in_the_path_of_a_task_find_nothing() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(2, 100)).await;
    let id = &upload.task;
    for bad in [
        "..".to_owned(),
        "%2e%2e".to_owned(),
        "%00".to_owned(),
        "%ff".to_owned(),
        "%0d%0a".to_owned(),
        format!("{id}%00"),
        format!("{id}%2fpause"),
        format!("..%2f{id}"),
        id.to_uppercase(),
        id.replace("local-", "other-"),
        "x".repeat(10_000),
        "\u{e9}".to_owned(),
    ] {
        for (method, path) in [
            ("GET", format!("/tasks/{bad}")),
            ("POST", format!("/tasks/{bad}/pause")),
            ("POST", format!("/tasks/{bad}/resume")),
            ("GET", format!("/events/{bad}")),
        ] {
            let response = client
                .answer(&Request::new(method, &path).framing(Framing::Length(0)))
                .await;
            let shown: String = path.chars().take(100).collect();
            let found = (response.status, response.code());
            assert_eq!(
                found,
                (404, "task_not_found".to_owned()),
                "{method} {shown}: {response:?}"
            );
        }
    }
    for query in ["wait=61", "wait=-1", "wait=x", "wait=", "wait=1&wait=2"] {
        let response = client
            .answer(&Request::new("GET", &format!("/tasks/{id}?{query}")))
            .await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "invalid_query"),
            "{query}: {response:?}"
        );
    }
    for query in [
        "limit=0",
        "limit=-1",
        "limit=x",
        "after=x",
        "after=..%2f",
        "limit=1&limit=2",
    ] {
        let response = client.answer(&Request::new("GET", &format!("/tasks?{query}"))).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "invalid_query"),
            "{query}: {response:?}"
        );
    }
    assert_eq!(client.head(&upload).await, 0);
}
