use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::term::Term;

fn rules(members: u16, durability: Durability) -> Rules {
    Rules {
        roster: Roster::of((0..members).map(Ordinal::new)),
        durability,
        may_lose: false,
        was_patient: true,
    }
}

fn report(term: u64, offset: u64, intact: bool) -> Report {
    Report {
        term: Term::new(9),
        position: Position {
            term: Term::new(term),
            offset,
        },
        intact,
    }
}

fn elected(rules: &Rules, reports: &[(u16, Report)]) -> Option<(u16, Certainty)> {
    let reports = reports
        .iter()
        .map(|(member, report)| (Ordinal::new(*member), *report))
        .collect();
    match judge(rules, &reports) {
        Verdict::Elect(candidacy) => Some((candidacy.member.number(), candidacy.certainty)),
        Verdict::Wait(_) => None,
    }
}

const STRICT: Durability = Durability::Strict { copies: 2 };

#[test]
fn one_replica_of_two_is_not_enough_where_two_copies_count() {
    let rules = rules(3, STRICT);
    assert_eq!(elected(&rules, &[(1, report(4, 100, true))]), None);
    let both = [(1, report(4, 100, true)), (2, report(4, 101, true))];
    assert_eq!(elected(&rules, &both), Some((2, Certainty::Whole)));
}

#[test]
fn a_process_that_was_started_anew_does_not_count_but_where_everybody_has_answered() {
    let rules = rules(3, STRICT);
    let two = [(1, report(4, 100, true)), (2, report(4, 900, false))];
    assert_eq!(elected(&rules, &two), None);
    let all = [two[0], two[1], (0, report(4, 100, false))];
    assert_eq!(
        elected(&rules, &all),
        Some((1, Certainty::MayLack)),
        "who is intact goes before who may not be"
    );
}

#[test]
fn a_newer_term_goes_before_a_greater_offset() {
    let both = [(1, report(5, 10, true)), (2, report(4, 999, true))];
    assert_eq!(elected(&rules(3, STRICT), &both), Some((1, Certainty::Whole)));
}

#[test]
fn an_empty_member_is_elected_only_where_all_are_empty() {
    let with_data = [
        (0, report(0, 0, true)),
        (1, report(1, 3, false)),
        (2, report(0, 0, true)),
    ];
    assert_eq!(elected(&rules(3, STRICT), &with_data), Some((1, Certainty::MayLack)));
    let none = [0, 1, 2].map(|member| (member, report(0, 0, false)));
    assert_eq!(
        elected(&rules(3, STRICT), &none),
        Some((0, Certainty::MayLack)),
        "the first start"
    );
    assert_eq!(elected(&rules(3, STRICT), &none[..2]), None);
}

#[test]
fn available_waits_for_more_answers_a_while_and_then_takes_what_there_is() {
    let one = [(1, report(4, 100, true))];
    let patient = rules(3, Durability::Available);
    let impatient = Rules {
        was_patient: false,
        ..patient.clone()
    };
    assert_eq!(elected(&impatient, &one), None);
    assert_eq!(elected(&patient, &one), Some((1, Certainty::MayLack)));
    assert_eq!(
        elected(&patient, &[(1, report(4, 100, false))]),
        None,
        "it may have lost everything"
    );
}

#[test]
fn who_is_told_that_it_may_lose_takes_any_answer() {
    let told = Rules {
        may_lose: true,
        ..rules(3, STRICT)
    };
    assert_eq!(
        elected(&told, &[(2, report(4, 100, false))]),
        Some((2, Certainty::MayLack))
    );
    assert_eq!(elected(&told, &[]), None);
}

proptest! {
    /// Any members that made a write count have one in common with any that are enough to elect (Raft §5.4.3).
    #[test]
    fn whoever_is_elected_for_certain_has_every_write_that_counted(
        members in 1_u16..8,
        copies in 1_usize..8,
        holders in prop::collection::btree_set(0_u16..8, 1..8),
        answers in prop::collection::btree_set(0_u16..8, 1..8),
        further in prop::collection::vec(0_u64..3, 8),
    ) {
        let copies = copies.min(usize::from(members));
        let rules = rules(members, Durability::Strict { copies });
        let within = |set: &BTreeSet<u16>| set.iter().copied().filter(|member| *member < members).collect::<BTreeSet<_>>();
        let (holders, answers) = (within(&holders), within(&answers));
        prop_assume!(holders.len() >= copies);
        // Who has the write is at 10 or further, who has it not is behind.
        let position = |member: u16| {
            let further = further[usize::from(member)];
            if holders.contains(&member) { 10 + further } else { 9 - further }
        };
        let reports: Vec<_> = answers.iter().map(|member| (*member, report(1, position(*member), true))).collect();
        if let Some((member, Certainty::Whole)) = elected(&rules, &reports) {
            prop_assert!(holders.contains(&member), "{member} has not the write of {holders:?}");
        }
    }
}
