//! Content that is not taken, and files that nobody may read before they were looked at.

use end_to_end::content::Content;
use end_to_end::server::{Server, Settings};
use end_to_end::token;
use end_to_end::tus::{Client, Upload};
use end_to_end::wire::Request;
use tempfile::TempDir;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// Creates an upload of `bytes` and sends them in pieces of these lengths; the last answer's status.
async fn send(client: &Client, bytes: &[u8], pieces: &[usize]) -> (Upload, u16) {
    let upload = client.create(Content::new(1, bytes.len() as u64)).await;
    let (mut from, mut status) = (0, 0);
    for length in pieces {
        let patch = Request::patch(&upload.location, from as u64).body(bytes[from..from + length].to_vec());
        status = client.ask(&upload, &patch).await.status;
        from += length;
    }
    (upload, status)
}

#[tokio::test]
async fn the_bytes_decide_what_a_file_is_and_what_is_not_listed_is_refused_for_good() {
    let server = Server::with(Settings::upload(&["allowedTypes: [image/png, text/plain]"])).await;
    let client = Client::of(&server);
    let (_, status) = send(&client, PNG, &[PNG.len()]).await;
    assert_eq!(status, 204);
    let (_, status) = send(&client, "gr\u{fc}n\n".as_bytes(), &[3, 3]).await;
    assert_eq!(status, 204);
    // Short, so that it is looked at with the verdict.
    let (upload, status) = send(&client, b"\x7fELF\x02\x01\x01", &[3, 4]).await;
    assert!((400..500).contains(&status), "{status}");
    client.task_becomes(&upload, "failed").await;
    // Whoever comes again hears it again.
    let offset = client.head(&upload).await;
    let again = Request::patch(&upload.location, offset).body(vec![1]);
    let again = client.ask(&upload, &again).await;
    assert!((400..500).contains(&again.status), "{again:?}");
    assert!(again.text().contains("application/octet-stream"), "{}", again.text());
}

#[tokio::test]
async fn a_long_file_is_refused_by_its_beginning() {
    let server = Server::with(Settings::upload(&["allowedTypes: [image/*]"])).await;
    let client = Client::of(&server);
    let mut bytes = b"%PDF-1.7\n".to_vec();
    bytes.resize(60_000, b' ');
    let upload = client.create(Content::new(1, 4_000_000)).await;
    let response = client
        .ask(&upload, &Request::patch(&upload.location, 0).body(bytes))
        .await;
    assert_eq!(response.status, 415, "{response:?}");
    let problem = response.json();
    assert_eq!(problem["code"], "content_refused");
    assert!(response.text().contains("application/pdf"), "{}", response.text());
    client.task_becomes(&upload, "failed").await;
}

#[tokio::test]
async fn a_file_in_quarantine_is_read_by_the_scanner_alone_until_its_release() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, token::SECRET).expect("a file can be written");
    let config = format!(
        "auth: {{ hs256SecretFile: {} }}\nupload:\n  quarantine: true\n",
        secret.display()
    );
    let server = Server::with(Settings {
        config,
        ..Settings::default()
    })
    .await;
    let nobody = Client::of(&server);
    let ada = nobody.with_token(&token::of("ada"));
    let scanner = nobody.with_token(&token::with_rights("scanner", &["release"]));
    let (upload, status) = send(&ada, PNG, &[PNG.len()]).await;
    assert_eq!(status, 204);

    let read = async |client: &Client| client.answer(&Request::new("GET", &upload.location)).await;
    let refused = read(&ada).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (403, Some("upload_quarantined"))
    );
    assert_eq!(read(&scanner).await.body, PNG);

    let release = Request::new("POST", &format!("{}/release", upload.location));
    let bob = nobody.with_token(&token::of("bob"));
    for stranger in [&ada, &bob] {
        assert_eq!(stranger.answer(&release).await.status, 403);
    }
    // Twice is once.
    for _ in 0..2 {
        assert_eq!(scanner.answer(&release).await.status, 204);
    }
    assert_eq!(read(&ada).await.body, PNG);
    // What is in no quarantine is none of the scanner's business.
    assert_eq!(read(&scanner).await.status, 403);

    let (unwanted, _) = send(&ada, PNG, &[PNG.len()]).await;
    let end = Request::tus("DELETE", &unwanted.location);
    assert_eq!(bob.answer(&end).await.status, 404);
    assert_eq!(scanner.answer(&end).await.status, 204);
    assert_eq!(ada.answer(&Request::tus("HEAD", &unwanted.location)).await.status, 410);
}
