//! How much a tenant at its limit slows another (promise P6): the same uploads of the other tenant, alone and beside a
//! flood, by turns.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::json;

use crate::client::Connection;
use crate::process::Process;
use crate::table::{Settings, print_machine, server, spread};
use crate::work::{MIB, Work};

const SECRET: &str = "a-benchmark-secret-of-more-than-32-bytes";
const FLOODING: &str = "flooding";
const OTHER: &str = "other";
/// What the flooding tenant may send, and how many clients of it try to send as fast as they can.
const FLOOD_BYTES_PER_SECOND: u64 = 4 * MIB;
const FLOOD_CLIENTS: usize = 16;
/// Promise P6: the other's throughput moves by less than a tenth.
const REACH: f64 = 0.90;

/// Measures and prints.
///
/// # Errors
/// When the server cannot be started or an upload fails.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    ensure!(settings.rounds > 0, "no rounds");
    let server = server(settings.server.as_deref(), "windlass-upload")?;
    let dir = settings.dir.clone().unwrap_or_else(std::env::temp_dir);
    let Some(large) = settings.works.first() else {
        anyhow::bail!("no work");
    };
    // Many creations and checkpoints too: what is shared is not only the line.
    let work = Work {
        uploads: 16.min(large.size / MIB),
        size: 32 * MIB.min(large.size),
        patch: 4 * MIB,
        ..large.clone()
    };
    print_machine(&server, &dir);
    let mut ratios = Vec::new();
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..settings.rounds {
        // Who comes first finds the machine another than who comes second.
        let first = sample(&server, &dir, &work, round % 2 == 1)?;
        let second = sample(&server, &dir, &work, round % 2 == 0)?;
        let (one, other) = if round % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        alone.push(one);
        beside.push(other);
        ratios.push(other / one);
    }
    println!("| the other tenant's MiB/s | alone | beside the flood | ratio, median of pairs | reach | reached |");
    println!("|---|---|---|---|---|---|");
    let ratio = spread(ratios)?.median;
    println!(
        "| {} x {} MiB | {:.0} | {:.0} | {ratio:.2} | at least {REACH} | {} |",
        work.uploads,
        work.size / MIB,
        spread(alone)?.median,
        spread(beside)?.median,
        if ratio >= REACH { "yes" } else { "**no**" },
    );
    Ok(())
}

/// MiB a second that the other tenant gets.
fn sample(server: &Path, dir: &Path, work: &Work, flooded: bool) -> anyhow::Result<f64> {
    let process = Process::with_tenants(server, dir, SECRET, FLOODING, FLOOD_BYTES_PER_SECOND)?;
    let address = process.address();
    let over = AtomicBool::new(false);
    let bytes: Vec<u8> = (0..MIB).map(|at| (at % 251) as u8 + 1).collect();
    let took = std::thread::scope(|scope| {
        let clients = if flooded { FLOOD_CLIENTS } else { 0 };
        for _ in 0..clients {
            scope.spawn(|| flood(address, &bytes, &over));
        }
        if flooded {
            // What it may send at once after a rest is not the flood.
            std::thread::sleep(Duration::from_secs(2));
        }
        let done = measure(address, &bytes, work);
        over.store(true, Ordering::Relaxed);
        // Clients of the flood wait for a server that does not read; its end is theirs.
        process.end()?.close()?;
        done
    })?;
    Ok((work.uploads * work.size / MIB) as f64 / took.as_secs_f64())
}

fn measure(address: SocketAddr, bytes: &[u8], work: &Work) -> anyhow::Result<Duration> {
    let mut connection = Connection::open(address, bytes, Some(&token(OTHER)?))?;
    let begun = Instant::now();
    for _ in 0..work.uploads {
        connection.upload(work)?;
    }
    Ok(begun.elapsed())
}

/// Uploads without end; that the server refuses or ends what runs is part of it.
fn flood(address: SocketAddr, bytes: &[u8], over: &AtomicBool) {
    let work = Work {
        size: 1_024 * MIB,
        patch: 1_024 * MIB,
        ..crate::work::smoke().remove(0)
    };
    while !over.load(Ordering::Relaxed) {
        let Ok(token) = token(FLOODING) else { return };
        if let Ok(mut connection) = Connection::open(address, bytes, Some(&token)) {
            let _ = connection.upload(&work);
        }
    }
}

fn token(tenant: &str) -> anyhow::Result<String> {
    let claims = json!({ "sub": "bench", "tenant": tenant, "exp": get_current_timestamp() + 3_600 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    Ok(encode(&Header::default(), &claims, &key)?)
}
