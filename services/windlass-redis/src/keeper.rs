//! Keeps one connection: makes it, prepares it, shows it, and makes another when it is of no more use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::Credentials;
use crate::error::Error;
use crate::metrics::Cause;
use crate::session::{Opening, Prepare, Session};
use crate::slot::{Slot, Slots};

/// The first wait after a connection that was not made; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(20);
/// The longest wait between two tries: with jitter, a fleet of a thousand asks a server that comes back a thousand times
/// a second, which it bears.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How often an idle connection is tried out: a server that is gone without a word (a cut cable) is noticed by then.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// How long somebody waits for a connection before hearing that there is none: what a reconnect takes, with a little
/// luck. Longer waits are the caller's, who knows what it may hold.
pub(crate) const REACH_WITHIN: Duration = Duration::from_millis(500);

/// How one connection is made, and for what.
pub(crate) struct Making {
    pub(crate) opening: Opening,
    pub(crate) prepare: Option<Arc<dyn Prepare>>,
    /// The slots that its server has; a connection is prepared for them before it is shown.
    pub(crate) slots: watch::Receiver<Slots>,
    /// What it is for, in the log.
    pub(crate) purpose: &'static str,
}

/// One connection, kept for as long as this lives.
#[derive(Debug)]
pub(crate) struct Keeper {
    session: watch::Receiver<Option<Session>>,
    made: Arc<AtomicU64>,
    keeping: JoinHandle<()>,
}

impl Keeper {
    pub(crate) fn start(making: Making) -> Self {
        let (shown, session) = watch::channel(None);
        let made = Arc::new(AtomicU64::new(0));
        let keeping = tokio::spawn(keep(making, shown, Arc::clone(&made)));
        Self { session, made, keeping }
    }

    /// The connection, if there is one or soon will be.
    pub(crate) async fn session(&self) -> Result<Session, Error> {
        let mut session = self.session.clone();
        let found = tokio::time::timeout(REACH_WITHIN, session.wait_for(is_of_use)).await;
        match found {
            Ok(Ok(session)) => session.clone().ok_or(Error::Reach),
            Ok(Err(_)) | Err(_) => Err(Error::Reach),
        }
    }

    /// The connection, if it soon is for a slot.
    pub(crate) async fn session_for(&self, slot: Slot) -> Result<Session, Error> {
        let found = async {
            let session = self.session().await?;
            if !session.has(slot) {
                tokio::select! {
                    () = session.prepared(slot) => {}
                    _ = session.broken() => return Err(Error::Reach),
                }
            }
            Ok(session)
        };
        tokio::time::timeout(REACH_WITHIN, found)
            .await
            .unwrap_or(Err(Error::Reach))
    }

    /// The connection, if there is one now.
    pub(crate) fn present(&self) -> Option<Session> {
        self.session.borrow().clone().filter(|session| !session.is_broken())
    }

    /// The connection as it comes and goes.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Session>> {
        self.session.clone()
    }

    /// How many connections have been made.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

fn is_of_use(session: &Option<Session>) -> bool {
    session.as_ref().is_some_and(|session| !session.is_broken())
}

async fn keep(making: Making, shown: watch::Sender<Option<Session>>, made: Arc<AtomicU64>) {
    let mut failures: u32 = 0;
    loop {
        match make(&making).await {
            Ok((session, credentials)) => {
                made.fetch_add(1, Ordering::Relaxed);
                tracing::info!(purpose = making.purpose, "connected to redis");
                failures = 0;
                shown.send_replace(Some(session.clone()));
                // Slots that went in between, while nobody saw the connection.
                session.keep(&making.slots.borrow());
                let open = Open::count(&making);
                let cause = until_broken(&making, &session, credentials).await;
                shown.send_replace(None);
                drop(open);
                making.opening.metrics.lost(making.purpose, cause);
                tracing::warn!(
                    purpose = making.purpose,
                    ?cause,
                    "the connection to redis is of no more use"
                );
            }
            Err(error) => {
                making.opening.metrics.failed(making.purpose);
                // Said once, and then now and again: it may last for hours.
                if failures.is_multiple_of(32) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(purpose = making.purpose, error, "redis is away");
                }
                failures = failures.saturating_add(1);
            }
        }
        tokio::time::sleep(wait(failures)).await;
    }
}

async fn make(making: &Making) -> Result<(Session, Credentials), Error> {
    let credentials = making.opening.way.credentials().await;
    let credentials = credentials.map_err(|error| Error::Connect(error.into()))?;
    let session = Session::connect(&making.opening, &credentials).await;
    let session = session.map_err(Error::Connect)?;
    let mut slots = making.slots.clone();
    loop {
        let present = slots.borrow_and_update().clone();
        session.prepare(making.prepare.as_deref(), &present, None).await?;
        if !slots.has_changed().unwrap_or(false) {
            return Ok((session, credentials));
        }
    }
}

/// Looks now and then whether it is still the same primary, for one that is idle would not notice that it was replaced; and
/// whether one should be somebody else to it.
async fn until_broken(making: &Making, session: &Session, mut credentials: Credentials) -> Cause {
    loop {
        tokio::select! {
            cause = session.broken() => return cause,
            () = tokio::time::sleep(PROBE_EVERY) => {
                // One that fails leaves the connection.
                drop(session.check().await);
                renew(making, session, &mut credentials).await;
            }
        }
    }
}

/// Takes up new credentials on a connection that stands. Those that cannot be used yet are tried again at the next look:
/// the server, or one of the two files, may be a moment behind.
async fn renew(making: &Making, session: &Session, present: &mut Credentials) {
    let purpose = making.purpose;
    match making.opening.way.credentials().await {
        Ok(new) if new == *present => {}
        Ok(new) => match session.authenticate(&new).await {
            Ok(()) => {
                tracing::info!(purpose, "took up new credentials");
                *present = new;
            }
            Err(error) => tracing::warn!(purpose, %error, "redis does not take the new credentials yet"),
        },
        Err(error) => tracing::warn!(purpose, %error, "the credentials cannot be read; those of before stay in use"),
    }
}

/// Counts a connection while it is shown.
struct Open<'a>(&'a Making);

impl<'a> Open<'a> {
    fn count(making: &'a Making) -> Self {
        making.opening.metrics.connected(making.purpose);
        Self(making)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.opening.metrics.disconnected(self.0.purpose);
    }
}

/// Exponential, with full jitter, capped. A connection that was lost is made again at once, but for the jitter.
fn wait(failures: u32) -> Duration {
    let ceiling = RETRY_MIN.saturating_mul(1 << failures.min(16)).min(RETRY_MAX);
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the system's random source answers once the system has started");
    ceiling.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}
