//! A pod: the real service on the models' connections, with a gate between.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::time::sleep;
use tower::ServiceExt as _;
use windlass_serve::config::Time;
use windlass_serve::{Caller, Shutdown, Tracker};
use windlass_task::catalogue::Listed;
use windlass_task::job::LocalJobs;
use windlass_task::outbox::{Held, Position};
use windlass_task::peers::{Answer, Host, Peers};
use windlass_task::quota::LocalQuotas;
use windlass_task::store::Error;
use windlass_task::{Catalogue, Event, Feed, HolderId, Outbox, Owner, Principal, TaskId, TaskKey, Tenant};
use windlass_upload::garbage::collect_once;
use windlass_upload::{Config, Parts, Upload};

use crate::bucket::{Access, Bucket};
use crate::gate::{Gate, Life};
use crate::redis::{Connection, Redis};

/// How old garbage is: older than any creation that somebody is about to record, with a put that arrives late, a hold, and
/// a pod that stands still.
const SAFE_AGE: Duration = Duration::from_secs(60);
const COLLECT_EVERY: Duration = Duration::from_secs(3);

/// One life of a process.
#[derive(Clone)]
pub(crate) struct Pod {
    pub(crate) gate: Gate,
    router: Router,
}

impl Pod {
    pub(crate) fn start(redis: &Arc<Redis>, bucket: &Arc<Bucket>) -> Self {
        let gate = Gate::open();
        let config = Config {
            checkpoint: Some(Time(Duration::from_millis(200))),
            lifetime: Time(SAFE_AGE),
            // By the world's clock instead.
            garbage: None,
            ..Config::default()
        };
        let connection = || Connection {
            redis: Arc::clone(redis),
            gate: gate.clone(),
        };
        let parts = Parts {
            store: Arc::new(connection()),
            rebuild: Arc::new(connection()),
            inventory: Arc::new(connection()),
            storage: Arc::new(Access {
                bucket: Arc::clone(bucket),
                gate: gate.clone(),
            }),
            // Each pod thinks that the turn is its own: what is done twice at once must do no harm.
            jobs: Arc::new(LocalJobs::default()),
            outbox: Arc::new(Nobody),
            announce: None,
            catalogue: Arc::new(Nobody),
            quotas: Arc::new(LocalQuotas::default()),
            peers: Arc::new(Deaf),
            feed: Feed::new(),
            shutdown: Shutdown::new(),
            tracker: Tracker::new(),
            demands_token: false,
        };
        let upload = Upload::new(&config, parts, &mut Registry::default()).expect("the defaults are valid");
        let (upkeep, died) = (Arc::clone(&upload).run(), gate.clone());
        tokio::task::spawn_local(async move {
            tokio::select! {
                biased;
                () = died.death() => {}
                () = upkeep => {}
            }
        });
        tokio::task::spawn_local(collect(Arc::clone(&upload), Arc::clone(bucket), gate.clone()));
        Self {
            gate,
            router: windlass_upload::router(upload),
        }
    }

    /// The answer to a request; none from a pod that dies before it.
    pub(crate) async fn ask(&self, mut request: Request<Body>) -> Option<Response> {
        if self.gate.is_dead() {
            return None;
        }
        request.extensions_mut().insert(Caller::Known(Principal::local()));
        let answer = async {
            self.gate.pass().await;
            let answer = self.router.clone().oneshot(request).await;
            self.gate.pass().await;
            answer
        };
        tokio::select! {
            biased;
            () = self.gate.death() => None,
            answer = answer => answer.ok(),
        }
    }

    pub(crate) fn set(&self, life: Life) {
        self.gate.set(life);
    }
}

/// Collects garbage now and then until the pod dies.
async fn collect(upload: Arc<Upload>, bucket: Arc<Bucket>, gate: Gate) {
    let rounds = async {
        loop {
            sleep(COLLECT_EVERY).await;
            let clock = Arc::clone(&bucket);
            // A round that fails is begun again.
            if let Ok(round) = collect_once(&upload, SAFE_AGE, move || clock.as_collectors_see_it()).await
                && round.removed > 0
            {
                bucket.say_collected(round.removed);
            }
        }
    };
    tokio::select! {
        biased;
        () = gate.death() => {}
        () = rounds => {}
    }
}

/// No other process ever hears that it is asked to let go: every takeover between pods is by the token.
struct Deaf;

#[async_trait]
impl Peers for Deaf {
    fn serve(&self, _: HolderId, _: Arc<dyn Host>) {}

    async fn ask(&self, _: HolderId, _: &TaskKey) -> Result<Answer, Error> {
        Ok(Answer::Gone)
    }

    fn may_write(&self) -> bool {
        true
    }
}

/// Nobody listens to events here.
struct Nobody;

#[async_trait]
impl Outbox for Nobody {
    async fn join(&self, _: &'static str) -> Result<Position, Error> {
        Ok(Position(0))
    }
    async fn leave(&self, _: &'static str) -> Result<(), Error> {
        Ok(())
    }
    async fn read(&self, _: &'static str, _: Position, _: usize) -> Result<Vec<(Position, Arc<Event>)>, Error> {
        Ok(Vec::new())
    }
    async fn acknowledge(&self, _: &'static str, _: Position) -> Result<(), Error> {
        Ok(())
    }
    async fn hold_back(&self, _: &'static str, _: Position) -> Result<(), Error> {
        Ok(())
    }
    async fn held(&self, _: &'static str, _: usize) -> Result<Vec<Held>, Error> {
        Ok(Vec::new())
    }
    async fn let_go(&self, _: &'static str, _: Position, _: bool) -> Result<(), Error> {
        Ok(())
    }
    fn bell(&self) -> Arc<Notify> {
        Arc::default()
    }
}

#[async_trait]
impl Catalogue for Nobody {
    async fn apply(&self, _: &[Arc<Event>]) -> Result<(), Error> {
        Ok(())
    }
    async fn list(&self, _: &Tenant, _: &Owner, _: Option<&TaskId>, _: usize) -> Result<Vec<Listed>, Error> {
        Ok(Vec::new())
    }
}
