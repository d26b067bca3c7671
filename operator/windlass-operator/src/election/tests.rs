//! Candidates in a world that delays, pauses and loses: at no moment do two lead.

use proptest::prelude::*;

use super::*;

const TIMES: Times = Times {
    duration: Duration::from_secs(15),
    deadline: Duration::from_secs(10),
    retry: Duration::from_secs(2),
};

/// What happens next.
#[derive(Debug, Clone)]
enum Happening {
    /// Time passes for everybody.
    Pass(u64),
    /// A candidate reads the lease; the answer is under way.
    Read(usize),
    /// Its answer arrives, and what it decides is sent.
    Arrive(usize),
    /// What it sent takes effect, and it hears of it.
    Write(usize),
    /// What it sent takes effect, and it does not hear of it.
    WriteUnheard(usize),
}

struct Candidate {
    election: Election,
    /// How far its clock is from the others'.
    skew: Duration,
    answer: Option<Option<Record>>,
    request: Option<(Step, Duration)>,
    exited: bool,
}

struct World {
    now: Duration,
    lease: Option<Record>,
    versions: u64,
    candidates: Vec<Candidate>,
    terms: Vec<(usize, Term)>,
}

impl World {
    fn new() -> Self {
        let candidate = |index: u64| Candidate {
            election: Election::new(format!("candidate-{index}"), TIMES),
            skew: Duration::from_secs(index * 100_000),
            answer: None,
            request: None,
            exited: false,
        };
        Self {
            now: Duration::ZERO,
            lease: None,
            versions: 0,
            candidates: (0..3).map(candidate).collect(),
            terms: Vec::new(),
        }
    }

    fn happen(&mut self, happening: &Happening) {
        match *happening {
            Happening::Pass(milliseconds) => self.now += Duration::from_millis(milliseconds),
            Happening::Read(index) => self.candidates[index].answer = Some(self.lease.clone()),
            Happening::Arrive(index) => {
                let candidate = &mut self.candidates[index];
                let now = self.now + candidate.skew;
                if let Some(answer) = candidate.answer.take().filter(|_| !candidate.exited) {
                    let step = candidate.election.look(answer.as_ref(), now);
                    candidate.exited = step == Step::Lost;
                    candidate.request = Some((step, now));
                }
            }
            Happening::Write(index) => self.write(index, true),
            Happening::WriteUnheard(index) => self.write(index, false),
        }
    }

    /// The API server's part: a write counts only for the version that it names.
    fn write(&mut self, index: usize, heard: bool) {
        let Some((step, sent)) = self.candidates[index].request.take() else {
            return;
        };
        let current = self.lease.as_ref().map(|lease| lease.version.clone());
        let (expected, term) = match step {
            Step::Create(term) => (None, term),
            Step::Take(version, term) | Step::Renew(version, term) => (Some(version), term),
            Step::Wait | Step::Lost => return,
        };
        if current != expected {
            return;
        }
        self.versions += 1;
        let candidate = &mut self.candidates[index];
        self.lease = Some(Record {
            version: self.versions.to_string(),
            holder: Some(candidate.election.identity.clone()),
            term,
            duration: TIMES.duration,
        });
        if heard && !candidate.exited {
            candidate.election.written(term, sent);
            if self.terms.last() != Some(&(index, term)) {
                self.terms.push((index, term));
            }
        }
    }

    fn leaders(&self) -> Vec<usize> {
        let leads = |candidate: &Candidate| !candidate.exited && candidate.election.leads(self.now + candidate.skew);
        (0..self.candidates.len())
            .filter(|index| leads(&self.candidates[*index]))
            .collect()
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    let who = 0..3_usize;
    prop_oneof![
        3 => (0..6_000_u64).prop_map(Happening::Pass),
        1 => Just(Happening::Pass(15_000)),
        4 => who.clone().prop_map(Happening::Read),
        4 => who.clone().prop_map(Happening::Arrive),
        4 => who.clone().prop_map(Happening::Write),
        1 => who.prop_map(Happening::WriteUnheard),
    ]
}

proptest! {
    #[test]
    fn never_do_two_lead_whatever_is_delayed_paused_or_lost(happenings in prop::collection::vec(happening(), 0..300)) {
        let mut world = World::new();
        for happening in &happenings {
            world.happen(happening);
            prop_assert!(world.leaders().len() <= 1, "{:?} lead after {happening:?}", world.leaders());
        }
        // Each change of hands is a later term.
        prop_assert!(world.terms.windows(2).all(|pair| pair[0].1 < pair[1].1), "{:?}", world.terms);
    }
}

/// One whole round of a candidate, without a delay.
fn round(world: &mut World, index: usize) {
    for happening in [
        Happening::Read(index),
        Happening::Arrive(index),
        Happening::Write(index),
    ] {
        world.happen(&happening);
    }
}

#[test]
fn another_takes_over_once_the_leader_is_silent_for_the_whole_duration() {
    let mut world = World::new();
    round(&mut world, 0);
    assert_eq!(world.leaders(), [0]);
    for _ in 0..7 {
        round(&mut world, 1);
        world.happen(&Happening::Pass(2_000));
    }
    assert!(world.leaders().is_empty(), "it has stopped to lead, and nobody may yet");
    world.happen(&Happening::Pass(1_000));
    round(&mut world, 1);
    assert_eq!(world.leaders(), [1]);
    // The first one wakes up and finds out.
    round(&mut world, 0);
    assert!(world.candidates[0].exited);
}

#[test]
fn a_leader_that_renews_stays_and_one_that_gave_back_is_followed_at_once() {
    let mut world = World::new();
    for _ in 0..30 {
        round(&mut world, 0);
        round(&mut world, 1);
        assert_eq!(world.leaders(), [0]);
        world.happen(&Happening::Pass(2_000));
    }
    world.candidates[0].exited = true;
    world.versions += 1;
    let version = world.versions.to_string();
    let lease = world.lease.as_mut().expect("somebody led");
    (lease.holder, lease.version) = (None, version);
    round(&mut world, 1);
    assert_eq!(world.leaders(), [1]);
    assert_eq!(world.terms, [(0, Term(1)), (1, Term(2))]);
}

#[test]
fn a_leader_whose_lease_somebody_deleted_does_not_go_on() {
    let mut world = World::new();
    round(&mut world, 0);
    world.lease = None;
    round(&mut world, 0);
    assert!(world.candidates[0].exited);
    round(&mut world, 1);
    assert_eq!(world.leaders(), [1]);
}
