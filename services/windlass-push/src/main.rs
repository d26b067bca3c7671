//! The push service alone. With a Redis it sees the tasks there and shares its channels with others; otherwise they are in
//! its own memory, and tasks on embedded state belong to the process that takes the uploads.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use windlass_push::file::{self, File};
use windlass_push::{Intake, Push};
use windlass_serve::{Flags, Program, program, telemetry};
use windlass_task::store::Records;

/// Pushes live: the Centrifuge protocol on /connection/*, tasks in Redis on /tasks, /events and /ws
///
/// On a loopback address nobody logs in. On any other address it starts only with auth configured, or a
/// backend that says who connects.
/// Prints `ready on http://ADDR` when it serves; logs go to stderr. SIGTERM asks clients to leave and exits 0.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,

    /// Configuration file of Centrifugo 6 (YAML, JSON) to go on with; what of it is not taken is
    /// named in the log
    #[arg(long, value_name = "FILE")]
    centrifugo_config: Option<PathBuf>,
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
            eprintln!("windlass-push: {error:#}");
            // The code for a wrong flag or configuration is 2, as clap's: nothing has been bound then.
            let usage = error.is::<file::Error>()
                || error.is::<program::ConfigureError>()
                || error.is::<windlass_push::config::Error>()
                || error.is::<windlass_task::store::ConfigureError>();
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        mut flags,
        centrifugo_config,
    } = arguments;
    let file = File::read(flags.config.as_deref(), centrifugo_config.as_deref())?;
    let auth = file.auth_on(flags.listen);
    flags.allow_origin.extend(file.origins);
    let mut program = Program::new(flags, auth.as_ref(), &file.listener)?;
    let store = file.store.shared()?;
    if let Some(store) = &store {
        store.register(program.registry());
    }
    let records = store.map(Records::from);
    let config = file.push.unwrap_or_default();
    let push = Push::open(&config, &mut program, records.as_ref())?;
    let intake = Intake::open(&config, &push, records.as_ref(), &mut program)?;
    let app = program.authenticated(windlass_push::router(Arc::clone(&push)));
    let app = app.merge(windlass_push::open_router(Arc::clone(&push)));
    program.administer(windlass_push::admin_router(Arc::clone(&push)));
    let shutdown = program.shutdown();
    let bound = program.bind().await?;
    let background = tokio::spawn(async move { tokio::join!(push.run(shutdown), Intake::take_all(intake)) });
    bound.run(app).await?;
    background.abort();
    Ok(())
}
