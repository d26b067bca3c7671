//! The election of a Redis's primary: seeds that are always tried, other ones each day, and proof that they would find a bug.

use simulator::election::{Harmed, Mutation, Setting, run};
use simulator::{report, seeds_of_today};

/// Members, and how many must have a write: the shipped three, more of them, a lone one, and two that can spare nobody.
const SETTINGS: [(usize, Option<usize>); 6] = [
    (3, Some(2)),
    (3, None),
    (5, Some(3)),
    (1, Some(1)),
    (2, None),
    (2, Some(2)),
];
/// Seeds that are always tried, and those that change from day to day, of each setting.
const FIXED: u64 = 15;
const OF_TODAY: u64 = 10;
/// Within how many seeds a bug that is built in must be found; most are within the first fifty.
const FOUND_WITHIN: u64 = 1_000;

#[test]
fn no_seed_elects_two_or_loses_what_was_acknowledged() {
    let today = seeds_of_today(OF_TODAY);
    for (members, copies) in SETTINGS {
        let setting = Setting {
            members,
            copies,
            mutation: None,
        };
        let mut all = Harmed::default();
        for seed in (0..FIXED).chain(today.clone()) {
            let (outcome, harmed) = run(seed, setting);
            if let Some(violation) = outcome.violation {
                panic!(
                    "seed {seed}: {violation}; see `cargo run -p simulator -- election --members {members} --copies {} \
                     --seed {seed}`",
                    copies.unwrap_or_default()
                );
            }
            all.elections += harmed.elections;
            all.switchovers += harmed.switchovers;
            all.acknowledged += harmed.acknowledged;
            all.lost += harmed.lost;
            all.late += harmed.late;
        }
        assert!(
            all.elections > 50 && all.acknowledged > 1_000,
            "nothing happens: {all:?}"
        );
        report(&format!(
            "{members} members, copies {copies:?}, seeds 0..{FIXED} and {today:?}: {all:?}"
        ));
    }
}

#[test]
fn the_same_seed_elects_the_same() {
    for seed in 0..3 {
        let setting = Setting {
            members: 3,
            copies: Some(2),
            mutation: None,
        };
        let (one, other) = (run(seed, setting), run(seed, setting));
        assert!(one.0.trace.len() > 20, "nothing happens");
        assert_eq!(one, other, "seed {seed}");
    }
}

fn is_found(mutation: Mutation, members: usize, copies: Option<usize>) {
    let setting = Setting {
        members,
        copies,
        mutation: Some(mutation),
    };
    let found = (0..FOUND_WITHIN).find_map(|seed| Some((seed, run(seed, setting).0.violation?)));
    assert!(found.is_some(), "{mutation:?} is not found");
    report(&format!("{mutation:?} is found by seed {found:?}"));
}

#[test]
fn a_member_that_counts_although_its_process_is_new_is_found() {
    is_found(Mutation::CountRestarted, 3, Some(2));
}

#[test]
fn a_volume_that_forgets_is_found() {
    is_found(Mutation::LoseDisk, 3, Some(2));
}

#[test]
fn a_primary_that_goes_on_by_the_promise_of_one_is_found() {
    is_found(Mutation::OneForAll, 3, None);
}

#[test]
fn a_primary_that_is_never_fenced_is_found() {
    is_found(Mutation::NeverFence, 3, None);
}

#[test]
fn an_election_without_a_new_generation_is_found() {
    is_found(Mutation::KeepGeneration, 3, None);
}
