//! `kubectl windlass`: found by kubectl when it is on the PATH, or run by itself.

mod verbs;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Shows a Platform, says what the operator would do to it, and stops or lets it
///
/// The cluster, user and namespace are kubectl's own: of KUBECONFIG, or of ~/.kube/config.
#[derive(Parser)]
#[command(name = "kubectl windlass", version)]
struct Arguments {
    /// The Platform's namespace; the one that the kubeconfig names without it
    #[arg(short, long, value_name = "NAME", global = true)]
    namespace: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say how a Platform is: its conditions, its pods, and where clients reach it
    Status {
        /// The Platform
        platform: String,
    },
    /// Say what the operator would write now, and write nothing
    ///
    /// The plan is made by the operator's own code from what is there now. `+` is made, `~` changed, `-` removed.
    Plan {
        /// The Platform
        platform: String,
    },
    /// Stop the operator from writing; what runs goes on, and its status is kept up to date
    Suspend {
        /// The Platform
        platform: String,
    },
    /// Let the operator write again
    Resume {
        /// The Platform
        platform: String,
    },
}

fn main() -> ExitCode {
    let Arguments { namespace, verb } = Arguments::parse();
    let ran = tokio::runtime::Runtime::new()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(run(namespace, verb)));
    match ran {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("kubectl windlass: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(namespace: Option<String>, verb: Verb) -> anyhow::Result<String> {
    // The only one in this process: kube finds it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = kube::Client::try_default().await.context("cannot reach a cluster")?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    match verb {
        Verb::Status { platform } => verbs::status(client, &namespace, &platform).await,
        Verb::Plan { platform } => verbs::plan(client, namespace, platform).await,
        Verb::Suspend { platform } => verbs::suspend(client, &namespace, &platform, true).await,
        Verb::Resume { platform } => verbs::suspend(client, &namespace, &platform, false).await,
    }
}
