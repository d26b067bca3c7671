//! Bounds on how many and how fast, and what a client that reaches one is told.

use super::*;
use crate::grant::{Grant, ServerSubscription, Welcome};
use crate::limits::Rate;
use crate::session::Instruction;

const SECOND: Duration = Duration::from_secs(1);

fn refused(answer: &str, code: u32) -> bool {
    answer.contains(&format!(r#""code":{code},"#))
}

#[test]
fn a_client_that_commands_too_quickly_is_told_to_try_again() {
    let mut bench = Bench::connected_as(Rights::ALL, None, |settings| {
        settings.limits.commands = Rate::new(2, SECOND);
    });
    let command = r#"{"id":2,"rpc":{"method":"m"}}"#;
    for _ in 0..2 {
        assert!(refused(&bench.ask(command), 108));
    }
    assert!(refused(&bench.ask(command), 111));
    assert_eq!(
        bench.ask(r#"{"id":3,"unsubscribe":{"channel":"x"}}"#),
        r#"{"id":3,"unsubscribe":{}}"#
    );
    bench.now += SECOND / 2;
    assert!(refused(&bench.ask(command), 108) && refused(&bench.ask(command), 111));
}

#[test]
fn a_client_that_goes_on_doing_what_is_refused_is_closed_and_our_own_faults_are_not_its() {
    let mut bench = Bench::connected_as(Rights::ALL, None, |settings| {
        settings.limits.errors = Rate::new(3, 5 * SECOND);
    });
    for _ in 0..10 {
        bench.say(r#"{"id":2,"publish":{"channel":"a","data":1}}"#);
        bench.take();
        bench.complete(Completion::Published(Err(Failure::Unavailable)));
        assert!(refused(&bench.heard().join(""), 100));
    }
    let command = r#"{"id":2,"rpc":{}}"#;
    for _ in 0..3 {
        assert!(refused(&bench.ask(command), 108));
    }
    let last = bench.ask(command);
    assert!(refused(&last, 108) && last.ends_with("close 3509"), "{last}");
}

#[test]
fn who_may_do_nothing_here_is_closed_for_good() {
    let mut bench = Bench::opened();
    bench.say(r#"{"id":1,"connect":{}}"#);
    bench.take();
    let principal = Principal {
        rights: [Right::Upload].into_iter().collect(),
        ..Principal::local()
    };
    bench.complete(Completion::Authenticated(Ok(Identity::known(principal, None))));
    assert_eq!(bench.heard(), ["close 3507"]);
}

fn subscription_to(channel: &str) -> ServerSubscription {
    ServerSubscription {
        channel: channel.to_owned(),
        grant: Grant::default(),
    }
}

#[test]
fn who_is_given_more_channels_than_fit_is_closed_and_who_asks_for_more_is_refused() {
    let mut bench = Bench::with(|settings| settings.subscriptions_max = 2);
    bench.say(r#"{"id":1,"connect":{}}"#);
    bench.take();
    let welcome = Welcome {
        subscriptions: ["a", "b", "c"].map(subscription_to).into(),
        ..Welcome::default()
    };
    bench.complete(Completion::Authenticated(Ok(Identity {
        welcome,
        ..Identity::known(Principal::local(), None)
    })));
    assert_eq!(bench.heard().last().map(String::as_str), Some("close 3505"));

    let mut bench = Bench::connected_as(Rights::ALL, None, |settings| settings.subscriptions_max = 2);
    bench.subscribe("a", 0);
    bench.subscribe("b", 0);
    assert!(refused(&bench.ask(r#"{"id":2,"subscribe":{"channel":"c"}}"#), 106));
    let wanted = Instruction::Subscribe(Box::new(subscription_to("c")));
    bench.engine.instruct(wanted, bench.now);
    assert_eq!(bench.heard(), ["close 3505"]);
}
