//! An operator: it looks at the API and at the agents, and does what the next step is. Two may be at work at once.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_election::{
    DeciderAction, Durability, Observed, Order, Ordinal, Phase, Report, Roster, State, Step, Term, step,
};

use super::agent::ordinal;
use super::api::{Version, Versioned};
use super::world::{Place, What, Words, World};

/// How old an agent's answer may be to be called its present state.
const FRESH: Duration = Duration::from_secs(1);
/// After so long without a look, what is seen is seen for the first time.
const SIGHT: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(super) struct Operator {
    pub(super) stops: Duration,
    pub(super) is_dead: bool,
    states: BTreeMap<Ordinal, (State, Duration)>,
    reports: BTreeMap<Ordinal, Report>,
    lease: Option<Sight>,
    standing: Option<Sight>,
    asked: u64,
    answered: u64,
}

/// Since when a version has been seen without a gap.
#[derive(Clone, Copy)]
struct Sight {
    version: Version,
    since: Duration,
    last: Duration,
}

impl Sight {
    fn again(former: Option<Self>, version: Version, now: Duration) -> Self {
        match former {
            Some(former) if former.version == version && now - former.last <= SIGHT => Self { last: now, ..former },
            _ => Self {
                version,
                since: now,
                last: now,
            },
        }
    }
}

pub(super) fn look(world: &mut World, which: usize) {
    let pods = world.pods.len();
    let Some(operator) = world.operators.get_mut(which) else {
        return;
    };
    operator.asked += 1;
    let number = operator.asked;
    if !operator.is_dead {
        world.send(Place::Operator(which), Place::Api, Words::Read { number });
        for pod in 0..pods {
            let order = Order::Probe;
            let asked = windlass_election::Moment::default();
            world.send(Place::Operator(which), Place::Pod(pod), Words::Order { order, asked });
        }
    }
    let wait = world.random.millis(200, 400);
    world.queue.put(wait, What::Operator(which));
}

impl Operator {
    /// A process of it that knows nothing yet.
    pub(super) fn restart(&mut self) {
        let (asked, stops) = (self.asked, self.stops);
        *self = Self {
            asked,
            stops,
            answered: asked,
            ..Self::default()
        };
    }

    pub(super) fn hear_state(&mut self, from: usize, state: State, now: Duration) {
        self.states.insert(ordinal(from), (state, now));
    }

    pub(super) fn hear_report(&mut self, from: usize, report: Report) {
        self.reports.insert(ordinal(from), report);
    }
}

/// What the API had comes in: one pass.
pub(super) fn pass(
    world: &mut World,
    which: usize,
    number: u64,
    standing: Versioned<windlass_election::Standing>,
    lease: Versioned<windlass_election::Lease>,
) {
    let now = world.queue.now();
    let (pods, wanted) = (world.pods.len(), world.wanted.map(ordinal));
    let (timing, strict) = (world.timing, world.setting.copies);
    let Some(operator) = world.operators.get_mut(which) else {
        return;
    };
    if operator.is_dead || number <= operator.answered {
        return;
    }
    operator.answered = number;
    let seen = Sight::again(operator.lease, lease.version, now);
    operator.lease = Some(seen);
    let stood = Sight::again(operator.standing, standing.version, now);
    operator.standing = Some(stood);
    let term: Term = standing.object.term;
    operator.reports.retain(|_, report| report.term == term);
    let observed = Observed {
        roster: Roster::of((0..pods).map(ordinal)),
        durability: strict.map_or(Durability::Available, |copies| Durability::Strict { copies }),
        may_lose: None,
        wanted,
        lease: lease.object,
        unchanged_for: now - seen.since,
        standing_for: now - stood.since,
        states: operator
            .states
            .iter()
            .filter(|(_, (_, at))| now - *at <= FRESH)
            .map(|(member, (state, _))| (*member, *state))
            .collect(),
        reports: operator.reports.clone(),
    };
    let me = Place::Operator(which);
    match step(&standing.object, &observed, &timing) {
        Step::Advance(next) => {
            world.say(&format!("operator {which}: {:?} -> {next:?}", standing.object.phase));
            let expected = standing.version;
            world.send(
                me,
                Place::Api,
                Words::WriteStanding {
                    expected,
                    standing: next,
                },
            );
        }
        Step::Stay(_, actions) => {
            for action in actions {
                match action {
                    DeciderAction::Send(to, order) => {
                        let to = Place::Pod(super::agent::place(to));
                        let asked = windlass_election::Moment::default();
                        world.send(me, to, Words::Order { order, asked });
                    }
                    DeciderAction::Write(lease_to_be) => {
                        let expected = lease.version;
                        world.say(&format!("operator {which}: writes {lease_to_be:?}"));
                        world.send(
                            me,
                            Place::Api,
                            Words::WriteLease {
                                expected,
                                lease: lease_to_be,
                            },
                        );
                    }
                }
            }
        }
    }
    if let (Phase::Presiding { primary, .. }, Some(wanted)) = (standing.object.phase, wanted)
        && primary == wanted
    {
        world.wanted = None;
    }
}
