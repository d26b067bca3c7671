//! A pod: an agent with its volume, and the Redis that is its child and dies with it.

use std::time::Duration;

use windlass_election::{Action, Durable, Event, Member, Moment, Order, Ordinal, Report, Run};

use super::api::Claim;
use super::redis::{Entry, Mode, Redis};
use super::world::{Mutation, Place, What, Words, World};

pub(super) struct Pod {
    /// What is on its volume.
    pub(super) durable: Durable,
    pub(super) files: Vec<Entry>,
    pub(super) agent: Option<Agent>,
    pub(super) redis: Option<Redis>,
    /// Until when they stand still.
    pub(super) agent_stops: Duration,
    pub(super) redis_stops: Duration,
    /// How fast its clock goes, in thousandths.
    pub(super) rate: u32,
}

pub(super) struct Agent {
    pub(super) life: u64,
    pub(super) member: Member,
    born: Duration,
    /// The Redis process that it knows of.
    knows: Option<u64>,
}

impl Pod {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            durable: Durable::default(),
            files: Vec::new(),
            agent: None,
            redis: None,
            agent_stops: Duration::ZERO,
            redis_stops: Duration::ZERO,
            rate,
        }
    }

    pub(super) fn redis_runs(&self, now: Duration) -> Option<&Redis> {
        self.redis.as_ref().filter(|_| self.redis_stops <= now)
    }

    fn clock(&self, agent: &Agent, now: Duration) -> Moment {
        Moment::at((now - agent.born) * self.rate / 1_000)
    }
}

pub(super) fn ordinal(pod: usize) -> Ordinal {
    Ordinal::new(u16::try_from(pod).expect("there are few pods"))
}

pub(super) fn place(ordinal: Ordinal) -> usize {
    usize::from(ordinal.number())
}

/// Starts an agent, and the Redis beside it.
pub(super) fn start(world: &mut World, pod: usize) {
    let now = world.queue.now();
    let (timing, life) = (world.timing, world.next_life());
    let Some(place) = world.pods.get_mut(pod) else { return };
    if place.agent.is_some() {
        return;
    }
    let durable = place.durable.clone();
    place.agent = Some(Agent {
        life,
        member: Member::start(ordinal(pod), timing, durable, Moment::default()),
        born: now,
        knows: None,
    });
    world.say(&format!("agent {pod} starts"));
    start_redis(world, pod);
    world.queue.put(Duration::ZERO, What::Agent { pod, life });
}

pub(super) fn start_redis(world: &mut World, pod: usize) {
    let run = world.next_life();
    let Some(place) = world.pods.get_mut(pod) else { return };
    if place.agent.is_some() && place.redis.is_none() {
        place.redis = Some(Redis::start(run, place.files.clone()));
        world.say(&format!("Redis {pod} starts as run {run}"));
    }
}

/// The Redis dies. Its files have most of it.
pub(super) fn kill_redis(world: &mut World, pod: usize) {
    let random = world.random.clone();
    let Some(place) = world.pods.get_mut(pod) else { return };
    if let Some(redis) = place.redis.take() {
        place.files = redis.remains(&random);
        world.say(&format!("Redis {pod} dies"));
    }
}

/// Both die.
pub(super) fn kill(world: &mut World, pod: usize) {
    kill_redis(world, pod);
    if let Some(place) = world.pods.get_mut(pod) {
        place.agent = None;
        world.say(&format!("agent {pod} dies"));
    }
}

/// What an agent sees by itself, every tenth of a second.
pub(super) fn look(world: &mut World, pod: usize, life: u64) {
    let now = world.queue.now();
    let Some(place) = world.pods.get_mut(pod) else { return };
    let redis_runs = place.redis_stops <= now;
    let Some(agent) = place.agent.as_mut().filter(|agent| agent.life == life) else {
        return;
    };
    let mut events = Vec::new();
    // A Redis that stands still answers nothing.
    if let Some(redis) = place.redis.as_ref().filter(|_| redis_runs) {
        if agent.knows != Some(redis.run) {
            agent.knows = Some(redis.run);
            events.push(Event::Started {
                run: Run::new(redis.run.to_string()),
            });
        } else {
            if redis.is_primary() {
                events.push(Event::IsPrimary);
            }
            let with = redis.is_in_step_with().map(ordinal);
            events.extend(with.map(|with| Event::InStep { with }));
        }
    }
    events.push(Event::Tick);
    for event in events {
        tell(world, pod, life, event, None);
    }
    let wait = world.random.millis(60, 140);
    world.queue.put(wait, What::Agent { pod, life });
}

/// Tells the agent of an event and does what it says, unless it dies in between.
pub(super) fn tell(world: &mut World, pod: usize, life: u64, event: Event, asker: Option<(Place, Moment)>) {
    let now = world.queue.now();
    let Some(place) = world.pods.get_mut(pod) else { return };
    let rate = place.rate;
    let Some(agent) = place.agent.as_mut().filter(|agent| agent.life == life) else {
        return;
    };
    let clock = Moment::at((now - agent.born) * rate / 1_000);
    let quiet = matches!(
        event,
        Event::Tick | Event::IsPrimary | Event::InStep { .. } | Event::Order(Order::Probe)
    );
    let heard = format!("{event:?}");
    let actions = agent.member.handle(event, clock);
    if !actions.is_empty()
        && (!quiet
            || actions
                .iter()
                .any(|action| matches!(action, Action::Persist(_) | Action::Fence)))
    {
        world.say(&format!("agent {pod}: {heard} -> {actions:?}"));
    }
    for action in actions {
        if world.is_wild() && world.random.once_in(400) {
            world.say(&format!("agent {pod} dies before {action:?}"));
            kill(world, pod);
            let wait = world.random.millis(100, 6_000);
            world.queue.put(wait, What::Revive(pod));
            return;
        }
        perform(world, pod, action, asker.as_ref());
    }
}

fn perform(world: &mut World, pod: usize, action: Action, asker: Option<&(Place, Moment)>) {
    let now = world.queue.now();
    let (me, mutation) = (Place::Pod(pod), world.setting.mutation);
    let Some(place) = world.pods.get_mut(pod) else { return };
    let Some(agent) = place.agent.as_ref() else { return };
    let (clock, is_in_step) = (place.clock(agent, now), agent.member.is_in_step());
    // Its connection is to the process that it knows.
    let knows = agent.knows;
    let redis = place.redis.as_mut().filter(|redis| Some(redis.run) == knows);
    match action {
        Action::Persist(_) if mutation == Some(Mutation::LoseDisk) && world.random.once_in(3) => {}
        Action::Persist(durable) => place.durable = durable,
        Action::Fence => {
            if let Some(redis) = redis.filter(|_| mutation != Some(Mutation::NeverFence)) {
                redis.become_(Mode::Alone);
            }
        }
        Action::Report(term) => {
            let Some(redis) = redis else { return };
            let is_in_step = is_in_step || mutation == Some(Mutation::CountRestarted);
            let position = redis.position(is_in_step);
            let report = Report {
                term,
                position,
                intact: is_in_step,
            };
            if let Some((to, ..)) = asker {
                world.send(me, *to, Words::Report(report));
            }
        }
        Action::Follow(primary) => {
            if let Some(redis) = redis {
                redis.become_(Mode::Replica {
                    of: self::place(primary),
                });
            }
        }
        Action::Promote(term, generation) => {
            let Some(redis) = redis else { return };
            redis.become_(Mode::Primary { open: false });
            let generation = match mutation {
                Some(Mutation::KeepGeneration) if !redis.log.is_empty() => redis.last().generation,
                _ => generation,
            };
            redis.log.push(Entry {
                term,
                generation,
                id: 0,
            });
        }
        Action::Open => {
            if let Some(redis) = redis {
                redis.become_(Mode::Primary { open: true });
                world.opened(pod);
            }
        }
        Action::Mark(term) => {
            if let Some(redis) = redis.filter(|redis| redis.is_primary()) {
                let generation = redis.last().generation;
                redis.log.push(Entry {
                    term,
                    generation,
                    id: 0,
                });
                world.ledger.switchovers += 1;
                world.opened(pod);
            }
        }
        Action::Renew(term) => world.send(
            me,
            Place::Api,
            Words::Claim {
                claim: Claim::Renew(term),
                asked: clock,
            },
        ),
        Action::Release(term) => world.send(
            me,
            Place::Api,
            Words::Claim {
                claim: Claim::Release(term),
                asked: clock,
            },
        ),
        Action::Transfer { held, begins, to } => world.send(
            me,
            Place::Api,
            Words::Claim {
                claim: Claim::Transfer { held, begins, to },
                asked: clock,
            },
        ),
        Action::HandOver(term, to) => {
            if let Some(redis) = redis {
                redis.handing = Some((self::place(to), now + Duration::from_secs(2)));
                world.handing.insert(pod, term);
            }
        }
        Action::Ask(member, order) => {
            let to = Place::Pod(self::place(member));
            world.send(me, to, Words::Order { order, asked: clock });
        }
        Action::Reply(reply) => {
            if let Some((to, asked)) = asker {
                world.send(me, *to, Words::Reply { reply, asked: *asked });
            }
        }
    }
}
