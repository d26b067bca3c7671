//! Many uploads into an object store at once: the bytes that the server holds stay inside its budget, and its memory with
//! them. Each upload is downloaded and compared by its digest, then removed. Who is put off comes again, as stock clients do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bucket::Bucket;
use sha2::{Digest as _, Sha256};

use crate::client::Connection;
use crate::process::Process;
use crate::table::{Settings, print_machine, server};
use crate::work::{MIB, Work};

/// After how long a client goes on whom the server could not serve: what its `Retry-After` says.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often it does so in a row before it gives up: for longer than the server bears a store that is away.
const AGAIN_MAX: u32 = 120;

/// How often the gauge of held bytes is looked at besides its own greatest value.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Measures and prints.
///
/// # Errors
/// When the server cannot be started, an upload fails or is another than was sent, or the budget was not kept.
pub fn run(settings: &Settings, uploads: u64, size: u64, budget_mib: Option<u64>) -> anyhow::Result<()> {
    let server = server(settings.server.as_deref(), "windlass-upload")?;
    let dir = settings.dir.clone().unwrap_or_else(std::env::temp_dir);
    print_machine(&server, &dir);
    let bucket = Bucket::start();
    let process = Process::with_bucket(&server, &dir, &bucket, budget_mib)?;
    let address = process.address();
    let idle = process.memory()?;
    // Sent again and again: not of a part's size, nor of one that goes into it, so that no part is like another.
    let bytes: Vec<u8> = (0..MIB - 3).map(|at| (at % 251) as u8 + 1).collect();
    let work = Work {
        size,
        patch: u64::MAX,
        ..crate::work::smoke().remove(0)
    };
    let (over, seen, again) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let begun = Instant::now();
    let took = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                seen.fetch_max(metric(address, "storage_held_bytes").unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(LOOK_EVERY);
            }
        });
        let clients: Vec<_> = (0..uploads)
            .map(|_| scope.spawn(|| one(address, &bytes, &work, &again)))
            .collect();
        let done = clients
            .into_iter()
            .try_for_each(|client| client.join().expect("a client thread does not panic"));
        let took = begun.elapsed();
        over.store(true, Ordering::Relaxed);
        done.map(|()| took)
    })?;
    let (held, budget) = (
        metric(address, "storage_held_most_bytes")?,
        metric(address, "storage_budget_bytes")?,
    );
    let spilled = metric(address, "storage_spilled_bytes_total")?;
    println!(
        "{uploads} uploads of {} MiB at once, each read back and right: {:.0} s with that; budget {} MiB, held at most \
         {} MiB (looked at every {} ms: {} MiB), written as tails to make room {} MiB; resident {} MiB before, {} MiB at \
         most; clients that were put off and went on: {} times",
        size / MIB,
        took.as_secs_f64(),
        budget / MIB,
        held.div_ceil(MIB),
        LOOK_EVERY.as_millis(),
        seen.load(Ordering::Relaxed).div_ceil(MIB),
        spilled / MIB,
        idle / MIB,
        process.peak_memory()? / MIB,
        again.load(Ordering::Relaxed),
    );
    ensure!(held <= budget, "the budget was not kept");
    process.end()?.close()?;
    Ok(())
}

/// One upload, read back and removed.
fn one(address: SocketAddr, bytes: &[u8], work: &Work, again: &AtomicU64) -> anyhow::Result<()> {
    let location = Connection::open(address, bytes, None)?.create(work.size)?;
    patiently(again, || {
        let mut connection = Connection::open(address, bytes, None)?;
        match connection.offset(&location)? {
            offset if offset < work.size => connection.append(&location, offset, work.size - offset),
            _ => Ok(()),
        }
    })?;
    // What has begun to come must come whole: a download that breaks off is not begun again.
    let mut connection = patiently(again, || {
        let mut connection = Connection::open(address, bytes, None)?;
        connection.begin_download(&location, work.size)?;
        Ok(connection)
    })?;
    let mut digest = Sha256::new();
    connection.take_download(work.size, |piece| digest.update(piece))?;
    let mut wanted = Sha256::new();
    let mut left = work.size;
    while left > 0 {
        let piece = usize::try_from(left.min(bytes.len() as u64))?;
        wanted.update(bytes.get(..piece).context("a piece fits")?);
        left -= piece as u64;
    }
    ensure!(
        digest.finalize() == wanted.finalize(),
        "{location} is not what was sent"
    );
    Connection::open(address, bytes, None)?.remove(&location)
}

/// As stock clients do: what fails is tried again, from where the server is.
fn patiently<T>(again: &AtomicU64, mut work: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    for _ in 1..AGAIN_MAX {
        match work() {
            Ok(done) => return Ok(done),
            Err(_) => {
                again.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(AGAIN_AFTER);
            }
        }
    }
    work()
}

/// A figure of the server, by the end of its name.
fn metric(address: SocketAddr, name: &str) -> anyhow::Result<u64> {
    let text = Connection::open(address, &[], None)?.metrics()?;
    let line = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| line.split_once(' ').filter(|(known, _)| known.ends_with(name)));
    let (_, value) = line.with_context(|| format!("there is no figure {name}"))?;
    Ok(value.parse::<f64>()? as u64)
}
