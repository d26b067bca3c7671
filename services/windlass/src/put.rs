//! `windlass put FILE…`: a tus client for the command line, made for bad networks.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ArgAction;
use indicatif::{BinaryBytes, HumanCount};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::duration::{self, show};
use crate::retry::Limits;
use crate::target::{self, Failure, Target};
use crate::text::with_causes;

mod failure_log;
mod memory;
mod meter;
mod screen;
mod source;
mod transfer;

use failure_log::FailureLog;
use memory::Memory;
use meter::StallLimits;
use screen::Screen;
use source::Source;
use transfer::{Done, Run};

/// Tries in a row when no limit is given (DESIGN section 5).
const RETRIES: u32 = 3;

/// The exit code after SIGINT, by the shells' convention.
const INTERRUPTED: u8 = 130;

/// The flags of `put`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files to upload
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    target: target::Flags,

    /// Files that are uploaded at once
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,

    /// Begin anew, whatever an earlier run has uploaded
    #[arg(long = "no-resume", action = ArgAction::SetFalse)]
    resume: bool,

    /// Failures in a row, without the server having got further, after which a file is given up [default: 3, or no
    /// limit with --give-up-after]
    #[arg(long, value_name = "N", help_heading = "Retries")]
    retries: Option<u32>,

    /// Give a file up when the server has not got further for this long, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "Retries")]
    give_up_after: Option<Duration>,

    /// Break off and retry when nothing could be sent for this long
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse, help_heading = "Retries")]
    stall_after: Duration,

    /// Break off and retry when no answer has come for this long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse, help_heading = "Retries")]
    answer_within: Duration,

    /// Append every failure to this file, one JSON object a line
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    failure_log: Option<PathBuf>,

    /// Print one JSON object for each file instead of "TASK<tab>FILE"; with the location, which may hold a key
    #[arg(long, help_heading = "Output")]
    json: bool,

    /// Say nothing but failures
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
}

/// What became of all files.
#[derive(Debug, Default)]
struct Tally {
    done: u64,
    failed: u64,
    sent: u64,
}

/// Uploads the files. 0: all are whole on the server; 1: some are not; 2: the command was wrong.
pub async fn run(arguments: Arguments) -> ExitCode {
    let begun = Instant::now();
    let files = distinct(&arguments.files);
    let screen = Arc::new(Screen::new(arguments.quiet, files.len()));
    let run = match prepare(&arguments, &screen) {
        Ok(run) => Arc::new(run),
        Err(problem) => {
            screen.complain(&problem);
            return ExitCode::from(2);
        }
    };
    let uploading = upload_all(files, &run, &screen, &arguments);
    let tally = tokio::select! {
        tally = uploading => tally,
        _ = tokio::signal::ctrl_c() => {
            screen.end();
            screen.complain("interrupted; the same command goes on where this one was");
            return ExitCode::from(INTERRUPTED);
        }
    };
    screen.end();
    let all = tally.done + tally.failed;
    let sent = BinaryBytes(tally.sent);
    screen.tell(&format!(
        "{} of {} {} uploaded, {sent} sent in {}",
        HumanCount(tally.done),
        HumanCount(all),
        if all == 1 { "file" } else { "files" },
        show(begun.elapsed())
    ));
    if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn prepare(arguments: &Arguments, screen: &Screen) -> Result<Run, String> {
    let limits = Limits {
        retries: arguments
            .retries
            .or(arguments.give_up_after.is_none().then_some(RETRIES)),
        give_up_after: arguments.give_up_after,
    };
    let log = match &arguments.failure_log {
        Some(path) => {
            let log = FailureLog::open(path);
            Some(log.map_err(|error| format!("cannot open the failure log {}: {error}", path.display()))?)
        }
        None => None,
    };
    let memory = match Memory::of_user() {
        Ok(memory) => Some(memory),
        Err(error) => {
            screen.complain(&format!(
                "uploads cannot be resumed by another process: {}",
                with_causes(&error)
            ));
            None
        }
    };
    let target = Target::new(&arguments.target, arguments.stall_after).map_err(|error| with_causes(&error))?;
    let stalls = StallLimits {
        sending: arguments.stall_after,
        answer: arguments.answer_within,
    };
    Ok(Run {
        target,
        limits,
        stalls,
        memory,
        resume: arguments.resume,
        log,
    })
}

/// Uploads at most `--jobs` files at a time, in their order.
async fn upload_all(files: Vec<PathBuf>, run: &Arc<Run>, screen: &Arc<Screen>, arguments: &Arguments) -> Tally {
    let places = Arc::new(Semaphore::new(arguments.jobs.into()));
    let json = arguments.json;
    let mut running = JoinSet::new();
    let mut tally = Tally::default();
    for path in files {
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        while let Some(outcome) = running.try_join_next() {
            tally.add(outcome);
        }
        let (run, screen) = (Arc::clone(run), Arc::clone(screen));
        running.spawn(async move {
            let outcome = Box::pin(upload(&path, &run, &screen, json)).await;
            screen.count();
            drop(place);
            outcome
        });
    }
    while let Some(outcome) = running.join_next().await {
        tally.add(outcome);
    }
    tally
}

impl Tally {
    /// Counts a file: the bytes sent for it, or nothing if it failed. A task that panicked has failed.
    fn add(&mut self, outcome: Result<Option<u64>, tokio::task::JoinError>) {
        match outcome {
            Ok(Some(sent)) => {
                self.done += 1;
                self.sent += sent;
            }
            Ok(None) | Err(_) => self.failed += 1,
        }
    }
}

async fn upload(path: &Path, run: &Run, screen: &Screen, json: bool) -> Option<u64> {
    let name = path.display().to_string();
    let source = match Source::open(path) {
        Ok(source) => source,
        Err(error) => {
            let failure = Failure::lasting("cannot_open", with_causes(&error));
            run.log(path, "", 0, &failure, true);
            screen.begin(path, 0).fail(&failure.message);
            return None;
        }
    };
    let begun = Instant::now();
    let line = screen.begin(path, source.size());
    match transfer::run(run, &source, &line).await {
        Ok(done) => {
            line.finish(&format!("{} in {}", BinaryBytes(done.bytes), show(begun.elapsed())));
            screen.out(&completed(&name, &done, json));
            Some(done.sent)
        }
        Err(Failure { code, message, .. }) => {
            line.fail(&format!("{message} [{code}]"));
            None
        }
    }
}

/// What a script reads: the task first, for it has no tab in it.
fn completed(name: &str, done: &Done, json: bool) -> String {
    if json {
        json!({"taskId": done.task, "file": name, "bytes": done.bytes, "location": done.location.as_str()}).to_string()
    } else {
        format!("{}\t{name}", done.task)
    }
}

/// The files without repetitions, which would only fight for one upload.
fn distinct(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    files
        .iter()
        .filter(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.to_path_buf())))
        .cloned()
        .collect()
}
