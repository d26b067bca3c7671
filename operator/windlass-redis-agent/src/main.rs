//! `windlass-redis-agent`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser as _;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use windlass_election::Timing;
use windlass_redis_agent::agent::{Agent, Pace, Parts};
use windlass_redis_agent::flags::{self, Arguments};
use windlass_redis_agent::lease::cluster::ClusterLease;
use windlass_redis_agent::metrics::Metrics;
use windlass_redis_agent::settings::Settings;
use windlass_redis_agent::{http, renewal};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    flags::log();
    let ran = tokio::runtime::Runtime::new()
        .context("cannot start the runtime")
        .and_then(|it| it.block_on(run(arguments)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass-redis-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // The only one in this process: kube and reqwest find it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Arc::new(Settings::read(&arguments).context("cannot be configured so")?);
    let client = kube::Client::try_default().await.context("no API server is known")?;
    let lease = ClusterLease::new(client, &arguments.namespace, &settings.lease);
    let mut registry = Registry::with_prefix("windlass");
    let metrics = Metrics::register(&mut registry);
    let timing = Timing::default();
    let folder = std::env::temp_dir();
    let listener = http::listen(&settings).await.context("cannot listen")?;
    let (agent, handle) = Agent::new(Parts {
        settings: Arc::clone(&settings),
        timing,
        pace: Pace::of(&timing),
        lease: Arc::new(lease),
        metrics,
        folder,
    })?;
    let router = http::router(handle.clone(), registry);
    let serving = http::serve(listener, router, settings.certificates.clone());
    tokio::spawn(renewal::run(move || Settings::read(&arguments), handle));
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut work = tokio::spawn(agent.run(stop.clone()));
    tokio::select! {
        ended = &mut work => return ended.context("the agent broke off")?.context("the agent cannot go on"),
        served = serving => return served.context("the listener ended"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
    work.await
        .context("the agent broke off")?
        .context("the agent cannot go on")
}
