//! The rounds and the table.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::client::{self, Language};
use crate::process::Process;
use crate::work::{MIB, Measure, Work};

/// What is to be run.
#[derive(Debug)]
pub struct Settings {
    /// The server's binary; the one beside this program when `None`.
    pub server: Option<PathBuf>,
    /// Where files go.
    pub dir: Option<PathBuf>,
    /// How often each row is measured.
    pub rounds: usize,
    /// Part of the names of the rows that are run.
    pub only: String,
    /// The rows.
    pub works: Vec<Work>,
}

/// One round of one row.
#[derive(Debug, Clone, Copy)]
struct Sample {
    value: f64,
    wall: Duration,
}

/// Measures and prints.
///
/// # Errors
/// When the server cannot be started or an upload fails: a table with a hole would be read as one without.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    ensure!(settings.rounds > 0, "no rounds");
    let server = server(settings.server.as_deref(), "windlass-upload")?;
    let dir = settings.dir.clone().unwrap_or_else(std::env::temp_dir);
    print_machine(&server, &dir);
    println!("| work | unit | measured (min-max) | floor (min-max) | ratio | reach | reached | measured rate |");
    println!("|---|---|---|---|---|---|---|---|");
    // Removed at the end only: ext4 gives no inode away within minutes of its removal but looks past each, so that tens of
    // thousands of removed files would be measured with what comes after them.
    let mut kept = Vec::new();
    for work in settings.works.iter().filter(|work| work.name.contains(&settings.only)) {
        let (mut measured, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..settings.rounds {
            floor.push(sample(work, Language::Floor, Process::floor(&dir)?, &mut kept)?);
            let process = Process::service(&server, &dir, work.survive_power_cut)?;
            measured.push(sample(work, Language::Tus, process, &mut kept)?);
        }
        print_row(work, &measured, &floor)?;
    }
    Ok(())
}

fn sample(work: &Work, language: Language, process: Process, kept: &mut Vec<TempDir>) -> anyhow::Result<Sample> {
    // Starting is no upload's cost.
    let (before, begun) = (process.cpu()?, Instant::now());
    client::run(work, language, process.address()).with_context(|| format!("{}, {language:?}", work.name))?;
    let (wall, cpu) = (begun.elapsed(), (process.cpu()? - before).as_secs_f64());
    let value = match work.measure {
        Measure::CpuPerGib => cpu / gib(work),
        Measure::CpuPerUpload => cpu * 1_000.0 / work.uploads as f64,
        Measure::PeakMemory => process.peak_memory()? as f64 / 1e6,
    };
    let folder = process.end()?;
    if work.size < MIB {
        kept.push(folder);
    } else {
        folder.close()?;
    }
    Ok(Sample { value, wall })
}

fn gib(work: &Work) -> f64 {
    (work.uploads * work.size) as f64 / f64::from(1 << 30)
}

fn print_row(work: &Work, measured: &[Sample], floor: &[Sample]) -> anyhow::Result<()> {
    let values = |samples: &[Sample]| samples.iter().map(|sample| sample.value).collect();
    let (own, least) = (spread(values(measured))?, spread(values(floor))?);
    let reached = match work.reach {
        Some(reach) if own.median <= reach => "yes",
        Some(_) => "**no**",
        None => "",
    };
    let reach = work.reach.map(|reach| format!("{reach:.2}")).unwrap_or_default();
    let mut walls: Vec<Duration> = measured.iter().map(|sample| sample.wall).collect();
    walls.sort();
    let wall = walls.get(walls.len() / 2).context("no rounds")?.as_secs_f64();
    let rate = match work.measure {
        Measure::CpuPerUpload => format!("{:.0} uploads/s", work.uploads as f64 / wall),
        Measure::CpuPerGib | Measure::PeakMemory => format!("{:.0} MiB/s", gib(work) * 1024.0 / wall),
    };
    println!(
        "| {} | {} | {own} | {least} | {:.1} | {reach} | {reached} | {rate} |",
        work.name,
        work.measure.unit(),
        own.median / least.median,
    );
    Ok(())
}

/// The rounds of one figure.
#[derive(Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    min: f64,
    max: f64,
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}-{:.2})", self.median, self.min, self.max)
    }
}

/// Median, least and greatest.
pub(crate) fn spread(mut values: Vec<f64>) -> anyhow::Result<Spread> {
    values.sort_by(f64::total_cmp);
    Ok(Spread {
        median: *values.get(values.len() / 2).context("no rounds")?,
        min: *values.first().context("no rounds")?,
        max: *values.last().context("no rounds")?,
    })
}

/// Says what machine this is.
pub(crate) fn print_machine(server: &Path, dir: &Path) {
    let first = |path: &str, key: &str| -> String {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or("unknown")
            .trim_start_matches([' ', '\t', ':'])
            .trim()
            .to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{cores} cores, {}, {} memory, Linux {}; server `{}`, files in `{}`\n",
        first("/proc/cpuinfo", "model name"),
        first("/proc/meminfo", "MemTotal:"),
        first("/proc/sys/kernel/osrelease", ""),
        server.file_name().unwrap_or_default().to_string_lossy(),
        dir.display(),
    );
}

/// The server's binary: the one that is named, or `package` beside this program.
pub(crate) fn server(named: Option<&Path>, package: &str) -> anyhow::Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name(package),
    };
    ensure!(
        path.is_file(),
        "there is no {}: run `cargo build --release -p {package}`, or name it with --server",
        path.display()
    );
    Ok(path)
}
