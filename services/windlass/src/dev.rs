//! `windlass dev`: upload, push and page in one process on embedded state. No other program is needed.
//!
//! Nothing is bound and nothing is written before the configuration has been found good.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Deserialize;
use windlass_push::{Intake, Push};
use windlass_serve::{Flags, Program, auth, config, listener, program, telemetry};
use windlass_upload::embedded::{self, Embedded};

use crate::page;

/// The exit code for a wrong flag or configuration, the same as clap's.
const USAGE: u8 = 2;

/// The flags of `dev`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder for uploads and their records; made if missing, used by one process at a time
    #[arg(long, value_name = "DIR", default_value = "./windlass-data")]
    data_dir: PathBuf,

    #[command(flatten)]
    flags: Flags,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Config {
    auth: Option<auth::Settings>,
    listener: listener::Settings,
    pub(crate) store: windlass_task::store::Settings,
    pub(crate) upload: windlass_upload::Config,
    pub(crate) storage: Option<windlass_upload::storage::object::Settings>,
    push: windlass_push::Config,
}

/// Why `dev` ended before its time.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    ReadConfig(#[from] config::Error),
    #[error(transparent)]
    Configure(#[from] program::ConfigureError),
    #[error(transparent)]
    OpenUpload(#[from] embedded::Error),
    #[error(transparent)]
    ConfigurePush(#[from] windlass_push::config::Error),
    #[error(transparent)]
    Bind(#[from] program::BindError),
    #[error(transparent)]
    Run(#[from] program::RunError),
}

impl Error {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::ReadConfig(_)
            | Self::Configure(_)
            | Self::ConfigurePush(_)
            | Self::OpenUpload(embedded::Error::ReadConfig(_) | embedded::Error::ConfigureStore(_)) => {
                ExitCode::from(USAGE)
            }
            Self::OpenUpload(_) | Self::Bind(_) | Self::Run(_) => ExitCode::FAILURE,
        }
    }
}

/// Serves until it is told to stop.
pub async fn run(arguments: Arguments) -> ExitCode {
    telemetry::start(arguments.flags.log_format);
    match Box::pin(serve(arguments)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass dev: {}", crate::text::with_causes(&error));
            error.exit_code()
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Error> {
    let Arguments { data_dir, flags } = arguments;
    let config: Config = config::read_or_default(flags.config.as_deref())?;
    Intake::check(&config.push, config.store.redis.is_some())?;
    let mut program = Program::new(flags, config.auth.as_ref(), &config.listener)?;
    let places = embedded::Places {
        data_dir: &data_dir,
        store: &config.store,
        bucket: config.storage.as_ref(),
    };
    let Embedded { records, upload } = embedded::open(places, &config.upload, &mut program)?;
    let push = Push::open(&config.push, &mut program, Some(&records))?;
    let intake = Intake::open(&config.push, &push, Some(&records), &mut program)?;
    let uploads = windlass_upload::router(Arc::clone(&upload));
    let api = program.authenticated(uploads.merge(windlass_push::router(Arc::clone(&push))));
    let app = api
        .merge(windlass_push::open_router(Arc::clone(&push)))
        .merge(page::router());
    program.administer(windlass_push::admin_router(Arc::clone(&push)));
    let shutdown = program.shutdown();
    let bound = program.bind().await?;
    let uploading = Arc::clone(&upload);
    let background = tokio::spawn(async move {
        tokio::join!(uploading.run(), push.run(shutdown), Intake::take_all(intake));
    });
    bound.run(app).await?;
    background.abort();
    upload.close().await;
    Ok(())
}
