//! Requests that are wrong: each gets its exact status and code, and changes nothing.

use end_to_end::content::Content;
use end_to_end::disk;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::{Framing, Request, Response};
use serde_json::Value;

/// A request and what it must be answered with.
struct Row {
    request: Request,
    status: u16,
    code: &'static str,
}

fn row(request: Request, status: u16, code: &'static str) -> Row {
    Row { request, status, code }
}

/// Numbers that are none for tus, as header values.
const NO_NUMBERS: [&[u8]; 17] = [
    b"",
    b" ",
    b"-1",
    b"+10",
    b"abc",
    b"1e1",
    b"0x0a",
    b"10.0",
    b"10 10",
    b"10,10",
    b"10;",
    b"\"10\"",
    b"9223372036854775808",
    b"18446744073709551616",
    b"99999999999999999999999999999999999999999999999999",
    "\u{ff11}\u{ff10}".as_bytes(),
    b"\xff\xfe",
];

fn printable(request: &Request) -> String {
    let head = String::from_utf8_lossy(&request.head()).into_owned();
    head.chars().take(600).collect()
}

fn judge(row: &Row, response: &Response) {
    let about = printable(&row.request);
    let found = (response.status, response.code());
    // A HEAD's answer has no body to hold a code.
    let code = if row.request.method() == "HEAD" { "" } else { row.code };
    assert_eq!(found, (row.status, code.to_owned()), "{about}\n{response:?}");
    if row.status != 431 {
        assert_eq!(response.header("Tus-Resumable"), Some("1.0.0"), "{about}");
    }
    if row.status == 412 {
        assert_eq!(response.header("Tus-Version"), Some("1.0.0"), "{about}");
    }
    if !code.is_empty() {
        let problem = response.json();
        assert_eq!(problem["status"], row.status, "{about}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.len() > 10, "{about}: it does not say what is wrong: {problem}");
    }
}

/// An upload of 100 bytes that stands at 10.
async fn at_ten(client: &Client) -> Upload {
    let upload = client.create(Content::new(1, 100)).await;
    assert_eq!(client.patch(&upload, 0..10).await.status, 204);
    upload
}

async fn unchanged(client: &Client, upload: &Upload, before: &Value, about: &str) {
    assert_eq!(client.task(upload).await, *before, "{about}");
    assert_eq!(client.head(upload).await, 10, "{about}");
}

#[tokio::test]
async fn wrong_appends_are_refused_and_change_nothing() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = at_ten(&client).await;
    let path = upload.location.as_str();
    let patch = || Request::patch(path, 10).body("0123456789");
    let mut rows = vec![
        row(patch().without("Tus-Resumable"), 412, "version_unsupported"),
        row(patch().replace("Tus-Resumable", "0.2.2"), 412, "version_unsupported"),
        row(patch().replace("Tus-Resumable", "1.0"), 412, "version_unsupported"),
        row(
            patch().replace("Tus-Resumable", "1.0.0, 1.0.0"),
            412,
            "version_unsupported",
        ),
        row(patch().replace("Tus-Resumable", ""), 412, "version_unsupported"),
        row(patch().header("Tus-Resumable", "1.0.0"), 400, "header_repeated"),
        row(patch().header("Tus-Resumable", "0.0.1"), 400, "header_repeated"),
        row(patch().without("Content-Type"), 415, "content_type_unsupported"),
        row(patch().replace("Content-Type", ""), 415, "content_type_unsupported"),
        row(
            patch().replace("Content-Type", "text/plain"),
            415,
            "content_type_unsupported",
        ),
        row(
            patch().replace("Content-Type", "application/offset"),
            415,
            "content_type_unsupported",
        ),
        row(
            patch().replace("Content-Type", "application/partial-upload"),
            415,
            "content_type_unsupported",
        ),
        row(
            patch().header("Content-Type", "application/offset+octet-stream"),
            400,
            "header_repeated",
        ),
        row(patch().without("Upload-Offset"), 400, "header_missing"),
        row(patch().header("Upload-Offset", "10"), 400, "header_repeated"),
        row(patch().header("Upload-Offset", "11"), 400, "header_repeated"),
        row(patch().header("Upload-Length", "99"), 400, "length_mismatch"),
        row(patch().header("Upload-Length", "101"), 400, "length_mismatch"),
        row(
            patch().header("Upload-Length", "100").header("Upload-Length", "100"),
            400,
            "header_repeated",
        ),
        row(Request::patch(path, 10).body(vec![0; 91]), 413, "body_beyond_length"),
        row(
            Request::patch(path, 10).body(vec![0; 200_000]),
            413,
            "body_beyond_length",
        ),
        row(Request::patch(path, 10).chunked(vec![0; 91]), 413, "body_beyond_length"),
        row(
            Request::patch(path, 10).chunked(vec![0; 5_000_000]),
            413,
            "body_beyond_length",
        ),
        // Nothing of the body is asked for.
        row(
            Request::patch(path, 10)
                .header("Expect", "100-continue")
                .framing(Framing::Length(1 << 40)),
            413,
            "body_beyond_length",
        ),
    ];
    for offset in [0, 9, 11, 99, 100, 101, i64::MAX as u64] {
        let request = Request::patch(path, offset).framing(Framing::None);
        rows.push(row(request, 409, "offset_mismatch"));
        rows.push(row(Request::patch(path, offset).body("x"), 409, "offset_mismatch"));
    }
    for value in NO_NUMBERS {
        rows.push(row(patch().replace("Upload-Offset", value), 400, "header_malformed"));
        rows.push(row(patch().header("Upload-Length", value), 400, "header_malformed"));
    }
    for method in ["POST", "PUT", "TRACE", "FROBNICATE", "patch"] {
        rows.push(row(Request::tus(method, path), 405, "method_not_allowed"));
    }
    for method in ["HEAD", "DELETE"] {
        rows.push(row(Request::new(method, path), 412, "version_unsupported"));
        rows.push(row(
            Request::tus(method, path).replace("Tus-Resumable", "2"),
            412,
            "version_unsupported",
        ));
    }
    let before = client.task(&upload).await;
    for row in rows {
        let about = printable(&row.request);
        let response = client.ask(&upload, &row.request).await;
        judge(&row, &response);
        assert!(
            response.interim.is_empty(),
            "{about}: the body was asked for, and then refused"
        );
        if row.status == 409 {
            assert_eq!(response.offset(), Some(10), "{about}");
        }
        unchanged(&client, &upload, &before, &about).await;
    }
    client.complete(&upload).await;
}

#[tokio::test]
async fn an_append_after_the_end_takes_nothing_but_nothing() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let content = Content::new(2, 100);
    let upload = client.create(content).await;
    client.complete(&upload).await;
    let path = upload.location.as_str();
    let before = client.task(&upload).await;
    for row in [
        row(Request::patch(path, 100).body(""), 204, ""),
        row(Request::patch(path, 100).chunked(""), 204, ""),
        row(Request::patch(path, 100).body("x"), 413, "body_beyond_length"),
        row(Request::patch(path, 100).chunked("x"), 413, "body_beyond_length"),
        // A client whose answer was lost sends the byte that is held back for the verdict again, and hears it.
        row(Request::patch(path, 99).body(content.bytes(99..100)), 204, ""),
        row(Request::patch(path, 99).chunked(content.bytes(99..100)), 204, ""),
        row(Request::patch(path, 99).body("xy"), 413, "body_beyond_length"),
        row(Request::patch(path, 99).chunked("xy"), 413, "body_beyond_length"),
        row(Request::patch(path, 98).body("xy"), 409, "offset_mismatch"),
        row(Request::patch(path, 0).body(vec![0; 100]), 409, "offset_mismatch"),
        row(
            Request::patch(path, 100).header("Upload-Length", "101").body("x"),
            400,
            "length_mismatch",
        ),
    ] {
        let response = client.ask(&upload, &row.request).await;
        judge(&row, &response);
        assert_eq!(client.task(&upload).await, before, "{}", printable(&row.request));
    }
    client.verify(&upload).await;
}

#[tokio::test]
async fn wrong_creations_are_refused_and_leave_nothing() {
    let server = Server::with(Settings::upload(&["maxSizeBytes: 1000000"])).await;
    let client = Client::of(&server);
    let post = || Request::tus("POST", "/files/");
    let sized = || post().header("Upload-Length", "100");
    let told = |metadata: &str| sized().header("Upload-Metadata", metadata);
    let with_body = || sized().header("Content-Type", "application/offset+octet-stream");
    let mut rows = vec![
        row(sized().without("Tus-Resumable"), 412, "version_unsupported"),
        row(sized().replace("Tus-Resumable", "0.9"), 412, "version_unsupported"),
        row(post(), 400, "length_choice"),
        row(sized().header("Upload-Defer-Length", "1"), 400, "length_choice"),
        row(post().header("Upload-Defer-Length", "0"), 400, "header_malformed"),
        row(post().header("Upload-Defer-Length", "2"), 400, "header_malformed"),
        row(post().header("Upload-Defer-Length", "true"), 400, "header_malformed"),
        row(post().header("Upload-Defer-Length", ""), 400, "header_malformed"),
        row(
            post()
                .header("Upload-Defer-Length", "1")
                .header("Upload-Defer-Length", "1"),
            400,
            "header_repeated",
        ),
        row(sized().header("Upload-Length", "100"), 400, "header_repeated"),
        row(post().header("Upload-Length", "1000001"), 413, "upload_too_large"),
        row(
            post().header("Upload-Length", i64::MAX.to_string()),
            413,
            "upload_too_large",
        ),
        row(
            told("a YQ==").header("Upload-Metadata", "b YQ=="),
            400,
            "header_repeated",
        ),
        row(told("n\u{e4}me YQ=="), 400, "header_malformed"),
        row(sized().body("x"), 415, "content_type_unsupported"),
        row(
            sized().header("Content-Type", "text/plain").body("x"),
            415,
            "content_type_unsupported",
        ),
        row(
            sized()
                .header("Content-Type", "multipart/form-data; boundary=b")
                .body("x"),
            415,
            "content_type_unsupported",
        ),
        row(with_body().body(vec![0; 101]), 413, "body_beyond_length"),
        row(with_body().chunked(vec![0; 101]), 413, "body_beyond_length"),
        row(with_body().chunked(vec![0; 3_000_000]), 413, "body_beyond_length"),
        row(
            post()
                .header("Upload-Defer-Length", "1")
                .header("Content-Type", "application/offset+octet-stream")
                .chunked(vec![0; 3_000_000]),
            413,
            "upload_too_large",
        ),
    ];
    for value in NO_NUMBERS {
        rows.push(row(post().header("Upload-Length", value), 400, "header_malformed"));
    }
    for metadata in [
        ",",
        ",,",
        "a YQ==,",
        ",a YQ==",
        "a YQ==,,b YQ==",
        "a YQ",
        "a YQ=",
        "a Y*==",
        "a YQ== YQ==",
        "a -_==",
        "a YQ==,a YQ==",
        "a,a",
        "a YQ==, a Yg==",
        " ,b YQ==",
        "a  b",
        "a \"YQ==\"",
        "a YQ==;b YQ==",
    ] {
        rows.push(row(told(metadata), 400, "metadata_malformed"));
    }
    let long = "QUFB".repeat(3_000);
    rows.push(row(told(&format!("a {long}")), 400, "metadata_malformed"));
    for method in ["PUT", "PATCH", "HEAD", "DELETE", "GET", "FROBNICATE"] {
        rows.push(row(Request::tus(method, "/files/"), 405, "method_not_allowed"));
        rows.push(row(Request::tus(method, "/files"), 405, "method_not_allowed"));
    }
    for row in rows {
        let response = client.answer(&row.request).await;
        judge(&row, &response);
        assert_eq!(response.header("Location"), None);
    }
    // What a client can reach, and what only the disk knows.
    let list = client.answer(&Request::new("GET", "/tasks")).await.json();
    assert_eq!(list["tasks"].as_array().map(Vec::len), Some(0), "{list}");
    eventually(SOON, "refused creations to leave no file", async || {
        let left = disk::files(&server.data().join("uploads"));
        left.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_the_server_can_do_is_told_without_a_version() {
    let server = Server::with(Settings::upload(&["maxSizeBytes: 4096"])).await;
    let client = Client::of(&server);
    let upload = client.create(Content::new(3, 10)).await;
    for path in ["/files", "/files/", &upload.location] {
        let response = client.answer(&Request::new("OPTIONS", path)).await;
        assert_eq!(response.status, 204, "{response:?}");
        assert_eq!(response.header("Tus-Version"), Some("1.0.0"));
        assert_eq!(response.header("Tus-Resumable"), Some("1.0.0"));
        assert_eq!(response.header("Tus-Max-Size"), Some("4096"));
        let extensions = response.header("Tus-Extension").expect("extensions are listed");
        assert_eq!(
            extensions,
            "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum,checksum-trailer,\
             concatenation,concatenation-unfinished"
        );
        let algorithms = response
            .header("Tus-Checksum-Algorithm")
            .expect("algorithms are listed");
        assert_eq!(algorithms, "sha1,sha256,sha512,crc32c,crc32,md5");
    }
}

#[tokio::test]
async fn a_method_can_be_sent_in_a_header_where_a_proxy_lets_only_post_through() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = at_ten(&client).await;
    let path = upload.location.as_str();
    let instead = |method: &str| Request::tus("POST", path).header("X-HTTP-Method-Override", method);
    let head = client.ask(&upload, &instead("HEAD")).await;
    assert_eq!((head.status, head.offset()), (200, Some(10)), "{head:?}");
    let patch = instead("PATCH")
        .header("Upload-Offset", "10")
        .header("Content-Type", "application/offset+octet-stream")
        .body(upload.content.bytes(10..20));
    let patched = client.ask(&upload, &patch).await;
    assert_eq!((patched.status, patched.offset()), (204, Some(20)), "{patched:?}");
    for wrong in [instead("FROBNICATE"), instead(""), instead("PUT"), instead("POST")] {
        judge(
            &row(wrong.clone(), 405, "method_not_allowed"),
            &client.ask(&upload, &wrong).await,
        );
    }
    let twice = instead("DELETE").header("X-HTTP-Method-Override", "HEAD");
    judge(
        &row(twice.clone(), 400, "header_repeated"),
        &client.ask(&upload, &twice).await,
    );
    assert_eq!(client.head(&upload).await, 20);
    assert_eq!(client.answer(&instead("DELETE")).await.status, 204);
    assert_eq!(client.answer(&Request::tus("HEAD", path)).await.status, 410);
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_and_the_next_connection_is_served() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let upload = at_ten(&client).await;
    let base = || Request::tus("HEAD", &upload.location);
    let many = (0..101).fold(base(), |request, index| request.header(&format!("X-{index}"), "x"));
    for request in [
        base().header("X-Long", "x".repeat(40_000)),
        base().header("Upload-Metadata", format!("a {}", "QUFB".repeat(20_000))),
        base().header(&"X".repeat(40_000), "x"),
        many,
        Request::tus("HEAD", &format!("/files/{}", "x".repeat(70_000))),
    ] {
        let response = client.answer(&request).await;
        assert!(matches!(response.status, 414 | 431), "{response:?}");
        assert_eq!(client.head(&upload).await, 10);
    }
}
