//! `windlass-operator`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use windlass_operator::controller::Tools;
use windlass_operator::election::lease::Candidate;
use windlass_operator::flags::Arguments;
use windlass_operator::metrics::Metrics;
use windlass_operator::operator::Operator;
use windlass_operator::{admin, platform, redis, watch};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    windlass_operator::flags::log();
    let ran = tokio::runtime::Runtime::new()
        .context("cannot start the runtime")
        .and_then(|it| it.block_on(run(arguments)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // The only one in this process: kube finds it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = kube::Client::try_default()
        .await
        .context("cannot reach an API server")?;
    let (mut registry, ages) = (Registry::with_prefix("windlass"), watch::Ages::default());
    let metrics = Metrics::register(&mut registry);
    let listener = tokio::net::TcpListener::bind(arguments.admin_listen)
        .await
        .context("cannot listen")?;
    let admin = axum::serve(listener, admin::router(registry, ages.clone()));
    let times = arguments.times();
    // Unique a process start: a pod's name is the same after a restart of its container.
    let identity = format!(
        "{}-{}",
        std::env::var("HOSTNAME").unwrap_or_default(),
        uuid::Uuid::now_v7()
    );
    let namespace = &arguments.lease_namespace;
    let (mut candidate, leadership) = Candidate::new(client.clone(), namespace, "windlass-operator", identity, times);
    let (namespace, concurrency) = (arguments.namespace, arguments.concurrency);
    let stop = CancellationToken::new();
    let operator = Operator {
        tools: Tools {
            client,
            leadership,
            metrics,
        },
        namespace,
        ages,
        concurrency,
    };
    let platforms = operator.clone().run(platform::Controller, stop.clone());
    let redises = operator.run(redis::Controller::default(), stop.clone());
    let mut work = tokio::spawn(async { ((), ()) = tokio::join!(platforms, redises) });
    tokio::select! {
        // Whoever has lost the lease ends at once, with all that it has under way.
        lost = candidate.run() => return Err(lost.map_or_else(anyhow::Error::from, |never| match never {})),
        served = admin.into_future() => return served.context("the admin listener ended"),
        ended = &mut work => return ended.context("the work broke off"),
        signal = windlass_operator::signal::received() => signal.context("cannot receive signals")?,
    }
    stop.cancel();
    work.await.context("the work broke off")?;
    candidate.resign().await;
    Ok(())
}
