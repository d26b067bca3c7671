//! One run: harm is done for a while, then it is calm, and there must be a primary that everybody follows.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_election::{Event, Lease, Moment, Order, Phase, Reply, Report, Standing, Term, Timing};

use super::agent::{self, Pod, ordinal, place};
use super::api::{Api, Claim, Version, Versioned};
use super::ledger::Ledger;
use super::operator::{self, Operator};
use super::queue::Queue;
use super::redis::{Entry, Link, Mode};
use crate::random::Random;
use crate::world::Outcome;

/// For how long harm is done: some ten elections.
const HARM: Duration = Duration::from_secs(240);
/// Within which there must be a primary that everybody follows: some leases.
const PEACE: Duration = Duration::from_secs(180);

/// A bug that is built into the models, to prove that it would be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutation {
    /// A member whose process is new says that it has all that it acknowledged.
    CountRestarted,
    /// What a member keeps is not on its volume when it acts by it.
    LoseDisk,
    /// One member's promise counts as those of all.
    OneForAll,
    /// A primary whose right has ended goes on.
    NeverFence,
    /// An election begins no new generation.
    KeepGeneration,
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// How many members there are.
    pub members: usize,
    /// `strict`: how many must have a write. `None` is `available`.
    pub copies: Option<usize>,
    /// The bug.
    pub mutation: Option<Mutation>,
}

/// What happened in a run, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Harmed {
    /// Terms in which a primary took writes.
    pub elections: usize,
    /// Handovers that were done.
    pub switchovers: u64,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Those that elections lost, and said so.
    pub lost: usize,
    /// Writes that a former primary took, and acknowledged to nobody who waits for replicas.
    pub late: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Pod(usize),
    Operator(usize),
    Api,
}

#[derive(Debug, Clone)]
pub(super) enum Words {
    Order {
        order: Order,
        asked: Moment,
    },
    Reply {
        reply: Reply,
        asked: Moment,
    },
    Report(Report),
    Claim {
        claim: Claim,
        asked: Moment,
    },
    Claimed {
        claim: Claim,
        asked: Moment,
        done: bool,
    },
    Read {
        number: u64,
    },
    Have {
        number: u64,
        standing: Versioned<Standing>,
        lease: Versioned<Lease>,
    },
    WriteStanding {
        expected: Version,
        standing: Standing,
    },
    WriteLease {
        expected: Version,
        lease: Lease,
    },
}

pub(super) enum What {
    Agent {
        pod: usize,
        life: u64,
    },
    Tell {
        pod: usize,
        life: u64,
        event: Event,
    },
    Operator(usize),
    ReviveOperator(usize),
    Redises,
    Writes,
    Harm,
    Revive(usize),
    ReviveRedis(usize),
    Message {
        from: Place,
        to: Place,
        life: u64,
        words: Words,
    },
}

/// A write that waits for replicas.
struct Pending {
    entry: Entry,
    pod: usize,
    run: u64,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) queue: Queue<What>,
    pub(super) timing: Timing,
    pub(super) setting: Setting,
    pub(super) pods: Vec<Pod>,
    pub(super) operators: Vec<Operator>,
    pub(super) ledger: Ledger,
    /// The member that is to be the primary.
    pub(super) wanted: Option<usize>,
    /// Of whom a handover is under way, and the term that begins.
    pub(super) handing: BTreeMap<usize, Term>,
    api: Api,
    api_back: Duration,
    cuts: BTreeMap<(Place, Place), Duration>,
    /// Whose replication is slow.
    slow: Option<usize>,
    pending: Vec<Pending>,
    lines: Vec<String>,
    violation: Option<String>,
    is_wild: bool,
    lives: u64,
    /// Writes that were acknowledged since it is calm.
    calm_writes: u64,
}

/// Runs the world of this seed.
#[must_use]
pub fn run(seed: u64, setting: Setting) -> (Outcome, Harmed) {
    let random = Random::seeded(seed);
    let rate = |random: &Random| 950 + u32::try_from(random.between(0, 101)).unwrap_or_default();
    let mut world = World {
        queue: Queue::new(),
        timing: Timing::default(),
        setting,
        pods: (0..setting.members).map(|_| Pod::new(rate(&random))).collect(),
        operators: (0..2).map(|_| Operator::default()).collect(),
        ledger: Ledger::default(),
        wanted: None,
        handing: BTreeMap::new(),
        api: Api::new(),
        api_back: Duration::ZERO,
        cuts: BTreeMap::new(),
        slow: None,
        pending: Vec::new(),
        lines: Vec::new(),
        violation: None,
        is_wild: true,
        lives: 0,
        calm_writes: 0,
        random,
    };
    world.live();
    let harmed = Harmed {
        elections: world.ledger.elections(),
        switchovers: world.ledger.switchovers,
        acknowledged: world.ledger.acknowledged(),
        lost: world.ledger.lost(),
        late: world.ledger.late,
    };
    let outcome = Outcome {
        trace: world.lines,
        violation: world.violation,
    };
    (outcome, harmed)
}

impl World {
    fn live(&mut self) {
        for pod in 0..self.pods.len() {
            agent::start(self, pod);
        }
        for which in 0..self.operators.len() {
            self.queue.put(self.random.millis(0, 400), What::Operator(which));
        }
        self.queue.put(Duration::ZERO, What::Redises);
        self.queue.put(Duration::ZERO, What::Writes);
        self.queue.put(Duration::from_secs(5), What::Harm);
        while self.violation.is_none() && self.queue.now() < HARM {
            self.go_on();
        }
        self.calm();
        let end = self.queue.now() + PEACE;
        while self.violation.is_none() && self.queue.now() < end && !self.is_well() {
            self.go_on();
        }
        if self.violation.is_none() && !self.is_well() {
            self.violate("there is no primary in the end that everybody follows");
        }
    }

    fn go_on(&mut self) {
        let Some(what) = self.queue.take() else { return };
        let now = self.queue.now();
        match what {
            What::Agent { pod, life } => match self.stops(pod, now) {
                Some(wait) => self.queue.put(wait, What::Agent { pod, life }),
                None => agent::look(self, pod, life),
            },
            What::Tell { pod, life, event } => match self.stops(pod, now) {
                Some(wait) => self.queue.put(wait, What::Tell { pod, life, event }),
                None => agent::tell(self, pod, life, event, None),
            },
            What::Operator(which) => match self.operator_stops(which, now) {
                Some(wait) => self.queue.put(wait, What::Operator(which)),
                None => operator::look(self, which),
            },
            What::ReviveOperator(which) => {
                if let Some(operator) = self.operators.get_mut(which) {
                    operator.restart();
                }
            }
            What::Redises => self.replicate(),
            What::Writes => self.write(),
            What::Harm => self.harm(),
            What::Revive(pod) => agent::start(self, pod),
            What::ReviveRedis(pod) => agent::start_redis(self, pod),
            What::Message { from, to, life, words } => self.deliver(from, to, life, words),
        }
    }

    pub(super) fn next_life(&mut self) -> u64 {
        self.lives += 1;
        self.lives
    }

    pub(super) fn is_wild(&self) -> bool {
        self.is_wild
    }

    pub(super) fn say(&mut self, line: &str) {
        let at = self.queue.now().as_millis();
        self.lines.push(format!("{at:>8} ms  {line}"));
    }

    fn violate(&mut self, what: &str) {
        self.say(&format!("VIOLATION: {what}"));
        self.violation.get_or_insert_with(|| what.to_owned());
    }

    /// How long the agent stands still yet, and a little.
    fn stops(&self, pod: usize, now: Duration) -> Option<Duration> {
        let until = self.pods.get(pod)?.agent_stops;
        (until > now).then(|| until - now + self.random.millis(0, 50))
    }

    fn operator_stops(&self, which: usize, now: Duration) -> Option<Duration> {
        let until = self.operators.get(which)?.stops;
        (until > now).then(|| until - now + self.random.millis(0, 50))
    }

    fn is_cut(&self, one: Place, other: Place) -> bool {
        let now = self.queue.now();
        let api_is_away = (one == Place::Api || other == Place::Api) && self.api_back > now;
        let cut = self.cuts.get(&(one.min(other), one.max(other)));
        api_is_away || cut.is_some_and(|until| *until > now)
    }

    pub(super) fn send(&mut self, from: Place, to: Place, words: Words) {
        if self.is_cut(from, to) || (self.is_wild && self.random.once_in(50)) {
            return;
        }
        let wait = match self.is_wild {
            true if self.random.once_in(300) => self.random.millis(1_000, 40_000),
            true if self.random.once_in(30) => self.random.millis(100, 3_000),
            _ => self.random.millis(1, 20),
        };
        let life = match to {
            Place::Pod(pod) => self.life_of(pod),
            Place::Operator(_) | Place::Api => Some(0),
        };
        // To a process that is not there, it is refused.
        if let Some(life) = life {
            self.queue.put(wait, What::Message { from, to, life, words });
        }
    }

    fn life_of(&self, pod: usize) -> Option<u64> {
        Some(self.pods.get(pod)?.agent.as_ref()?.life)
    }

    fn deliver(&mut self, from: Place, to: Place, life: u64, words: Words) {
        let now = self.queue.now();
        let stops = match to {
            Place::Pod(pod) => self.stops(pod, now),
            Place::Operator(which) => self.operator_stops(which, now),
            Place::Api => None,
        };
        if let Some(wait) = stops {
            self.queue.put(wait, What::Message { from, to, life, words });
            return;
        }
        match (to, words) {
            (Place::Api, words) => self.ask_api(from, words),
            (Place::Pod(pod), Words::Order { order, asked }) => {
                let asker = Some((from, asked));
                agent::tell(self, pod, life, Event::Order(order), asker);
            }
            (
                Place::Pod(pod),
                Words::Reply {
                    reply: Reply::Promised { term },
                    asked,
                },
            ) => {
                let Place::Pod(by) = from else { return };
                let everybody = 0..self.pods.len();
                let givers: Vec<_> = match self.setting.mutation {
                    Some(Mutation::OneForAll) => everybody.collect(),
                    _ => vec![by],
                };
                for by in givers.into_iter().map(ordinal) {
                    agent::tell(self, pod, life, Event::Promised { term, by, asked }, None);
                }
            }
            (Place::Pod(pod), Words::Claimed { claim, asked, done }) => {
                let event = match claim {
                    Claim::Renew(term) if done => Event::Renewed { term, asked },
                    Claim::Renew(term) => Event::Lost { term },
                    Claim::Transfer { begins: term, .. } => Event::Transferred { term, done },
                    Claim::Release(_) => return,
                };
                agent::tell(self, pod, life, event, None);
            }
            (
                Place::Operator(which),
                Words::Reply {
                    reply: Reply::State(state),
                    ..
                },
            ) => {
                let Place::Pod(pod) = from else { return };
                if let Some(operator) = self.operators.get_mut(which) {
                    operator.hear_state(pod, state, now);
                }
            }
            (Place::Operator(which), Words::Report(report)) => {
                let Place::Pod(pod) = from else { return };
                if let Some(operator) = self.operators.get_mut(which) {
                    operator.hear_report(pod, report);
                }
            }
            (
                Place::Operator(which),
                Words::Have {
                    number,
                    standing,
                    lease,
                },
            ) => {
                operator::pass(self, which, number, standing, lease);
            }
            (Place::Pod(_) | Place::Operator(_), _) => {}
        }
    }

    fn ask_api(&mut self, from: Place, words: Words) {
        let answer = match (from, words) {
            (Place::Pod(pod), Words::Claim { claim, asked }) => {
                let done = self.api.claim(ordinal(pod), claim);
                Words::Claimed { claim, asked, done }
            }
            (_, Words::Read { number }) => Words::Have {
                number,
                standing: self.api.standing,
                lease: self.api.lease,
            },
            (_, Words::WriteStanding { expected, standing }) => {
                if self.api.write_standing(expected, standing)
                    && let Phase::Promoting { candidacy, .. } = standing.phase
                {
                    self.ledger.elected(standing.term, candidacy.certainty);
                }
                return;
            }
            (_, Words::WriteLease { expected, lease }) => {
                self.api.write_lease(expected, lease);
                return;
            }
            _ => return,
        };
        self.send(Place::Api, from, answer);
    }

    /// A Redis takes writes from now on.
    pub(super) fn opened(&mut self, pod: usize) {
        let strict = self.setting.copies.is_some();
        let Some(redis) = self.pods.get(pod).and_then(|pod| pod.redis.as_ref()) else {
            return;
        };
        let line = format!(
            "Redis {pod} takes writes in term {}, with {} of them",
            redis.last().term,
            redis.log.len()
        );
        let judged = self.ledger.open(ordinal(pod), redis, strict);
        self.say(&line);
        if let Err(violation) = judged {
            self.violate(&violation);
        }
    }

    fn replicate(&mut self) {
        let now = self.queue.now();
        for follower in 0..self.pods.len() {
            let Some(Mode::Replica { of }) = self.running(follower).map(|redis| redis.mode) else {
                continue;
            };
            let cut = self.is_cut(Place::Pod(follower), Place::Pod(of));
            let random = self.random.clone();
            let Some(mut redis) = self.pods.get_mut(follower).and_then(|pod| pod.redis.take()) else {
                continue;
            };
            match self.running(of).filter(|_| !cut) {
                Some(source) => redis.pull(source, now, self.slow == Some(follower), &random),
                None => redis.link = Link::Down,
            }
            if let Some(place) = self.pods.get_mut(follower) {
                place.redis = Some(redis);
            }
        }
        self.hand_over(now);
        self.acknowledge();
        self.queue.put(self.random.millis(8, 25), What::Redises);
    }

    fn running(&self, pod: usize) -> Option<&super::redis::Redis> {
        self.pods.get(pod)?.redis_runs(self.queue.now())
    }

    /// `FAILOVER`: as soon as the other has everything it is the primary, and this one its replica.
    fn hand_over(&mut self, now: Duration) {
        for from in 0..self.pods.len() {
            let Some((to, until)) = self.running(from).and_then(|redis| redis.handing) else {
                continue;
            };
            let Some(mine) = self.running(from).map(|redis| redis.log.clone()) else {
                continue;
            };
            let ready = !self.is_cut(Place::Pod(from), Place::Pod(to))
                && self.running(to).is_some_and(|other| {
                    other.mode == Mode::Replica { of: from }
                        && matches!(other.link, Link::Up { .. })
                        && other.log == mine
                });
            if !ready && now < until {
                continue;
            }
            let redis_of = |pods: &mut Vec<Pod>, pod: usize, mode: Mode, link: Link| {
                if let Some(redis) = pods.get_mut(pod).and_then(|pod| pod.redis.as_mut()) {
                    redis.become_(mode);
                    redis.link = link;
                }
            };
            if ready {
                redis_of(&mut self.pods, to, Mode::Primary { open: true }, Link::Down);
                redis_of(
                    &mut self.pods,
                    from,
                    Mode::Replica { of: to },
                    Link::Up { met: mine.len() },
                );
                self.say(&format!("Redis {from} has handed over to {to}"));
            } else {
                redis_of(&mut self.pods, from, Mode::Primary { open: true }, Link::Down);
            }
            if let (Some(term), Some(life)) = (self.handing.remove(&from), self.life_of(from)) {
                let event = Event::HandedOver { term, done: ready };
                self.queue
                    .put(self.random.millis(0, 5), What::Tell { pod: from, life, event });
            }
        }
    }

    fn write(&mut self) {
        let pod = self.random.between(0, self.pods.len() as u64) as usize;
        if self.running(pod).is_some_and(super::redis::Redis::takes_writes) {
            let id = self.ledger.next_id();
            let Some(redis) = self.pods.get_mut(pod).and_then(|pod| pod.redis.as_mut()) else {
                return;
            };
            let entry = Entry { id, ..redis.last() };
            redis.log.push(entry);
            let run = redis.run;
            if self.ledger.is_former(ordinal(pod), entry) {
                self.ledger.late += 1;
                // Only who stood still while its right ended, and has not had the time to see it.
                if self.stood_still(pod) {
                    self.say(&format!(
                        "Redis {pod} takes write {id} of the former term {}",
                        entry.term
                    ));
                } else {
                    self.violate(&format!(
                        "{pod} takes write {id} of term {}, whose primary it is no more",
                        entry.term
                    ));
                }
            }
            match self.setting.copies {
                None => self.count(pod, entry, false),
                Some(_) => self.pending.push(Pending { entry, pod, run }),
            }
        }
        self.queue.put(self.random.millis(10, 60), What::Writes);
    }

    /// Whether the agent has stood still until now, or until just now.
    fn stood_still(&self, pod: usize) -> bool {
        let awake = self.queue.now().saturating_sub(Duration::from_millis(500));
        self.pods.get(pod).is_some_and(|place| place.agent_stops > awake)
    }

    /// `WAIT`: whoever has enough replicas with the write acknowledges it.
    fn acknowledge(&mut self) {
        let Some(copies) = self.setting.copies else { return };
        for pending in std::mem::take(&mut self.pending) {
            let Some(redis) = self.pods.get(pending.pod).and_then(|pod| pod.redis.as_ref()) else {
                continue;
            };
            // A primary that is one no more cuts whoever waits.
            if redis.run != pending.run || !redis.is_primary() {
                continue;
            }
            let followers = (0..self.pods.len()).filter(|follower| {
                !self.is_cut(Place::Pod(*follower), Place::Pod(pending.pod))
                    && self.running(*follower).is_some_and(|other| {
                        other.mode == Mode::Replica { of: pending.pod }
                            && matches!(other.link, Link::Up { .. })
                            && other.has(pending.entry.id)
                    })
            });
            let stands = self.running(pending.pod).is_none();
            if stands || followers.count() + 1 < copies {
                self.pending.push(pending);
            } else {
                self.count(pending.pod, pending.entry, true);
            }
        }
    }

    fn count(&mut self, pod: usize, entry: Entry, strict: bool) {
        if let Err(violation) = self.ledger.acknowledge(ordinal(pod), entry, strict) {
            self.violate(&violation);
        }
        if !self.is_wild {
            self.calm_writes += 1;
        }
    }

    fn harm(&mut self) {
        if !self.is_wild {
            return;
        }
        let (now, random) = (self.queue.now(), self.random.clone());
        let any = random.between(0, self.pods.len() as u64) as usize;
        let primary =
            (0..self.pods.len()).find(|pod| self.running(*pod).is_some_and(super::redis::Redis::takes_writes));
        let pod = primary.filter(|_| random.once_in(2)).unwrap_or(any);
        match random.between(0, 20) {
            0..=3 => {
                agent::kill(self, pod);
                self.queue.put(random.millis(50, 20_000), What::Revive(pod));
            }
            4..=6 => {
                agent::kill_redis(self, pod);
                self.queue.put(random.millis(20, 3_000), What::ReviveRedis(pod));
            }
            7..=9 => {
                let wait = random.millis(200, 40_000);
                let which = random.between(0, 3);
                self.say(&format!("pod {pod} stands still for {} ms ({which})", wait.as_millis()));
                if let Some(place) = self.pods.get_mut(pod) {
                    // Now and then only one of the two.
                    let (agent, redis) = (place.agent_stops, place.redis_stops);
                    place.agent_stops = if which == 1 { agent } else { agent.max(now + wait) };
                    place.redis_stops = if which == 2 { redis } else { redis.max(now + wait) };
                }
            }
            10..=13 => {
                let places: Vec<_> = (0..self.pods.len())
                    .map(Place::Pod)
                    .chain([Place::Api, Place::Operator(0), Place::Operator(1)])
                    .collect();
                let wait = random.millis(500, 60_000);
                let side: Vec<_> = places.iter().map(|_| random.once_in(2)).collect();
                self.say(&format!("the network is cut for {} ms: {side:?}", wait.as_millis()));
                for (index, one) in places.iter().enumerate() {
                    for (other_index, other) in places.iter().enumerate().skip(index + 1) {
                        if side.get(index) != side.get(other_index) {
                            self.cuts.insert((*one.min(other), *one.max(other)), now + wait);
                        }
                    }
                }
            }
            14 => {
                let wait = random.millis(1_000, 90_000);
                self.say(&format!("the API is away for {} ms", wait.as_millis()));
                self.api_back = now + wait;
            }
            15 => {
                let which = random.between(0, 2) as usize;
                let wait = random.millis(500, 40_000);
                if let Some(operator) = self.operators.get_mut(which) {
                    operator.stops = now + wait;
                }
                self.say(&format!("operator {which} stands still for {} ms", wait.as_millis()));
                if random.once_in(2) {
                    self.queue.put(wait, What::ReviveOperator(which));
                }
            }
            16 if random.once_in(3) => {
                agent::kill(self, pod);
                self.say(&format!("pod {pod} loses its volume"));
                if let Some(place) = self.pods.get_mut(pod) {
                    (place.durable, place.files) = Default::default();
                }
                self.queue.put(random.millis(50, 20_000), What::Revive(pod));
            }
            _ => {
                self.wanted = Some(pod);
                self.say(&format!("{pod} is to be the primary"));
            }
        }
        self.slow = random.once_in(2).then_some(pod);
        // One comes seldom alone.
        let wait = match random.once_in(3) {
            true => random.millis(0, 800),
            false => random.millis(500, 12_000),
        };
        self.queue.put(wait, What::Harm);
    }

    fn calm(&mut self) {
        self.say("it is calm");
        self.is_wild = false;
        (self.wanted, self.slow) = (None, None);
        self.cuts.clear();
        self.api_back = Duration::ZERO;
        for pod in 0..self.pods.len() {
            agent::start(self, pod);
            agent::start_redis(self, pod);
        }
    }

    /// Whether a primary has acknowledged something, and all others are in step with it.
    fn is_well(&self) -> bool {
        let Phase::Presiding { primary, .. } = self.api.standing.object.phase else {
            return false;
        };
        let primary = place(primary);
        let is_served = self.running(primary).is_some_and(super::redis::Redis::takes_writes);
        let followed = (0..self.pods.len()).filter(|pod| *pod != primary).all(|pod| {
            let redis = self.running(pod);
            redis.and_then(super::redis::Redis::is_in_step_with) == Some(primary)
        });
        is_served && followed && self.calm_writes > 0
    }
}
