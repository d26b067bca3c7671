//! The upload service alone, on one machine's disk or in front of a bucket.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use serde::Deserialize;
use windlass_serve::{Flags, Program, auth, config, listener, program, telemetry};
use windlass_upload::storage::object;
use windlass_upload::{Config, embedded};

/// Takes resumable uploads: tus 1.0.0 and forms, on `/files`
///
/// On a loopback address nobody logs in. On any other address it starts only with auth configured.
/// Prints `ready on http://ADDR` when it serves; logs go to stderr. SIGTERM finishes what runs and exits 0.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder for uploads and their records; made if missing, used by one process at a time
    #[arg(long, value_name = "DIR", default_value = "./windlass-data")]
    data_dir: PathBuf,

    #[command(flatten)]
    flags: Flags,
}

/// The configuration file.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Settings {
    auth: Option<auth::Settings>,
    listener: listener::Settings,
    store: windlass_task::store::Settings,
    upload: Config,
    storage: Option<object::Settings>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::start(arguments.flags.log_format);
    let served = tokio::runtime::Runtime::new()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(serve(arguments)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass-upload: {error:#}");
            // The code for a wrong flag or configuration is 2, as clap's: nothing has been bound then.
            let usage =
                error.is::<config::Error>() || error.is::<program::ConfigureError>() || error.is::<embedded::Error>();
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

async fn serve(Arguments { data_dir, flags }: Arguments) -> anyhow::Result<()> {
    let settings: Settings = config::read_or_default(flags.config.as_deref())?;
    let mut program = Program::new(flags, settings.auth.as_ref(), &settings.listener)?;
    let places = embedded::Places {
        data_dir: &data_dir,
        store: &settings.store,
        bucket: settings.storage.as_ref(),
    };
    let upload = embedded::open(places, &settings.upload, &mut program)?.upload;
    let app = program.authenticated(windlass_upload::router(Arc::clone(&upload)));
    let bound = program.bind().await?;
    let upkeep = tokio::spawn(Arc::clone(&upload).run());
    bound.run(app).await?;
    upkeep.abort();
    upload.close().await;
    Ok(())
}
