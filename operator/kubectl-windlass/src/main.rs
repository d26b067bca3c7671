//! `kubectl windlass`: found by kubectl when it is on the PATH, or run by itself.

mod redis;
mod verbs;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

/// Shows a Platform or a Redis, says what the operator would do, and stops or lets it
///
/// The cluster, user and namespace are kubectl's own: of KUBECONFIG, or of ~/.kube/config.
#[derive(Parser)]
#[command(name = "kubectl windlass", version)]
struct Arguments {
    /// Its namespace; the one that the kubeconfig names without it
    #[arg(short, long, value_name = "NAME", global = true)]
    namespace: Option<String>,
    #[command(subcommand)]
    verb: verbs::Verb,
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

async fn run(namespace: Option<String>, verb: verbs::Verb) -> anyhow::Result<String> {
    // The only one in this process: kube finds it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = kube::Client::try_default().await.context("cannot reach a cluster")?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    verbs::run(client, namespace, verb).await
}
