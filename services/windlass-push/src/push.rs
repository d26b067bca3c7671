//! The push service as one value: what its routes and connections share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus_client::registry::Registry;
use windlass_serve::admin::Readiness;
use windlass_serve::{Authenticator, Drain, Program, Shutdown};
use windlass_task::RedisStore;
use windlass_task::store::Records;

use crate::api::{Answer, ChannelInfo, NodeInfo, Question, glob};
use crate::broker::bounded::Bounded;
use crate::broker::memory::Network;
use crate::broker::redis::Redis;
use crate::broker::{self, Broker, NodeId, Receiver, Sight};
use crate::channel::ChannelKey;
use crate::clients::Clients;
use crate::config::{self, Config, Settings};
use crate::connections::Connections;
use crate::control::Control;
use crate::departures::Departures;
use crate::emulation::Sessions;
use crate::figures::{BUSIEST, Figures};
use crate::hub::Hub;
use crate::interest::{Bringer, Interest};
use crate::limits::{Closed, Gate, Ticket};
use crate::metrics::Metrics;
use crate::position::StreamPosition;
use crate::publication::Publication;
use crate::session::Failure;
use crate::socket::Message;
use crate::view::View;
use crate::wheel::Wheel;

/// How many channels or connections one node lists in an answer: about a megabyte.
const LISTED_MAX: usize = 10_000;

/// How often connections are looked at for their age: their least greatest age is a minute.
const AGE_EVERY: Duration = Duration::from_secs(1);

/// How often what is over its time is forgotten.
const MAINTENANCE: Duration = Duration::from_secs(10);

/// How often is looked whether deliveries come to this node: sooner than a load balancer asks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The push service of one process.
#[derive(Debug)]
pub struct Push {
    settings: Arc<Settings>,
    authenticator: Authenticator,
    view: Option<View>,
    hub: Arc<Hub>,
    interest: Arc<Interest>,
    broker: Box<dyn Broker>,
    connections: Arc<Connections>,
    wheel: Arc<Wheel>,
    sessions: Arc<Sessions>,
    clients: Arc<Clients>,
    departures: Departures,
    gate: Arc<Gate>,
    metrics: Metrics,
    drain: Drain,
    sight: Arc<Sight>,
    /// Where a blind node says so, if anybody asks.
    readiness: Option<Readiness>,
}

/// What the process gives to the service that is in it.
#[derive(Default)]
struct Around<'a> {
    /// How it can be emptied.
    drain: Drain,
    readiness: Option<Readiness>,
    /// The Redis that processes share.
    shared: Option<&'a RedisStore>,
}

/// Where this node receives what its broker brings.
#[derive(Debug)]
struct Inbox {
    hub: Arc<Hub>,
    sessions: Arc<Sessions>,
    clients: Arc<Clients>,
    connections: Arc<Connections>,
    metrics: Metrics,
    sight: Arc<Sight>,
    node: NodeId,
    started: Instant,
}

impl Receiver for Inbox {
    fn publication(&self, channel: &ChannelKey, publication: &Publication) {
        self.metrics.fanned_out(self.hub.publish(channel, publication));
    }

    fn top(&self, channel: &ChannelKey, top: StreamPosition) {
        self.hub.check(channel, top);
    }

    fn buried(&self, _: NodeId, connections: usize) {
        self.metrics.buried(connections);
    }

    fn answer(&self, question: Bytes) -> Bytes {
        let answer =
            serde_json::from_slice(&question).map_or_else(|_| Answer::default(), |question| self.know(&question));
        let text = serde_json::to_vec(&answer).expect("an answer has only texts for keys");
        text.into()
    }

    fn control(&self, message: Bytes) {
        match Control::decode(&message) {
            Some(Control::Commands {
                session,
                binary,
                commands,
            }) => self.commands(&session, binary, commands),
            Some(Control::User(control)) => self.clients.steer(&control),
            None => tracing::debug!("a message of another node was not understood"),
        }
    }
}

impl Inbox {
    /// What this node knows; of each kind at most as much as one answer may hold.
    fn know(&self, question: &Question) -> Answer {
        match question {
            Question::Channels { tenant, pattern } => {
                let wanted = |name: &str| glob::matches(pattern, name);
                let census = self.hub.census(tenant, wanted, LISTED_MAX).into_iter();
                Answer {
                    channels: census
                        .map(|(name, num_clients)| (name, ChannelInfo { num_clients }))
                        .collect(),
                    ..Answer::default()
                }
            }
            Question::Connections { tenant, user } => {
                let desks = self.clients.of(tenant, (!user.is_empty()).then_some(user));
                let described = desks.iter().take(LISTED_MAX);
                Answer {
                    connections: described
                        .map(|desk| (desk.client().to_string(), desk.describe()))
                        .collect(),
                    ..Answer::default()
                }
            }
            Question::Figures => Answer {
                figures: Some(Box::new(self.figures())),
                ..Answer::default()
            },
            Question::Info { tenant } => {
                let desks = self.clients.of(tenant, None);
                Answer {
                    node: Some(NodeInfo {
                        uid: self.node.to_string(),
                        name: self.node.to_string(),
                        version: NodeInfo::version(),
                        num_clients: desks.len(),
                        num_users: self.clients.users(tenant),
                        num_subs: desks.iter().map(|desk| desk.subscriptions()).sum(),
                        num_channels: self.hub.census(tenant, |_| true, usize::MAX).len(),
                        uptime: self.started.elapsed().as_secs(),
                    }),
                    ..Answer::default()
                }
            }
        }
    }

    /// All of what this node is doing.
    fn figures(&self) -> Figures {
        let mut figures = Figures {
            node: self.node.to_string(),
            version: NodeInfo::version(),
            uptime_seconds: self.started.elapsed().as_secs(),
            users: self.clients.all_users(),
            channels: self.hub.channels(),
            busiest: self.hub.busiest(BUSIEST),
            probe_age_seconds: self.sight.age().map(|age| age.as_secs_f64()),
            queue_bytes: self.connections.queue_bytes(),
            longest_queue_bytes: self.connections.longest_queue_bytes(),
            ..Figures::default()
        };
        self.metrics.describe(&mut figures);
        figures
    }

    /// Commands that another node took for a session of this one.
    fn commands(&self, session: &str, binary: bool, commands: Vec<u8>) {
        let Ok(session) = session.parse() else { return };
        let commands = if binary {
            Message::Binary(commands)
        } else {
            Message::Text(String::from_utf8_lossy(&commands).into_owned())
        };
        self.sessions.deliver_now(session, commands);
    }
}

impl Push {
    /// A service whose channels live in this process. Without a `view` it knows no tasks.
    #[must_use]
    pub fn new(settings: Settings, authenticator: Authenticator, view: Option<View>) -> Arc<Self> {
        Self::within(Around::default(), settings, authenticator, view)
    }

    /// The same, which shares its channels with all others on the Redis of `store`.
    #[must_use]
    pub fn sharing(
        store: &RedisStore,
        settings: Settings,
        authenticator: Authenticator,
        view: Option<View>,
    ) -> Arc<Self> {
        let around = Around {
            shared: Some(store),
            ..Around::default()
        };
        Self::within(around, settings, authenticator, view)
    }

    fn within(around: Around<'_>, settings: Settings, authenticator: Authenticator, view: Option<View>) -> Arc<Self> {
        let interest = Arc::new(Interest::default());
        let hub = Arc::new(Hub::new(Arc::clone(&interest) as Arc<_>));
        let metrics = Metrics::default();
        let sessions = Arc::new(Sessions::default());
        let clients = Arc::new(Clients::default());
        let connections = Arc::new(Connections::aging(settings.max_age));
        let (node, sight) = (NodeId::random(), Arc::new(Sight::default()));
        let inbox = Arc::new(Inbox {
            hub: Arc::clone(&hub),
            sessions: Arc::clone(&sessions),
            clients: Arc::clone(&clients),
            connections: Arc::clone(&connections),
            metrics: metrics.clone(),
            sight: Arc::clone(&sight),
            node,
            started: Instant::now(),
        });
        let broker: Box<dyn Broker> = match around.shared {
            None => Box::new(Bounded::new(
                Network::new(settings.memory, Arc::new(Instant::now)).join(node, inbox),
            )),
            Some(store) => {
                let broker = Redis::join(store, settings.redis, node, inbox, Arc::clone(&sight));
                Box::new(Bounded::new(broker))
            }
        };
        Arc::new(Self {
            settings: Arc::new(settings),
            authenticator,
            view,
            hub,
            interest,
            broker,
            connections,
            wheel: Wheel::new(),
            sessions,
            clients,
            departures: Departures::default(),
            gate: Arc::default(),
            metrics,
            drain: around.drain,
            sight,
            readiness: around.readiness,
        })
    }

    /// The service of a program: its authenticator decides whether channels are open, its registry shows the metrics. It
    /// sees the tasks of `records`, and where processes share those they share the channels too.
    ///
    /// # Errors
    /// Which field of the configuration makes no sense, and why.
    pub fn open(config: &Config, program: &mut Program, records: Option<&Records>) -> Result<Arc<Self>, config::Error> {
        let authenticator = program.authenticator();
        let settings = Settings::validate(config, !authenticator.demands_token())?;
        if settings.drain_window + settings.drain_grace >= program.drain_deadline() {
            let reason = "with the grace it must be shorter than listener.drain.deadline, which cuts what is left";
            return Err(config::Error::new("drain.window", reason));
        }
        let around = Around {
            drain: program.drain(),
            readiness: Some(program.readiness()),
            shared: records.and_then(|records| records.shared.as_ref()),
        };
        let push = Self::within(around, settings, authenticator, records.map(View::of));
        push.register(program.registry());
        Ok(push)
    }

    /// Shows the service's metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry, &self.connections, &self.sight);
        self.metrics.register_away(registry, self.departures.count());
    }

    /// Does what nobody asks for: brings tasks' values to their channels, lets connections' time pass, forgets what is over its
    /// time, and once
    /// `shutdown` drains asks every connection to leave. Goes on until it is dropped: who is leaving misses nothing
    /// until it has left.
    pub async fn run(&self, shutdown: Shutdown) {
        tokio::join!(
            self.bring_values(),
            self.interest.tidy(&self.hub, self.bringer()),
            self.maintain(),
            self.departures.keep(&*self.broker),
            self.watch_sight(),
            self.wheel.turn(),
            self.age(),
            self.drain(&shutdown),
        );
    }

    async fn bring_values(&self) {
        let Some(view) = &self.view else {
            return std::future::pending().await;
        };
        let mut listener = view.feed.listen();
        loop {
            let update = listener.next().await;
            let channel = ChannelKey::of_task(&update.key);
            self.metrics
                .fanned_out(self.hub.publish(&channel, &Publication::Task(update)));
        }
    }

    async fn maintain(&self) {
        let mut ticks = tokio::time::interval(MAINTENANCE);
        loop {
            ticks.tick().await;
            self.broker.maintain().await;
        }
    }

    /// Says that this node is of no use while deliveries come to others and not to it.
    async fn watch_sight(&self) {
        let Some(readiness) = &self.readiness else { return };
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut was_blind = false;
        loop {
            looks.tick().await;
            let is_blind = self.sight.is_blind();
            if is_blind && !was_blind {
                readiness.set_fault(
                    "deliveries",
                    "what is published comes to other nodes and not to this one",
                );
            } else if was_blind && !is_blind {
                readiness.clear_fault("deliveries");
            }
            was_blind = is_blind;
        }
    }

    async fn drain(&self, shutdown: &Shutdown) {
        tokio::select! {
            () = shutdown.draining() => self.ask_to_leave(None).await,
            // It does not end.
            () = self.drain_as_ordered() => {}
        }
    }

    /// Asks everybody to leave when that is ordered, at the pace that is; takes it back when that is ordered.
    async fn drain_as_ordered(&self) {
        let mut orders = self.drain.orders();
        loop {
            let order = *orders.borrow_and_update();
            let obey = async {
                match order {
                    Some(order) => {
                        order.closing().await;
                        self.ask_to_leave(order.window).await;
                    }
                    None => self.connections.stay(),
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = obey => {}
                changed = orders.changed() => if changed.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    async fn ask_to_leave(&self, window: Option<Duration>) {
        let connections = self.connections.count();
        tracing::info!(connections, "asking push connections to leave");
        let settings = &self.settings;
        let window = window.unwrap_or(settings.drain_window);
        self.connections
            .drain(window, settings.drain_grace, settings.close_deadline)
            .await;
    }

    /// Asks connections to leave that are old enough, so that those of a fleet that has grown come to be shared evenly.
    async fn age(&self) {
        if !self.connections.are_aging() {
            return;
        }
        let mut ticks = tokio::time::interval(AGE_EVERY);
        loop {
            ticks.tick().await;
            self.connections.ask_aged(self.settings.drain_grace);
        }
    }

    /// How many clients are connected by any transport.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.connections.count()
    }

    /// The bytes that wait for all of them.
    #[must_use]
    pub fn queue_bytes(&self) -> usize {
        self.connections.queue_bytes()
    }

    /// What every node answers to a question; one that does not answer in time, or does not understand, says nothing.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Vec<Answer>, broker::Error> {
        let question = serde_json::to_vec(question).expect("a question has only texts for keys");
        let answers = self.broker.survey(question.into()).await?;
        let understood = |answer: &Bytes| serde_json::from_slice(answer).ok();
        Ok(answers.iter().filter_map(understood).collect())
    }

    /// What every node is doing.
    pub(crate) async fn figures(&self) -> Result<Vec<Figures>, broker::Error> {
        let answers = self.ask(&Question::Figures).await?;
        let figures = answers.into_iter().filter_map(|answer| answer.figures);
        Ok(figures.map(|figures| *figures).collect())
    }

    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Lets another connection in, for as long as its ticket is kept.
    pub(crate) fn admit(&self) -> Result<Ticket, Closed> {
        let admitted = self.gate.enter(&self.settings.limits, Instant::now());
        if let Err(closed) = admitted {
            self.metrics.turned_away(closed);
        }
        admitted
    }

    /// What is seen of tasks.
    pub(crate) fn view(&self) -> Result<&View, Failure> {
        self.view.as_ref().ok_or(Failure::NoTaskView)
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(crate) fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Who brings channels to this node.
    pub(crate) fn bringer(&self) -> Bringer<'_> {
        Bringer::new(&*self.broker, self.view.as_ref())
    }

    pub(crate) fn broker(&self) -> &dyn Broker {
        &*self.broker
    }

    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// The sessions whose connections go one way only.
    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Whose client may be back soon.
    pub(crate) fn departures(&self) -> &Departures {
        &self.departures
    }

    /// Who is connected here.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Which node of the deployment this process is.
    pub(crate) fn node(&self) -> NodeId {
        self.broker.node()
    }

    pub(crate) fn wheel(&self) -> &Arc<Wheel> {
        &self.wheel
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
