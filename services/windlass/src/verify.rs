//! `windlass verify`: what the records say and what is stored, compared; and a plan of repair, applied step by step.
//!
//! Reads only, and beside a service that runs, unless a plan is applied.

mod report;

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use windlass_serve::config;
use windlass_upload::embedded::Places;
use windlass_upload::verify::{self, Applied, OpenError, Plan, PlanError, Planned, Progress, Told, Verifier, apply};

use self::report::Report;
use crate::dev::Config;
use crate::text::with_causes;

/// Something was found, or a step failed.
const FOUND: u8 = 1;
/// Nobody could look.
const CANNOT: u8 = 2;
/// How often a long run says on stderr how far it is.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// The flags of `verify`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The data folder of the service
    #[arg(long, value_name = "DIR", default_value = "./windlass-data")]
    data_dir: PathBuf,

    /// The service's configuration file (YAML): it says where records and bytes are, if not in the data folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Read all bytes of finished uploads that have a digest, and compare them with it
    #[arg(long)]
    digests: bool,

    /// What findings look like on stdout: a line each, or a JSON object each
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,

    /// Write down how each finding would be repaired; the file must not be there yet
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,

    /// Do what a plan says, as far as what was found still holds; lines may be deleted from it before
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "digests", "format"])]
    apply: Option<PathBuf>,
}

/// What findings look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Why nobody could look, or a plan was not applied.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    ReadConfig(#[from] config::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Look(#[from] verify::Error),
    #[error("cannot use {}", path.display())]
    UsePlan {
        path: PathBuf,
        #[source]
        source: PlanError,
    },
    #[error("cannot write the findings")]
    WriteFindings(#[source] std::io::Error),
}

/// Looks, or applies a plan.
pub async fn run(arguments: Arguments) -> ExitCode {
    let done = match &arguments.apply {
        Some(plan) => Box::pin(apply_plan(&arguments, plan)).await,
        None => Box::pin(look(&arguments)).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FOUND),
        Err(error) => {
            eprintln!("windlass verify: {}", with_causes(&error));
            ExitCode::from(CANNOT)
        }
    }
}

fn places<'a>(arguments: &'a Arguments, config: &'a Config) -> Places<'a> {
    Places {
        data_dir: &arguments.data_dir,
        store: &config.store,
        bucket: config.storage.as_ref(),
    }
}

/// Looks at everything; answers whether all is well.
async fn look(arguments: &Arguments) -> Result<bool, Error> {
    let config: Config = config::read_or_default(arguments.config.as_deref())?;
    let verifier = verify::open(places(arguments, &config), &config.upload, arguments.digests)?;
    let mut plan = match &arguments.plan {
        None => None,
        Some(path) => Some(begin_plan(path)?),
    };
    let mut report = Report::new(arguments.format);
    let mut problem = None;
    let mut said = Instant::now();
    let mut tell = |told: Told| match told {
        Told::Progress(progress) => {
            if said.elapsed() >= SAID_EVERY {
                said = Instant::now();
                say(&progress);
            }
        }
        Told::Found(finding) => {
            if problem.is_none() {
                problem = write_down(finding, &mut report, plan.as_mut(), arguments).err();
            }
        }
    };
    verifier.run(&mut tell).await?;
    if let Some(problem) = problem {
        return Err(problem);
    }
    if let (Some(plan), Some(path)) = (plan, &arguments.plan) {
        plan.end().map_err(using(path))?;
    }
    conclude(report, &verifier)
}

fn write_down(
    finding: verify::Finding,
    report: &mut Report,
    plan: Option<&mut Plan<BufWriter<File>>>,
    arguments: &Arguments,
) -> Result<(), Error> {
    if let (Some(plan), Some(path)) = (plan, &arguments.plan) {
        plan.add(&finding).map_err(using(path))?;
    }
    report.add(finding).map_err(Error::WriteFindings)
}

fn conclude(report: Report, verifier: &Verifier) -> Result<bool, Error> {
    report.end(&verifier.progress()).map_err(Error::WriteFindings)
}

fn begin_plan(path: &Path) -> Result<Plan<BufWriter<File>>, Error> {
    // Not over another: what it says may not have been done yet.
    let file = File::options().write(true).create_new(true).open(path);
    let file = file.map_err(|source| using(path)(source.into()))?;
    Plan::begin(BufWriter::new(file)).map_err(using(path))
}

fn using(path: &Path) -> impl FnOnce(PlanError) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::UsePlan { path, source }
}

fn say(progress: &Progress) {
    eprintln!(
        "windlass verify: {} records and {} stored uploads ({} bytes) looked at",
        progress.records, progress.uploads, progress.bytes
    );
}

/// Applies a plan; answers whether every step is done, or needs doing no more.
async fn apply_plan(arguments: &Arguments, path: &Path) -> Result<bool, Error> {
    let config: Config = config::read_or_default(arguments.config.as_deref())?;
    let file = File::open(path).map_err(|source| using(path)(source.into()))?;
    // Read whole before anything is done: half of a plan is none.
    let steps: Vec<Planned> = Planned::read(BufReader::new(file))
        .and_then(Iterator::collect)
        .map_err(using(path))?;
    let upload = verify::open_to_apply(places(arguments, &config), &config.upload)?;
    let (mut done, mut past, mut failed) = (0_u64, 0_u64, 0_u64);
    for Planned { why, step } in steps {
        let task = step.task();
        match apply(&upload, &step).await {
            Ok(Applied::Done { .. }) => {
                done += 1;
                println!("{task}  done: {step} ({why})");
            }
            Ok(Applied::Past { because }) => {
                past += 1;
                println!("{task}  no longer true: {because} ({why})");
            }
            Err(error) => {
                failed += 1;
                println!("{task}  failed: {} ({why})", with_causes(&error));
            }
        }
    }
    upload.close().await;
    eprintln!("windlass verify: {done} steps done, {past} no longer true, {failed} failed");
    Ok(failed == 0)
}
