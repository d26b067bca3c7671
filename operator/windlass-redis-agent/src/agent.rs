//! The driver: one task that hears orders and answers, looks at Redis ten times a second, tells the [`Member`] what happened
//! and does what it says, one after the other. What must not hold it up runs beside it and comes back as a message.
//!
//! Each turn begins with the time: whoever wakes after its right to take writes has ended fences before anything else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_election::{Event, Member, Moment, Order, Ordinal, Position, Role, Term, Timing};
use windlass_redis_wire::{Answer, Sight};

use crate::clock::Clock;
use crate::guard::Guard;
use crate::lease::LeaseStore;
use crate::metrics::Metrics;
use crate::peers::{self, Peers};
use crate::redis::{Door, Info, Redis};
use crate::server::{self, Server};
use crate::settings::Settings;
use crate::volume::{self, Volume};

mod beside;
mod child;
mod configure;
mod follow;
mod perform;

use follow::Aim;

/// How many messages wait. More come only while the agent stands still: an order is refused then, and asked again.
const INBOX: usize = 64;

/// An agent that cannot go on. Its container starts again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it promised is not known, or cannot be kept.
    #[error("cannot use the volume")]
    Keep(#[source] volume::Error),
    /// Redis can be neither started nor ended.
    #[error("cannot run redis")]
    Run(#[source] server::Error),
    /// Nobody would end Redis in time.
    #[error("cannot start the guard")]
    Guard(#[source] std::io::Error),
    /// Other members cannot be asked.
    #[error("cannot speak to other members")]
    Speak(#[source] peers::Error),
}

/// How often is looked, and how long is waited.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two looks at Redis.
    pub look: Duration,
    /// The same while it is to become the primary in a handover: a part of the time in which nobody takes writes.
    pub look_closely: Duration,
    /// For what Redis is told. A fence and the process's end must be over between a right's end and the lease's.
    pub command: Duration,
    /// For a Redis that answers nothing, before it is killed.
    pub silence: Duration,
    /// For what is asked of the lease and of other members.
    pub ask: Duration,
    /// For a handover, while nobody takes writes.
    pub handover: Duration,
    /// For Redis to write its files and end.
    pub stop: Duration,
}

impl Pace {
    /// That of an agreement.
    #[must_use]
    pub fn of(timing: &Timing) -> Self {
        Self {
            look: Duration::from_millis(100),
            look_closely: Duration::from_millis(20),
            command: (timing.lease - timing.tenure) / 4,
            silence: timing.tenure / 2,
            ask: timing.tenure / 3,
            handover: timing.deadline / 5,
            // Below the 30 s that Kubernetes gives a pod to end.
            stop: Duration::from_secs(20),
        }
    }
}

/// What an agent is made of.
pub struct Parts {
    /// What it was told.
    pub settings: Arc<Settings>,
    /// The agreement's lengths, the same for all.
    pub timing: Timing,
    /// Its own.
    pub pace: Pace,
    /// The lease.
    pub lease: Arc<dyn LeaseStore>,
    /// What it counts.
    pub metrics: Metrics,
    /// A folder that is its own, for the socket of Redis.
    pub folder: PathBuf,
}

/// How the agent looks from outside.
#[derive(Debug, Clone)]
pub struct View {
    /// What it says of itself.
    pub sight: Sight,
    /// The process of its Redis, while it answers.
    pub process: Option<u32>,
    /// When it came round last.
    pub at: Instant,
}

/// The agent, for who asks it something. Clones are the same.
#[derive(Debug, Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    view: watch::Receiver<View>,
    settings: watch::Receiver<Arc<Settings>>,
}

impl Handle {
    /// Gives it an order. No answer: it cannot tell now, and may do it all the same.
    pub async fn order(&self, order: Order) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        self.inbox.try_send(Message::Order { order, answer }).ok()?;
        answered.await.ok()
    }

    /// Has it go by other settings. Its ports stay, and so does the folder of data.
    pub async fn configure(&self, settings: Arc<Settings>) {
        // One that has ended goes by none.
        let _ = self.inbox.send(Message::Configure(settings)).await;
    }

    /// What it goes by.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }

    /// How it looked last.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }
}

/// What comes in.
#[derive(Debug)]
enum Message {
    Order {
        order: Order,
        answer: oneshot::Sender<Answer>,
    },
    /// The end of a renewal: whether the lease is its own, if that is known.
    Renewed {
        term: Term,
        asked: Moment,
        is_own: Option<bool>,
    },
    Event(Event),
    HandedOver {
        term: Term,
        to: Ordinal,
        done: bool,
    },
    Scouted {
        primary: Ordinal,
        was_linked: bool,
        sight: Option<Sight>,
    },
    Configure(Arc<Settings>),
}

/// The agent.
pub struct Agent {
    settings: Arc<Settings>,
    /// Settings that are to be taken up.
    next: Option<Arc<Settings>>,
    /// For others: what is taken up.
    shown: watch::Sender<Arc<Settings>>,
    timing: Timing,
    pace: Pace,
    lease: Arc<dyn LeaseStore>,
    metrics: Metrics,
    folder: PathBuf,
    clock: Clock,
    guard: Guard,
    peers: Peers,
    volume: Volume,
    member: Member,
    inbox: mpsc::Receiver<Message>,
    post: mpsc::Sender<Message>,
    view: watch::Sender<View>,
    child: child::State,
    redis: Option<Redis>,
    /// How Redis was at the last look; nothing of a process that is gone.
    info: Option<Info>,
    aim: Aim,
    beside: beside::State,
    beat: Option<perform::Beat>,
}

impl Agent {
    /// An agent with what is on its volume, that does nothing yet.
    ///
    /// # Errors
    /// What it promised is not known, or something that it needs is not to be had.
    pub fn new(parts: Parts) -> Result<(Self, Handle), Error> {
        let volume = Volume::at(&parts.settings.data);
        let durable = volume.read().map_err(Error::Keep)?;
        let clock = Clock::start();
        let member = Member::start(parts.settings.me, parts.timing, durable, clock.now());
        let peers = Peers::new(Arc::clone(&parts.settings), parts.pace.ask).map_err(Error::Speak)?;
        let (post, inbox) = mpsc::channel(INBOX);
        let (view, viewed) = watch::channel(View {
            sight: sight(&parts.settings, &member, clock.now()),
            process: None,
            at: Instant::now(),
        });
        let (shown, settings) = watch::channel(Arc::clone(&parts.settings));
        let handle = Handle {
            inbox: post.clone(),
            view: viewed,
            settings,
        };
        let agent = Self {
            guard: Guard::start(clock).map_err(Error::Guard)?,
            settings: parts.settings,
            next: None,
            shown,
            timing: parts.timing,
            pace: parts.pace,
            lease: parts.lease,
            metrics: parts.metrics,
            folder: parts.folder,
            clock,
            peers,
            volume,
            member,
            inbox,
            post,
            view,
            child: child::State::default(),
            redis: None,
            info: None,
            aim: Aim::Alone,
            beside: beside::State::default(),
            beat: None,
        };
        Ok((agent, handle))
    }

    /// Runs until it is told to stop, and then takes Redis down in order.
    ///
    /// # Errors
    /// It cannot go on. Redis is gone then.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        // The process before this one is gone, whatever it was.
        self.tell(Event::Started { run: child::draw() }, None).await?;
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.leave().await,
                () = tokio::time::sleep_until(next) => {
                    self.look().await?;
                    next = Instant::now() + match self.member.durable().role {
                        Role::Succeeding { .. } => self.pace.look_closely,
                        Role::Detached | Role::Following { .. } | Role::Primary | Role::Yielding { .. } | Role::Deposed => {
                            self.pace.look
                        }
                    };
                }
                () = self.child.ended() => self.down_and_tell("itself").await?,
                Some(message) = self.inbox.recv() => self.hear(message).await?,
            }
            self.publish();
        }
    }

    /// Looks at the clock, then at Redis.
    async fn look(&mut self) -> Result<(), Error> {
        self.tell(Event::Tick, None).await?;
        self.configure().await;
        if !self.child.runs() {
            return self.raise().await;
        }
        let Some(info) = self.observe().await else {
            return self.bear_silence().await;
        };
        let (is_loading, is_primary) = (info.is_loading, info.is_primary);
        self.info = Some(info);
        if is_loading {
            return Ok(());
        }
        self.child.is_ready();
        if is_primary {
            self.tell(Event::IsPrimary, None).await?;
            self.beat().await;
            return Ok(());
        }
        self.follow_up().await
    }

    async fn hear(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Order { order, answer } => {
                let waits = match order {
                    Order::Detach { .. } | Order::Promote { .. } | Order::Succeed { .. } | Order::HandOver { .. } => {
                        true
                    }
                    Order::Probe | Order::Follow { .. } | Order::Promise { .. } => false,
                };
                // What is done by Redis is not begun while it loads its files: dropped, the answer is "not known yet".
                if waits && !self.child.serves() {
                    self.metrics.ordered("early");
                    return Ok(());
                }
                self.tell(Event::Order(order), Some(answer)).await
            }
            Message::Renewed { term, asked, is_own } => {
                self.beside.renewed(is_own.is_some(), self.timing.renewal / 4);
                match is_own {
                    Some(true) => self.tell(Event::Renewed { term, asked }, None).await,
                    Some(false) => self.tell(Event::Lost { term }, None).await,
                    None => Ok(()),
                }
            }
            Message::Event(event) => self.tell(event, None).await,
            Message::HandedOver { term, to, done } => {
                if done && self.member.durable().role == (Role::Yielding { to }) {
                    self.aim = Aim::told(to);
                }
                self.tell(Event::HandedOver { term, done }, None).await
            }
            Message::Scouted {
                primary,
                was_linked,
                sight,
            } => {
                self.scouted(primary, was_linked, sight).await;
                Ok(())
            }
            Message::Configure(settings) => {
                self.next = Some(settings);
                Ok(())
            }
        }
    }

    /// Shows how it is.
    fn publish(&self) {
        let sight = self.sight();
        self.metrics.seen(&sight, self.child.silence());
        self.view.send_replace(View {
            sight,
            process: self.info.as_ref().map(|info| info.process),
            at: Instant::now(),
        });
    }

    fn sight(&self) -> Sight {
        let info = self.info.as_ref();
        Sight {
            position: info.and_then(|info| self.position(info)),
            link: info.and_then(Info::link),
            version: info.map(|info| info.version.clone()),
            run: info.map(|info| info.run.clone()),
            used_bytes: info.map(|info| info.used_bytes),
            trouble: self.trouble(),
            ..sight(&self.settings, &self.member, self.clock.now())
        }
    }

    /// How far the data goes: in the stream of writes, if this process has seen that without a gap, and else by what primaries
    /// counted in the data itself. Nothing while that cannot be read.
    fn position(&self, info: &Info) -> Option<Position> {
        let mark = info.mark?;
        let offset = match self.member.is_in_step() {
            true => info.offset,
            false => mark.beat,
        };
        Some(Position {
            term: mark.term,
            offset,
        })
    }

    fn trouble(&self) -> Option<String> {
        self.child.trouble().or_else(|| self.aim.trouble())
    }

    /// Where Redis is spoken to.
    fn door(&self) -> Option<Door> {
        let (socket, password) = self.child.server()?.door();
        Some(Door {
            socket,
            password,
            within: self.pace.command,
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.guard.end();
    }
}

/// What is known without Redis.
fn sight(settings: &Settings, member: &Member, now: Moment) -> Sight {
    let durable = member.durable();
    Sight {
        member: settings.me,
        term: durable.term,
        role: durable.role,
        is_open: member.is_open(),
        is_in_step: member.is_in_step(),
        is_promised: member.is_promised(now),
        position: None,
        link: None,
        version: None,
        run: None,
        used_bytes: None,
        trouble: None,
    }
}
