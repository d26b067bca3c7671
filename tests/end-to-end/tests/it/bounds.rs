//! Who asks for memory gets little: the real server's resident size stays within bounds that are printed.

use end_to_end::content::Content;
use end_to_end::report;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::Client;
use end_to_end::wait::eventually;
use end_to_end::wire::{Framing, Request};

use crate::limits::raise_own_limit;

pub(super) const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What a server may grow by for reasons of its own while a test runs: the allocator's arenas, threads' stacks, the page
/// cache of SQLite, code that is read in. The most that was measured: 16 MiB.
pub(super) const OWN_GROWTH: u64 = 32 * MIB;

/// The memory of a server, as the kernel counts it.
pub(super) struct Memory {
    pid: u32,
    before: u64,
}

impl Memory {
    /// From here on: whatever the server needs once it has by now.
    pub(super) async fn of(server: &Server) -> Self {
        let client = Client::of(server);
        let upload = client.create(Content::new(99, MIB)).await;
        client.complete(&upload).await;
        let pid = server.pid();
        // Resets the peak (proc_pid_clear_refs(5)).
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak can be reset");
        let before = read(pid, "VmHWM:");
        Self { pid, before }
    }

    /// How much more was resident at any time since, bytes.
    fn grown(&self) -> u64 {
        read(self.pid, "VmHWM:").saturating_sub(self.before)
    }

    /// Fails when it was more than this many bytes.
    pub(super) fn stays_within(&self, bound: u64, what: &str) {
        let grown = self.grown();
        let (shown, most) = (grown / KIB, bound / KIB);
        report::line(&format!("{what}: {shown} KiB more resident, at most {most} KiB"));
        assert!(grown <= bound, "{what}: {grown} bytes more resident, at most {bound}");
    }
}

fn read(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .expect("it is there in kB");
    kib.trim().parse::<u64>().expect("it is a number") * KIB
}

#[tokio::test]
async fn ten_thousand_tiny_chunks_in_one_body_are_not_ten_thousand_buffers() {
    let server = Server::start().await;
    let client = Client::of(&server);
    let memory = Memory::of(&server).await;
    let content = Content::new(1, 10_000);
    let upload = client.create(content).await;
    let mut wire = client.connect().await;
    let head = Request::patch(&upload.location, 0).framing(Framing::Chunked).head();
    wire.send(head).await.expect("it can be sent");
    let mut chunks = Vec::new();
    for byte in content.whole() {
        chunks.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    wire.send(chunks).await.expect("it can be sent");
    let response = wire.answer("PATCH").await.expect("it is answered");
    assert_eq!(
        (response.status, response.offset()),
        (204, Some(10_000)),
        "{response:?}"
    );
    client.verify(&upload).await;
    // A connection's buffer holds 60 KB of them; pinned by each byte, 10,000 of those would be 600 MB.
    memory.stays_within(OWN_GROWTH, "10,000 chunks of a byte");
}

#[tokio::test]
async fn idle_connections_up_to_the_bound_take_little_each() {
    /// What a connection that has sent half a head may take: hyper's buffer of 8 KiB, its task, the socket's own state.
    const EACH: u64 = 32 * KIB;
    const COUNT: usize = 9_900;
    const OPENERS: usize = 50;
    raise_own_limit(COUNT as u64 + 1_000);
    let server = Server::with(Settings {
        open_files: Some(COUNT as u64 + 500),
        ..Settings::default()
    })
    .await;
    let client = Client::of(&server);
    let memory = Memory::of(&server).await;
    // At once, for the server cuts the half of a head after 30 seconds.
    let openers: Vec<_> = (0..OPENERS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut idle = Vec::new();
                for _ in 0..COUNT / OPENERS {
                    let mut wire = client.connect().await;
                    wire.send("GET /tasks HTTP/1.1\r\nHost: loc")
                        .await
                        .expect("it can be sent");
                    idle.push(wire);
                }
                idle
            })
        })
        .collect();
    let mut idle = Vec::with_capacity(COUNT);
    for opener in openers {
        idle.extend(opener.await.expect("connections can be opened"));
    }
    let upload = client.create(Content::new(2, MIB)).await;
    client.complete(&upload).await;
    memory.stays_within(OWN_GROWTH + EACH * COUNT as u64, "9,900 idle connections");
}

#[tokio::test]
async fn heads_without_an_end_are_cut_off_at_their_bound() {
    /// The bound of a head is 32 KiB; the buffer that it is read into grows by doubling.
    const EACH: u64 = 128 * KIB;
    const COUNT: usize = 200;
    let server = Server::start().await;
    let client = Client::of(&server);
    let memory = Memory::of(&server).await;
    let senders: Vec<_> = (0..COUNT)
        .map(|index| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut wire = client.connect().await;
                wire.send("GET / HTTP/1.1\r\nHost: localhost\r\n")
                    .await
                    .expect("it can be sent");
                // One long field, or many short ones.
                let piece = if index % 2 == 0 {
                    "X-A: b\r\n".repeat(500)
                } else {
                    "x".repeat(4_000)
                };
                if index % 2 == 1 {
                    wire.send("X-Long: ").await.expect("it can be sent");
                }
                // 40 MB, if the server were to take them.
                for _ in 0..10_000 {
                    if wire.send(&piece).await.is_err() {
                        return;
                    }
                }
                panic!("a head of 40 MB was taken");
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("the head is cut off");
    }
    memory.stays_within(OWN_GROWTH + EACH * COUNT as u64, "200 heads without an end");
}

#[tokio::test]
async fn metadata_at_its_bound_does_not_stay_in_memory() {
    const COUNT: usize = 6_000;
    let server = Server::start().await;
    let client = Client::of(&server);
    let memory = Memory::of(&server).await;
    let mut wire = client.connect().await;
    // Just under the bound of 8 KiB.
    let metadata = format!("filename {}", "YmJi".repeat(1_900));
    let request = Request::tus("POST", "/files")
        .header("Upload-Length", "10")
        .header("Upload-Metadata", metadata);
    for _ in 0..COUNT {
        let response = wire.exchange(&request).await.expect("it is answered");
        assert_eq!(response.status, 201, "{response:?}");
    }
    // The store remembers 2 MiB of records, and SQLite 2 MiB of pages; all of these are 46 MB.
    memory.stays_within(OWN_GROWTH, "6,000 uploads with 8 KB of metadata");
    let bomb = Request::tus("POST", "/files")
        .header("Upload-Length", "10")
        .header("Upload-Metadata", format!("filename {}", "YmJi".repeat(10_000)));
    eventually(std::time::Duration::from_secs(10), "a bomb to be refused", async || {
        let status = client.answer(&bomb).await.status;
        (400..500).contains(&status).then_some(())
    })
    .await;
    memory.stays_within(OWN_GROWTH, "6,000 uploads with 8 KB of metadata, and one with too much");
}
