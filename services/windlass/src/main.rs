//! The command line of Windlass.

use std::process::ExitCode;

use clap::Parser as _;
use windlass::cli::{Arguments, Command};
use windlass::{dev, put, to_tusd, verify, watch};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The one TLS provider of the process; two of them, or none, make rustls panic at the first connection.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("windlass: a TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("windlass: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        match arguments.command {
            Command::Dev(arguments) => dev::run(arguments).await,
            Command::Put(arguments) => put::run(arguments).await,
            Command::Watch(arguments) => watch::run(arguments).await,
            Command::Verify(arguments) => verify::run(arguments).await,
            Command::ToTusd(arguments) => to_tusd::run(arguments).await,
        }
    });
    // What was cut at a deadline is not waited for again.
    runtime.shutdown_background();
    code
}
