//! Uploads into an object store: what the service costs beside a bare client of the same library, which streams the same
//! bytes from sockets into the same S3 server, by turns; and, for what receiving costs, beside one that has them in its
//! memory. The service speaks HTTP, keeps a record, and makes one object with its documents beside it; the client does one
//! multipart upload each.

pub mod bare;
mod connector;
pub mod crowd;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use bucket::Bucket;

use crate::client::{self, Language};
use crate::process::Process;
use crate::table::{Settings, print_machine, server, spread};
use crate::work::{MIB, Work};

/// At least so much of the bare client's throughput, and at most so much of its CPU time.
const REACH_RATE: f64 = 0.90;
const REACH_CPU: f64 = 1.50;

/// What one side took.
#[derive(Debug, Clone, Copy)]
struct Sample {
    mib_a_second: f64,
    cpu_a_gib: f64,
}

/// Measures and prints.
///
/// # Errors
/// When a server cannot be started or an upload fails.
pub fn run(settings: &Settings, smoke: bool) -> anyhow::Result<()> {
    ensure!(settings.rounds > 0, "no rounds");
    let server = server(settings.server.as_deref(), "windlass-upload")?;
    let dir = settings.dir.clone().unwrap_or_else(std::env::temp_dir);
    print_machine(&server, &dir);
    println!(
        "| uploads | MiB/s | bare | ratio | reach | reached | CPU s/GiB | bare | ratio | reach | reached | bare, from memory: \
         MiB/s, CPU s/GiB |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for work in works(smoke).iter().filter(|work| work.name.contains(&settings.only)) {
        let (mut own, mut bare, mut resting) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..settings.rounds {
            // Who comes first finds the machine another than who comes second.
            if round % 2 == 0 {
                own.push(of_service(&server, &dir, work)?);
                bare.push(of_bare(&dir, work)?);
            } else {
                bare.push(of_bare(&dir, work)?);
                own.push(of_service(&server, &dir, work)?);
            }
            resting.push(from_memory(work)?);
        }
        print_row(work, &own, &bare, &resting)?;
    }
    Ok(())
}

fn works(smoke: bool) -> Vec<Work> {
    let one = Work {
        name: "1 x 1 GiB",
        uploads: 1,
        at_once: 1,
        size: if smoke { 9 * MIB } else { 1_024 * MIB },
        patch: u64::MAX,
        ..crate::work::smoke().remove(0)
    };
    let eight = Work {
        name: "8 x 128 MiB at once",
        uploads: if smoke { 2 } else { 8 },
        at_once: if smoke { 2 } else { 8 },
        size: if smoke { 9 * MIB } else { 128 * MIB },
        ..one.clone()
    };
    vec![one, eight]
}

fn of_service(server: &Path, dir: &Path, work: &Work) -> anyhow::Result<Sample> {
    let bucket = Bucket::start();
    let process = Process::with_bucket(server, dir, &bucket, None)?;
    measure(work, Language::Tus, process)
}

fn of_bare(dir: &Path, work: &Work) -> anyhow::Result<Sample> {
    let bucket = Bucket::start();
    measure(work, Language::Floor, Process::bare(dir, &bucket)?)
}

fn measure(work: &Work, language: Language, process: Process) -> anyhow::Result<Sample> {
    let (before, begun) = (process.cpu()?, Instant::now());
    client::run(work, language, process.address())?;
    let took = begun.elapsed().as_secs_f64();
    let cpu = (process.cpu()? - before).as_secs_f64();
    process.end()?.close()?;
    Ok(sample(work, took, cpu))
}

fn from_memory(work: &Work) -> anyhow::Result<Sample> {
    let bucket = Bucket::start();
    let numbers = [work.uploads, work.at_once, work.size].map(|number| number.to_string());
    let output = Command::new(std::env::current_exe()?)
        .args(["s3-bare", &bucket.endpoint()])
        .args(numbers)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the bare client failed");
    let text = String::from_utf8(output.stdout)?;
    let (took, cpu) = text.trim().split_once(' ').context("the bare client says nothing")?;
    Ok(sample(work, took.parse()?, cpu.parse()?))
}

fn sample(work: &Work, took: f64, cpu: f64) -> Sample {
    let mib = (work.uploads * work.size) as f64 / MIB as f64;
    Sample {
        mib_a_second: mib / took,
        cpu_a_gib: cpu * 1_024.0 / mib,
    }
}

fn print_row(work: &Work, own: &[Sample], bare: &[Sample], resting: &[Sample]) -> anyhow::Result<()> {
    let median = |samples: &[Sample], of: fn(&Sample) -> f64| spread(samples.iter().map(of).collect());
    // Of each pair: what the machine does to both is in neither then.
    let ratio = |of: fn(&Sample) -> f64| {
        let pairs = own.iter().zip(bare);
        spread(pairs.map(|(own, bare)| of(own) / of(bare)).collect())
    };
    let rate: fn(&Sample) -> f64 = |sample| sample.mib_a_second;
    let cpu: fn(&Sample) -> f64 = |sample| sample.cpu_a_gib;
    let (rates, cpus) = (ratio(rate)?, ratio(cpu)?);
    let said = |reached: bool| if reached { "yes" } else { "**no**" };
    println!(
        "| {} | {:.0} | {:.0} | {rates} | {REACH_RATE:.2} | {} | {} | {} | {cpus} | {REACH_CPU:.2} | {} | {:.0}, {} |",
        work.name,
        median(own, rate)?.median,
        median(bare, rate)?.median,
        said(rates.median >= REACH_RATE),
        median(own, cpu)?,
        median(bare, cpu)?,
        said(cpus.median <= REACH_CPU),
        median(resting, rate)?.median,
        median(resting, cpu)?,
    );
    Ok(())
}
