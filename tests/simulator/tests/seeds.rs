//! As many seeds as a debug build tries in a few seconds, other ones each day, and proof that they would find a bug.

use simulator::{Mutation, report, run, seeds_of_today};

/// Seeds that are always tried: small numbers, so that a failure is talked about easily.
const FIXED: u64 = 100;
/// Seeds that change from day to day.
const OF_TODAY: u64 = 100;

/// Within how many seeds a bug that is built in must be found; most are within the first ten.
const FOUND_WITHIN: u64 = 1_000;

#[test]
fn no_seed_breaks_a_promise() {
    let today = seeds_of_today(OF_TODAY);
    for seed in (0..FIXED).chain(today.clone()) {
        if let Some(violation) = run(seed, None).violation {
            panic!("seed {seed}: {violation}; see `cargo run -p simulator -- uploads --seed {seed}`");
        }
    }
    report(&format!("seeds tried 0..{FIXED} and {today:?}"));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..10 {
        let (one, other) = (run(seed, None), run(seed, None));
        assert!(one.trace.len() > 20, "nothing happens");
        let differs = one.trace.iter().zip(&other.trace).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one, other);
    }
}

fn is_found(mutation: Mutation) {
    let found = (0..FOUND_WITHIN).find(|seed| run(*seed, Some(mutation)).violation.is_some());
    assert!(found.is_some(), "{mutation:?} is not found");
    report(&format!("{mutation:?} is found by seed {found:?}"));
}

#[test]
fn a_store_that_compares_no_token_is_found() {
    is_found(Mutation::IgnoreToken);
}

#[test]
fn a_collector_without_a_safe_age_is_found() {
    is_found(Mutation::CollectAnyAge);
}

#[test]
fn a_failover_without_a_new_generation_is_found() {
    is_found(Mutation::KeepGeneration);
}

#[test]
fn a_storage_that_acknowledges_what_it_has_not_is_found() {
    is_found(Mutation::AcknowledgeEarly);
}

#[test]
fn a_store_that_nobody_makes_whole_is_found() {
    is_found(Mutation::NeverWalk);
}
