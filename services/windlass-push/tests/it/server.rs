//! A running push service with its store, and the tasks in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fixture_redis::Redis;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::json;
use tokio::net::TcpListener;
use windlass_push::{Config, Push, Settings, View};
use windlass_serve::auth::Authenticator;
use windlass_serve::metrics::Metrics;
use windlass_serve::{Options, Shutdown, Tracker, serve};
use windlass_task::change::{Change, Verdict};
use windlass_task::record::Creation;
use windlass_task::{
    Commit, EmbeddedStore, Generation, HolderId, Metadata, Origin, Outcome, Owner, Principal, Protocol, RedisStore,
    Segment, SegmentKind, TaskId, TaskKey, TaskStore, Tenant, Token, WriterEpoch, store,
};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// How long a test waits for anything before it fails: only what is stuck takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) push: Arc<Push>,
    pub(crate) shutdown: Shutdown,
    pub(crate) tracker: Tracker,
    store: EmbeddedStore,
    _directory: tempfile::TempDir,
    _redis: Option<Redis>,
}

/// Where channels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channels {
    InMemory,
    InRedis,
}

impl Channels {
    pub(crate) const EVERYWHERE: [Self; 2] = [Self::InMemory, Self::InRedis];
}

/// What a test changes of the service.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) auth: bool,
    pub(crate) view: bool,
    pub(crate) channels: Channels,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn on(channels: Channels) -> Self {
        Self::with(|plan| plan.channels = channels).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Plan)) -> Self {
        let settings = Settings::validate(&Config::default(), true).unwrap();
        let mut plan = Plan {
            settings,
            auth: false,
            view: true,
            channels: Channels::InMemory,
        };
        change(&mut plan);
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path(), store::Options::default()).unwrap();
        let authenticator = if plan.auth {
            Authenticator::hs256(SECRET)
        } else {
            Authenticator::Loopback
        };
        let view = plan.view.then(|| View::of(&store.clone().into()));
        let redis = match plan.channels {
            Channels::InMemory => None,
            Channels::InRedis => Some(Redis::start().await),
        };
        let push = match &redis {
            None => Push::new(plan.settings, authenticator.clone(), view),
            Some(redis) => {
                let shared = RedisStore::open(&windlass_redis::Settings::of(redis.url())).unwrap();
                Push::sharing(&shared, plan.settings, authenticator.clone(), view)
            }
        };
        let router = authenticator.layer(windlass_push::router(Arc::clone(&push)), Metrics::default());
        let router = router.merge(windlass_push::open_router(Arc::clone(&push)));
        let router = router.merge(windlass_push::admin_router(Arc::clone(&push)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, tracker) = (Shutdown::new(), Tracker::new());
        let running = Arc::clone(&push);
        let signal = shutdown.clone();
        tokio::spawn(async move { running.run(signal).await });
        tokio::spawn(serve(
            listener,
            router,
            Options::default(),
            shutdown.clone(),
            tracker.clone(),
        ));
        Self {
            address,
            push,
            shutdown,
            tracker,
            store,
            _directory: directory,
            _redis: redis,
        }
    }

    /// A task of the loopback owner with 100 bytes to come.
    pub(crate) async fn task(&self) -> Task {
        self.task_of(&Principal::local()).await
    }

    pub(crate) async fn task_of(&self, principal: &Principal) -> Task {
        let key = TaskKey {
            tenant: principal.tenant.clone(),
            id: TaskId::generate(&Origin::local()),
        };
        let generation = self.store.generation(&key).await.unwrap();
        let token = Token {
            generation,
            epoch: WriterEpoch(1),
            holder: HolderId::from_u128(1),
        };
        let creation = Creation {
            key: key.clone(),
            owner: principal.owner.clone(),
            protocol: Protocol::Tus,
            length: Some(100),
            metadata: Metadata::default(),
            token,
            write_key: None,
            lifetime: Duration::from_secs(3_600),
            aliases: Vec::new(),
            concat: None,
            digest: None,
        };
        let task = Task {
            store: self.store.clone(),
            key,
            token,
        };
        task.commit(Commit::create(creation)).await;
        task
    }
}

/// A task as its writer has it.
pub(crate) struct Task {
    store: EmbeddedStore,
    pub(crate) key: TaskKey,
    token: Token,
}

impl Task {
    pub(crate) fn id(&self) -> String {
        self.key.id.to_string()
    }

    /// Bytes `0..received` are durable.
    pub(crate) async fn advance(&self, received: u64) {
        let segment = Segment {
            store: "disk".into(),
            key: "k".into(),
            start: 0,
            end: received,
            kind: SegmentKind::Part,
            parts: None,
        };
        self.present(Change::Advance {
            received,
            segments: vec![segment],
        })
        .await;
    }

    pub(crate) async fn complete(&self) {
        self.advance(100).await;
        self.present(Change::Finish(Verdict::Accept)).await;
    }

    pub(crate) async fn fail(&self) {
        self.present(Change::Fail { reason: "no".into() }).await;
    }

    pub(crate) async fn terminate(&self) {
        self.present(Change::Terminate).await;
    }

    pub(crate) fn generation(&self) -> Generation {
        self.token.generation
    }

    async fn present(&self, change: Change) {
        self.commit(Commit::present(self.key.clone(), vec![change])).await;
    }

    async fn commit(&self, commit: Commit) {
        let outcome = self.store.commit(commit).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
}

/// Somebody of a tenant.
pub(crate) fn principal(tenant: &str, owner: &str) -> Principal {
    let (tenant, owner): (Tenant, Owner) = (tenant.parse().unwrap(), owner.parse().unwrap());
    Principal {
        tenant,
        owner,
        ..Principal::local()
    }
}

/// A token of somebody, good for so many seconds from now; all rights.
pub(crate) fn token(tenant: &str, owner: &str, seconds: i64) -> String {
    let expires = get_current_timestamp().saturating_add_signed(seconds);
    let claims = json!({"sub": owner, "tenant": tenant, "exp": expires, "rights": ["upload", "watch", "publish"]});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap()
}
