//! The push service alone, with channels in its own memory. It sees no tasks: on embedded state they belong to the
//! process that takes the uploads.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use serde::Deserialize;
use windlass_push::{Config, Push};
use windlass_serve::{Flags, Program, auth, config, listener, program, telemetry};

/// Pushes live: the Centrifuge protocol on /connection/*
///
/// On a loopback address nobody logs in. On any other address it starts only with auth configured.
/// Prints `ready on http://ADDR` when it serves; logs go to stderr. SIGTERM asks clients to leave and exits 0.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

/// The configuration file.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Settings {
    auth: Option<auth::Settings>,
    listener: listener::Settings,
    push: Config,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::start(arguments.flags.log_format);
    let served = tokio::runtime::Runtime::new()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(serve(arguments.flags)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass-push: {error:#}");
            // The code for a wrong flag or configuration is 2, as clap's: nothing has been bound then.
            let usage = error.is::<config::Error>()
                || error.is::<program::ConfigureError>()
                || error.is::<windlass_push::config::Error>();
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

async fn serve(flags: Flags) -> anyhow::Result<()> {
    let settings: Settings = config::read_or_default(flags.config.as_deref())?;
    let mut program = Program::new(flags, settings.auth.as_ref(), &settings.listener)?;
    let push = Push::open(&settings.push, &mut program, None)?;
    let app = program.authenticated(windlass_push::router(Arc::clone(&push)));
    let app = app.merge(windlass_push::open_router(Arc::clone(&push)));
    let shutdown = program.shutdown();
    let bound = program.bind().await?;
    let background = tokio::spawn(async move { push.run(shutdown).await });
    bound.run(app).await?;
    background.abort();
    Ok(())
}
