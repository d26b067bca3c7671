//! A pod: an agent on a runtime of its own, its folder, and the Redis beside it.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use prometheus_client::registry::Registry;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use windlass_election::Timing;
use windlass_redis_agent::agent::{Agent, Handle, Pace, Parts, View};
use windlass_redis_agent::http;
use windlass_redis_agent::metrics::Metrics;
use windlass_redis_agent::settings::Settings;

use crate::api::Api;
use crate::wait::eventually;

pub(crate) struct Place {
    pub(crate) settings: Arc<Settings>,
    api: Arc<Api>,
    timing: Timing,
    pace: Pace,
    running: Option<Running>,
    /// Of the socket. Its path must be short.
    folder: TempDir,
}

struct Running {
    runtime: Runtime,
    handle: Handle,
    stop: CancellationToken,
    work: tokio::task::JoinHandle<()>,
}

impl Place {
    pub(crate) fn new(settings: Settings, api: Arc<Api>, timing: Timing, pace: Pace) -> Self {
        std::fs::create_dir_all(&settings.data).unwrap();
        Self {
            settings: Arc::new(settings),
            api,
            timing,
            pace,
            running: None,
            folder: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn start(&mut self) {
        // One thread: whoever blocks it stops the whole agent, as SIGSTOP would.
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut registry = Registry::default();
        let parts = Parts {
            settings: Arc::clone(&self.settings),
            timing: self.timing,
            pace: self.pace,
            lease: Arc::clone(&self.api) as _,
            metrics: Metrics::register(&mut registry),
            folder: self.folder.path().to_owned(),
        };
        let (agent, handle) = Agent::new(parts).unwrap();
        let stop = CancellationToken::new();
        let router = http::router(handle.clone(), registry);
        let settings = Arc::clone(&self.settings);
        runtime.spawn(async move {
            let listener = http::listen(&settings).await.unwrap();
            http::serve(listener, router, settings.certificates.clone())
                .await
                .unwrap();
        });
        let stopped = stop.clone();
        let work = runtime.spawn(async move { agent.run(stopped).await.unwrap() });
        self.running = Some(Running {
            runtime,
            handle,
            stop,
            work,
        });
    }

    /// Both end at once, as a pod does with its node.
    pub(crate) fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            let process = running.handle.view().process;
            running.runtime.shutdown_background();
            process.into_iter().for_each(|process| signal(process, Signal::KILL));
        }
    }

    /// The agent is told to end, as by SIGTERM.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.cancel();
            running.work.await.unwrap();
            running.runtime.shutdown_background();
        }
    }

    /// The volume is lost; the pod must not run.
    pub(crate) fn lose_volume(&self) {
        assert!(self.running.is_none(), "the pod runs");
        std::fs::remove_dir_all(&self.settings.data).unwrap();
        std::fs::create_dir_all(&self.settings.data).unwrap();
    }

    /// The agent stands still for so long, its Redis does not.
    pub(crate) fn freeze(&self, during: Duration) {
        let running = self.running.as_ref().unwrap();
        running.runtime.spawn(async move { std::thread::sleep(during) });
    }

    pub(crate) fn view(&self) -> Option<View> {
        Some(self.running.as_ref()?.handle.view())
    }

    /// Has it go by other settings from now on, and waits until it does.
    pub(crate) async fn configure(&mut self, settings: Settings) {
        self.settings = Arc::new(settings);
        let handle = &self.running.as_ref().unwrap().handle;
        handle.configure(Arc::clone(&self.settings)).await;
        eventually("a new configuration", async || {
            (handle.settings() == self.settings).then_some(())
        })
        .await;
    }

    /// Sends a signal to its Redis.
    pub(crate) fn signal(&self, to_send: Signal) {
        signal(self.view().unwrap().process.unwrap(), to_send);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(process: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    // It may be gone already.
    let _ = kill_process(pid, signal);
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections and beside those that
/// `fixture-redis` takes.
pub(crate) fn unused_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + offset.wrapping_mul(97).wrapping_add(step) % COUNT;
        if TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
