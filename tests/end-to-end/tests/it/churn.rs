//! `kill -9` while many small things happen: what was answered is so afterwards, and what was not is whole or not there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use end_to_end::content::Content;
use end_to_end::disk;
use end_to_end::form::Form;
use end_to_end::random::Random;
use end_to_end::report;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, SOON, Upload};
use end_to_end::wait::eventually;
use end_to_end::wire::{Framing, Request, Response};

const KILLS: u32 = 12;
const WORKERS: u64 = 4;

/// What the server has answered about an upload.
#[derive(Debug, Clone)]
struct Known {
    upload: Upload,
    complete: bool,
    paused: bool,
    /// Termination was asked for; answered or not.
    ending: bool,
    ended: bool,
}

type Book = Arc<Mutex<Vec<Known>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_among_many_small_requests_undo_nothing_that_was_answered() {
    let mut random = Random::of_this_run("churn");
    let mut server = Server::with(Settings::upload(&["checkpoint: 5ms"])).await;
    let client = Client::of(&server);
    let book = Book::default();
    let mut answered = BTreeSet::new();
    for _ in 0..KILLS {
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let worker = Worker {
                    client: client.clone(),
                    random: Random::seeded(random.number()),
                    book: Arc::clone(&book),
                    stop: Arc::clone(&stop),
                };
                tokio::spawn(worker.run())
            })
            .collect();
        tokio::time::sleep(random.time(Duration::from_millis(50)..Duration::from_millis(600))).await;
        server.kill();
        stop.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.await.expect("a worker finds no broken promise");
        }
        server.restart().await;
        let known = std::mem::take(&mut *book.lock().expect("nobody panicked"));
        for known in known {
            check(&client, &server, &known).await;
            answered.insert(known.upload.task);
        }
    }
    // The list is fed by events and may lag.
    let orphans = eventually(SOON, "every upload that was answered to be in the list", async || {
        let orphans = orphans(&client, &server).await;
        orphans.is_disjoint(&answered).then_some(orphans)
    })
    .await;
    report::line(&format!(
        "churn: {KILLS} kills, {} uploads checked, {} offsets recorded, files of {} unanswered creations",
        answered.len(),
        client.ledger().entries(),
        orphans.len()
    ));
    assert!(
        answered.len() > 50,
        "too little happened to prove anything: {}",
        answered.len()
    );
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

struct Worker {
    client: Client,
    random: Random,
    book: Book,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Works until the server is killed.
    async fn run(mut self) {
        while !self.stop.load(Ordering::SeqCst) {
            if self.one_upload().await.is_none() {
                return;
            }
        }
    }

    /// One upload through some of its life; `None` when the server is gone.
    async fn one_upload(&mut self) -> Option<()> {
        let content = Content::new(self.random.number(), self.random.between(1..400_000));
        if self.random.once_in(5) {
            return self.form(content).await;
        }
        let mut request = Request::tus("POST", "/files/").header("Upload-Length", content.length.to_string());
        if self.random.once_in(3) {
            let first = self.random.between(1..content.length + 1);
            request = request
                .header("Content-Type", "application/offset+octet-stream")
                .body(content.bytes(0..first));
        }
        let created = self.exchange(&request).await?;
        assert_eq!(created.status, 201, "{created:?}");
        let upload = Upload::at(created.header("Location").expect("it says where"), content);
        let mark = self.client.ledger().mark(&upload.task);
        let mut offset = created.offset().unwrap_or(0);
        self.client.ledger().shown(&mark, offset, "POST");
        self.know(&upload, |_| ());
        while offset < content.length {
            if offset > 0 && self.random.once_in(4) {
                self.pause(&upload).await?;
            }
            let end = self.random.between(offset + 1..content.length + 1);
            let request = Request::patch(&upload.location, offset).body(content.bytes(offset..end));
            self.know(&upload, |known| known.paused = false);
            let mark = self.client.ledger().mark(&upload.task);
            let response = self.exchange(&request).await?;
            assert_eq!((response.status, response.offset()), (204, Some(end)), "{response:?}");
            self.client.ledger().shown(&mark, end, "PATCH");
            offset = end;
        }
        self.know(&upload, |known| known.complete = true);
        if self.random.once_in(3) {
            self.know(&upload, |known| known.ending = true);
            let response = self.exchange(&Request::tus("DELETE", &upload.location)).await?;
            assert_eq!(response.status, 204, "{response:?}");
            self.know(&upload, |known| known.ended = true);
        }
        Some(())
    }

    async fn form(&mut self, content: Content) -> Option<()> {
        let response = self.exchange(&Form::new().file("a", content.whole()).request()).await?;
        assert_eq!(response.status, 201, "{response:?}");
        let receipt = response.json();
        let location = receipt["files"][0]["location"].as_str().expect("a file has a location");
        self.know(&Upload::at(location, content), |known| known.complete = true);
        Some(())
    }

    async fn pause(&mut self, upload: &Upload) -> Option<()> {
        let request = Request::new("POST", &format!("/tasks/{}/pause", upload.task)).framing(Framing::Length(0));
        let response = self.exchange(&request).await?;
        assert_eq!(response.status, 200, "{response:?}");
        self.know(upload, |known| known.paused = true);
        Some(())
    }

    async fn exchange(&self, request: &Request) -> Option<Response> {
        self.client.exchange(request).await.ok()
    }

    fn know(&self, upload: &Upload, change: impl FnOnce(&mut Known)) {
        let mut book = self.book.lock().expect("nobody panicked");
        let index = book.iter().position(|known| known.upload.task == upload.task);
        let index = index.unwrap_or_else(|| {
            book.push(Known {
                upload: upload.clone(),
                complete: false,
                paused: false,
                ending: false,
                ended: false,
            });
            book.len() - 1
        });
        change(&mut book[index]);
    }
}

/// What was answered is so.
async fn check(client: &Client, server: &Server, known: &Known) {
    let upload = &known.upload;
    let download = client.answer(&Request::new("GET", &upload.location)).await;
    if download.status == 410 {
        assert!(known.ending, "it is gone, and nobody wanted that: {known:?}");
        eventually(SOON, "its bytes to be removed", async || {
            disk::files_of(&server.data(), &upload.task).is_empty().then_some(())
        })
        .await;
        return;
    }
    assert!(
        !known.ended,
        "its end was answered, and it is there: {known:?} {download:?}"
    );
    if known.complete {
        assert_eq!(download.status, 200, "{known:?} {download:?}");
        client.verify(upload).await;
        return;
    }
    let task = client.task(upload).await;
    if known.paused {
        assert_eq!(task["status"], "paused", "{known:?}");
    }
    client.complete(upload).await;
}

/// Tasks that have files and are in no list.
async fn orphans(client: &Client, server: &Server) -> BTreeSet<String> {
    let mut listed = String::new();
    let mut after = String::new();
    loop {
        let page = client
            .answer(&Request::new("GET", &format!("/tasks?limit=200{after}")))
            .await;
        listed.push_str(&page.text());
        match page.json()["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let names = disk::files(&server.data().join("uploads")).into_keys();
    let tasks = names.filter_map(|path| Some(path.file_name()?.to_str()?.split('.').next()?.to_owned()));
    tasks.filter(|task| !listed.contains(task)).collect()
}
