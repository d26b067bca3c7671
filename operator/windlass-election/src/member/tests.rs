use super::*;

const NOW: Moment = Moment::at(Duration::from_secs(100));

fn ordinal(number: u16) -> Ordinal {
    Ordinal::new(number)
}

/// A member that follows 0 in the third term, in step.
fn replica() -> Member {
    let durable = Durable {
        term: Term::new(3),
        role: Role::Following { primary: ordinal(0) },
        promise: None,
        in_step: None,
    };
    let mut member = Member::start(ordinal(1), Timing::default(), durable, NOW);
    member.handle(Event::Started { run: Run::new("a") }, NOW);
    member.handle(Event::InStep { with: ordinal(0) }, NOW);
    member
}

fn tell(member: &mut Member, order: Order, now: Moment) -> Vec<Action> {
    member.handle(Event::Order(order), now)
}

fn promise() -> Order {
    Order::Promise {
        term: Term::new(3),
        lasts: Duration::from_secs(10),
    }
}

fn detach(term: u64) -> Order {
    Order::Detach { term: Term::new(term) }
}

fn is_refused(actions: &[Action]) -> bool {
    matches!(actions, [Action::Reply(Reply::Refused(_))])
}

fn promoted(member: &mut Member, intact: bool) -> Vec<Action> {
    let order = Order::Promote {
        term: Term::new(4),
        intact,
        roster: Roster::of((0..3).map(ordinal)),
        generation: Generation::begun_in(Term::new(4)),
    };
    tell(member, order, NOW)
}

#[test]
fn what_is_promised_is_on_the_volume_before_it_is_said_and_holds_for_its_time() {
    let mut member = replica();
    let actions = tell(&mut member, promise(), NOW);
    assert!(
        matches!(
            actions.as_slice(),
            [
                Action::Persist(Durable { promise: Some(_), .. }),
                Action::Reply(Reply::Promised { .. })
            ]
        ),
        "{actions:?}"
    );
    assert!(is_refused(&tell(&mut member, detach(4), NOW + Duration::from_secs(9))));
    let later = tell(&mut member, detach(4), NOW + Duration::from_secs(10));
    assert!(
        matches!(later.as_slice(), [Action::Persist(_), Action::Fence, Action::Report(_)]),
        "{later:?}"
    );
}

#[test]
fn a_promise_counts_from_the_start_anew_where_nobody_knows_when_it_was_given() {
    let mut member = replica();
    tell(&mut member, promise(), NOW);
    let restarted = NOW + Duration::from_secs(9);
    let mut member = Member::start(ordinal(1), Timing::default(), member.durable().clone(), restarted);
    assert!(is_refused(&tell(
        &mut member,
        detach(4),
        restarted + Duration::from_secs(9)
    )));
    assert!(!is_refused(&tell(
        &mut member,
        detach(4),
        restarted + Duration::from_secs(10)
    )));
}

#[test]
fn an_order_of_a_term_that_is_over_changes_nothing() {
    let mut member = replica();
    tell(&mut member, detach(5), NOW);
    let before = member.durable().clone();
    for order in [
        detach(4),
        Order::Follow {
            term: Term::new(3),
            primary: ordinal(0),
        },
        promise(),
    ] {
        assert!(is_refused(&tell(&mut member, order, NOW)));
    }
    assert!(is_refused(&promoted(&mut member, true)));
    assert_eq!(*member.durable(), before);
}

#[test]
fn a_candidate_whose_process_is_another_than_the_one_that_was_chosen_is_not_promoted() {
    let mut member = replica();
    tell(&mut member, detach(4), NOW);
    member.handle(Event::Started { run: Run::new("b") }, NOW);
    assert!(is_refused(&promoted(&mut member, true)));
    assert!(
        !is_refused(&promoted(&mut member, false)),
        "one that was chosen knowing it"
    );
}

#[test]
fn a_primary_takes_writes_once_it_has_renewed_and_until_its_right_ends() {
    let mut member = replica();
    tell(&mut member, detach(4), NOW);
    let actions = promoted(&mut member, true);
    assert!(matches!(
        actions.as_slice(),
        [
            Action::Persist(_),
            Action::Promote(..),
            Action::Reply(Reply::Accepted),
            Action::Renew(_)
        ]
    ));
    assert!(!member.is_open());
    let term = Term::new(4);
    assert_eq!(member.handle(Event::Renewed { term, asked: NOW }, NOW), [Action::Open]);
    let end = NOW + Timing::default().tenure;
    assert!(
        !member
            .handle(Event::Tick, NOW + Duration::from_secs(9))
            .contains(&Action::Fence)
    );
    assert!(member.handle(Event::Tick, end).contains(&Action::Fence));
    assert!(!member.is_open());
    // It was cut off, and nobody has taken the lease: it goes on.
    assert_eq!(member.handle(Event::Renewed { term, asked: end }, end), [Action::Open]);
}

#[test]
fn the_promises_of_all_others_and_of_no_fewer_are_as_good_as_a_lease() {
    let mut member = replica();
    tell(&mut member, detach(4), NOW);
    promoted(&mut member, true);
    let term = Term::new(4);
    member.handle(Event::Renewed { term, asked: NOW }, NOW);
    let end = NOW + Timing::default().tenure;
    for (by, fenced) in [(0, true), (2, false)] {
        let by = ordinal(by);
        member.handle(Event::Promised { term, by, asked: end }, end);
        let mut copy = member.clone();
        assert_eq!(copy.handle(Event::Tick, end).contains(&Action::Fence), fenced);
    }
}

#[test]
fn a_primary_whose_redis_died_gives_its_lease_up() {
    let mut member = replica();
    tell(&mut member, detach(4), NOW);
    promoted(&mut member, true);
    let actions = member.handle(Event::Started { run: Run::new("b") }, NOW);
    assert!(
        matches!(actions.as_slice(), [Action::Persist(_), Action::Fence, Action::Release(term)] if *term == Term::new(4)),
        "{actions:?}"
    );
    assert_eq!(member.durable().role, Role::Deposed);
    assert!(!member.is_in_step());
}
