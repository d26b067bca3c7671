//! What every serving binary does between its flags and its exit, so that each `main` only names its own parts.
//!
//! ```no_run
//! use windlass_serve::program::{Flags, Program};
//!
//! # use windlass_serve::{auth, listener};
//! # async fn example(flags: Flags, auth: Option<auth::Settings>, listener: listener::Settings) -> Result<(), Box<dyn std::error::Error>> {
//! let mut program = Program::new(flags, auth.as_ref(), &listener)?; // nothing is bound yet: a wrong configuration exits here
//! let api = axum::Router::new(); // made with program.registry(), program.shutdown(), program.authenticator() …
//! let app = program.authenticated(api);
//! let bound = program.bind().await?;
//! bound.run(app).await?;
//! # Ok(())
//! # }
//! ```

use std::io;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::admin::{self, Readiness};
use crate::auth::{self, Authenticator};
use crate::drain::{self, Drain};
use crate::guard::{Guard, OriginPattern, Reach};
use crate::metrics::Metrics;
use crate::server::{self, Drained, Options};
use crate::shutdown::Shutdown;
use crate::telemetry::Format;
use crate::tracker::Tracker;
use crate::{listener, observe, problem, trace};

/// How long the admin listener may take to finish its exchanges after the main one has drained.
const ADMIN_DEADLINE: Duration = Duration::from_secs(1);

/// The flags that all serving binaries share.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Address to serve on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = parse_listen)]
    pub listen: SocketAddr,

    /// Serve /metrics, /healthz, /readyz and /admin here instead of on --listen; for those who run it only
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub admin_listen: Option<SocketAddr>,

    /// Connections open at once; beyond it newcomers wait in the kernel's backlog. Each needs a file descriptor
    #[arg(long, value_name = "N", default_value = "10000")]
    pub max_connections: NonZeroUsize,

    /// File with the key, at least 16 bytes, of who may drain this process (/admin/drain); nobody without it
    #[arg(long, value_name = "FILE")]
    pub admin_key_file: Option<PathBuf>,

    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Let pages of this origin use the server, such as https://app.example.com or
    /// https://*.example.com; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<OriginPattern>,

    /// What log lines on stderr look like; WINDLASS_LOG=debug and the like set the level
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: Format,
}

/// A configuration that gives no program.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// Who may call.
    #[error(transparent)]
    ConfigureAuth(#[from] auth::Error),
    /// How connections are taken.
    #[error(transparent)]
    ConfigureListener(#[from] listener::Error),
    /// Who may drain it.
    #[error(transparent)]
    ReadAdminKey(#[from] drain::KeyError),
}

/// A port that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}{}", hint(source))]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Why a program that served has to be called failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Signals cannot be received, so the program could not go down in order.
    #[error("cannot listen for signals")]
    ReceiveSignals(#[source] io::Error),
    /// The one line on stdout cannot be written.
    #[error("cannot write the ready line to stdout")]
    WriteReady(#[source] io::Error),
}

/// A process that has its configuration and has bound nothing yet.
#[derive(Debug)]
pub struct Program {
    flags: Flags,
    authenticator: Authenticator,
    guard: Guard,
    options: Options,
    registry: Registry,
    metrics: Metrics,
    shutdown: Shutdown,
    readiness: Readiness,
    tracker: Tracker,
    drain: Drain,
    /// Routes for those who run the program.
    admin: Router,
}

/// A program with its ports.
#[derive(Debug)]
pub struct Bound {
    program: Program,
    listener: TcpListener,
    admin: Option<TcpListener>,
    address: SocketAddr,
}

impl Program {
    /// Checks what can be checked before a port is bound.
    ///
    /// # Errors
    /// When the listener would be open to everybody, or a secret, key or certificate is not usable.
    pub fn new(
        flags: Flags,
        auth: Option<&auth::Settings>,
        listener: &listener::Settings,
    ) -> Result<Self, ConfigureError> {
        let mut registry = Registry::with_prefix("windlass");
        let metrics = Metrics::register(&mut registry);
        let authenticator = Authenticator::configure(auth, flags.listen, &metrics)?;
        let options = listener.options(&metrics)?;
        let reach = if authenticator.demands_token() {
            Reach::Network
        } else {
            Reach::Loopback
        };
        let mut guard = Guard::new(reach, flags.allow_origin.iter().cloned(), metrics.clone());
        if options.tls.is_some() {
            guard = guard.secured();
        }
        let key = flags.admin_key_file.as_deref().map(drain::Key::read).transpose()?;
        let shutdown = Shutdown::with_removal_wait(listener.drain.removal.0);
        let tracker = Tracker::new();
        let drain = Drain::new(shutdown.clone(), tracker.clone());
        let readiness = Readiness::new(shutdown.clone(), drain.clone());
        Ok(Self {
            flags,
            authenticator,
            guard,
            options,
            registry,
            metrics,
            shutdown,
            readiness,
            tracker,
            admin: drain::router(drain.clone(), key),
            drain,
        })
    }

    /// Where the parts register their metrics; the prefix `windlass_` is added.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Adds routes for those who run the program: on `--admin-listen`. Without one they stand beside the others where
    /// only this machine reaches them, and nowhere elsewhere, for they ask for no token.
    pub fn administer(&mut self, routes: Router) {
        self.admin = std::mem::take(&mut self.admin).merge(routes);
    }

    /// The signal to go down.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// How long what is open has to end once the process goes down.
    #[must_use]
    pub fn drain_deadline(&self) -> Duration {
        self.options.drain_deadline
    }

    /// The signal to send clients away and go on.
    #[must_use]
    pub fn drain(&self) -> Drain {
        self.drain.clone()
    }

    /// Counts what is open.
    #[must_use]
    pub fn tracker(&self) -> Tracker {
        self.tracker.clone()
    }

    /// Where own faults are set.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// How callers are known.
    #[must_use]
    pub fn authenticator(&self) -> Authenticator {
        self.authenticator.clone()
    }

    /// `api` behind the authenticator. What needs no caller, such as a page, stays outside.
    pub fn authenticated(&self, api: Router) -> Router {
        self.authenticator.layer(api, self.metrics.clone())
    }

    /// Takes the ports.
    ///
    /// # Errors
    /// When one cannot be had.
    pub async fn bind(self) -> Result<Bound, BindError> {
        self.authenticator.start();
        if let Some(tls) = &self.options.tls {
            tls.start();
        }
        let (listener, address) = bind(self.flags.listen).await?;
        let admin = match self.flags.admin_listen {
            Some(wanted) => {
                let (listener, address) = bind(wanted).await?;
                tracing::info!(%address, "admin listener");
                Some(listener)
            }
            None => None,
        };
        Ok(Bound {
            program: self,
            listener,
            admin,
            address,
        })
    }
}

impl Bound {
    /// The address that is served, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the admin listener, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves `app`, prints the ready line, and goes down in order at SIGTERM, SIGINT or [`Shutdown::begin`].
    ///
    /// # Errors
    /// When signals cannot be received or stdout is closed.
    pub async fn run(self, app: Router) -> Result<Drained, RunError> {
        let Self {
            program,
            listener,
            admin,
            address,
        } = self;
        let shutdown = program.shutdown.clone();
        let probes = admin::router(program.registry, program.readiness);
        let (app, admin) = match admin {
            Some(admin) => {
                let routes = probes.merge(program.admin);
                (app, Some((admin, finish(routes, &program.guard, &program.metrics))))
            }
            None if program.authenticator.demands_token() => (app.merge(probes), None),
            None => (app.merge(probes).merge(program.admin), None),
        };
        let app = finish(app, &program.guard, &program.metrics);
        let options = Options {
            max_connections: program.flags.max_connections.get(),
            ..program.options
        };
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        // The admin listener answers until the main one has drained: /readyz is what tells that it does.
        let drained = Shutdown::new();
        let admin = admin.map(|(listener, router)| {
            // Probes, scrapers and those who run it, of the same machine or cluster.
            let options = Options {
                drain_deadline: ADMIN_DEADLINE,
                tls: None,
                ..options.clone()
            };
            tokio::spawn(server::serve(
                listener,
                router,
                options,
                drained.clone(),
                Tracker::new(),
            ))
        });
        let signals = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.signals().await }
        });
        writeln!(io::stdout(), "ready on {scheme}://{address}").map_err(RunError::WriteReady)?;
        let serving = server::serve(listener, app, options, shutdown, program.tracker);
        let outcome = tokio::select! {
            outcome = serving => outcome,
            failed = signals => match failed {
                Ok(Err(error)) => return Err(RunError::ReceiveSignals(error)),
                Ok(Ok(never)) => match never {},
                Err(_) => return Err(RunError::ReceiveSignals(io::Error::other("the signal task ended"))),
            },
        };
        drained.begin();
        if let Some(admin) = admin {
            let _ = admin.await;
        }
        trace::flush().await;
        Ok(outcome)
    }
}

/// The layers that every listener has, round everything: from outside in the span, the guard with CORS, the routes.
fn finish(router: Router, guard: &Guard, metrics: &Metrics) -> Router {
    let router = router
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed);
    observe::layer(guard.layer(router), metrics.clone())
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| BindError { address, source })?;
    let address = listener.local_addr().map_err(|source| BindError { address, source })?;
    Ok((listener, address))
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": another program listens there already; stop it or choose another --listen",
        io::ErrorKind::PermissionDenied => ": this user may not; ports below 1024 need a privilege",
        io::ErrorKind::AddrNotAvailable => ": this machine has no such address",
        _ => "",
    }
}

/// `IP:PORT`, or `localhost:PORT` for 127.0.0.1.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse()
        .map_err(|_| "expected IP:PORT, such as 127.0.0.1:8080 or [::1]:0".to_owned())
}
