//! The records are lost and the bytes are not: every upload goes on where its client was told that it stands.

use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::disk;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::{Body, Pace, Request};

const MIB: u64 = 1024 * 1024;

/// Ends the server, deletes its database, and starts it on what is left.
pub(crate) async fn forget(server: &mut Server) {
    server.kill();
    let mut deleted = 0;
    for file in std::fs::read_dir(server.data()).expect("there is a data folder") {
        let path = file.expect("its names can be read").path();
        let name = path
            .file_name()
            .expect("a file has a name")
            .to_string_lossy()
            .into_owned();
        if name.starts_with("tasks.sqlite3") {
            std::fs::remove_file(&path).expect("it can be deleted");
            deleted += 1;
        }
    }
    assert!(deleted > 0, "there was no database");
    server.restart().await;
}

async fn start() -> (Server, Client) {
    let server = Server::with(Settings::upload(&["checkpoint: 20ms"])).await;
    let client = Client::of(&server);
    (server, client)
}

/// Sends slowly from where the upload stands until the server has acknowledged something; the rest is cut off by the caller.
async fn be_in_the_middle(client: &Client, upload: &Upload) {
    let offset = client.head(upload).await;
    let pace = Pace::Pieces {
        bytes: 16 * 1024,
        every: Duration::from_millis(2),
    };
    let body = Body::of(upload.content, offset..upload.content.length).paced(pace);
    let _running = client.begin(upload, body).await;
    eventually(SOON, "an acknowledged offset", async || {
        let shown = client.task(upload).await["offset"].as_u64();
        (shown > Some(offset)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deleted_database_costs_no_acknowledged_byte() {
    let (mut server, client) = start().await;
    let finished = client.create(Content::new(1, 9 * MIB)).await;
    client.complete(&finished).await;
    let untouched = client.create(Content::new(2, MIB)).await;
    let half = client.create(Content::new(3, 4 * MIB)).await;
    assert_eq!(client.patch(&half, 0..3 * MIB).await.status, 204);
    let empty = client.create(Content::new(4, 0)).await;
    let running = client.create(Content::new(5, 20 * MIB)).await;
    be_in_the_middle(&client, &running).await;

    // Each death makes a writer epoch, with a file of its own.
    for _ in 0..2 {
        server.kill();
        server.restart().await;
        be_in_the_middle(&client, &running).await;
    }
    let ended = client.create(Content::new(6, MIB)).await;
    client.patch(&ended, 0..1_000).await;
    assert_eq!(
        client.answer(&Request::tus("DELETE", &ended.location)).await.status,
        204
    );

    forget(&mut server).await;
    for upload in [&untouched, &half, &running] {
        let offset = client.head(upload).await;
        assert!(offset < upload.content.length);
    }
    assert_eq!(client.head(&half).await, 3 * MIB);
    for upload in [&finished, &empty] {
        client.verify(upload).await;
    }
    assert_eq!(client.answer(&Request::tus("HEAD", &ended.location)).await.status, 404);
    let guessed = format!("{}x", half.location);
    assert_eq!(client.answer(&Request::tus("HEAD", &guessed)).await.status, 404);

    // It goes on, and the next loss finds what came after the first.
    be_in_the_middle(&client, &running).await;
    forget(&mut server).await;
    for upload in [&untouched, &half, &running] {
        client.complete(upload).await;
    }
    forget(&mut server).await;
    for upload in [&untouched, &half, &running, &finished, &empty] {
        client.verify(upload).await;
    }
}

#[tokio::test]
async fn a_length_that_was_declared_and_joined_files_are_known_again() {
    let (mut server, client) = start().await;
    let deferred = Request::tus("POST", "/files/").header("Upload-Defer-Length", "1");
    let declared = client.create_by(&deferred, Content::new(7, 3 * MIB)).await;
    let open = client.create_by(&deferred, Content::new(8, 2 * MIB)).await;
    let first = Request::patch(&declared.location, 0)
        .header("Upload-Length", declared.content.length.to_string())
        .body(declared.content.bytes(0..MIB));
    assert_eq!(client.ask(&declared, &first).await.status, 204);
    assert_eq!(client.patch(&open, 0..MIB).await.status, 204);

    let partial = |length: u64| {
        Request::tus("POST", "/files/")
            .header("Upload-Concat", "partial")
            .header("Upload-Length", length.to_string())
    };
    let one = client.create_by(&partial(MIB), Content::new(9, MIB)).await;
    let two = client.create_by(&partial(2 * MIB), Content::new(10, 2 * MIB)).await;
    assert_eq!(client.patch(&one, 0..MIB).await.status, 204);
    let join = |parts: [&Upload; 2]| {
        let header = format!("final;{} {}", parts[0].location, parts[1].location);
        Request::tus("POST", "/files/").header("Upload-Concat", header)
    };
    let joined = client.answer(&join([&one, &one])).await;
    let unfinished = client.answer(&join([&one, &two])).await;
    assert_eq!((joined.status, unfinished.status), (201, 201));
    let location = |response: &end_to_end::wire::Response| response.header("Location").expect("a Location").to_owned();

    forget(&mut server).await;
    // Who asks for a file makes the records of its parts again too, and they know that it lists them.
    let whole = client.answer(&Request::new("GET", &location(&joined))).await;
    assert_eq!(
        (whole.status, whole.body),
        (200, [one.content.whole(), one.content.whole()].concat())
    );
    let head = client.ask(&declared, &Request::tus("HEAD", &declared.location)).await;
    assert_eq!(
        head.header("Upload-Length"),
        Some(declared.content.length.to_string().as_str())
    );
    let head = client.ask(&open, &Request::tus("HEAD", &open.location)).await;
    assert_eq!(head.header("Upload-Defer-Length"), Some("1"));
    client.complete(&declared).await;

    assert_eq!(client.answer(&Request::tus("DELETE", &one.location)).await.status, 204);
    let whole = client.answer(&Request::new("GET", &location(&joined))).await;
    assert_eq!(whole.status, 200, "its bytes went with one of its parts");
    assert_eq!(
        client
            .answer(&Request::tus("HEAD", &location(&unfinished)))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn what_is_gone_with_the_records_is_answered_410() {
    let (mut server, client) = start().await;
    let upload = client.create(Content::new(11, 4 * MIB)).await;
    assert_eq!(client.patch(&upload, 0..2 * MIB).await.status, 204);
    server.kill();
    server.restart().await;
    assert_eq!(client.patch(&upload, 2 * MIB..3 * MIB).await.status, 204);
    server.kill();
    // The first epoch's bytes: those of the second show that there were more.
    let files = disk::files_of(&server.data(), &upload.task);
    let first = files
        .keys()
        .find(|path| path.extension().is_some_and(|epoch| epoch == "1"));
    let first = server.data().join(first.expect("a file of the first epoch"));
    let file = std::fs::File::options()
        .write(true)
        .open(first)
        .expect("it can be opened");
    file.set_len(MIB).expect("it can be cut off");
    server.restart().await;
    forget(&mut server).await;
    assert_eq!(client.answer(&Request::tus("HEAD", &upload.location)).await.status, 410);
    let gone = client.answer(&Request::new("GET", &upload.location)).await;
    assert_eq!((gone.status, gone.json()["code"].as_str()), (410, Some("upload_lost")));
}
